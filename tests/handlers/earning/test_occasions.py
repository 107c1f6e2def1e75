"""Each occasion brings its points once, waits where its order does, and goes when what it was for goes."""

import random

import pytest

from handlers.earning import jobs, settle
from handlers.earning.personal import HOLDER
from handlers.holders import Subject
from handlers.inbox.idle import busy
from handlers.points.audit import audit_books
from handlers.points.jobs import expire_due
from integration.clock import DAY, HOUR, SECOND, from_iso
from integration.facts import CustomerSeen, CustomersMerged
from tests.handlers.earning.fair import MAX, SHOP, Fair
from tests.handlers.messages.stage import MONDAY_NOON

YEAR = 365 * DAY


async def test_an_account_brings_points_once_however_often_it_is_told(nora: Fair) -> None:
    """Ten points at once; told again, earlier or later, there are no others."""
    await nora.joins()
    assert (await nora.database.read(lambda: busy(nora.clock.now()))) == {"occasions": 1}
    await nora.strikes()
    assert await nora.given() == {"sign_up": (0, 10)}
    await nora.joins(at=nora.clock.now() - HOUR)
    await nora.strikes(DAY)
    await nora.joins()
    await nora.strikes(DAY)
    assert await nora.given() == {"sign_up": (0, 10)}
    entries = (await nora.account())["entries"]
    assert [(entry["reason"], entry["points"], entry["key"]) for entry in entries] == [
        ("sign_up", 10, "earn:1:sign_up:0")
    ]
    assert (await nora.database.read(lambda: busy(nora.clock.now()))) == {}


async def test_an_account_opened_before_the_shop_gave_anything_brings_nothing(nora: Fair) -> None:
    """What was switched on later is not for days that are past, whenever they are told."""
    await nora.set({"ways": {"sign_up": False}}, at=0)
    nora.clock.instant += DAY
    before = nora.clock.now() - HOUR
    await nora.set({"ways": {"sign_up": True}})
    await nora.joins(at=before)
    await nora.strikes(SECOND)
    assert await nora.given() == {}


async def test_the_first_order_waits_with_its_order_and_goes_with_it(nora: Fair) -> None:
    """Pending for two weeks, then available; given back in full after that, it is taken back, for the next one's."""
    order = nora.order("1001")
    await nora.hears(order)
    await nora.strikes()
    assert await nora.given() == {"order:1": (30, 0)}
    assert (await nora.account())["points"]["pending"] == 90
    await nora.strikes(14 * DAY)
    assert await nora.given() == {"order:1": (0, 30)}
    await nora.hears(nora.refunded(order))
    await nora.strikes()
    assert await nora.given() == {}
    assert (await nora.account())["points"]["available"] == 0
    await nora.hears(nora.order("1002"))
    await nora.strikes(15 * DAY)
    assert await nora.given() == {"order:1": (0, 30)}
    reasons = [entry["reason"] for entry in (await nora.account())["entries"] if entry["key"].startswith("earn:")]
    assert reasons == ["first_order", "gift_release", "gift_reversed", "first_order"]


async def test_an_order_that_goes_back_within_its_hold_never_brought_anything_to_spend(nora: Fair) -> None:
    """Its points are only taken out of what was pending; a part that goes back takes nothing."""
    order = nora.order("1001")
    await nora.hears(order)
    await nora.strikes()
    await nora.hears(nora.refunded(order, keep=1))
    await nora.strikes()
    assert await nora.given() == {"order:1": (30, 0)}
    nora.clock.instant += HOUR
    await nora.hears(nora.refunded(order, number="10"))
    await nora.strikes(20 * DAY)
    assert await nora.given() == {}


