"""What waits and what failed is counted by index, on both engines, and never more of it than a limit."""

import json
from pathlib import Path
from typing import Any

import pytest

from handlers.inbox.work import drain
from handlers.watch import store
from handlers.watch.store import Backlog, Readings, forget, forget_before, signs, take_readings, tell
from integration.clock import MINUTE, SECOND
from integration.database.engine import Database
from integration.database.schema import metadata
from integration.database.steps import Sql, ask
from tests.handlers.inbox.conftest import Desk, connect

COUNTS = (
    "BACKLOG",
    "UNKNOWN",
    "DEAD",
    "RECOVERED",
    "OPEN_MESSAGES",
    "FAILED_MESSAGES",
    "SALES_DUE",
    "REWARDS",
    "FRIENDS",
    "SETTLEMENTS",
    "QUIET",
)
STATEMENTS = {name: getattr(store, name) for name in (*COUNTS, "AUDITS", "LONGEST_UNAUDITED", "SUM_OF_ACCOUNTS")}
# Tables that stay small by themselves: a row an unknown shop, a sale that is behind, a merchant, a process.
SMALL = ("unknown_shops", "reconcile_marks", "settlements", "vitals", "books")


async def read(desk: Desk) -> Readings:
    now = desk.clock.now()
    return await desk.context.database.read(lambda: take_readings(now))


async def test_an_idle_shop_has_nothing_to_count(desk: Desk) -> None:
    """Zeros, not errors: sums of nothing are null in SQL."""
    readings = await read(desk)
    assert (readings.backlog, readings.dead_letters, readings.recovered) == ({}, {}, {})
    assert (readings.unknown_events, readings.sales_due, readings.messages) == (0, 0, {"failed": 0})
    assert readings.audits == (0, 0, None) and readings.processes == ()


async def test_the_backlog_tells_how_long_the_oldest_has_been_due(desk: Desk) -> None:
    """By platform: what waits, what will be tried again, and since when the oldest could have been taken."""
    began = desk.clock.now()
    await connect(desk.context.database, "stripe-token", platform="stripe")
    await desk.told({"says": "one"})
    desk.clock.at += 3 * MINUTE
    await desk.told({"says": "two"}, {"says": "three"})
    await desk.told({"says": "four"}, shop="stripe-token", source="stripe")
    later = began + 20 * MINUTE
    await desk.rows("UPDATE events SET claims = 1, next_attempt_at = ?1 WHERE delivery_id = 'd2'", later)
    assert (await read(desk)).backlog == {
        "shopify": Backlog(2, 1, began),
        "stripe": Backlog(1, 0, began + 3 * MINUTE),
    }
    await drain(desk.context)
    assert (await read(desk)).backlog == {"shopify": Backlog(0, 1, None)}


async def test_an_event_in_a_workers_hands_still_waits(desk: Desk) -> None:
    """Its worker may die of it: it counts until it has an outcome."""
    await desk.told({"says": "one"})
    until = desk.clock.now() + 30 * SECOND
    await desk.rows("UPDATE events SET claim = 'c', claims = 1, claimed_until = ?1, next_attempt_at = ?1", until)
    assert (await read(desk)).backlog == {"shopify": Backlog(1, 0, None)}


async def test_dead_letters_and_recovered_events_are_counted(desk: Desk) -> None:
    """What cannot be read is a dead letter; what a platform was asked for says so."""
    await desk.told(b"{", {"says": "well"})
    await desk.told({"says": "missed"}, recovered=1)
    await drain(desk.context)
    readings = await read(desk)
    assert readings.dead_letters == {"shopify": 1} and readings.last_dead_at == desk.clock.now()
    assert readings.recovered == {"shopify": 1}


async def test_connections_that_have_gone_quiet_are_counted_until_they_are_closed(desk: Desk) -> None:
    """Reconciling notices; who has left is meant to be quiet."""
    await desk.rows(
        "INSERT INTO reconcile_marks (merchant_id, connection, next_at, state, quiet_since)"
        " SELECT merchant_id, id, 0, 'ok', 1 FROM connections"
    )
    assert (await read(desk)).quiet == {"shopify": 1}
    await desk.rows("UPDATE connections SET closed_at = 1")
    assert (await read(desk)).quiet == {}


