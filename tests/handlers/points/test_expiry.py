"""Points lapse once, to the micropoint, whoever looks and however often; refunds take nothing a second time."""

import asyncio
from typing import Any

import pytest

from handlers.merchants.books import lock_books, save_books
from handlers.merchants.rules import Refused
from handlers.points import expiry
from handlers.points.adjust import adjust
from handlers.points.audit import Findings, audit_books
from handlers.points.jobs import enrol_holders, expire_due
from handlers.points.lots import months_later
from handlers.points.posting import Posting, post
from handlers.points.rules import ISSUED, MICRO, account
from handlers.points.statement import find_customer, statement
from integration.clock import DAY, HOUR
from integration.database.steps import Steps
from integration.facts import Buyer, CustomerSeen, CustomersMerged
from tests.handlers.messages.stage import MONDAY_NOON, Stage

SHOP = 1
YEAR = months_later(MONDAY_NOON, 12) - MONDAY_NOON
ELSA = "elsa@home.example"


@pytest.fixture
async def nora(database: Any) -> Stage:
    """Nora's shop: a point an euro, no hold, points lapse after a year without a purchase."""
    stage = await Stage(database).open()
    await stage.set({"expiry": {"enabled": True}, "thanks": {"enabled": False}, "reviews": {"enabled": False}}, at=0)
    return stage


async def clock_strikes(nora: Stage, by: int = 0) -> int:
    """Time passes, and both jobs run."""
    nora.clock.instant += by
    await enrol_holders(nora.context)
    return await expire_due(nora.context)


async def shown(nora: Stage, who: str = ELSA) -> dict[str, Any]:
    """A customer's account; the books agree."""
    number = await nora.database.read(lambda: find_customer(SHOP, who))
    account: dict[str, Any] = await nora.database.read(lambda: statement(SHOP, number, nora.clock.now()))
    assert (await audited(nora)).drifts == []
    return account


async def audited(nora: Stage) -> Findings:
    findings: Findings = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now()))
    return findings


async def available(nora: Stage, who: str = ELSA) -> int:
    return int((await shown(nora, who))["points"]["available"])


async def entries(nora: Stage) -> list[tuple[Any, ...]]:
    """What was posted because points lapsed: key, reason, points."""
    rows = await nora.rows(
        "SELECT key, reason, micropoints FROM ledger_entries WHERE key LIKE 'expire:%' ORDER BY number"
    )
    return [(key, reason, amount / 1_000_000) for key, reason, amount in rows]


async def takes(nora: Stage, points: int) -> None:
    """Nora writes down that Elsa has used points at the counter."""
    number = await nora.database.read(lambda: find_customer(SHOP, ELSA))
    await nora.database.run(lambda: adjust(SHOP, number, points, "at the counter", None, nora.clock.now()))


async def moves(nora: Stage, key: str, source: str, destination: str, points: int, reason: str) -> None:
    """An entry of Elsa's that hangs on no sale."""

    def post_one() -> Steps[None]:
        counters = yield from lock_books([SHOP])
        yield from post([Posting(SHOP, key, source, destination, points * MICRO, reason)], counters, nora.clock.now())
        yield from save_books(counters.values())

    await nora.database.run(post_one)


async def test_points_lapse_a_year_after_the_last_purchase_and_not_a_moment_sooner(nora: Stage) -> None:
    """Sixty points; the day is shown before, the entry after; what they brought in all stays."""
    await nora.hears(nora.order())
    account = await shown(nora)
    assert account["expires"] == {"at": "2027-11-23T11:00:00Z", "points": 60}
    await clock_strikes(nora, YEAR - 1)
    assert await available(nora) == 60
    await clock_strikes(nora, 1 + HOUR)
    account = await shown(nora)
    assert account["points"] == {"available": 0, "pending": 0, "held": 0, "lifetime": 60}
    assert account["expires"] is None
    assert await entries(nora) == [("expire:1:0", "expiry", 60)]
    assert account["entries"][-1]["to"] == "program:expired"


async def test_looking_twice_or_from_two_workers_at_once_posts_once(nora: Stage) -> None:
    """Ten customers, four workers."""
    for n in range(10):
        who = Buyer(platform_id=str(80 + n), email=f"c{n}@x.example", customer_email=f"c{n}@x.example")
        await nora.hears(nora.order(str(2000 + n), buyer=who))
    await clock_strikes(nora)
    nora.clock.instant += YEAR
    await asyncio.gather(*(expire_due(nora.context) for _ in range(4)))
    assert await clock_strikes(nora) == 0
    assert [amount for _, _, amount in await entries(nora)] == [60] * 10
    assert (await audited(nora)).drifts == []