@pytest.mark.parametrize("seed", range(5))
async def test_orders_are_counted_by_when_they_were_sold_in_whatever_order_they_are_told(nora: Fair, seed: int) -> None:
    """Four orders of which the second goes back: the fourth is the third that counts."""
    told = []
    for n in range(4):
        nora.clock.instant = MONDAY_NOON + n * DAY
        told.append(nora.order(str(1001 + n)))
    events = [*told, nora.refunded(told[1]), told[0], told[2]]
    chance = random.Random(seed)
    chance.shuffle(events)
    for event in events:
        await nora.hears(event)
        if chance.random() < 0.5:
            await nora.strikes()
    await nora.strikes()
    assert await nora.given() == {"milestone:3": (40, 0), "order:1": (30, 0)}
    rows = await nora.rows("SELECT occasion, at FROM occasions WHERE pending <> 0 ORDER BY occasion")
    assert rows == [("milestone:3", MONDAY_NOON + 3 * DAY), ("order:1", MONDAY_NOON)]


async def test_two_who_are_one_keep_one_of_each(nora: Fair) -> None:
    """Both had an account and a first order; together they have one of each, and reach what neither did alone."""
    nora.clock.instant += SECOND
    await nora.joins()
    await nora.joins(MAX)
    await nora.hears(nora.order("1001"), nora.order("1002", buyer=MAX))
    nora.clock.instant += HOUR
    await nora.hears(nora.order("1003", buyer=MAX))
    await nora.strikes(20 * DAY)
    assert await nora.given() == {"order:1": (0, 60), "sign_up": (0, 20)}
    await nora.hears(CustomerSeen("shopify", MAX, nora.clock.now()), CustomersMerged("71", "70"))
    await nora.strikes()
    assert await nora.given() == {"milestone:3": (0, 40), "order:1": (0, 30), "sign_up": (0, 10)}
    assert (await nora.account())["points"]["available"] == 3 * 60 + 40 + 30 + 10


async def test_a_birthday_brings_points_on_its_day_by_the_customers_own_clock(nora: Fair) -> None:
    """Elsa lives in Paris: at midnight there, not before, and once."""
    await nora.hears(nora.order("1001"))
    assert await nora.born("03-01")
    await nora.strikes()
    nora.clock.instant = from_iso("2027-02-28T22:59:59Z")
    await nora.strikes()
    assert "birthday:2027-03-01" not in await nora.given()
    await nora.strikes(SECOND)
    assert (await nora.given())["birthday:2027-03-01"] == (0, 20)
    for _ in range(3):
        await nora.strikes(DAY)
        await nora.born("03-01")
    assert [name for name in await nora.given() if name.startswith("birthday")] == ["birthday:2027-03-01"]
    nora.clock.instant = from_iso("2028-03-02T12:00:00Z")
    await nora.strikes()
    assert [name for name in await nora.given() if name.startswith("birthday")] == [
        "birthday:2027-03-01", "birthday:2028-03-01",
    ]  # fmt: skip


async def test_a_day_brings_nothing_while_the_shop_has_left_and_a_little_later_once_it_is_back(nora: Fair) -> None:
    """Whoever uninstalls gives nothing any more; back within a month, the shop makes good for the days between."""
    await nora.hears(nora.order("1001"))
    assert await nora.born("03-01")
    await nora.strikes()
    nora.clock.instant = from_iso("2027-02-20T12:00:00Z")
    left_at = nora.clock.now()
    await nora.does(f"UPDATE merchants SET closed_at = {left_at}")
    nora.clock.instant = from_iso("2027-03-02T12:00:00Z")
    await nora.strikes()
    assert "birthday:2027-03-01" not in await nora.given()
    await nora.does("UPDATE merchants SET closed_at = NULL")
    await nora.database.run(lambda: settle.catch_up(SHOP, left_at, nora.clock.now()))
    await nora.strikes()
    assert (await nora.given())["birthday:2027-03-01"] == (0, 20)


