"""The statements of the activity pages go by index: their cost must not grow with what was worked before."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.activity import store
from handlers.reconcile.store import _RECOVERED
from integration.database.steps import Sql
from tests.plans import sqlite_plan

AMISS = "ix_events_amiss (merchant_id=?"


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (store._PAGE, "ix_events_merchant (merchant_id=? AND id<?)"),
        (store._FILTERED, "ix_events_merchant (merchant_id=? AND id<?)"),
        (store._SCANNED, "ix_events_merchant (merchant_id=? AND id<?)"),
        *((statement, AMISS) for statement in store._AMISS.values()),
        (store._FAILED, AMISS),
        (store._COUNT_FAILED, AMISS),
        (store._AMISS_BODIES, AMISS),
        (store._ONE, "SEARCH e USING INTEGER PRIMARY KEY"),
        (store._LISTED, "SEARCH e USING INTEGER PRIMARY KEY"),
        (store._BY_NAME, "ix_sales_name"),
        (
            store._BY_IDENTITY,
            "sqlite_autoindex_sale_identities_1 (merchant_id=? AND platform=? AND kind=? AND value=?)",
        ),
        (store._OF_SALES, "ix_events_sale (sale=? AND merchant_id=?)"),
        (store._BY_DELIVERY, "sqlite_autoindex_events_1 (source=? AND connection=? AND delivery_id=?)"),
        (store._TWINS, "ix_sales_paired (merchant_id=? AND number<?)"),
        (_RECOVERED, "sqlite_autoindex_reconciliations_1 (merchant_id=?"),
    ],
)
async def test_rows_are_found_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """No page walks through all events or sales (both engines were timed with a million)."""
    plan = " | ".join(await sqlite_plan(sqlite_database(data_dir), data_dir, statement))
    assert index in plan, plan