async def test_another_purchase_keeps_everything_for_a_year_more(nora: Stage) -> None:
    """Who was enrolled long ago is only looked at again, and what there is to lapse is worked out then."""
    await nora.hears(nora.order())
    await clock_strikes(nora, 300 * DAY)
    await nora.hears(nora.order("1002"))
    year = months_later(nora.clock.now(), 12) - nora.clock.now()
    await clock_strikes(nora, year - DAY)
    assert await available(nora) == 120
    await clock_strikes(nora, DAY)
    assert await available(nora) == 0
    assert await entries(nora) == [("expire:1:0", "expiry", 120)]


@pytest.mark.parametrize("keep", [0, 1], ids=["all of it", "a part"])
@pytest.mark.parametrize("first", ["refund", "expiry"])
async def test_a_refund_after_points_have_lapsed_takes_nothing_and_ends_as_one_before(
    nora: Stage, keep: int, first: str
) -> None:
    """Whichever comes first: nothing is left, nothing is owed, and what has lapsed is what was still bought."""
    order = nora.order()
    await nora.hears(order)
    await clock_strikes(nora)
    if first == "refund":
        await nora.hears(nora.refunded(order, keep=keep))
    await clock_strikes(nora, YEAR)
    if first == "expiry":
        await nora.hears(nora.refunded(order, keep=keep))
    account = await shown(nora)
    assert account["points"] == {"available": 0, "pending": 0, "held": 0, "lifetime": 18 * keep}
    balance = await nora.rows("SELECT micropoints FROM accounts WHERE account = 'program:expired'")
    assert sum(row[0] for row in balance) == 18_000_000 * keep


async def test_a_refund_after_expiry_tells_nobody_that_points_went_down(nora: Stage) -> None:
    """They had gone before: the balance is what it was."""
    order = nora.order()
    await nora.hears(order)
    await clock_strikes(nora)
    await clock_strikes(nora, YEAR)
    await nora.hears(nora.refunded(order))
    await nora.later(HOUR)
    assert nora.mails == []


async def test_what_was_spent_before_is_still_owed_after_a_refund_and_no_more(nora: Stage) -> None:
    """Forty of sixty are used, twenty lapse, all goods go back: forty are owed, as they would be without expiry."""
    order = nora.order()
    await nora.hears(order)
    await takes(nora, -40)
    await clock_strikes(nora, YEAR)
    assert await entries(nora) == [("expire:1:0", "expiry", 20)]
    await nora.hears(nora.refunded(order))
    assert await available(nora) == -40
    assert (await entries(nora))[1:] == [("expire:1:1", "reinstatement", 20)]


async def test_a_purchase_told_of_late_gives_back_what_should_not_have_lapsed(nora: Stage) -> None:
    """She bought a week before the day; its webhook was lost and found a week after."""
    await nora.hears(nora.order())
    await clock_strikes(nora)
    lost = nora.order("1002", processed_at=MONDAY_NOON + YEAR - 7 * DAY)
    await clock_strikes(nora, YEAR + 7 * DAY)
    assert await available(nora) == 0
    await nora.hears(lost)
    assert await available(nora) == 120
    assert [reason for _, reason, _ in await entries(nora)] == ["expiry", "reinstatement"]


async def test_by_age_each_lot_lapses_on_its_own_day_the_oldest_spent_first(nora: Stage) -> None:
    """Sixty in November, sixty in May, seventy used in June: fifty of May's are left for next May."""
    await nora.set({"expiry": {"after": "age"}}, at=0)
    await nora.hears(nora.order())
    await clock_strikes(nora, 180 * DAY)
    await nora.hears(nora.order("1002"))
    await clock_strikes(nora, 10 * DAY)
    await takes(nora, -70)
    await clock_strikes(nora, YEAR - 190 * DAY)
    assert await available(nora) == 50
    assert (await shown(nora))["expires"] == {"at": "2028-05-22T11:00:00Z", "points": 50}
    await clock_strikes(nora, 181 * DAY)
    assert await available(nora) == 0


async def test_switching_on_gives_a_full_period_and_switching_off_ends_it(nora: Stage) -> None:
    """Points of years ago have a year from the day; switched off on the eve, they stay for good."""
    await nora.set({"expiry": {"enabled": False}}, at=0)
    await nora.hears(nora.order())
    nora.clock.instant += 3 * YEAR
    assert await clock_strikes(nora) == 0
    await nora.set({"expiry": {"enabled": True}})
    await clock_strikes(nora, YEAR - DAY)
    assert await available(nora) == 60
    await nora.set({"expiry": {"enabled": False}})
    await clock_strikes(nora, 8 * DAY)
    assert await available(nora) == 60
    assert await nora.rows("SELECT * FROM expiries") == []


