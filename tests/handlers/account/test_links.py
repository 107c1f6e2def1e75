"""A letter's link shows, a mailed one lets act, for a while; nobody gets to see or spend what is another's."""

import re

import httpx
import pytest

from config.asgi import build
from handlers.account.store import MOST_ASKED, MOST_MAILED
from handlers.merchants.programs import change_program
from integration.clock import MINUTE
from tests.handlers.account.guests import HERE, Guest, key_in
from tests.handlers.rewards.counter import FIVE


async def test_a_letters_link_shows_everything_and_changes_nothing(ana: Guest) -> None:
    """Balance, what it buys, what happened, how it works; codes and acts need more."""
    mine = await ana.counter.has()
    page = await ana.http.get(ana.link())
    assert page.status_code == 200 and page.headers["cache-control"] == "no-store"
    for words in ("500</strong> to spend", "5 off", "$5.00 off an order", "Given by Stall 1", "Spent on 5 off"):
        assert words in page.text, words
    assert "You get 1 point for every $1.00 you spend on goods" in page.text
    assert mine.code is not None and mine.code not in page.text and 'name="key"' not in page.text
    for path in ("/redeem?reward=five", "/return?number=1", "/forget"):
        assert (await ana.http.get(ana.link() + path)).status_code == 404
    assert await ana.counter.points() == (500, 0, 500)


async def test_points_are_spent_with_a_link_that_was_mailed(ana: Guest) -> None:
    """Chosen on the letter's page, confirmed on the fresh one; the same form twice costs once."""
    asked = await ana.comes_in(reward="five")
    assert "5 off for 500 points?" in asked.text and "500 points" in asked.text
    assert "For orders of $10.00 or more." in asked.text and "Valid for 90 days after you get it." in asked.text
    fields = {"reward": "five", "steps": "1", "key": key_in(asked)}
    first = await ana.http.post("/c/account/redeem", data=fields)
    assert first.status_code == 200 and "It is on its way" in first.text
    await ana.counter.asks()
    again = await ana.http.post("/c/account/redeem", data=fields)
    (discount,) = ana.counter.discounts()
    code = discount.codes[0].text
    assert code in again.text and f"https://{ana.counter.stall.shop.domain}/discount/{code}?redirect=/" in again.text
    assert await ana.counter.points() == (500, 0, 500)
    page = await ana.http.get("/c/account")
    assert code in page.text
    await ana.counter.is_sound()


async def test_an_unused_reward_is_given_back_and_its_points_follow(ana: Guest) -> None:
    """Asked once more; the points are there once the shop knows."""
    await ana.comes_in()
    await ana.redeems()
    await ana.counter.asks()
    asked = await ana.http.get("/c/account/return?number=1")
    assert "you get 500 points back" in asked.text
    done = await ana.http.post("/c/account/return", data={"number": "1", "key": key_in(asked)})
    assert "It is being given back" in done.text
    await ana.counter.asks()
    assert await ana.counter.points() == (1_000, 0, 0)
    assert "Given back: 5 off" in (await ana.http.get("/c/account")).text
    assert (await ana.http.get("/c/account/return?number=1")).status_code == 404
    await ana.counter.is_sound()


async def test_looking_at_a_mailed_link_uses_nothing_up(ana: Guest) -> None:
    """A scanner opens it ten times, its owner once; then it is used up."""
    address = await ana.mailed()
    for _ in range(10):
        assert (await ana.http.get(address)).status_code == 200
    answer = await ana.http.post(address)
    assert answer.status_code == 303 and answer.headers["location"] == "/c/account"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie


