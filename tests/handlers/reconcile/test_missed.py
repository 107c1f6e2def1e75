"""What no webhook told of is found, enters by the same door, and ends as if nothing had been lost."""

import asyncio
import random
from pathlib import Path

import pytest

from config import worker
from handlers.inbox.work import drain
from handlers.reconcile.jobs import prune, reconcile_one, start_due
from handlers.reconcile.ledger import Sum
from integration.clock import DAY, HOUR, MINUTE, SECOND
from integration.database.steps import ask, plain
from integration.shopify import listing
from tests.handlers.reconcile.market import Days, Market, Stall, opened_market


@pytest.mark.parametrize("share", [0.01, 1.0])
async def test_webhooks_dropped_for_good_are_found_in_one_cycle(market: Market, share: float) -> None:
    """One in a hundred of every shop's, or all of one shop's: the books end as the oracle says they should."""
    stalls = [await market.open_stall(), await market.open_stall(stripe=True)]
    dice, lost = random.Random(29), 0
    for number, stall in enumerate(stalls):
        days = Days(stall, seed=number)
        for _ in range(120):
            unlucky = share if share < 1 or number == 1 else 0.0
            lost += await stall.tells(days.step(), lost=lambda _, at=unlucky: dice.random() < at)
    assert lost > 0
    reports = await market.reconcile()
    assert [report.state for report in reports] == ["ok"] * 3
    assert sum(report.run.recovered for report in reports if report.run) > 0
    for stall in stalls:
        await stall.ends_as_if_nothing_was_lost()
    again = await market.reconcile()
    assert [report.run.recovered for report in again if report.run] == [0, 0, 0]


async def test_what_was_recovered_is_counted_in_orders_and_points(market: Market, stall: Stall) -> None:
    """Three orders recovered, 72 points: kept, and shown to whoever asks."""
    await stall.tells(stall.sells()[1])
    for person in stall.people:
        await stall.loses(stall.sells(person)[1])
    (report,) = await market.reconcile()
    assert await market.sum(report) == Sum(3, 72_000_000)
    kept = await market.rows("SELECT compared, recovered, sales, micropoints, reason FROM reconciliations")
    assert kept == [(4, 3, 3, 72_000_000, None)]
    assert await stall.points() == 4 * 24
    assert await market.events() == 3


async def test_the_first_look_takes_in_what_was_sold_lately_and_awards_nothing_for_it(market: Market) -> None:
    """Recent orders are what previews are made of; they were not missed, for nobody could have told us of them."""
    stall = await market.open_stall()
    joined = market.clock.at
    market.clock.at = joined - 20 * DAY
    stall.sells()
    market.clock.at = joined - 70 * DAY
    stall.sells()
    market.clock.at = joined
    began = joined - joined % SECOND
    await market.context.database.run(lambda: ask(plain("UPDATE program_versions SET in_force_at = ?1"), (began,)))
    await market.reconcile()
    assert await market.rows("SELECT count(*) FROM sales") == [(1,)]
    assert (await stall.points(), await market.events(), await market.events("recovered = 2")) == (0, 0, 1)
    assert await market.rows("SELECT count(*) FROM messages") == [(0,)]


async def test_refunds_edits_and_cancellations_that_were_missed_are_found(market: Market, stall: Stall) -> None:
    """The orders are known; what became of them is not: given back, not paid in full any more, cancelled."""
    orders = []
    for _ in range(3):
        order, told = stall.sells()
        orders.append(order)
        await stall.tells(told)
    market.passes(hours=1)
    await stall.loses(stall.shop.refund(orders[0], {orders[0].lines[0].id: 1}))
    await stall.loses(stall.shop.edit(orders[1], add=[(stall.tea, 2)]))
    await stall.loses(stall.shop.cancel(orders[2]))
    (report,) = await market.reconcile()
    assert (await market.sum(report)) == Sum(3, -72_000_000)
    await stall.ends_as_if_nothing_was_lost()


async def test_two_states_of_one_second_are_told_apart(market: Market, stall: Stall) -> None:
    """Placed and paid within a second, and only the first of them told."""
    market.passes(minutes=1)
    order, placed = stall.shop.place(stall.ana, [(stall.cup, 1)])
    await stall.tells(placed)
    await stall.loses(stall.shop.pay(order))
    assert await stall.points() == 0
    await market.reconcile()
    assert await stall.points() == 24
    await stall.ends_as_if_nothing_was_lost()


