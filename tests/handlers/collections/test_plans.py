"""Every statement about collections finds its rows by an index, however many products there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.collections import store
from handlers.merchants import collections
from handlers.sales import books
from integration.database.steps import Sql
from tests.plans import postgres_finds, sqlite_plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (store.DUE, "ix_collections_due (merchant_id=? AND due_at>? AND due_at<?)"),
        (store._CLAIM, "sqlite_autoindex_collections_1 (merchant_id=? AND collection=?)"),
        (store._IN_IT, "ix_collection_products_now (collection=? AND merchant_id=?)"),
        (store._NO_MORE, "sqlite_autoindex_collection_products_1 (merchant_id=? AND product=? AND collection=?)"),
        (collections._STAYS, "sqlite_autoindex_collection_products_1 (merchant_id=? AND product=?)"),
        (collections._ALL, "sqlite_autoindex_collections_1 (merchant_id=?)"),
        (books._STIR_SOLD, "sqlite_autoindex_sales_1 (merchant_id=? AND number=?)"),
    ],
)
async def test_sqlite_finds_what_lies_where_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """Nothing here walks through a table, whatever its size."""
    plan = " | ".join(await sqlite_plan(sqlite_database(data_dir), data_dir, statement))
    assert index in plan, plan


async def test_postgresql_finds_what_lies_where_by_index(postgres_database: str) -> None:
    """40,000 products in 400 collections of one merchant, of which three are due."""
    filled = (
        ("collections", "merchant_id, collection, due_at", "1, n, CASE WHEN n < 4 THEN n END"),
        ("collection_products", "merchant_id, product, collection, from_at", "1, n, n % 400, 0"),
    )
    asked = (
        (store.DUE, (0, 3000, 100, 100), "ix_collections_due"),
        (store._IN_IT, (1, "7"), "ix_collection_products_now"),
        (store._NO_MORE, ([1], ["7"], ["7"], [9]), "pk_collection_products"),
        (collections._STAYS, ([1], ["7"]), "pk_collection_products"),
    )
    await postgres_finds(postgres_database, filled, asked, rows=40_000)
