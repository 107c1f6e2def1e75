"""Who has much waiting leaves room for others, and looking for what is due costs the same however much it is."""

import json
import math
from typing import Any

import asyncpg
import pytest

from handlers.inbox import claim
from handlers.messages import outbox
from handlers.sales import books
from integration.database.engine import Database
from integration.database.shares import MOST_MERCHANTS, SHARE, Limit, Taken, Want, each_due, numbers_due, take
from integration.database.steps import Sql, ask, plain

NOW = 1_000_000
FLOOD, QUIET, LATER = 7, 9, 12
MOST_PAGES = 2_000  # read for one claim on PostgreSQL: some for each merchant and each row taken, none for what waits

WAITING = plain(
    "INSERT INTO sales (merchant_id, number, facts, revision, standing, settle_at, created_at)"
    " VALUES (?1, ?2, '{}', 1, 'counts', ?3, 0)"
)
SETTLED = plain("UPDATE sales SET settle_at = NULL WHERE merchant_id = ?1 AND number = ?2")


async def waits(database: Database, merchant: int, count: int, at: int = 1) -> None:
    """Have so many sales of a merchant wait since an instant, one microsecond after the other."""

    def steps() -> Any:
        for number in range(1, count + 1):
            yield from ask(WAITING, (merchant, at * 1000 + number, at + number))

    await database.run(steps)


async def taken(database: Database, want: Want, after: int = 0) -> Taken:
    found: Taken = await database.run(lambda: take(books._DUE, NOW, want, after))
    return found


def numbers(of: Taken) -> list[tuple[int, int]]:
    """Return (merchant, how many) of what was taken."""
    return [(rows[0][1], len(rows)) for rows in of.rows]


async def test_one_alone_gets_everything_the_oldest_first(database: Database) -> None:
    """Fairness costs nothing where nobody else waits."""
    await waits(database, FLOOD, 300)
    got = await taken(database, Want(200, 200))
    assert numbers(got) == [(FLOOD, 200)] and got.more
    assert sorted(number for number, _ in got.rows[0]) == list(range(1001, 1201))


async def test_a_quiet_merchant_comes_in_the_very_next_batch(database: Database) -> None:
    """However long ago the others began to wait."""
    await waits(database, FLOOD, 300)
    await waits(database, QUIET, 1, at=500)
    got = await taken(database, Want(200, 200))
    assert numbers(got) == [(FLOOD, SHARE), (QUIET, 1)] and got.more
    assert [merchant for _, merchant in got.each_in_turn][:3] == [FLOOD, QUIET, FLOOD]


async def test_a_run_takes_share_after_share_until_its_limit(database: Database) -> None:
    """Nobody twice, the quiet one in the first batch; no other batch is begun once there was enough, or time is up."""
    await waits(database, FLOOD, 300)
    await waits(database, QUIET, 1, at=500)
    due, seen = numbers_due("sales", "settle_at", "number"), []
    async for merchant, sales in each_due(database, due, NOW, Limit(100, 120, math.inf)):
        seen.append((merchant, len(sales)))
        for number in sales:
            await database.run(lambda m=merchant, n=number: ask(SETTLED, (m, n)))  # type: ignore[misc]
    assert seen == [(FLOOD, SHARE), (QUIET, 1), (FLOOD, 100)]
    assert [one async for one in each_due(database, due, NOW, Limit(100, 120, 0.0))] == []


async def test_what_is_not_due_yet_takes_no_share(database: Database) -> None:
    """A merchant whose time has not come is nobody to leave room for."""
    await waits(database, FLOOD, 100)
    await waits(database, LATER, 5, at=NOW)
    assert numbers(await taken(database, Want(60, 60))) == [(FLOOD, 60)]
    got = await taken(database, Want(200, 200))
    assert numbers(got) == [(FLOOD, 100)] and not got.more


async def test_all_come_in_turn_where_there_are_more_than_one_step_looks_at(database: Database) -> None:
    """Each step goes on behind the last, and begins again when it has come to the end."""
    merchants = MOST_MERCHANTS * 2 + 10
    for merchant in range(1, merchants + 1):
        await waits(database, merchant, 1)
    after, seen = 0, []
    for _ in range(3):
        got = await taken(database, Want(200, 200), after)
        seen += [merchant for merchant, _ in numbers(got)]
        after = got.after
    assert seen == list(range(1, merchants + 1)) and after == 0


