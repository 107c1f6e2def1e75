"""Sales a backfill tells of: what they earn, that nobody is mailed about them, and how a run is taken back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.inbox.rules import Run
from handlers.sales import history
from handlers.sales.history import withdraw
from handlers.sales.rules import Imported, SaleFacts, absorb
from integration.clock import DAY, HOUR, MINUTE
from integration.database.engine import Database
from integration.database.steps import Sql, ask
from integration.facts import Fact, OrderSeen
from tests.handlers.messages.stage import MONDAY_NOON, Stage

YEAR = 365 * DAY
OFF = {"earning": {"enabled": False}}
ON = {"earning": {"enabled": True}}


class Shop(Stage):
    """Nora's shop, whose past can be told by a backfill."""

    async def backfills(self, *facts: Fact, run: int = 1) -> None:
        """Take in one object of a run for each fact, under the newest programme."""
        told, now = [one._replace(run=Run(run, self.versions)) for one in self.told(*facts)], self.clock.now()
        await self.database.run(lambda: self.context.apply(told, now))

    async def undoes(self, run: int = 1) -> None:
        """Take a run back and settle what that changes."""
        now = self.clock.now()
        while await self.database.run(lambda: withdraw(1, run, 2, now)):
            await self.settles()

    def old(self, number: str = "1001", age: int = YEAR, **changes: object) -> OrderSeen:
        """An order of some time ago."""
        at = self.clock.now() - age
        return self.order(number, processed_at=at, updated_at=at, **changes)

    async def points(self) -> dict[str, int]:
        """Points on customers' accounts, where there are any."""
        rows = await self.rows("SELECT account, micropoints FROM accounts WHERE micropoints <> 0 ORDER BY account")
        return {name: amount // 1_000_000 for name, amount in rows if name != "program:issued"}


@pytest.fixture
async def nora(database: Any) -> Shop:
    """A shop that joined at noon with everything off, and switched it on an hour later."""
    shop = Shop(database)
    shop.program["earning"]["enabled"] = shop.program["thanks"]["enabled"] = False
    await shop.open()
    await shop.does("UPDATE program_versions SET in_force_at = ?1", MONDAY_NOON)
    shop.clock.instant += HOUR
    await shop.set({"earning": {"enabled": True}, "thanks": {"enabled": True}})
    shop.clock.instant += HOUR
    return shop


async def test_what_was_sold_before_earning_was_on_earns_by_backfill_alone(nora: Shop) -> None:
    """A webhook of an old order brings nothing; the run that covers it does, once."""
    order = nora.old()
    await nora.hears(order)
    assert await nora.points() == {}
    await nora.backfills(order, nora.old("1002", 90 * MINUTE))
    await nora.backfills(order, nora.old("1002", 90 * MINUTE))
    assert await nora.points() == {"customer:1:available": 120}


async def test_what_was_sold_since_earns_what_it_earned_then(nora: Shop) -> None:
    """A pause is a pause: a backfill awards history, and does not rewrite what came after the start."""
    await nora.set(OFF)
    paused = nora.order("1001")
    nora.clock.instant += HOUR
    await nora.set({"earning": {"enabled": True, "points_per_unit": "5"}})
    await nora.backfills(paused, nora.old("1002", 90 * MINUTE), nora.old("1003"))
    assert await nora.points() == {"customer:1:available": 60 + 300}


async def test_nobody_is_mailed_about_an_old_order_however_it_goes_on(nora: Shop) -> None:
    """Told by a backfill, shipped, refunded and told again by webhooks: no note, no request, no notice."""
    order = nora.old(buyer=msgspec.structs.replace(nora.order().order.buyer, platform_id="71", email="old@x.example"))
    await nora.backfills(order)
    await nora.hears(OrderSeen(msgspec.structs.replace(order.order, updated_at=nora.clock.now())), nora.parcel())
    await nora.hears(nora.refunded(order, keep=1))
    await nora.later(60 * DAY)
    assert await nora.messages() == {}
    assert await nora.points() == {"customer:1:available": 18}


async def test_an_order_of_today_is_thanked_for_whoever_tells_first(nora: Shop) -> None:
    """The run's list may hold an order whose webhook is still on its way."""
    await nora.backfills(nora.order("1001"))
    assert await nora.messages() == {}
    await nora.hears(nora.order("1001"), nora.order("1002"))
    await nora.backfills(nora.order("1002"))
    assert await nora.states("thank_you") == {"thank_you:sale:1": "scheduled", "thank_you:sale:2": "scheduled"}


async def test_the_third_purchase_is_the_third_although_two_came_by_backfill(nora: Shop) -> None:
    """Milestones count what was bought, not what we were told at the time."""
    await nora.set({"thanks": {"when": "milestones"}})
    await nora.backfills(nora.old("1"), nora.old("2", 2 * YEAR))
    await nora.hears(nora.order("3"))
    assert await nora.states() == {"thank_you:sale:3": "scheduled"}


async def test_a_purchase_that_a_backfill_makes_a_milestone_is_not_thanked_for_weeks_later(nora: Shop) -> None:
    """Neither the run nor its undoing, nor a later change of the order, brings up what is long past."""
    await nora.set({"thanks": {"when": "milestones"}})
    first, second = nora.order("3"), nora.order("4", processed_at=nora.clock.now() + 1_000_000)
    await nora.hears(first, second)
    await nora.later(30 * DAY)
    assert await nora.states() == {"thank_you:sale:1": "sent"}
    await nora.backfills(nora.old("1"))
    await nora.settles()
    await nora.hears(nora.refunded(second, keep=1))
    await nora.undoes()
    await nora.settles()
    await nora.later(30 * DAY)
    assert await nora.states("thank_you") == {"thank_you:sale:1": "sent"}


async def test_an_undone_run_takes_back_what_it_brought_and_nothing_else(nora: Shop) -> None:
    """Sales known by webhook keep what they earn by themselves; nobody is told of the rest."""
    known, known_old = nora.order("1"), nora.old("2")
    await nora.hears(known, known_old)
    await nora.backfills(known, known_old, nora.old("3"), nora.order("4"))
    assert await nora.points() == {"customer:1:available": 240}
    await nora.undoes()
    assert await nora.points() == {"customer:1:available": 60}
    assert await nora.rows("SELECT number, standing FROM sales ORDER BY number") == [
        (1, "counted"), (2, "counted"), (3, "undone"), (4, "undone"),
    ]  # fmt: skip
    assert list(await nora.states()) == ["thank_you:sale:1"]


async def test_what_a_webhook_tells_of_an_undone_order_counts_by_itself(nora: Shop) -> None:
    """Before, during or after the undoing: sold since the start it earns, sold before it does not."""
    await nora.backfills(nora.order("1"), nora.old("2"), nora.order("3"))
    await nora.hears(nora.order("1"))
    await nora.undoes()
    await nora.hears(nora.old("2"), nora.order("3"))
    assert await nora.points() == {"customer:1:available": 120}


async def test_a_second_run_covers_again_what_was_undone(nora: Shop) -> None:
    """Undoing is not for ever: committing again is how it is taken back."""
    await nora.backfills(nora.old("1"))
    await nora.undoes()
    await nora.backfills(nora.old("1"), run=2)
    assert await nora.points() == {"customer:1:available": 60}
    await nora.undoes(run=1)
    assert await nora.points() == {"customer:1:available": 60}


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (None, None, None),
        (Imported(1, 2, True), None, Imported(1, 2)),
        (Imported(1, 2, True), Imported(3, 1, True), Imported(3, 1, True)),
        (Imported(0, 2, True, 7), Imported(1, 2, True, 5), Imported(1, 2, True, 5)),
        (Imported(0, 2, True), Imported(1, 2), Imported(1, 2)),
    ],
)
def test_sales_that_are_one_join_their_notes_either_way(
    one: Imported | None, other: Imported | None, together: Imported | None
) -> None:
    """Which of the two survives makes no difference."""
    for mine, theirs in ((one, other), (other, one)):
        facts = SaleFacts(imported=mine)
        absorb(facts, SaleFacts(imported=theirs))
        assert facts.imported == together


async def test_a_run_finds_its_sales_by_index(sqlite_database: Callable[[Path], str], data_dir: Path) -> None:
    """Among a million sales of others (PostgreSQL plans by size)."""
    sql = f"EXPLAIN QUERY PLAN {history._COVERED.sqlite}"
    database = await Database.open(sqlite_database(data_dir), data_dir)
    try:
        rows = await database.read(lambda: ask(Sql(sql, sql, "plain", True), (1, 1, 1)))
    finally:
        await database.close()
    assert "ix_sales_backfill (backfill=? AND merchant_id=?)" in " | ".join(str(row[3]) for row in rows)
