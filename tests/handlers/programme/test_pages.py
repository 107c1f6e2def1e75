"""The programme page: previewed, reviewed, saved, undone, and never changed by a form that was not its own."""

import re
from typing import Any

import httpx
import pytest

from handlers.inbox.rules import Told
from handlers.merchants.rules import Program
from handlers.programme.rules import shown
from integration.clock import DAY, MINUTE, SECOND
from integration.facts import Buyer, Envelope, Order, OrderLine, OrderSeen, Reading
from tests.visits import NORA, OTTO, House, Visitor

PAGE = "/app/programme"


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in(NORA)


async def sells(house: House, number: int, minor: int = 2_900, **changes: Any) -> None:
    """Let Nora sell something now."""
    now = house.clock.now()
    line = OrderLine(f"{number}1", 1, 1, minor, product_id="8123", title="High Mountain Oolong <b>")
    known: dict[str, Any] = {
        "id": str(number), "updated_at": now, "currency": "EUR", "name": f"#{number}", "processed_at": now,
        "financial_status": "paid", "total_minor": minor, "lines": (line,), "source_name": "web",
        "buyer": Buyer(platform_id="70", email="elsa@home.example", customer_email="elsa@home.example"),
    }  # fmt: skip
    told = Told(
        number, NORA, "nora.myshopify.com", Envelope("shopify", "any", str(number), now, now, "d"),
        Reading((OrderSeen(Order(**{**known, **changes})),)),
    )  # fmt: skip
    await house.database.run(lambda: house.context.apply([told], now))


async def versions(house: House, merchant: int = NORA) -> list[tuple[int, Program, str | None, int | None]]:
    """Return a merchant's versions: number, programme, who, what it restores."""
    rows = await house.rows(
        "SELECT version, document, who, restores FROM program_versions WHERE merchant_id = ?1 ORDER BY version",
        merchant,
    )
    return [(row[0], Program.model_validate_json(row[1]), row[2], row[3]) for row in rows]


async def follows(visitor: Visitor, answer: httpx.Response) -> httpx.Response:
    """Follow a redirect as a browser does."""
    assert answer.status_code == 303, answer.text
    return await visitor.get(answer.headers["location"])


def form(program: Program | None = None, **changes: str) -> dict[str, str]:
    """Fill in the whole form; `earning__hold_days="14"` types into `earning.hold_days`."""
    fields = shown(program or Program())
    return fields | {"base": "1"} | {key.replace("__", "."): value for key, value in changes.items()}


def proof(page: httpx.Response) -> dict[str, str]:
    """Return what the form of a review carries that nobody can type: that its previews were on the page."""
    found = re.search(r'name="proof" value="([^"]+)"', page.text)
    return {"proof": found[1]} if found else {}


async def reviewed(visitor: Visitor, fields: dict[str, str]) -> tuple[str, httpx.Response]:
    """Type and go to the review; returns its path and the page."""
    answer = await visitor.post(PAGE, fields)
    assert answer.status_code == 303, answer.text
    path = answer.headers["location"].partition("?")[0]
    return path, await follows(visitor, answer)


async def test_settings_are_shown_in_words_with_what_orders_of_late_would_earn(house: House, nora: Visitor) -> None:
    """Nora sees her own order, what it would bring and why, before anything is on."""
    await sells(house, 1042)
    page = (await nora.get(PAGE)).text
    assert "Points for each €1 spent" in page
    assert "An order like #1042" in page and "<strong>87 points</strong>" in page
    assert "29.00 EUR × 3 points = 87 points" in page
    assert "High Mountain Oolong &lt;b&gt;" in page and "Oolong <b>" not in page
    assert await versions(house) == [(1, Program(), None, None)]


async def test_a_shop_without_orders_sees_a_made_up_one(nora: Visitor) -> None:
    """The preview teaches before the first order, and says that it is made up."""
    page = (await nora.get(PAGE)).text
    assert "this one is made up" in page and "gift card" in page


