"""A heartbeat: somebody notices when webhooks have gone quiet while the platform has something to tell."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from handlers.reconcile import ledger, store
from integration.database.engine import Database
from integration.database.steps import Sql, ask
from tests.handlers.reconcile.market import Market, Stall


async def quiet(market: Market) -> tuple[object, object]:
    """How the one connection stands."""
    ((since, why),) = await market.rows("SELECT quiet_since, quiet_why FROM reconcile_marks")
    return since, why


async def test_a_shop_that_sells_without_a_webhook_is_quiet_until_one_comes(market: Market, stall: Stall) -> None:
    """Said as a warning with every look, since when and how that is known; over with the next webhook."""
    await stall.tells(stall.sells()[1])
    heard = max(order.updated_at for order in stall.shop.orders.values())
    await market.reconcile()
    assert await quiet(market) == (None, None)
    market.passes(hours=5)
    await stall.loses(stall.sells()[1])
    market.passes(minutes=5)
    with capture_logs() as logs:
        (report,) = await market.reconcile()
    assert report.mark is not None and report.mark.quiet_why is not None
    assert "5 h after" in report.mark.quiet_why
    since, _ = await quiet(market)
    assert isinstance(since, int) and abs(since - heard) < 1_000_000
    assert [entry["log_level"] for entry in logs if entry["event"] == "webhooks_quiet"] == ["warning"]
    market.passes(minutes=30)
    await market.reconcile()
    assert (await quiet(market))[0] == since
    await stall.tells(stall.sells()[1])
    await market.reconcile()
    assert await quiet(market) == (None, None)


async def test_a_shop_that_sells_nothing_is_not_quiet(market: Market, stall: Stall) -> None:
    """Nor is one whose every change was told."""
    await stall.tells(stall.sells()[1])
    market.passes(days=4)
    await market.reconcile()
    assert await quiet(market) == (None, None)


async def test_one_lost_webhook_among_others_is_not_quiet(market: Market, stall: Stall) -> None:
    """It is recovered, and that is all."""
    await stall.tells(stall.sells()[1])
    await stall.loses(stall.sells()[1])
    await stall.tells(stall.sells()[1])
    market.passes(minutes=5)
    (report,) = await market.reconcile()
    assert report.run is not None and report.run.recovered == 1
    assert await quiet(market) == (None, None)


async def test_an_order_of_this_minute_makes_nobody_quiet(market: Market, stall: Stall) -> None:
    """Somebody looks just before its webhook arrives, after hours without a sale."""
    await stall.tells(stall.sells()[1])
    market.passes(hours=5)
    await stall.loses(stall.sells()[1])
    (report,) = await market.reconcile()
    assert report.run is not None and report.run.recovered == 1
    assert await quiet(market) == (None, None)


async def test_a_shop_none_of_whose_webhooks_ever_came_is_quiet(market: Market, stall: Stall) -> None:
    """As when its subscriptions were never made: since it was connected."""
    joined = market.clock.now()
    market.passes(hours=3)
    await stall.loses(stall.sells()[1])
    market.passes(minutes=5)
    await market.reconcile()
    assert (await quiet(market))[0] == joined


STATEMENTS = {
    "connected": store._CONNECTED,
    "mark": store._MARK,
    "claim": store._CLAIM,
    "advance": store._ADVANCE,
    "release": store._RELEASE,
    "heard": store._HEARD,
    "count": store._COUNT,
    "look": store._LOOK,
    "looks": store._LOOKS,
    "unsummed": ledger._UNSUMMED,
    "events of a look": ledger._EVENTS,
    "posted": ledger._POSTED,
    "drop recoveries": ledger._DROP_RECOVERIES,
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_reads_a_whole_table_of_events_or_entries(
    name: str, sqlite_database: Callable[[Path], str], data_dir: Path
) -> None:
    """What has been worked before must not make a look dearer."""
    statement: Sql = STATEMENTS[name]
    sql = f"EXPLAIN QUERY PLAN {statement.sqlite}"
    given = ("[]",) if statement.kind == "keyed" else tuple(range(max(n for n in range(1, 20) if f"?{n}" in sql)))
    database = await Database.open(sqlite_database(data_dir), data_dir)
    rows = await database.run(lambda: ask(Sql(sql, sql, "plain", True), given))
    await database.close()
    scans = [row[3] for row in rows if row[3].startswith("SCAN ")]
    allowed = ("SCAN json_each", "SCAN k", "SCAN n", "SCAN c", "SCAN (subquery", "SCAN reconciliations USING INDEX")
    assert [scan for scan in scans if not scan.startswith(allowed)] == []
