"""Ana's link on her own page, the page it leads to, and what the merchant sees and says."""

import httpx
import pytest

from config.asgi import build
from handlers.customers.timeline import LATEST, Bound, Whose
from handlers.privacy import jobs as privacy_jobs
from handlers.privacy import store as privacy_store
from handlers.referrals import codes, jobs, pages
from handlers.referrals.codes import links_of
from handlers.referrals.settle import decide
from handlers.referrals.views import Friends
from integration.clock import SECOND
from integration.sandbox.stripe_rewards import Refuses
from tests.handlers.account.guests import Guest, key_in
from tests.handlers.referrals.circle import TERMS, Circle


def browser(circle: Circle, address: str = "203.0.113.9", language: str = "en") -> httpx.AsyncClient:
    """Somebody's browser, anywhere."""
    transport = httpx.ASGITransport(build(circle.context), client=(address, 1))  # type: ignore[arg-type]
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost:8000", headers={"Accept-Language": language}
    )


@pytest.mark.parametrize(
    ("language", "words"), [("en", "first order"), ("de", "Rabatt"), ("fr", "réduction"), ("es", "descuento")]
)
async def test_a_friend_asks_for_a_code_and_finds_nobodys_name(circle: Circle, language: str, words: str) -> None:
    """In their own language, with what holds for it and a link that applies it; looking alone makes none."""
    friend, here = browser(circle, language=language), f"/c/friend/{circle.link.code}"
    answer = await friend.get(here)
    assert answer.status_code == 200 and words in answer.text and "20" in answer.text and "30" in answer.text
    assert len(await circle.market.rows("SELECT code FROM referral_codes")) == 1
    leads = await friend.post(here)
    assert leads.status_code == 303
    waits = await friend.get(leads.headers["location"])
    assert waits.headers["refresh"] == "3" and "discount/" not in waits.text
    await jobs.make(circle.context)
    shown = await friend.get(leads.headers["location"])
    code = leads.headers["location"].rpartition("/")[2]
    assert f"https://{circle.stall.shop.domain}/discount/{code}" in shown.text and "refresh" not in shown.headers
    for page in (answer, waits, shown):
        assert "Ana" not in page.text and "built-in" not in page.text
    await circle.stall.tells(circle.buys(await circle.friend("Finn"), code)[1])
    assert (await friend.get(leads.headers["location"])).status_code == 404


async def test_too_many_codes_asked_for_are_refused_in_words(circle: Circle) -> None:
    """Whoever asks is told to come back later."""
    friend, here = browser(circle), f"/c/friend/{circle.link.code}"
    for _ in range(codes.MOST_OF_LINK - 1):
        assert (await friend.post(here)).status_code == 303
    answer = await friend.post(here)
    assert answer.status_code == 429 and "Try again later" in answer.text