async def test_a_change_is_reviewed_and_saved_as_a_new_version_with_who_it_was(house: House) -> None:
    """Old and new in words, for whom, what it would have meant; then it is in force, and in the journal."""
    await sells(house, 1042)
    house.clock.instant += 2 * DAY
    nora = await house.signed_in(NORA)
    path, page = await reviewed(nora, form(earning__enabled="on", earning__hold_days="14"))
    assert "30 days" in page.text and "14 days" in page.text
    assert "Sales made before keep version 1" in page.text
    assert "What it would have meant for the last 90 days" in page.text and ">87<" in page.text
    assert len(await versions(house)) == 1

    saved = await follows(nora, await nora.post(path, proof(page)))
    assert "Saved as version 2" in saved.text
    assert "not saved" not in saved.text
    number, program, who, restores = (await versions(house))[-1]
    assert (number, who, restores) == (2, "link:nora", None)
    assert program == Program.model_validate({"earning": {"enabled": True, "hold_days": 14}})
    noted = await house.rows("SELECT who, did, about, detail FROM journal WHERE about = 'programme'")
    assert [(row[0], row[1], row[2]) for row in noted] == [("link:nora", "changed the programme", "programme")]
    assert '"earning.hold_days": 14' in noted[0][3] and '"earning.hold_days": 30' in noted[0][3]


async def test_what_was_sold_before_keeps_its_version(house: House, nora: Visitor) -> None:
    """The first sale earns under the old rate when it is settled again; the next under the new one."""
    await house.does(
        "UPDATE program_versions SET document = ?1 WHERE merchant_id = 1",
        Program.model_validate({"earning": {"enabled": True}}).model_dump_json(),
    )
    await sells(house, 1042)
    house.clock.instant += MINUTE
    on = Program.model_validate({"earning": {"enabled": True}})
    path, page = await reviewed(nora, form(on, earning__points_per_unit="10"))
    await nora.post(path, proof(page))
    house.clock.instant += 2 * SECOND
    await sells(house, 1042, updated_at=house.clock.now(), processed_at=house.clock.now() - MINUTE - 2 * SECOND)
    await sells(house, 1043)
    rows = await house.rows("SELECT sale, SUM(micropoints) FROM ledger_entries GROUP BY sale ORDER BY sale")
    assert [(row[0], int(row[1])) for row in rows] == [(1, 87_000_000), (2, 290_000_000)]


async def test_what_is_wrong_is_told_beside_its_field_and_what_was_typed_is_kept(house: House, nora: Visitor) -> None:
    """Nothing is saved, not even the fields that were right."""
    answer = await nora.post(
        PAGE, form(earning__hold_days="ninety-one", thanks__enabled="on", messages__from_name="Nora <3")
    )
    assert answer.status_code == 422
    assert 'id="f-earning.hold_days-error">Write a whole number from 0 to 90.' in answer.text
    assert 'value="ninety-one"' in answer.text and 'value="Nora &lt;3"' in answer.text
    assert re.search(r'id="f-thanks.enabled"[^>]* checked', answer.text)
    assert await house.rows("SELECT 1 FROM program_drafts") == []


async def test_the_preview_button_works_without_scripts_and_keeps_what_was_typed(house: House, nora: Visitor) -> None:
    """A page with the typed settings, their preview, and the word that nothing is saved."""
    await sells(house, 1042)
    page = await follows(nora, await nora.post(PAGE, form(earning__points_per_unit="1,5", do="preview")))
    assert "<strong>43 points</strong>" in page.text and 'value="1.5"' not in page.text and 'value="1,5"' in page.text
    assert "not saved yet" in page.text
    again = (await nora.get(PAGE)).text
    assert "You have changes that are not saved" in again
    gone = await follows(nora, await nora.post(PAGE, {"do": "discard"}))
    assert "unsaved changes are gone" in gone.text and "You have changes" not in gone.text


