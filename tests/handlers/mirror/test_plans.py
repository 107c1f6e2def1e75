"""Every statement of what Shopify is told finds its rows by an index, however many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.mirror import personal, store
from integration.database.steps import Sql
from tests.plans import postgres_finds, sqlite_plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (store.DUE, "ix_mirrors_due (merchant_id=? AND due_at>? AND due_at<?)"),
        (store._ENTRIES, "sqlite_autoindex_ledger_entries_1 (merchant_id=? AND number>?)"),
        (store._SWEEP, "sqlite_autoindex_customers_1 (merchant_id=? AND number>?)"),
        (store._SWEEP, "sqlite_autoindex_accounts_1 (merchant_id=? AND account=?)"),
        (store._SWEEP, "sqlite_autoindex_standings_1 (merchant_id=? AND customer=?)"),
        (store._SWEEP, "ix_mirrors_customer (customer=? AND merchant_id=?)"),
        (store._TAGGED, "sqlite_autoindex_mirrors_1 (merchant_id=? AND account=?)"),
        (store._ROOTS, "sqlite_autoindex_customers_1 (merchant_id=? AND number=?)"),
        (store._ACCOUNTS, "ix_customers_merged_into (merged_into=? AND merchant_id=?)"),
        (store._TOLD, "sqlite_autoindex_mirrors_1 (merchant_id=? AND account=?)"),
        (store._CLEARED, "ix_mirrors_customer (customer=? AND merchant_id=?)"),
        (personal._SHOWN, "ix_mirrors_customer (customer=? AND merchant_id=?)"),
        (personal._TO_CLEAR, "ix_mirrors_customer (customer=? AND merchant_id=?)"),
    ],
)
async def test_sqlite_finds_whose_card_changed_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """Nothing here walks through a table, whatever its size."""
    plan = " | ".join(await sqlite_plan(sqlite_database(data_dir), data_dir, statement))
    assert index in plan, plan


async def test_postgresql_finds_whose_card_changed_by_index(postgres_database: str) -> None:
    """40,000 customers with points, of whom three have something new."""
    filled = (
        ("customers", "merchant_id, number, shopify_id, created_at", "1, n, n, n"),
        ("accounts", "merchant_id, account, micropoints", "1, 'customer:' || n || ':available', n"),
        ("mirrors", "merchant_id, account, customer, due_at", "1, n, n, CASE WHEN n < 4 THEN n END"),
        (
            "ledger_entries",
            "merchant_id, number, key, source, destination, micropoints, reason, at",
            "1, n, n, 'program:issued', 'customer:' || n || ':available', 1, 'earn', n",
        ),
    )
    asked = (
        (store.DUE, (0, 3000, 100, 100), "ix_mirrors_due"),
        (store._ENTRIES, (1, 39_000, 100), "pk_ledger_entries"),
        (store._SWEEP, (1, 7, 100), "pk_customers"),
        (store._ACCOUNTS, ([1], [7]), "pk_customers"),
        (store._TOLD, ([1], ["7"], ["x"], [0], [7]), "pk_mirrors"),
        (store._TAGGED, ([1], ["7"], ["vip"], ["ours"]), "pk_mirrors"),
        (personal._TO_CLEAR, ([1], [7], [9]), "ix_mirrors_customer"),
    )
    await postgres_finds(postgres_database, filled, asked, rows=40_000)