async def test_two_who_turn_out_to_be_one_have_one_clock(nora: Stage) -> None:
    """What lapsed of both stays lapsed; what one bought keeps the other's points from then on."""
    eve = Buyer(platform_id="71", email="eve@x.example", customer_email="eve@x.example")
    await nora.hears(nora.order())
    await nora.hears(nora.order("1002", buyer=eve))
    await clock_strikes(nora)
    await clock_strikes(nora, YEAR)
    await nora.hears(nora.order("1003", buyer=eve))
    await nora.hears(CustomerSeen("shopify", eve, nora.clock.now()), CustomersMerged("71", "70"))
    await nora.settles()
    await clock_strikes(nora, HOUR)
    account = await shown(nora, "eve@x.example")
    assert account["points"]["available"] == 60
    assert account["points"]["lifetime"] == 180
    await clock_strikes(nora, 366 * DAY)
    assert await available(nora, "eve@x.example") == 0


async def test_nothing_lapses_and_nobody_is_looked_at_unless_it_was_switched_on(database: Any) -> None:
    """It is off by default."""
    nora = await Stage(database).open()
    await nora.hears(nora.order())
    assert await clock_strikes(nora, 10 * YEAR) == 0
    assert (await shown(nora))["expires"] is None
    assert await nora.rows("SELECT * FROM expiries") == []


async def test_somebody_who_cannot_be_worked_out_is_put_off_and_holds_up_nobody(
    nora: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is another try later; the numbers of the ledger have no hole."""
    bo = Buyer(platform_id="71", email="bo@x.example", customer_email="bo@x.example")
    await nora.hears(nora.order(), nora.order("1002", buyer=bo))
    await clock_strikes(nora)
    read = expiry.purses

    def stumbles(shop: Any, people: list[int], *more: Any) -> Any:
        if 1 in people:
            raise ValueError("this purse trips me")
        return read(shop, people, *more)

    monkeypatch.setattr(expiry, "purses", stumbles)
    await clock_strikes(nora, YEAR)
    assert await entries(nora) == [("expire:2:0", "expiry", 60)]
    monkeypatch.undo()
    assert await clock_strikes(nora) == 0
    await clock_strikes(nora, expiry.PUT_OFF)
    assert await available(nora) == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE expiries SET expired = 0",
        "UPDATE expiries SET expired = expired + 1000000",
        "DELETE FROM expiries",
    ],
)
async def test_the_audit_works_out_afresh_what_has_lapsed(nora: Stage, change: str) -> None:
    """What is kept of a person, and the programme's account, agree with entries and rules."""
    await nora.hears(nora.order())
    await clock_strikes(nora)
    await clock_strikes(nora, YEAR)
    assert (await audited(nora)).drifts == []
    await nora.does(change)
    assert {drift.kind for drift in (await audited(nora)).drifts} == {"expiry"}


async def test_what_is_due_to_lapse_is_behind_and_not_drift(nora: Stage) -> None:
    """The clock will strike; where it never would, that is drift."""
    await nora.hears(nora.order())
    await clock_strikes(nora)
    nora.clock.instant += YEAR
    findings = await audited(nora)
    assert (findings.drifts, findings.behind) == ([], 1)
    await nora.does("UPDATE expiries SET due_at = NULL")
    assert [(d.kind, d.where) for d in (await audited(nora)).drifts] == [("expiry", "customer 1")]


async def test_what_has_lapsed_cannot_be_taken_away_before_the_clock_has_come_to_it(nora: Stage) -> None:
    """Else the clock would take it once more, and leave somebody in debt by an adjustment."""
    await nora.hears(nora.order())
    await clock_strikes(nora)
    nora.clock.instant += YEAR
    with pytest.raises(Refused, match="Only 0 points"):
        await takes(nora, -10)
    await clock_strikes(nora)
    assert await available(nora) == 0


async def test_an_import_undone_after_its_points_have_lapsed_takes_no_points_that_were_earned(nora: Stage) -> None:
    """It brought a hundred, which lapsed; what a purchase brought later is not its to take for good."""
    await nora.hears(nora.order())
    mine = account(1, "available")
    await moves(nora, "import:1:2", ISSUED, mine, 100, "import")
    await clock_strikes(nora, YEAR)
    assert await available(nora) == 0
    await nora.hears(nora.order("1002"))
    assert await available(nora) == 60
    await moves(nora, "import:1:2:undone", mine, ISSUED, 60, "import_undone")
    await nora.database.run(lambda: expiry.stir([(SHOP, 1)], nora.clock.now()))
    await clock_strikes(nora)
    assert await available(nora) == 60