async def test_a_birthday_entered_on_its_day_or_changed_to_the_next_day_brings_nothing(nora: Fair) -> None:
    """It must have been known for thirty days; and another day within twelve months of one is no birthday."""
    await nora.set({"ways": {"birthday_notice_days": 0}}, at=0)
    await nora.hears(nora.order("1001"))
    assert await nora.born("11-23")
    await nora.strikes()
    assert "birthday:2026-11-23" not in await nora.given()  # it had begun before it was told
    nora.clock.instant = from_iso("2027-11-23T12:00:00Z")
    await nora.strikes()
    assert (await nora.given())["birthday:2027-11-23"] == (0, 20)
    nora.clock.instant = from_iso("2028-06-01T12:00:00Z")
    assert await nora.born("06-02")
    for _ in range(4):
        await nora.strikes(DAY)
    assert [name for name in await nora.given() if name.startswith("birthday")] == ["birthday:2027-11-23"]
    nora.clock.instant = from_iso("2029-06-03T12:00:00Z")
    await nora.strikes()
    assert (await nora.given())["birthday:2029-06-02"] == (0, 20)


async def test_who_was_born_on_29_february_has_a_birthday_every_year(nora: Fair) -> None:
    """On the 28th where there is no 29th."""
    await nora.hears(nora.order("1001"))
    await nora.born("02-29")
    await nora.strikes()
    for day in ("2027-02-28", "2028-02-29", "2029-02-28"):
        nora.clock.instant = from_iso(f"{day}T12:00:00Z")
        await nora.strikes()
    names = [name for name in await nora.given() if name.startswith("birthday")]
    assert names == ["birthday:2027-02-28", "birthday:2028-02-29", "birthday:2029-02-28"]


async def test_a_clock_that_stood_still_gives_a_day_a_little_later_and_then_not_at_all(nora: Fair) -> None:
    """A month of grace; who was away longer gets the next one."""
    await nora.hears(nora.order("1001"))
    await nora.born("03-01")
    await nora.strikes()
    nora.clock.instant = from_iso("2027-03-25T12:00:00Z")
    await nora.strikes()
    assert (await nora.given())["birthday:2027-03-01"] == (0, 20)
    nora.clock.instant = from_iso("2028-04-10T12:00:00Z")
    await nora.strikes()
    assert "birthday:2028-03-01" not in await nora.given()