async def test_the_preview_follows_typing(house: House, nora: Visitor) -> None:
    """The part of the page alone; a field that is half typed shows what is in force there; nothing is kept."""
    await sells(house, 1042)
    part = await nora.post(f"{PAGE}/preview", form(earning__points_per_unit="2"))
    assert "<strong>58 points</strong>" in part.text and "<html" not in part.text
    part = await nora.post(f"{PAGE}/preview", form(earning__points_per_unit="2."))
    assert part.status_code == 200 and "<strong>87 points</strong>" in part.text
    assert await house.rows("SELECT 1 FROM program_drafts") == []
    assert await house.rows("SELECT 1 FROM program_previews") == []


@pytest.mark.parametrize(
    "switch", ["earning.enabled", "expiry.remind", "thanks.enabled", "reviews.enabled", "ways.birthday"]
)
async def test_nothing_that_pays_or_mails_goes_live_before_its_preview_was_on_a_page(
    house: House, nora: Visitor, switch: str
) -> None:
    """A forged form that jumps over the review is sent back to it; after the preview the same form saves."""
    answer = await nora.post(PAGE, form() | {switch: "on"})
    path = answer.headers["location"]
    refused = await nora.post(path, {})
    assert "/review/" in refused.headers["location"] and len(await versions(house)) == 1
    page = await follows(nora, refused)
    assert "look at the preview first" in page.text and "goes live for the first time" in page.text
    assert await house.rows("SELECT 1 FROM program_previews") == [], "looking writes nothing down"
    await nora.post(path, {})
    assert len(await versions(house)) == 1, "whoever opened the page some time has not been shown it by that"
    await nora.post(path, proof(page))
    assert [row[0] for row in await house.rows("SELECT what FROM program_previews")] == [switch.partition(".")[0]]
    assert len(await versions(house)) == 2
    off = (await versions(house))[-1][1]
    path, _ = await reviewed(nora, form(off) | {"base": "2", switch: "off"})
    await nora.post(path, {})
    answer = await nora.post(PAGE, form() | {"base": "3", switch: "on"})
    await nora.post(answer.headers["location"], {})
    assert len(await versions(house)) == 4, "what was on before needs no preview"


async def test_a_preview_of_other_settings_does_not_count(house: House, nora: Visitor) -> None:
    """Three points were previewed; a thousand were not."""
    _, page = await reviewed(nora, form(earning__enabled="on"))
    answer = await nora.post(PAGE, form(earning__enabled="on", earning__points_per_unit="1000"))
    await nora.post(answer.headers["location"], proof(page))
    assert len(await versions(house)) == 1


async def test_a_proof_is_of_one_shop_and_of_our_own_making(house: House, nora: Visitor) -> None:
    """What another shop was shown, half of it, and what was made up."""
    otto = await house.signed_in(OTTO)
    _, theirs = await reviewed(otto, form(earning__enabled="on"))
    path, mine = await reviewed(nora, form(earning__enabled="on"))
    for forged in (proof(theirs)["proof"], proof(mine)["proof"][:-1], "", "x", "x.y", "²"):
        await nora.post(path, {"proof": forged})
        assert len(await versions(house)) == 1
    await nora.post(path, proof(mine))
    assert len(await versions(house)) == 2


async def test_two_tabs_do_not_undo_each_other(house: House, nora: Visitor) -> None:
    """The second is told what changed meanwhile and by whom; what both typed is kept."""
    first, _ = await reviewed(nora, form(earning__hold_days="14"))
    otto = await house.signed_in(NORA, who="link:otto")
    second, _ = await reviewed(otto, form(messages__cap_hours="48", earning__hold_days="7"))
    await nora.post(first, {})
    page = await follows(otto, await otto.post(second, {}))
    assert "changed while you were typing" in page.text and "By nora" in page.text
    assert "Meanwhile this was set to: 14 days" in page.text
    assert re.search(r'name="messages.cap_hours"[^>]* value="48"', page.text)
    assert re.search(r'name="base" value="2"', page.text)
    assert len(await versions(house)) == 2
    third, _ = await reviewed(otto, form(messages__cap_hours="48", earning__hold_days="7") | {"base": "2"})
    await otto.post(third, {})
    assert [(v[0], v[1].earning.hold_days, v[1].messages.cap_hours) for v in await versions(house)] == [
        (1, 30, 16), (2, 14, 16), (3, 7, 48),
    ]  # fmt: skip