async def test_many_who_wait_for_later_do_not_hide_the_one_whose_time_has_come(database: Database) -> None:
    """Steps in which nothing is due are gone over at once, wherever the look begins."""
    for merchant in range(1, MOST_MERCHANTS * 3):
        await waits(database, merchant, 1, at=NOW)
    await waits(database, MOST_MERCHANTS * 2, 1)
    for after in (0, MOST_MERCHANTS, MOST_MERCHANTS * 2):
        assert numbers(await taken(database, Want(200, 200), after)) == [(MOST_MERCHANTS * 2, 1)]


async def test_nothing_due_is_said_at_once(database: Database) -> None:
    """An idle worker asks this all day."""
    assert await taken(database, Want(200, 200)) == Taken([], 0, Want(200, 200))
    await waits(database, LATER, 5, at=NOW)
    assert numbers(await taken(database, Want(200, 200), 3)) == []


# --- Plans --------------------------------------------------------------------------------------

STATEMENTS = {
    "events": (claim._DUE, "ix_events_waiting"),
    "sales": (books._DUE, "ix_sales_to_settle"),
    "settlements": (books._BEHIND, "ix_settlements_to_retry"),
    "messages": (outbox._DUE, "ix_messages_unsent"),
}
FILL = {
    "events": "INSERT INTO events (source, connection, delivery_id, topic, merchant_id, received_at, next_attempt_at)"
    " SELECT 'shopify', 'shop', 'd' || n, 'note', {merchant}, n, n FROM generate_series({first}, {last}) n",
    "sales": "INSERT INTO sales (merchant_id, number, facts, revision, standing, settle_at, created_at)"
    " SELECT {merchant}, n, '{{}}', 1, 'counts', n, 0 FROM generate_series({first}, {last}) n",
    "settlements": "INSERT INTO settlements (merchant_id, sale, capability, revision, attempts, failure, failed_at,"
    " retry_at) SELECT {merchant}, n, 'points', 1, 1, '', 0, n FROM generate_series({first}, {last}) n",
    "messages": "INSERT INTO messages (merchant_id, key, kind, channel, state, due_at, next_attempt_at, created_at)"
    " SELECT {merchant}, 'k' || n, 'thank_you', 'email', 'scheduled', n, n, 0"
    " FROM generate_series({first}, {last}) n",
}


@pytest.mark.parametrize("table", STATEMENTS)
async def test_sqlite_steps_through_the_index_and_looks_rows_up(
    table: str, sqlite_database: Any, data_dir: Any
) -> None:
    """No step reads a table, or sorts what waits."""
    statement, index = STATEMENTS[table]
    due = {"sales": "settle_at", "settlements": "retry_at"}.get(table, "next_attempt_at")
    database = await Database.open(sqlite_database(data_dir), data_dir)
    explained = Sql(f"EXPLAIN QUERY PLAN {statement.sqlite}", "", "plain", True)
    rows = await database.run(lambda: ask(explained, (0, 1, 1, 1)))
    await database.close()
    steps = [row[3] for row in rows]
    touching = [step for step in steps if step.startswith(("SCAN t", "SEARCH t"))]
    assert len(touching) == 5, steps
    by_row = [step for step in touching if index not in step]
    assert by_row == ["SEARCH t USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN"]
    assert any("(merchant_id=? AND " in step and f"{due}<?)" in step for step in touching), steps


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize("table", STATEMENTS)
async def test_postgresql_reads_as_much_for_a_long_backlog_as_for_a_short_one(
    table: str, analysed: bool, postgres_database: str, data_dir: Any
) -> None:
    """60,000 rows of one merchant and 300 others wait; on tables analysed and not the plan is the same."""
    statement, index = STATEMENTS[table]
    database = await Database.open(postgres_database, data_dir)
    connection = await asyncpg.connect(postgres_database, server_settings={**_planning()})
    try:
        await connection.execute(FILL[table].format(merchant=FLOOD, first=1, last=60_000))
        await connection.execute(FILL[table].format(merchant="n", first=100_001, last=100_300))
        if analysed:
            await connection.execute(f"ANALYZE {table}")
        for generic in ("force_generic_plan", "force_custom_plan"):
            await connection.execute(f"SET plan_cache_mode = {generic}")
            sql = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.postgres}"
            async with connection.transaction():
                (plan,) = json.loads(await connection.fetchval(sql, 0, NOW, 200, 200))
            used = {node.get("Index Name") for node in _nodes(plan["Plan"])}
            assert index in used
            assert not [node for node in _nodes(plan["Plan"]) if node["Node Type"] in ("Seq Scan", "Bitmap Heap Scan")]
            assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < MOST_PAGES
    finally:
        await connection.close()
        await database.close()


def _planning() -> dict[str, str]:
    from integration.database.engine import _SESSION

    return _SESSION


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", ()) for node in _nodes(inner))]