async def test_each_year_since_the_first_order_brings_points_while_something_is_bought(nora: Fair) -> None:
    """One and two years after; four years after the last order no more."""
    await nora.hears(nora.order("1001"))
    await nora.strikes()
    for _ in range(5):
        await nora.strikes(YEAR + DAY // 4)
    names = [name for name in await nora.given() if name.startswith("anniversary")]
    assert names == ["anniversary:2027-11-23", "anniversary:2028-11-23"]


async def test_switching_days_on_reaches_everybody_from_then_on(nora: Fair) -> None:
    """Who bought before has their next anniversary; one that was past when it was switched on brings nothing."""
    await nora.set({"ways": {"anniversary": False, "first_order": False, "milestones": False}}, at=0)
    await nora.hears(nora.order("1001"))
    nora.clock.instant += DAY
    await nora.hears(nora.order("1002", buyer=MAX))
    await nora.strikes()
    nora.clock.instant += YEAR - DAY + HOUR
    await nora.set({"ways": {"anniversary": True}})
    await nora.strikes(SECOND)
    assert await nora.given() == {}
    await nora.strikes(DAY)
    assert await nora.given() == {"anniversary:2027-11-24": (0, 50)}
    await nora.strikes(YEAR + DAY)
    assert sorted(await nora.given()) == ["anniversary:2027-11-24", "anniversary:2028-11-23", "anniversary:2028-11-24"]


async def _are_off(nora: Fair) -> None:
    """Two bought a year ago, when years brought nothing."""
    await nora.set({"ways": {"anniversary": False, "first_order": False, "milestones": False}}, at=0)
    await nora.hears(nora.order("1001"), nora.order("1002", buyer=MAX))
    await nora.strikes(YEAR - DAY)


async def test_a_look_under_way_goes_on_where_it_is(nora: Fair, monkeypatch: pytest.MonkeyPatch) -> None:
    """One was looked at when something else was saved: the other has their anniversary, too."""
    await _are_off(nora)
    monkeypatch.setattr(jobs, "BATCH", 1)
    monkeypatch.setattr(jobs, "MOST_PEOPLE", 1)
    await nora.set({"ways": {"anniversary": True}})
    assert await nora.strikes(SECOND) == 1
    await nora.set({"thanks": {"delay_minutes": 91}})
    monkeypatch.setattr(jobs, "MOST_PEOPLE", 100)
    await nora.strikes(SECOND)
    await nora.strikes(DAY)
    assert await nora.rows("SELECT customer, occasion FROM occasions ORDER BY customer") == [
        (1, "anniversary:2027-11-23"),
        (2, "anniversary:2027-11-23"),
    ]


async def test_days_switched_off_and_on_again_reach_everybody(nora: Fair) -> None:
    """Both were saved before the clock looked, and somebody was looked at in between."""
    await _are_off(nora)
    await nora.set({"ways": {"anniversary": True}})
    await nora.strikes(SECOND)
    await nora.set({"ways": {"anniversary": False}})
    nora.clock.instant += SECOND
    await nora.database.run(lambda: settle.look(SHOP, [1], {}, nora.clock.now()))
    await nora.set({"ways": {"anniversary": True}})
    await nora.strikes(SECOND)
    await nora.strikes(DAY)
    assert await nora.given() == {"anniversary:2027-11-23": (0, 100)}


async def test_who_was_forgotten_and_is_back_is_given_nothing_a_second_time(nora: Fair) -> None:
    """The first order of the new number is no first order we could know of; a birthday counts after a year."""
    await nora.joins()
    await nora.hears(nora.order("1001"))
    await nora.strikes(20 * DAY)
    assert sorted(await nora.given()) == ["order:1", "sign_up"]
    await nora.forgets(1)
    nora.clock.instant += DAY
    await nora.hears(nora.order("1002"))
    await nora.joins()
    await nora.strikes()
    (number,) = [row[0] for row in await nora.rows("SELECT max(number) FROM customers")]
    assert number > 1
    await nora.born("02-14", number)
    nora.clock.instant = from_iso("2027-02-14T12:00:00Z")
    await nora.strikes()
    assert sorted(await nora.given()) == ["order:1", "sign_up"]
    nora.clock.instant = from_iso("2028-02-14T12:00:00Z")
    await nora.strikes()
    assert (await nora.given())["birthday:2028-02-14"] == (0, 20)


async def test_points_that_have_lapsed_are_not_taken_back_a_second_time(nora: Fair) -> None:
    """The first order's points expire; when it goes back, nobody owes them."""
    await nora.set({"expiry": {"enabled": True, "after": "age", "months": 1}}, at=0)
    order = nora.order("1001")
    await nora.hears(order)
    await nora.strikes(15 * DAY)

    nora.clock.instant += 60 * DAY
    await expire_due(nora.context)
    assert (await nora.account())["points"]["available"] == 0
    await nora.hears(nora.refunded(order))
    await nora.strikes()
    assert (await nora.account())["points"]["available"] == 0
    assert await nora.given() == {}


async def test_one_who_cannot_be_settled_keeps_nobody_else_back(nora: Fair, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are put off for an hour, and the others get what is theirs."""
    await nora.hears(nora.order("1001"), nora.order("1002", buyer=MAX))
    real = settle.aim

    def broken(shop: object, person: object, now: int) -> object:
        if person.purchases[0].number == 1:
            raise RuntimeError("a bug")
        return real(shop, person, now)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(settle, "aim", broken)
        await nora.strikes()
        assert await nora.rows("SELECT customer FROM occasions") == [(2,)]
    await nora.strikes(HOUR)
    assert await nora.given() == {"order:1": (60, 0)}


async def test_a_shop_that_gives_nothing_asks_the_database_nothing(nora: Fair) -> None:
    """Its sales cost the hot path nothing."""
    await nora.does("DELETE FROM program_versions")
    nora.program.pop("ways")
    await nora.set({}, at=0)
    await nora.hears(nora.order("1001"))
    assert await nora.rows("SELECT * FROM earners") == []
    assert await nora.strikes() == 0


async def test_a_forgotten_customers_account_is_forgotten_and_what_they_were_given_stays(nora: Fair) -> None:
    """It is shown before, and goes with them; amounts stay under our own number."""
    await nora.joins()
    await nora.strikes()
    subject = Subject(SHOP, numbers=(1,))
    shown = await nora.database.read(lambda: HOLDER.export(subject))
    assert [row["occasion"] for row in shown["occasions"]] == ["sign_up"] and len(shown["account_opened"]) == 1
    assert await nora.database.run(lambda: HOLDER.forget(subject, nora.clock.now())) == 1
    assert await nora.database.run(lambda: HOLDER.forget(subject, nora.clock.now())) == 0
    await nora.strikes()
    assert await nora.given() == {"sign_up": (0, 10)}


async def test_the_audit_finds_what_no_occasion_stands_for(nora: Fair) -> None:
    """An amount that its entries do not make, an entry beside the books, and a gift whose occasion is gone."""

    order = nora.order("1001")
    await nora.hears(order)
    await nora.strikes()
    await nora.does("UPDATE occasions SET available = 5, occasion = 'milestone:9'")
    found = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now(), nora.context.auditors))
    assert {drift.kind for drift in found.drifts} == {"occasion"}
    assert len(found.drifts) >= 3


async def test_the_audit_finds_who_was_not_given_what_they_have_reached(nora: Fair) -> None:
    """And who has something else; whoever the clock is to look at anyway is behind, and nothing is wrong."""
    await nora.strikes()
    await nora.hears(nora.order("1001"))
    await nora.joins()
    found = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now(), nora.context.auditors))
    assert found.drifts == [] and found.behind == 1
    await nora.does("UPDATE earners SET due_at = NULL")
    found = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now(), nora.context.auditors))
    assert {(drift.kind, drift.where) for drift in found.drifts} == {
        ("occasion", "order:1 of customer 1"),
        ("occasion", "sign_up of customer 1"),
    }
    assert "30000000 micropoints are due" in found.drifts[0].words + found.drifts[1].words
    await nora.does("UPDATE earners SET due_at = ?1", nora.clock.now())
    await nora.strikes()
    assert await nora.given() == {"order:1": (30, 0), "sign_up": (0, 10)}
    # Under other terms than those of its day the same gift would be another.
    other = "UPDATE program_versions SET document = replace(document, ?1, ?2)"
    await nora.does(other, '"sign_up_points":10', '"sign_up_points":11')
    found = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now(), nora.context.auditors))
    assert found.drifts == []  # What was given for an account stays as it was.
    await nora.does(other, '"first_order_points":30', '"first_order_points":31')
    found = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now(), nora.context.auditors))
    assert [drift.where for drift in found.drifts] == ["order:1 of customer 1"]


async def test_the_audit_asks_nothing_for_who_was_forgotten_and_is_back(nora: Fair) -> None:
    """Of their life before we know nothing, so nothing is missing."""
    await nora.hears(nora.order("1001"))
    await nora.strikes(20 * DAY)
    await nora.forgets(1)
    await nora.hears(nora.order("1002"))
    await nora.strikes(20 * DAY)
    await nora.does("UPDATE earners SET due_at = NULL")
    found = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now(), nora.context.auditors))
    assert found.drifts == [] and found.behind == 0


async def test_orders_of_two_who_turn_out_to_be_one_count_together_at_once(nora: Fair) -> None:
    """Although nothing else was to come for either of them."""
    await nora.set({"ways": {"anniversary": False}}, at=0)
    await nora.hears(nora.order("1001"), nora.order("1002"), nora.order("1003", buyer=MAX))
    await nora.strikes(20 * DAY)
    assert await nora.rows("SELECT * FROM earners") == []
    assert await nora.given() == {"order:1": (0, 60)}
    await nora.hears(CustomersMerged("70", "71"))
    await nora.strikes()
    assert await nora.given() == {"order:1": (0, 30), "milestone:3": (0, 40)}