async def test_undo_puts_the_earlier_content_back_as_a_new_version(house: House, nora: Visitor) -> None:
    """Words of messages too, which this page does not show; the history says who did what, with its differences."""
    words = {"messages": {"words": {"thank_you": {"en": {"subject": "Hello"}}}}}
    await house.does(
        "UPDATE program_versions SET document = ?1 WHERE merchant_id = 1",
        Program.model_validate(words).model_dump_json(),
    )
    path, _ = await reviewed(nora, form(earning__hold_days="14"))
    await nora.post(path, {})
    page = await nora.get(f"{PAGE}/restore/1")
    assert "Put version 1 back?" in page.text and "30 days" in page.text
    stale = await nora.post(f"{PAGE}/restore/1", {"base": "1"})
    assert "moved%20on" in stale.headers["location"] or len(await versions(house)) == 2
    assert "Saved as version 3" in (await follows(nora, await nora.post(f"{PAGE}/restore/1", {"base": "2"}))).text
    listed = await versions(house)
    assert (listed[2][1], listed[2][2], listed[2][3]) == (listed[0][1], "link:nora", 1)
    history = (await nora.get(f"{PAGE}/history")).text
    assert "put version 1 back" in history and "14 days" in history and "when your shop joined" in history
    assert (await nora.get(f"{PAGE}/restore/99")).status_code == 404


async def test_a_forged_or_foreign_form_changes_nothing(house: House, nora: Visitor) -> None:
    """Fields that are no settings, drafts of another shop, numbers that are none."""
    answer = await nora.post(PAGE, {"base": "1", "merchant_id": "2", "earning.secret": "1", "messages.words": "{}"})
    assert "nothing to save" in (await follows(nora, answer)).text
    path, _ = await reviewed(nora, form(earning__hold_days="14"))
    otto = await house.signed_in(OTTO)
    assert (await otto.post(path, {})).status_code == 404
    assert "30" in (await otto.get(PAGE)).text
    for merchant in (NORA, OTTO):
        assert len(await versions(house, merchant)) == 1
    for odd in ("x", "-1", "9" * 30, "0", "1e3"):
        assert (await nora.post(f"{PAGE}/review/{odd}", {})).status_code == 404
        assert (await nora.post(f"{PAGE}/restore/{odd}", {})).status_code == 404
        assert (await nora.get(f"{PAGE}?draft={odd}")).status_code == 200
        assert (await nora.get(f"{PAGE}/history?before={odd}")).status_code == 200


async def test_a_campaign_is_added_changed_and_taken_out(house: House, nora: Visitor) -> None:
    """Typed in days and words; its name becomes its id; the review says in words what it gives."""
    await sells(house, 1042)
    place = "earning.campaigns.+"
    typed = {f"{place}.name": "Black Friday!", f"{place}.starts": "2026-11-27", f"{place}.ends": "2026-11-30",
             f"{place}.multiplier": "2", f"{place}.products": "8123"}  # fmt: skip
    path, page = await reviewed(nora, form() | typed)
    assert "“Black Friday!”, Nov 27, 2026 to Nov 30, 2026: 2 times the points for High Mountain Oolong" in page.text
    assert "Bonus campaigns: Campaign" in page.text
    assert "During “Black Friday!”, an order like #1042 would earn <strong>174 points</strong>" in page.text
    await nora.post(path, {})
    program = (await versions(house))[-1][1]
    ((key, one),) = program.earning.campaigns.items()
    assert (key, one.ends, one.timezone, one.products) == ("black-friday", "2026-11-30", "Europe/Paris", ("8123",))
    wrong = await nora.post(
        PAGE, form(program) | {"base": "2", f"earning.campaigns.{key}.ends": "2026-11-01", f"{place}.name": "Spring"}
    )
    assert wrong.status_code == 422
    assert 'id="f-earning.campaigns.black-friday.ends-error"' in wrong.text
    assert "Choose the day it starts." in wrong.text
    path, page = await reviewed(nora, form(program) | {"base": "2", f"earning.campaigns.{key}.remove": "on"})
    await nora.post(path, {})
    assert (await versions(house))[-1][1].earning.campaigns == {}


