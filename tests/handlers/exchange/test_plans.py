"""Files, imports and the page of connections are read by index: nothing walks through a table or sorts one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from handlers.connections import store as connected
from handlers.exchange import feeds, settle, store
from handlers.merchants import stripe_accounts
from integration.database.engine import _SESSION
from integration.database.steps import Sql
from tests.plans import sqlite_plan

STATEMENTS = [
    feeds._CUSTOMERS, feeds._BALANCES, feeds._ENTRIES, feeds._SALES, feeds._MESSAGES, feeds._REVIEWS,
    store._LAST, store._AGAIN, store._KNOWN, store._FIND, store._NEWEST, store._LINES, store._PROBLEMS,
    store._WIPE, store._NEXT, store._BLANK, store._NAMELESS,
    settle._TO_TAKE, settle._TO_TAKE_BACK, settle._OWNED, settle._NOTED, settle._OWNERS, settle._AVAILABLE,
    connected._SHOPIFY, connected._HEARD, connected._MARKS, connected._RECOVERED,
    stripe_accounts._ELSEWHERE, stripe_accounts._KNOWN, stripe_accounts._OF_MERCHANT, stripe_accounts._ONE,
]  # fmt: skip
# Of one merchant's few rows: an order they have no index for is made in no time.
FEW = [stripe_accounts._KNOWN]


def shown(sql: Sql) -> str:
    """Name a statement in a test's name."""
    return " ".join(sql.sqlite.split())[:60]


@pytest.mark.parametrize("statement", STATEMENTS, ids=shown)
async def test_sqlite_walks_through_no_table(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql
) -> None:
    """Every table is searched by an index, and rows come in its order."""
    plan = await sqlite_plan(sqlite_database(data_dir), data_dir, statement)
    walks = [
        step for step in plan if step.startswith("SCAN") and not step.startswith(("SCAN json_each", "SCAN k", "SCAN n"))
    ]
    assert walks == [], plan
    assert statement in FEW or not any("USE TEMP B-TREE FOR ORDER BY" in step for step in plan), plan


@pytest.mark.parametrize("analysed", [False, True])
async def test_postgresql_walks_through_no_table(postgres_database: str, analysed: bool) -> None:
    """Neither in a fresh database nor in one whose tables have been analysed."""
    connection = await asyncpg.connect(postgres_database, server_settings=_SESSION)
    try:
        await connection.execute(
            "INSERT INTO import_lines (merchant_id, number, line, email, micropoints)"
            " SELECT 1, n % 3, n, 'p' || n || '@x.example', 1 FROM generate_series(1, 20000) n;"
            "INSERT INTO customers (merchant_id, number, created_at) SELECT 1, n, n FROM generate_series(1, 20000) n;"
            "INSERT INTO ledger_entries (merchant_id, number, key, source, destination, micropoints, reason, at)"
            " SELECT 1, n, 'k' || n, 'program:issued', 'customer:' || n, 1, 'import', n"
            " FROM generate_series(1, 20000) n"
        )
        if analysed:
            await connection.execute("ANALYZE")
        for statement in STATEMENTS:
            prepared = await connection.prepare(statement.postgres)
            plan: list[Any] = await connection.fetch(
                f"EXPLAIN {statement.postgres}", *(_sample(one.name) for one in prepared.get_parameters())
            )
            words = "\n".join(row[0] for row in plan)
            assert "Seq Scan" not in words, words
    finally:
        await connection.close()


def _sample(kind: str) -> Any:
    if kind.endswith("[]"):
        return [_sample(kind[:-2])]
    return "x" if kind in ("text", "varchar") else 1
