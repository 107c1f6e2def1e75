"""Every statement of tiers finds its rows by an index, however many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.customers import persons
from handlers.sales import books
from handlers.tiers import jobs, store
from integration.database.steps import Sql
from tests.plans import postgres_finds, sqlite_plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (jobs._DUE, "ix_standings_due (merchant_id=? AND due_at>? AND due_at<?)"),
        (store._OF, "sqlite_autoindex_standings_1 (merchant_id=? AND customer=?)"),
        (store._DROP, "sqlite_autoindex_standings_1 (merchant_id=? AND customer=?)"),
        (store._GRANTS, "sqlite_autoindex_tier_grants_1 (merchant_id=? AND customer=?)"),
        (store._END_GRANTS, "sqlite_autoindex_tier_grants_1 (merchant_id=? AND customer=?)"),
        (store._SETTLE_AGAIN, "sqlite_autoindex_sales_1 (merchant_id=? AND number=?)"),
        (store._WELCOMED, "sqlite_autoindex_ledger_entries_2 (merchant_id=? AND key=?)"),
        (store._STIR, "sqlite_autoindex_standings_1 (merchant_id=? AND customer=?)"),
        (persons._ROOTS, "sqlite_autoindex_customers_1 (merchant_id=? AND number=?)"),
        (persons._ALIASES, "ix_customers_merged"),
        (books._OF_CUSTOMERS, "ix_sales_customer (customer=? AND merchant_id=?)"),
        (persons._PEOPLE, "sqlite_autoindex_customers_1 (merchant_id=? AND number>?)"),
        (store.MARKS.changed, "ix_program_versions_in_force (in_force_at>? AND in_force_at<?)"),
    ],
)
async def test_sqlite_finds_who_stands_where_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """Nothing here walks through a table, whatever its size."""
    plan = " | ".join(await sqlite_plan(sqlite_database(data_dir), data_dir, statement))
    assert index in plan, plan


@pytest.mark.parametrize("analysed", [False, True])
async def test_postgresql_finds_who_stands_where_by_index(postgres_database: str, analysed: bool) -> None:
    """40,000 people of whom three are due, and one with a few of all sales."""
    filled = (
        ("standings", "merchant_id, customer, tier, since_at, due_at", "1, n, 'silver', 1, n * 1000"),
        ("customers", "merchant_id, number, created_at", "1, n, n"),
        (
            "sales",
            "merchant_id, number, facts, revision, customer, standing, sold_at, created_at",
            "1, n, '{}', 1, n % 2000, 'counted', n, n",
        ),
    )
    asked = (
        (jobs._DUE, (0, 3000, 100, 100), "ix_standings_due"),
        (store._OF, ([1], [7]), "pk_standings"),
        (books._OF_CUSTOMERS, ([1], [7]), "ix_sales_customer"),
        (persons._ROOTS, ([1], [7]), "pk_customers"),
        (store._SETTLE_AGAIN, ([1], [7], [9]), "pk_sales"),
        (persons._PEOPLE, (1, 7, 100), "pk_customers"),
    )
    await postgres_finds(postgres_database, filled, asked, rows=40_000, analysed=analysed)