CAMPAIGN = {"name": "Spring", "starts": "2026-11-27", "ends": "2026-11-30", "multiplier": "3"}


async def a_campaign(house: House, nora: Visitor) -> Program:
    """Nora plans “Spring”; returns the programme, version 2."""
    typed = {f"earning.campaigns.+.{part}": text for part, text in CAMPAIGN.items()}
    path, _ = await reviewed(nora, form() | typed)
    await nora.post(path, {})
    return (await versions(house))[-1][1]


def fields_of(page: str) -> dict[str, str]:
    """Read what a browser would send of the programme's form."""
    found = {}
    for tag in re.findall(r"<input [^>]*>", page.partition('id="programme"')[2]):
        name, value = (re.search(rf' {what}="([^"]*)"', tag) for what in ("name", "value"))
        if name is not None and ('type="checkbox"' not in tag or " checked" in tag):
            found[name[1]] = value[1] if value is not None else ""
    return {name: text for name, text in found.items() if name == "base" or ".campaigns." in name}


async def test_a_campaign_changed_while_somebody_takes_it_out_is_kept_and_the_clash_told(
    house: House, nora: Visitor
) -> None:
    """What was typed stands in the form that comes back, and saving that form puts the campaign back."""
    program, key = await a_campaign(house, nora), "earning.campaigns.spring"
    otto = await house.signed_in(NORA, who="link:otto")
    mine, _ = await reviewed(nora, form(program) | {"base": "2", f"{key}.multiplier": "4"})
    theirs, _ = await reviewed(otto, form(program) | {"base": "2", f"{key}.remove": "on"})
    await otto.post(theirs, {})
    page = await follows(nora, await nora.post(mine, {}))
    assert "changed while you were typing" in page.text and "By otto" in page.text
    assert "Meanwhile this one was taken out. It stands here as you typed it" in page.text
    typed = fields_of(page.text)
    assert (typed["base"], typed[f"{key}.multiplier"], typed[f"{key}.ends"]) == ("3", "4", "2026-11-30")
    assert "nothing to save" in (await follows(nora, await nora.post(PAGE, typed | {f"{key}.remove": "on"}))).text
    path, review = await reviewed(nora, typed)
    assert "4 times the points" in review.text
    await nora.post(path, {})
    kept = (await versions(house))[-1][1].earning.campaigns
    assert [(one, each.name, int(each.multiplier)) for one, each in kept.items()] == [("spring", "Spring", 4)]


async def test_a_campaign_that_cannot_be_read_is_not_lost_when_somebody_takes_it_out(
    house: House, nora: Visitor
) -> None:
    """Beside the field that is wrong stands all that was typed."""
    program, key = await a_campaign(house, nora), "earning.campaigns.spring"
    theirs, _ = await reviewed(nora, form(program) | {"base": "2", f"{key}.remove": "on"})
    await nora.post(theirs, {})
    wrong = {f"{key}.ends": "2026-11-01", f"{key}.multiplier": "4"}
    answer = await nora.post(PAGE, form(program) | {"base": "2"} | wrong)
    assert answer.status_code == 422
    assert fields_of(answer.text).items() >= {f"{key}.name": "Spring", **wrong}.items()


async def test_taking_out_a_campaign_that_somebody_changed_is_told(house: House, nora: Visitor) -> None:
    """What it was set to meanwhile stands beside it."""
    program, key = await a_campaign(house, nora), "earning.campaigns.spring"
    theirs, _ = await reviewed(nora, form(program) | {"base": "2", f"{key}.multiplier": "5"})
    await nora.post(theirs, {})
    _, page = await reviewed(nora, form(program) | {"base": "2", f"{key}.remove": "on"})
    assert "Meanwhile this was set to: “Spring”" in page.text and "5 times the points" in page.text
    assert fields_of(page.text)[f"{key}.remove"] == "on"