async def test_events_of_shops_nobody_connected_are_no_backlog(desk: Desk) -> None:
    """They wait for a merchant, not for a worker."""
    await desk.told({"says": "hello"}, shop="poppy.myshopify.com")
    readings = await read(desk)
    assert readings.backlog == {} and readings.unknown_events == 1


async def test_messages_are_counted_by_state(desk: Desk) -> None:
    """Those that went out or were called off are many, and counted as they happen instead."""
    now = desk.clock.now()
    for number, (state, next_at, closed_at) in enumerate(
        [("scheduled", now - MINUTE, None), ("scheduled", now + MINUTE, None), ("waiting", now - SECOND, None),
         ("sent", now, None), ("cancelled", now, now), ("failed", now, now)]
    ):  # fmt: skip
        await desk.rows(
            "INSERT INTO messages (merchant_id, key, kind, channel, state, due_at, next_attempt_at, closed_at,"
            " created_at) VALUES (7, ?1, 'thank_you', 'email', ?2, ?3, ?3, ?4, ?3)",
            f"thank_you:sale:{number}", state, next_at, closed_at,
        )  # fmt: skip
    readings = await read(desk)
    assert readings.messages == {"scheduled": 2, "waiting": 1, "failed": 1}
    assert readings.message_due_since == now - MINUTE


async def test_a_count_ends_at_its_limit_and_the_oldest_is_among_it(desk: Desk, monkeypatch: Any) -> None:
    """A scrape must not get slower the worse things are."""
    monkeypatch.setattr(store, "MOST_COUNTED", 3)
    began = desk.clock.now()
    for n in range(5):
        desk.clock.at = began + n * SECOND
        await desk.told({"says": f"n{n}"})
    assert (await read(desk)).backlog == {"shopify": Backlog(3, 0, began)}


async def test_the_last_word_on_a_thing_replaces_the_one_before(desk: Desk) -> None:
    """One row a thing, until it is forgotten."""
    run = desk.context.database.run
    await run(lambda: tell("audit", "7", 1, 2, whole=True))
    await run(lambda: tell("audit", "7", 5, 0, whole=False))
    await run(lambda: tell("audit", "8", 3, 4))
    await run(lambda: tell("process", "till:1", 9))
    assert (await read(desk)).audits == (2, 4, 3)
    assert await run(lambda: signs("audit")) == (("audit", "7", 5, 0, {"whole": False}), ("audit", "8", 3, 4, {}))
    await run(lambda: forget("audit", "7"))
    await run(lambda: forget_before("audit", 4))
    assert await run(lambda: signs("audit")) == ()
    assert len(await run(lambda: signs("process"))) == 1


@pytest.mark.parametrize("name", STATEMENTS)
async def test_sqlite_counts_by_index(name: str, sqlite_database: Any, data_dir: Path) -> None:
    """What grows with a shop's history is never read to be counted."""
    statement = STATEMENTS[name]
    sql = f"EXPLAIN QUERY PLAN {statement.sqlite}"
    arguments = tuple(range(max((n for n in range(1, 10) if f"?{n}" in sql), default=0)))
    database = await Database.open(sqlite_database(data_dir), data_dir)
    rows = await database.run(lambda: ask(Sql(sql, sql, "plain", True), arguments))
    await database.close()
    scanned = [row[3] for row in rows if row[3].startswith("SCAN ") and " INDEX ix_" not in row[3]]
    assert {scan.split()[1] for scan in scanned} & (set(metadata.tables) - set(SMALL)) == set()


@pytest.mark.parametrize("name", STATEMENTS)
async def test_postgres_counts_by_index(name: str, postgres_database: str, data_dir: Path) -> None:
    """The same where the tables are large and known to be."""
    statement = STATEMENTS[name]
    arguments = tuple(range(max((n for n in range(1, 10) if f"${n}" in statement.postgres), default=0)))
    database = await Database.open(postgres_database, data_dir)
    sql = f"EXPLAIN (FORMAT JSON) {statement.postgres}"
    rows = await database.run(lambda: ask(Sql(sql, sql, "plain", True), arguments))
    await database.close()
    told = rows[0][0] if isinstance(rows[0][0], list) else json.loads(rows[0][0])
    assert [table for table in _scanned(told[0]["Plan"]) if table not in SMALL] == []


def _scanned(plan: dict[str, Any]) -> list[str]:
    found = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return found + [table for inner in plan.get("Plans", ()) for table in _scanned(inner)]
