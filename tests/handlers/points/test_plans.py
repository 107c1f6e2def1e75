"""A customer's entries are found by their accounts, however alike the accounts of a ledger are."""

from typing import Any

import asyncpg
import pytest

from handlers.points import statement
from integration.database.engine import _SESSION


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