async def test_two_people_who_add_campaigns_of_one_name_both_have_theirs(house: House, nora: Visitor) -> None:
    """The second gets an id of its own, though it was typed before there was another."""
    await a_campaign(house, nora)
    second = {f"earning.campaigns.+.{part}": text for part, text in (CAMPAIGN | {"multiplier": "5"}).items()}
    page = await follows(nora, await nora.post(PAGE, form() | second))
    assert "changed while you were typing" in page.text
    path, _ = await reviewed(nora, fields_of(page.text))
    await nora.post(path, {})
    kept = (await versions(house))[-1][1].earning.campaigns
    assert {one: int(each.multiplier) for one, each in kept.items()} == {"spring": 3, "spring-2": 5}


async def test_terms_of_expiry_are_said_to_touch_points_people_have(nora: Visitor) -> None:
    """The one change that reaches back says so, and shows the notice people get before."""
    path, page = await reviewed(nora, form(expiry__enabled="on", expiry__remind="on", expiry__notice_days="60, 14"))
    assert "already follow the new terms" in page.text and "60 days, 14 days" in page.text
    assert "The notice of points that expire" in page.text
    assert "Saved as version 2" in (await follows(nora, await nora.post(path, proof(page)))).text


async def test_ways_to_earn_are_told_in_sentences_and_a_list_that_cannot_be_read_beside_its_field(
    nora: Visitor,
) -> None:
    """What is on is said as customers meet it; a line without points is told, and nothing of it is lost."""
    on = {"ways.milestones": "on", "ways.milestone_points": "5 100\n20th: 300", "ways.birthday": "on"}
    page = await nora.post(f"{PAGE}/preview", form() | on)
    assert "Order number 20 of a customer brings 300 points more." in page.text
    assert "On their birthday customers get 100 points, once in twelve months" in page.text
    page = await nora.post(PAGE, form() | on | {"ways.milestone_points": "every fifth 100"})
    assert page.status_code == 422
    assert "“every fifth 100” is not" in page.text and "every fifth 100</textarea>" in page.text
    _, page = await reviewed(nora, form() | on)
    assert "order 5: 100 points, order 20: 300 points" in page.text
    assert "get points for more than purchases" in page.text


async def test_a_draft_that_is_gone_never_means_another_one(house: House, nora: Visitor) -> None:
    """A tab with an old review must not save what was typed since: its address leads nowhere any more."""
    old, _ = await reviewed(nora, form(earning__hold_days="14"))
    await nora.post(PAGE, {"do": "discard"})
    house.clock.instant += 1
    new, _ = await reviewed(nora, form(earning__hold_days="60"))
    assert old != new
    assert (await nora.post(old, {})).status_code == 404
    assert len(await versions(house)) == 1


async def test_what_if_shows_points_cost_and_who_reaches_a_reward(house: House, nora: Visitor) -> None:
    """With the shop's own sales, before anything is on; a picture with a table; wrong numbers told beside the field."""
    assert "No sales of the last 12 months" in (await nora.get(f"{PAGE}/what-if")).text
    for month in range(3):
        house.clock.instant += 30 * DAY
        await sells(house, 1042 + month)
    house.clock.instant += MINUTE
    nora = await house.signed_in(NORA)
    page = (await nora.get(f"{PAGE}/what-if?points=200&worth=2")).text
    assert ">261" in page and "€2.61" in page and "<svg" in page and "1 of 1 customers (100 %)" in page
    assert "takes 3 orders" in page
    wrong = (await nora.get(f"{PAGE}/what-if?points=none&worth=-1")).text
    assert "Write a whole number" in wrong and "Write an amount in EUR" in wrong
    assert len(await versions(house)) == 1


async def test_the_page_works_in_the_admin_too(house: House) -> None:
    """By session token: the same form, journaled under Shopify's user id."""
    admin = house.embedded()
    path, _ = await reviewed(admin, form(earning__hold_days="14"))
    await admin.post(path, {})
    assert (await versions(house))[-1][2].startswith("shopify:")  # type: ignore[union-attr]