async def test_wrong_codes_look_alike_and_are_few(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never was, one of another shape, one that was switched off; then nothing more for a while."""
    monkeypatch.setattr(pages, "_MISSES", pages.Misses())
    monkeypatch.setattr(pages, "WINDOW", 3_600.0)  # However slow the machine is, it is within one window.
    here, code = browser(circle), circle.link.code
    never = await here.get("/c/friend/22222222222222")
    odd = await here.get("/c/friend/<b>")
    assert (never.status_code, odd.status_code, odd.text) == (404, 404, never.text)
    for path in ("/c/welcome/22222222222222", f"/c/welcome/{code}", f"/c/friend/{circle.code.code}"):
        assert (await browser(circle, "203.0.113.7").get(path)).text == never.text
    assert (await browser(circle, "203.0.113.8").post("/c/friend/22222222222222")).text == never.text
    for _ in range(pages.MOST_MISSES):
        await here.get("/c/friend/22222222222222")
    held = await here.get(f"/c/friend/{code}")
    assert (held.status_code, held.text) == (404, never.text)
    other = browser(circle, "203.0.113.10")
    assert (await other.get(f"/c/friend/{code}")).status_code == 200
    await circle.counter.sets(referrals={"enabled": False})
    assert (await other.get(f"/c/friend/{code}")).text == never.text


async def test_ana_gets_her_link_on_her_own_page_at_the_shop(circle: Circle) -> None:
    """Asked for once, then shown, with what came of it."""
    ana = Guest(circle.counter)
    page = await ana.at_shop()
    assert f"/c/friend/{circle.link.code}" in page.text and "Bring a friend" in page.text
    await circle.comes()
    assert "On the way: 1" in (await ana.at_shop()).text
    bo = circle.stall.people[1]
    await circle.stall.tells(circle.stall.sells(bo)[1])
    page = await ana.at_shop(who=str(bo.id))
    fields = {"key": key_in(page, "friends")}
    assert (await ana.posts_at_shop("/friends", fields, str(bo.id))).status_code == 200
    assert (await ana.posts_at_shop("/friends", {"key": "guessed"}, str(bo.id))).status_code == 422
    shown = (await ana.at_shop(who=str(bo.id))).text
    assert "/c/friend/" in shown and circle.link.code not in shown


async def test_the_merchant_decides_about_a_household(circle: Circle) -> None:
    """Let to count, it waits for its return window as any; refused, it is gone."""
    await circle.stall.tells(circle.stall.shop.change_customer(circle.stall.ana, phone="+1 202 555 0143"))
    await circle.comes("Mia", phone="2025550143")
    (row,) = await circle.rows()
    for decision, points in (("allowed", (1_000, 0)), ("refused", (0, 0))):
        now = circle.market.clock.now()
        await circle.context.database.run(lambda d=decision, n=now: decide(row.merchant_id, row.sale, d, n))  # type: ignore[misc]
        await circle.looks()
        assert await circle.ana_has() == points
    await circle.is_sound()


async def test_the_timeline_says_who_brought_whom(circle: Circle) -> None:
    """On both people's, for the merchant."""
    await circle.comes()
    (row,) = await circle.rows()
    shop, titles = await circle.shop(), []
    for number in (row.referrer, row.friend or 0):
        whose = Whose(shop, number, (number,), (), 0, lambda n, c: str(n), str)
        items = await circle.context.database.read(lambda w=whose: Friends().items(w, Bound(LATEST), 9))  # type: ignore[misc]
        titles += [item.title for item in items]
    assert titles == ["Brought a friend: Finn Vance", "Brought by Ana Diaz"]


async def test_who_is_forgotten_leaves_no_link(circle: Circle) -> None:
    """Its code is off at the shop first; what it brought stays under our own number."""
    await circle.comes()
    privacy, merchant, now = circle.context.privacy, circle.stall.merchant, circle.market.clock.now()
    assert privacy is not None
    await circle.context.database.run(lambda: privacy.forget(merchant, circle.counter.ana, "link:nora", now))
    for _ in range(4):
        await privacy_jobs.carry_out(circle.context)
        circle.market.passes(minutes=2)
        await circle.looks()
    await privacy_jobs.carry_out(circle.context)
    (request,) = await circle.context.database.read(lambda: privacy_store.newest(merchant, 1))
    assert request.stage == "done"
    left = await circle.context.database.read(lambda: links_of([(merchant, circle.counter.ana)]))
    assert left == [] and await circle.market.rows("SELECT code FROM referral_codes") == []
    assert [each.is_off for each in circle.counter.discounts()] == [True, False]  # the other was used
    await circle.is_sound()


async def test_a_friend_who_was_forgotten_and_comes_back_is_none(circle: Circle) -> None:
    """Being forgotten is no way to become new."""
    finn, _ = await circle.comes()
    row = (await circle.rows())[0]
    privacy, now = circle.context.privacy, circle.market.clock.now()
    assert privacy is not None
    await circle.context.database.run(lambda: privacy.forget(row.merchant_id, row.friend or 0, "link:nora", now))
    for _ in range(3):
        await privacy_jobs.carry_out(circle.context)
        circle.market.passes(minutes=2)
    circle.market.passes(days=1)
    _, told = circle.buys(finn, circle.code.code)
    await circle.stall.tells(told)
    await circle.looks()
    assert await circle.fates() == [("pending", ""), ("refused", "known")]
    assert await circle.ana_has() == (1_000, 0)
    await circle.is_sound()


async def test_at_stripe_a_promotion_code_does_the_same(circle: Circle) -> None:
    """For first purchases only, as often as friends come; the session tells whose it was."""
    await circle.counter.knows_stripe()
    await circle.counter.sets(referrals=TERMS | {"gift": "promotion_code", "min_order": "20"})
    circle.market.passes(minutes=1)
    await circle.stall.tells(circle.stall.sells(circle.stall.people[1])[1])
    rows = await circle.market.rows("SELECT number FROM customers WHERE first_name = 'Bo'")
    link = await circle.invites(rows[0][0])
    account = circle.stall.account
    assert account is not None
    for name in ("Finn", "Mia"):
        circle.market.passes(minutes=1)
        mine = await circle.asks(link)
        code = account.objects[mine.platform_id]
        assert (code["max_redemptions"], code["active"], code["expires_at"]) == (1, True, mine.expires_at // SECOND)
        assert code["restrictions"]["first_time_transaction"] and code["restrictions"]["minimum_amount"] == 20_00
        person, told = account.welcome(name, f"{name.lower()}@friends.example")
        await circle.stall.tells(told)
        await circle.stall.tells(account.checkout(40_00, person=person, discount=10_00, promotion_code=mine.code)[1])
    await circle.looks()
    assert await circle.fates() == [("pending", ""), ("pending", "")]
    with pytest.raises(Refuses):
        account.checkout(40_00, person=person, discount=10_00, promotion_code=(await circle.asks(link)).code)
    await circle.is_sound()
