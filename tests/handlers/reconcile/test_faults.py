"""Whatever fails while looking, nothing is lost, nothing is doubled, and nobody is hammered."""

import asyncio
import dataclasses
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from handlers.inbox.work import drain
from handlers.merchants.connections import renew_token
from handlers.reconcile import feeds, store
from handlers.reconcile.jobs import reconcile, reconcile_one, start_due
from integration.clock import HOUR, MINUTE
from integration.sandbox.shopify_api import HANGS
from integration.shopify.admin import Admin
from tests.conftest import REPOSITORY
from tests.handlers.reconcile.market import Market, Stall
from tests.integration.sandbox.test_apis import served

MOST_SECONDS = 60


async def lose_orders(stall: Stall, number: int) -> None:
    """So many orders no webhook tells of."""
    for _ in range(number):
        await stall.loses(stall.sells()[1])


async def end_the_leases(market: Market) -> None:
    """Let the database's clock pass every lease."""
    async with market.context.database.begin() as connection:
        await connection.execute(text("UPDATE reconcile_marks SET claimed_until = 1"))


async def test_a_look_killed_half_way_goes_on_from_there(
    market: Market, stall: Stall, database_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 after the second batch was kept: its orders stay, the rest follows, and none comes twice."""
    await lose_orders(stall, 50)
    async with served(market.pretend.app) as platform:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.handlers.reconcile.look",
            database_url, str(data_dir), platform, str(market.clock.at), "reconcile.kept:kill:2",
            cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(MOST_SECONDS):
            out, errors = await process.communicate()
    assert (process.returncode, out) == (-9, b""), errors.decode()[-500:]
    assert await market.events() == 40
    (cut_off,) = await market.rows("SELECT recovered, ended_at FROM reconciliations")
    assert cut_off == (40, None)
    assert [report.state for report in await market.reconcile()] == ["busy"]
    await end_the_leases(market)
    market.passes(minutes=1)
    (report,) = await market.reconcile()
    assert report.run is not None
    # The overlap is looked at again, and is known by then or recorded already.
    assert (report.run.recovered, report.run.compared < 50) == (10, True)
    await stall.ends_as_if_nothing_was_lost()
    assert await market.events() == 50
    market.passes(hours=2)
    await start_due(market.context)
    assert await market.rows("SELECT sum(sales), sum(micropoints) FROM reconciliations") == [(50, 50 * 24_000_000)]


async def test_two_who_look_at_once_take_turns(market: Market, stall: Stall) -> None:
    """One looks, the others are told so; who comes when it has ended finds nothing left."""
    await lose_orders(stall, 3)
    (one,) = await market.connections(stall)
    reports = await asyncio.gather(*(reconcile(market.context, one) for _ in range(4)))
    looked = [report.run.recovered for report in reports if report.run is not None and report.state == "ok"]
    assert {report.state for report in reports} == {"busy", "ok"}
    assert sorted(looked) == [0] * (len(looked) - 1) + [3]
    await drain(market.context)
    assert await market.events() == 3
    await stall.ends_as_if_nothing_was_lost()


async def test_who_wakes_late_does_no_harm(market: Market, stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that was paused past its lease writes nothing any more: the mark is the other's."""
    monkeypatch.setattr(feeds, "FETCHED_AT_ONCE", 1)
    await lose_orders(stall, 5)
    (one,) = await market.connections(stall)
    paused, go_on = asyncio.Event(), asyncio.Event()

    whole = feeds.ShopListing.whole

    async def late(self: feeds.ShopListing, order_id: str) -> object:
        monkeypatch.setattr(feeds.ShopListing, "whole", whole)
        paused.set()
        await go_on.wait()
        return await whole(self, order_id)

    monkeypatch.setattr(feeds.ShopListing, "whole", late)
    sleeper = asyncio.create_task(reconcile(market.context, one))
    await paused.wait()
    await end_the_leases(market)
    market.passes(seconds=1)
    assert (await reconcile(market.context, one)).state == "ok"
    before = await market.rows("SELECT reached_at, state FROM reconcile_marks")
    go_on.set()
    assert (await sleeper).state == "busy"
    assert await market.rows("SELECT reached_at, state FROM reconcile_marks") == before
    assert await market.events() == 5
    await drain(market.context)
    await stall.ends_as_if_nothing_was_lost()


@pytest.mark.parametrize("statuses", [[429], [503], [500, 502]])
async def test_a_platform_that_is_away_is_asked_again_later(market: Market, stall: Stall, statuses: list[int]) -> None:
    """After growing pauses; what was kept stays, and the next look takes in the rest."""
    await lose_orders(stall, 2)
    (one,) = await market.connections(stall)
    market.passes(minutes=5)
    for number, pause in enumerate((5 * MINUTE, 10 * MINUTE)[: len(statuses)]):
        market.pretend.fail_next = [statuses[number]]
        await reconcile_one(market.context, one.id)
        ((state, failures, next_at),) = await market.rows("SELECT state, failures, next_at FROM reconcile_marks")
        assert (state, failures, next_at) == ("away", number + 1, market.clock.at + pause)
    await reconcile_one(market.context, one.id)
    await drain(market.context)
    await stall.ends_as_if_nothing_was_lost()
    assert await market.rows("SELECT state, failures, reason FROM reconcile_marks") == [("ok", 0, None)]


async def test_a_platform_that_fails_in_the_middle_keeps_what_was_taken_in(
    market: Market, stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark stands where the last batch was kept."""
    monkeypatch.setattr(feeds, "FETCHED_AT_ONCE", 2)
    await lose_orders(stall, 6)
    whole, fetched = feeds.ShopListing.whole, 0

    async def failing(self: feeds.ShopListing, order_id: str) -> object:
        nonlocal fetched
        fetched += 1
        if fetched == 4:
            market.pretend.fail_next = [503]
        return await whole(self, order_id)

    monkeypatch.setattr(feeds.ShopListing, "whole", failing)
    (report,) = await market.reconcile()
    assert (report.state, await market.events()) == ("away", 2)
    (report,) = await market.reconcile()
    assert (report.state, await market.events()) == ("ok", 6)
    await stall.ends_as_if_nothing_was_lost()


async def test_a_platform_that_does_not_answer_is_given_up_in_time(market: Market, stall: Stall) -> None:
    """A question has a time limit; the shop is looked at again later."""
    await lose_orders(stall, 1)
    (one,) = await market.connections(stall)
    async with served(market.pretend.app) as platform:
        admin = Admin(httpx.AsyncClient(timeout=2), base=f"{platform}/{{shop}}", clock=market.clock)
        market.pretend.fail_next, market.pretend.hang_seconds = [HANGS], 4.0
        slow = dataclasses.replace(market.context, shopify=admin)
        report = await reconcile(slow, one)
        assert (report.state, report.reason is not None and "cannot be reached" in report.reason) == ("away", True)
        await admin.aclose()
        assert (await reconcile(market.context, one)).state == "ok"


async def test_a_shop_that_throttles_is_read_as_slowly_as_it_wants(market: Market, stall: Stall) -> None:
    """Throttled again and again, the look waits by the cost and comes to its end."""
    await lose_orders(stall, 30)
    market.pretend.restored = 50.0
    market.pretend.throttle_next = 4
    (report,) = await market.reconcile()
    assert (report.state, await market.events()) == ("ok", 30)
    assert market.slept > 0
    await stall.ends_as_if_nothing_was_lost()


async def test_a_shop_whose_key_is_gone_is_said_so_and_not_hammered(market: Market, stall: Stall) -> None:
    """One refused question; none after it until a new key is given, and then what was missed is found."""
    market.pretend.tokens.access.clear()
    await lose_orders(stall, 1)
    (report,) = await market.reconcile()
    assert report.state == "revoked"
    asked = len(market.pretend.calls)
    for _ in range(3):
        market.passes(hours=1)
        await start_due(market.context)
        (again,) = await market.reconcile()
        assert (again.state, "merchant shopify" in (again.reason or "")) == ("revoked", True)
    assert len(market.pretend.calls) == asked
    assert await market.context.database.read(lambda: store.due(market.clock.at, 10)) == []
    token = market.pretend.grant(stall.shop.domain)["access_token"]
    await market.context.database.run(lambda: renew_token(stall.merchant, token, market.context.vault))
    (report,) = await market.reconcile()
    assert report.state == "ok"
    await stall.ends_as_if_nothing_was_lost()


async def test_a_shop_without_a_key_is_said_so(market: Market) -> None:
    """And how to give one."""
    await market.open_stall(token=False)
    (report,) = await market.reconcile()
    assert report.state == "no_key"
    assert report.reason is not None and 'regulars merchant shopify "Stall 1" --token' in report.reason
    assert not market.pretend.calls


async def test_an_order_that_cannot_be_read_does_not_hold_up_the_others(
    market: Market, stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted and said; a whole shop of them is another kind of failure."""
    await lose_orders(stall, 3)
    second = sorted(stall.shop.orders.values(), key=lambda order: order.updated_at)[1]
    second.currency = "no currency"
    (report,) = await market.reconcile()
    assert report.run is not None
    assert (report.state, report.run.recovered, report.run.skipped) == ("ok", 2, 1)
    assert await market.rows("SELECT skipped, reason FROM reconciliations") == [(1, "1 orders could not be read")]
    monkeypatch.setattr(feeds, "MOST_SKIPPED", 0)
    market.passes(hours=1)
    (report,) = await market.reconcile(since=market.clock.now() - 5 * HOUR)
    assert report.state == "refused"
