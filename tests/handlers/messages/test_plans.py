"""The outbox's statements find their rows by index, on a table of any size."""

from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from handlers.messages import outbox, people, stopping, undelivered, upcoming
from integration.database.engine import _SESSION
from integration.database.steps import Sql
from tests.plans import sqlite_plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (outbox._DUE, "ix_messages_unsent"),
        (outbox._LOST, "ix_messages_sending"),
        (outbox._LEASE, "sqlite_autoindex_messages_1 (merchant_id=? AND key=?)"),
        (outbox._NEXT, "ix_messages_due"),
        (outbox._CLAIMABLE, "ix_messages_due"),
        (outbox._KEPT, "sqlite_autoindex_messages_1 (merchant_id=? AND key=?)"),
        (outbox._DEFER, "sqlite_autoindex_messages_1 (merchant_id=? AND key=?)"),
        (stopping._WAKE, "ix_messages_unsent (merchant_id=? AND next_attempt_at>?)"),
        (stopping._STOP, "sqlite_autoindex_messages_1 (merchant_id=? AND key=?)"),
        (upcoming._PAGE, "ix_messages_unsent (merchant_id=? AND"),
        (upcoming._FILTERED, "ix_messages_unsent (merchant_id=? AND"),
        (upcoming._SCANNED, "ix_messages_unsent (merchant_id=? AND"),
        (upcoming._SENDING, "ix_messages_sending"),
        (upcoming._COUNT, "ix_messages_unsent (merchant_id=?"),
        (upcoming._OVERDUE, "ix_messages_unsent (merchant_id=?"),
        (undelivered._OPEN, "ix_messages_unsent (merchant_id=? AND next_attempt_at<?)"),
        (undelivered._FAILED, "ix_messages_given_up (merchant_id=? AND closed_at>?)"),
        (undelivered._PAGE, "ix_messages_given_up (merchant_id=? AND"),
        (outbox._CLOSE, "sqlite_autoindex_messages_1 (merchant_id=? AND key=?)"),
        (people._HISTORY, "ix_messages_customer ("),
        (people._PEOPLE, "sqlite_autoindex_customers_1 (merchant_id=? AND number=?)"),
        (people._CONSENTS, "sqlite_autoindex_consents_1 (merchant_id=? AND channel=? AND address=?)"),
        (people._SUPPRESSED, "sqlite_autoindex_suppressions_1 (merchant_id=? AND channel=? AND address=?)"),
    ],
)
async def test_rows_are_found_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """No statement of the sender walks through messages, people or consents (PostgreSQL plans by size)."""
    plan = " | ".join(await sqlite_plan(sqlite_database(data_dir), data_dir, statement))
    assert index in plan
    assert "SCAN messages" not in plan.replace("SCAN messages USING INDEX ix_messages_sending", "")


async def test_a_plan_made_while_there_are_few_messages_serves_when_there_are_many(postgres_database: str) -> None:
    """Connections keep their plans: each looks messages up by their keys, however small the other indexes still are."""
    connection = await asyncpg.connect(
        postgres_database, server_settings={**_SESSION, "plan_cache_mode": "force_generic_plan"}
    )
    try:
        for known in range(0, 500, 25):
            await connection.execute(
                "INSERT INTO messages"
                " (merchant_id, key, kind, customer, sale, channel, state, due_at, next_attempt_at, created_at)"
                " SELECT 1, 'review_request:sale:' || n, 'review_request', n, n, 'email', 'scheduled', n, n, n"
                " FROM generate_series($1::bigint, $2::bigint) n",
                known, known + 24,
            )  # fmt: skip
            await connection.execute(f"PREPARE look AS {outbox._KEPT.postgres}")
            rows = await connection.fetch(f"EXPLAIN EXECUTE look(ARRAY[1,1]::bigint[], ARRAY['a','b']) -- {known}")
            await connection.execute("DEALLOCATE look")
            plan = "\n".join(row[0] for row in rows)
            assert "pk_messages" in plan, f"{known}: {plan}"
    finally:
        await connection.close()