async def test_nothing_is_fetched_that_is_known(market: Market, stall: Stall) -> None:
    """One question for a page of orders, one for disputes."""
    for _ in range(5):
        await stall.tells(stall.sells()[1])
    before = len(market.pretend.calls)
    (report,) = await market.reconcile()
    assert len(market.pretend.calls) - before == 2
    assert report.run is not None
    assert (report.run.compared, report.run.recovered, report.run.calls) == (5, 0, 2)


async def test_looking_twice_and_looking_far_back_adds_nothing(market: Market, stall: Stall) -> None:
    """The same state of an order is the same event, however often it is found."""
    await stall.loses(stall.sells()[1])
    await market.reconcile()
    market.passes(minutes=30)
    for since in (None, stall.market.clock.now() - 3 * DAY):
        (report,) = await market.reconcile(since=since)
        assert report.run is not None and report.run.recovered == 0
    assert await market.events() == 1
    assert await stall.points() == 24


async def test_the_next_look_begins_a_little_before_where_the_last_one_came_to(market: Market, stall: Stall) -> None:
    """What shows late in the platform's list is found by the overlap, and the rest is not asked for again."""
    for _ in range(30):
        await stall.tells(stall.sells()[1])
    await market.reconcile()
    (report,) = await market.reconcile()
    assert report.run is not None
    changes = [order.updated_at // SECOND * SECOND for order in stall.shop.orders.values()]
    assert report.run.since == max(changes) - 10 * MINUTE
    assert report.run.compared == sum(change >= report.run.since for change in changes) < 12


async def test_who_looks_from_a_later_instant_leaves_the_rest_to_the_next_look(market: Market, stall: Stall) -> None:
    """A short look by hand must not make the next one skip what it left out."""
    await stall.loses(stall.sells()[1])
    market.passes(hours=5)
    await stall.loses(stall.sells()[1])
    await market.reconcile(since=market.clock.now() - HOUR)
    assert await market.events() == 1
    await market.reconcile()
    assert await market.events() == 2


async def test_an_order_that_changes_between_listing_and_fetching_is_taken_as_it_is_then(
    market: Market, stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer state is recovered; the next look finds nothing to add."""
    order, told = stall.sells()
    await stall.loses(told)
    whole = listing.Listing.whole

    async def late(self: listing.Listing, order_id: str) -> listing.Whole:
        market.passes(seconds=5)
        stall.told += stall.shop.refund(order, {order.lines[0].id: 1})
        monkeypatch.setattr(listing.Listing, "whole", whole)
        return await whole(self, order_id)

    monkeypatch.setattr(listing.Listing, "whole", late)
    await market.reconcile()
    await stall.ends_as_if_nothing_was_lost()
    await market.reconcile()
    assert await market.events() == 1


async def test_by_the_clock_what_is_fresh_is_left_to_its_webhook(market: Market, stall: Stall) -> None:
    """It may be on its way; a few minutes later it is missed."""
    await stall.loses(stall.sells()[1])
    market.passes(minutes=5)
    await stall.loses(stall.sells()[1])
    await market.reconcile(by_clock=True)
    assert await market.events() == 1
    market.passes(minutes=5)
    await market.reconcile(by_clock=True)
    assert await market.events() == 2


async def test_a_clock_ahead_of_the_platforms_makes_nothing_be_skipped(market: Market, stall: Stall) -> None:
    """Our clock jumps an hour ahead for one look and is put right: what is sold meanwhile is still found."""
    await stall.tells(stall.sells()[1])
    market.passes(hours=1)
    await market.reconcile(by_clock=True)
    market.passes(hours=-1)
    await stall.loses(stall.sells()[1])
    market.passes(minutes=10)
    await market.reconcile(by_clock=True)
    assert await market.events() == 1


async def test_disputes_that_were_missed_are_found_where_the_shop_lets_us_read_them(
    market: Market, stall: Stall
) -> None:
    """Held while open, taken back when lost; without the scope the look goes on without them."""
    order, told = stall.sells()
    await stall.tells(told)
    market.passes(hours=1)
    dispute, opened = stall.shop.open_dispute(order)
    await stall.loses(opened)
    (report,) = await market.reconcile()
    assert (report.state, await market.events()) == ("ok", 0)
    stall.shop.scopes += ("read_shopify_payments_disputes",)
    await market.reconcile()
    await stall.ends_as_if_nothing_was_lost()
    market.passes(days=3)
    await stall.loses(stall.shop.move_dispute(dispute, "lost"))
    await market.reconcile()
    await stall.ends_as_if_nothing_was_lost()
    assert await stall.points() == 0
    (report,) = await market.reconcile()
    assert report.run is not None and report.run.recovered == 0


async def test_a_dry_run_says_what_it_would_take_in_and_takes_nothing(market: Market, stall: Stall) -> None:
    """Nothing is fetched whole, nothing is written."""
    await stall.loses(stall.sells()[1])
    before = len(market.pretend.calls)
    (report,) = await market.reconcile(dry=True)
    assert report.run is not None and (report.state, report.run.recovered) == ("ok", 1)
    assert len(market.pretend.calls) - before == 2
    for table in ("events", "reconciliations", "recoveries", "reconcile_marks"):
        assert await market.rows(f"SELECT * FROM {table}") == []


async def test_a_recovered_fresh_order_is_thanked_for_once(market: Market, stall: Stall) -> None:
    """By the ordinary rules, also when its webhook comes after all."""
    _, told = stall.sells()
    await stall.loses(told)
    await market.reconcile()
    await stall.tells(told)
    rows = await market.rows("SELECT kind, state FROM messages WHERE kind = 'thank_you'")
    assert rows == [("thank_you", "scheduled")]
    await stall.ends_as_if_nothing_was_lost()


async def test_the_clock_starts_a_look_at_each_connection_once_in_a_while(
    market: Market, stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with a key, spread over the period; one's failure does not stop the others."""
    other, _ = await market.open_stall(), await market.open_stall(token=False)
    asked: list[int] = []

    async def enqueue(job: str, number: int, job_id: str) -> bool:
        assert (job, job_id) == ("reconcile.one", f"reconcile:{number}")
        asked.append(number)
        return True

    monkeypatch.setattr(market.context.queue, "enqueue", enqueue)
    await stall.loses(stall.sells()[1])
    await other.loses(other.sells()[1])
    market.passes(minutes=5)
    await start_due(market.context)
    assert len(asked) == 2
    market.pretend.fail_next = [500]
    for number in asked:
        await reconcile_one(market.context, number)
    assert await market.events() == 1
    await drain(market.context)
    asked.clear()
    await start_due(market.context)
    assert asked == []
    starts: dict[int, int] = {}
    for minute in range(40):
        market.passes(minutes=1)
        await start_due(market.context)
        for number in asked:
            starts.setdefault(number, minute)
            await reconcile_one(market.context, number)
        await drain(market.context)
        asked.clear()
    assert len(set(starts.values())) == len(starts) == 2
    assert await market.events() == 2
    assert await market.rows("SELECT count(*) FROM reconciliations WHERE micropoints = 24000000") == [(2,)]


async def test_old_looks_are_forgotten_those_that_found_nothing_first(market: Market, stall: Stall) -> None:
    """A look that recovered something is shown for more than a year."""
    await stall.loses(stall.sells()[1])
    await market.reconcile()
    market.passes(hours=1)
    await market.reconcile()
    market.passes(days=4)
    await prune(market.context)
    assert await market.rows("SELECT recovered FROM reconciliations") == [(1,)]
    assert len(await market.rows("SELECT * FROM recoveries")) == 1
    market.passes(days=400)
    await prune(market.context)
    assert await market.rows("SELECT * FROM reconciliations") == await market.rows("SELECT * FROM recoveries") == []


async def test_a_worker_looks_by_itself(
    database_url: str, data_dir: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock's job asks for one look a connection, through the queue, and the looks find what was missed."""
    monkeypatch.setattr(worker, "LOOPS", ())
    monkeypatch.setattr(worker, "TICKS", ())
    async with opened_market(database_url, data_dir, redis_url) as market:
        stalls = [await market.open_stall() for _ in range(3)]
        for stall in stalls:
            await stall.loses(stall.sells()[1])
        market.passes(minutes=5)
        stop = asyncio.Event()
        working = asyncio.create_task(worker.work(market.context, stop))
        assert await market.context.queue.enqueue("reconcile.start")
        async with asyncio.timeout(60):
            while await market.events() < len(stalls):
                await asyncio.sleep(0.02)
        stop.set()
        await working
        await drain(market.context)
        for stall in stalls:
            await stall.ends_as_if_nothing_was_lost()


async def test_what_waits_to_be_worked_is_not_missed(market: Market, stall: Stall) -> None:
    """By the clock a look waits for the shop's own events, but not for ever."""
    _, told = stall.sells()
    for delivery in told:
        await market.post(delivery)
    market.passes(minutes=5)
    (one,) = await market.connections(stall)
    await reconcile_one(market.context, one.id)
    assert await market.rows("SELECT state, next_at FROM reconcile_marks") == [("new", market.clock.at + MINUTE)]
    market.passes(hours=2)
    await reconcile_one(market.context, one.id)
    assert await market.events() == 1
