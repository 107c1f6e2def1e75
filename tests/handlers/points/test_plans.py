"""A customer's entries are found by their accounts, however alike the accounts of a ledger are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from handlers.customers import persons
from handlers.points import audit, expiry, jobs, purses, statement
from integration.database.engine import _SESSION
from integration.database.steps import Sql
from tests.plans import postgres_finds, sqlite_plan


@pytest.mark.parametrize("analysed", [False, True])
async def test_postgresql_never_reads_a_merchants_whole_ledger(postgres_database: str, analysed: bool) -> None:
    """A shop without holds and refunds: all of its 40,000 entries come from one account."""
    connection = await asyncpg.connect(postgres_database, server_settings=_SESSION)
    try:
        await connection.execute(
            "INSERT INTO ledger_entries (merchant_id, number, key, source, destination, micropoints, reason, at)"
            " SELECT 1, n, 'k' || n, 'program:issued', 'customer:' || n % 2000 || ':available', 1, 'earned', n"
            " FROM generate_series(1, 40000) n"
        )
        if analysed:
            await connection.execute("ANALYZE ledger_entries")
        for sql, arguments in (
            (statement._ENTRIES.postgres, ([1], ["customer:7:available"], [0])),
            (statement._SPENT.postgres, ([1], ["customer:7:available"])),
        ):
            plan: list[Any] = await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {sql}", *arguments)
            words = "\n".join(row[0] for row in plan)
            assert "ix_ledger_entries_source" in words, words
            assert "Rows Removed by Filter" not in words, words
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (jobs._DUE, "ix_expiries_due (merchant_id=? AND due_at>? AND due_at<?)"),
        (persons._ROOTS, "sqlite_autoindex_customers_1 (merchant_id=? AND number=?)"),
        (purses._ALIASES, "ix_customers_merged"),
        (purses._ENTRIES, "ix_ledger_entries_source_at (source=? AND merchant_id=?)"),
        (purses._ENTRIES, "ix_ledger_entries_destination_at (destination=? AND merchant_id=?)"),
        (statement._SPENT, "ix_ledger_entries_source_at (source=? AND merchant_id=?)"),
        (statement._RETURNED, "ix_ledger_entries_destination_at (destination=? AND merchant_id=?)"),
        (purses._SOLD, "ix_sales_customer (customer=? AND merchant_id=?)"),
        (expiry._LAPSED, "sqlite_autoindex_expiries_1 (merchant_id=? AND customer=?)"),
        (expiry._HOLDERS, "sqlite_autoindex_accounts_1 (merchant_id=? AND account>?)"),
        (expiry._STIR, "sqlite_autoindex_expiries_1 (merchant_id=? AND customer=?)"),
        (expiry._DROP, "sqlite_autoindex_expiries_1 (merchant_id=? AND customer=?)"),
        (audit._BY_KEY, "sqlite_autoindex_ledger_entries_2 (merchant_id=? AND key=?)"),
        (audit._EXPIRIES, "sqlite_autoindex_expiries_1 (merchant_id=? AND customer>?)"),
        (statement._EXPIRED, "sqlite_autoindex_expiries_1 (merchant_id=? AND customer=?)"),
    ],
)
async def test_sqlite_finds_people_whose_points_lapse_and_their_entries_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """Nothing here walks through a table, whatever its size."""
    plan = " | ".join(await sqlite_plan(sqlite_database(data_dir), data_dir, statement))
    assert index in plan, plan


@pytest.mark.parametrize("analysed", [False, True])
async def test_postgresql_finds_people_whose_points_lapse_by_index(postgres_database: str, analysed: bool) -> None:
    """40,000 people of whom three are due, and one with a few of the entries and sales of all."""
    filled = (
        ("expiries", "merchant_id, customer, due_at", "1, n, n * 1000"),
        ("customers", "merchant_id, number, created_at", "1, n, n"),
        (
            "sales",
            "merchant_id, number, facts, revision, customer, standing, sold_at, created_at",
            "1, n, '{}', 1, n % 2000, 'counted', n, n",
        ),
        (
            "ledger_entries",
            "merchant_id, number, key, source, destination, micropoints, reason, at",
            "1, n, 'k' || n, 'program:issued', 'customer:' || n % 2000 || ':available', 1, 'accrual', n",
        ),
    )
    asked = (
        (jobs._DUE, (0, 3000, 100, 100), "ix_expiries_due"),
        (purses._ENTRIES, ([1], ["customer:7:available"], [0]), "ix_ledger_entries_destination"),
        (purses._SOLD, ([1], [7]), "ix_sales_customer"),
        (expiry._LAPSED, ([1], [7]), "pk_expiries"),
        (persons._ROOTS, ([1], [7]), "pk_customers"),
    )
    await postgres_finds(postgres_database, filled, asked, rows=40_000, analysed=analysed)
