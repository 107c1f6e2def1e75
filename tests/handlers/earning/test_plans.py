"""Every statement of earning finds its rows by an index, however many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.earning import jobs, ledger, store
from handlers.points import adjust
from integration.database.steps import Sql
from tests.plans import postgres_finds, sqlite_plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (jobs._DUE, "ix_earners_due (merchant_id=? AND due_at>? AND due_at<?)"),
        (jobs._BIRTHDAYS, "ix_customers_birthday (merchant_id=? AND birthday_due_at>? AND birthday_due_at<?)"),
        (ledger._DUE, "sqlite_autoindex_earners_1 (merchant_id=? AND customer=?)"),
        (store._JOINED, "sqlite_autoindex_earners_1 (merchant_id=? AND customer=?)"),
        (store._DONE, "sqlite_autoindex_earners_1 (merchant_id=? AND customer=?)"),
        (store._IDLE, "sqlite_autoindex_earners_1 (merchant_id=? AND customer=?)"),
        (store._GIVEN, "sqlite_autoindex_occasions_1 (merchant_id=? AND customer=?)"),
        (store._PAGE, "sqlite_autoindex_occasions_1 (merchant_id=? AND (customer,occasion)>(?,?))"),
        (store._LIVES, "sqlite_autoindex_customers_1 (merchant_id=? AND number=?)"),
        (store._SEEN_BIRTHDAYS, "customers USING INDEX"),
        (store.MARKS.is_unfinished, "program_versions"),
        (store.MARKS.changed, "ix_program_versions_in_force (in_force_at>? AND in_force_at<?)"),
        (adjust._PRESENTS, "ix_ledger_entries_destination_at (destination=? AND merchant_id=? AND at>?)"),
    ],
)
async def test_sqlite_finds_occasions_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """Nothing here walks through a table, whatever its size."""
    plan = " | ".join(await sqlite_plan(sqlite_database(data_dir), data_dir, statement))
    assert index in plan, plan


@pytest.mark.parametrize("analysed", [False, True])
async def test_postgresql_finds_occasions_by_index(postgres_database: str, analysed: bool) -> None:
    """40,000 people of whom three are due, each given something."""
    filled = (
        ("earners", "merchant_id, customer, due_at", "1, n, n * 1000"),
        (
            "occasions",
            "merchant_id, customer, occasion, at, version, pending, available, postings",
            "1, n, 'sign_up', n, 1, 0, 1, 1",
        ),
        (
            "customers",
            "merchant_id, number, created_at, birthday_due_at",
            "1, n, n, CASE WHEN n < 4 THEN n END",
        ),
    )
    asked = (
        (jobs._DUE, (0, 3000, 100, 100), "ix_earners_due"),
        (jobs._BIRTHDAYS, (0, 3000, 100, 100), "ix_customers_birthday"),
        (store._JOINED, ([1], [7]), "pk_earners"),
        (store._GIVEN, ([1], [7]), "pk_occasions"),
        (store._PAGE, (1, 7, "", 100), "pk_occasions"),
        (store._LIVES, ([1], [7]), "pk_customers"),
    )
    await postgres_finds(postgres_database, filled, asked, rows=40_000, analysed=analysed)