async def test_wrong_used_and_outdated_links_look_alike(ana: Guest) -> None:
    """404, and the same page to the letter."""
    used = await ana.mailed()
    assert (await ana.http.post(used)).status_code == 303
    late, letter, session = await ana.mailed(), ana.link(days=90), "/c/account"
    ana.counter.market.passes(minutes=31)
    old = ana.link(days=0)
    other_purpose = ana.context.vault.sign("unsubscribe", ana.counter.stall.merchant, ana.counter.ana, 2**60)
    wrong = [used, late, old, session, "/c/open/guessed", "/c/me/guessed", f"/c/me/{other_purpose}", letter + "x"]
    wrong += [f"{old}/history", ana.link(customer=99), ana.link(merchant=99)]
    answers = [await ana.http.get(address) for address in wrong]
    answers += [await ana.http.post(address) for address in (used, late, "/c/open/guessed", f"{old}/mail")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert (await ana.http.get(letter)).status_code == 200
    ana.counter.market.passes(days=90)
    assert (await ana.http.get(letter)).status_code == 404


async def test_a_session_lasts_half_an_hour(ana: Guest) -> None:
    """And belongs to the browser that opened it."""
    await ana.comes_in()
    assert (await Guest(ana.counter).http.get("/c/account")).status_code == 404
    ana.counter.market.passes(minutes=29)
    assert (await ana.http.get("/c/account")).status_code == 200
    ana.counter.market.passes(minutes=2)
    assert (await ana.http.get("/c/account")).status_code == 404


async def test_nobody_sees_or_spends_what_is_anothers(ana: Guest) -> None:
    """Bo's session with Ana's numbers, and Ana's forms in Bo's session: nothing is there."""
    bo = Guest(ana.counter)
    other = await ana.second()
    await ana.comes_in()
    await ana.redeems()
    await ana.counter.asks()
    mine = await ana.http.get("/c/account/return?number=1")
    asked = await ana.http.get("/c/account/redeem?reward=five")
    answer = await bo.http.post(f"{bo.link(other)}/mail")
    assert answer.status_code == 200
    assert (await bo.http.post(bo.address_in(bo.mails[-1]))).status_code == 303
    page = await bo.http.get("/c/account")
    assert "Hello Bo" in page.text and "1,0" in page.text
    (discount,) = ana.counter.discounts()
    assert discount.codes[0].text not in page.text
    for path in ("/c/account/reward?number=1", "/c/account/return?number=1", "/c/account/file?number=1"):
        assert (await bo.http.get(path)).status_code == 404
    stolen = [
        ("/c/account/return", {"number": "1", "key": key_in(mine)}),
        ("/c/account/redeem", {"reward": "five", "steps": "1", "key": key_in(asked)}),
    ]
    for path, fields in stolen:
        assert (await bo.http.post(path, data=fields)).status_code == 422
    assert await ana.counter.points() == (500, 0, 500)


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
async def test_a_form_that_another_site_filled_in_changes_nothing(ana: Guest, headers: dict[str, str]) -> None:
    """With the cookie, and even with the right key."""
    asked = await ana.comes_in(reward="five")
    fields = {"reward": "five", "steps": "1", "key": key_in(asked)}
    assert (await ana.http.post("/c/account/redeem", data=fields, headers=headers)).status_code == 403
    address = await ana.mailed()
    assert (await ana.http.post(address, headers=headers)).status_code == 404
    assert await ana.counter.points() == (1_000, 0, 0)


async def test_a_form_holds_for_what_it_was_shown_for(ana: Guest) -> None:
    """Another reward, other steps, another act, no key, or one of half an hour ago: nothing happens."""
    await ana.counter.offers(five=FIVE, one=FIVE | {"points": 1})
    asked = await ana.comes_in(reward="five")
    key = key_in(asked)
    wrong = [{"reward": "one"}, {"steps": "2"}, {"key": ""}, {"key": key[:-2]}, {"steps": "x"}, {"reward": "\0"}]
    for changed in wrong:
        fields = {"reward": "five", "steps": "1", "key": key, **changed}
        assert (await ana.http.post("/c/account/redeem", data=fields)).status_code == 422, changed
    assert (await ana.http.post("/c/account/forget", data={"key": key, "sure": "yes"})).status_code == 422
    assert await ana.counter.points() == (1_000, 0, 0)


async def test_only_a_few_links_are_mailed_and_the_answer_is_always_the_same(ana: Guest) -> None:
    """Too many, no address, a mailbox that refused: the page says the same."""
    bo = await ana.second()
    pages = [(await ana.http.post(f"{ana.link()}/mail")).text for _ in range(MOST_MAILED + 2)]
    assert len(ana.mails) == MOST_MAILED
    await _does(ana, "UPDATE customers SET email = NULL WHERE number = ?1", bo)
    pages.append((await ana.http.post(f"{ana.link(bo)}/mail")).text)
    assert len(ana.mails) == MOST_MAILED
    assert len({page.replace(ana.link(), "").replace(ana.link(bo), "") for page in pages}) == 1
    ana.counter.market.passes(minutes=61)
    await ana.mailed()


async def test_one_address_of_the_network_asks_for_some_links_only(ana: Guest) -> None:
    """Counted by what our own proxy says, whose ever they are."""
    object.__setattr__(ana.context, "client_header", "Fly-Client-IP")
    now = ana.context.clock.now()
    for number in range(MOST_ASKED + 3):
        await _does(
            ana,
            "INSERT INTO customers (merchant_id, number, email, created_at) VALUES (?1, ?2, ?3, ?4)",
            ana.counter.stall.merchant,
            1_000 + number,
            f"p{number}@x.example",
            now,
        )
        await ana.http.post(f"{ana.link(1_000 + number)}/mail", headers={"Fly-Client-IP": "203.0.113.9"})
    assert len(ana.mails) == MOST_ASKED
    await ana.http.post(f"{ana.link()}/mail", headers={"Fly-Client-IP": "203.0.113.10"})
    assert len(ana.mails) == MOST_ASKED + 1
    rows = await ana.counter.market.rows("SELECT DISTINCT asker FROM account_links")
    assert len(rows) == 2 and "203" not in str(rows)


async def test_where_a_request_says_it_comes_from_is_not_believed(ana: Guest) -> None:
    """Without a proxy of our own, who connects is who asks, whatever its headers say."""
    transport = httpx.ASGITransport(build(ana.context), client=("203.0.113.5", 1))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as somebody:
        for number in range(3):
            said = {"X-Forwarded-For": f"198.51.100.{number}", "Forwarded": f"for=198.51.100.{number}"}
            await somebody.post(f"{ana.link()}/mail", headers=said | {"Fly-Client-IP": f"198.51.100.{number}"})
    rows = await ana.counter.market.rows("SELECT asker, count(*) FROM account_links GROUP BY asker")
    assert [count for asker, count in rows if asker] == [3]


async def test_the_mail_says_whose_it_is_and_holds_one_link(ana: Guest) -> None:
    """In the shop's name, in the reader's language, answered by machines with silence."""
    await _does(ana, "UPDATE customers SET locale = 'fr' WHERE number = ?1", ana.counter.ana)
    await ana.mailed()
    mail = ana.mails[-1]
    assert mail["Subject"] == "Votre lien vers vos points chez Stall 1" and mail["To"] == "ana@1.example"
    assert mail["Auto-Submitted"] == "auto-generated" and "List-Unsubscribe" not in mail
    text = mail.get_body(("plain",)).get_content()
    assert text.count(HERE) == 1


async def test_while_rewards_are_off_the_page_says_so(ana: Guest) -> None:
    """Nothing can be chosen, and the points are said to stay."""
    await ana.counter.offers(enabled=False, five=FIVE)
    page = await ana.http.get(ana.link())
    assert "There is nothing to have for points right now" in page.text and "<h3>5 off</h3>" not in page.text
    await ana.comes_in()
    assert (await ana.http.get("/c/account/redeem?reward=five")).status_code == 404


async def test_a_shop_that_has_left_has_no_pages(ana: Guest) -> None:
    """Its customers' links lead nowhere."""
    await _does(ana, "UPDATE merchants SET closed_at = 5 WHERE id = ?1", ana.counter.stall.merchant)
    assert (await ana.http.get(ana.link())).status_code == 404


async def test_links_that_are_over_are_cleared_away(ana: Guest) -> None:
    """A day after they opened nothing any more."""
    from handlers.account.jobs import prune

    await ana.mailed()
    ana.counter.market.passes(hours=20)
    assert await prune(ana.context) == 0
    ana.counter.market.passes(hours=6)
    assert await prune(ana.context) == 1


async def test_terms_say_since_when_they_are_as_they_are(ana: Guest) -> None:
    """A version that changes other things is not a new one for customers."""
    now, merchant = ana.context.clock.now(), ana.counter.stall.merchant
    before = version_of(await ana.http.get(ana.link()))
    await ana.context.database.run(lambda: change_program(merchant, {"thanks.delay_minutes": 5}, now + MINUTE))
    await ana.context.database.run(lambda: change_program(merchant, {"earning.hold_days": 7}, now + 5 * MINUTE))
    ana.counter.market.passes(minutes=3)
    assert version_of(await ana.http.get(ana.link())) == before
    ana.counter.market.passes(minutes=3)
    after = await ana.http.get(ana.link())
    assert version_of(after) == before + 2 and "7 days after you paid" in after.text


async def test_terms_tell_what_has_changed(ana: Guest) -> None:
    """The new sentences and those they took the place of, from the day on; not how it all began."""
    now, merchant = ana.context.clock.now(), ana.counter.stall.merchant
    before = (await ana.http.get(ana.link())).text
    assert before.count("<p>Since ") == 1 and "Before: There is nothing to have for points at the moment." in before
    await ana.context.database.run(lambda: change_program(merchant, {"earning.hold_days": 7}, now + MINUTE))
    dearer = {"rewards.catalogue": {"five": FIVE | {"min_order": "20"}}}
    await ana.context.database.run(lambda: change_program(merchant, dearer, now + 2 * MINUTE))
    ana.counter.market.passes(minutes=3)
    page = (await ana.http.get(ana.link())).text
    changed = page[page.index("What has changed") :]
    assert "<li>Points of a purchase can be spent 7 days after you paid.</li>" in changed
    assert "Before: Points of a purchase can be spent 14 days after you paid." in changed
    assert "<li>Details of these rules.</li>" in changed and changed.count("<p>Since ") == 3


def version_of(page: httpx.Response) -> int:
    """Read which version of the rules a page tells of."""
    found = re.search(r"Rules as they are in force since [^<]+ \(version (\d+)\)", page.text)
    assert found
    return int(found[1])


async def _does(ana: Guest, sql: str, *values: object) -> None:
    from integration.database.steps import ask, plain

    await ana.context.database.run(lambda: ask(plain(sql), values))
