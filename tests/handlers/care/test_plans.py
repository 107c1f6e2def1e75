"""Finding people and telling of one stays quick beside any number of others: rows are found by index."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from handlers.care import store
from handlers.customers import identify, persons
from handlers.customers import personal as names
from handlers.insights import store as figures
from handlers.messages import holding, people
from handlers.messages import timeline as letters
from handlers.points import timeline as entries
from handlers.points.rules import BUCKETS, account
from handlers.privacy import personal as forgetting
from handlers.reviews import timeline as reviews
from handlers.sales import timeline as sales
from integration.database.engine import _SESSION, Database
from integration.database.steps import Sql, ask

NUMBER = 2**40
ACCOUNTS = [account(7, bucket, test=test) for test in (False, True) for bucket in BUCKETS]
# Each statement, the index it has to go by, and arguments that mean something.
STATEMENTS = [
    (store._BY_ORDER, "ix_sales_name", (1, "#17", "17", "##17", 25)),
    (store._SOLD, "ix_sales_sold", (1, NUMBER, 0, 100)),
    (store._BOUGHT_SINCE, "ix_sales_customer", [(1, 7, 5, 5)]),
    (store._BEGINS["email"], "address|customer_identities_1", (1, "buyer77", "buyer78", 0, 100)),
    (store._BEGINS["contact"], "ix_customers_email", (1, "buyer77", "buyer78", 0, 100)),
    (store._BEGINS["name"], "ix_customers_name", (1, "ann77", "ann78", 0, 100)),
    (store._BEGINS["surname"], "ix_customers_surname", (1, "lee77", "lee78", 0, 100)),
    (store._ADDRESSES, "ix_customer_identities_customer", [(1, 7)]),
    (store._PEOPLE, "ix_sales_customer", [(1, 7)]),
    (figures._ORDERS, "ix_sales_customer", (1, 0, NUMBER)),
    (identify._CLAIMS_OF, "ix_customer_identities_customer", [(1, 7)]),
    (forgetting._OWN_NAMES, "ix_customer_identities_customer", [(1, 7)]),
    (names._NAMES, "ix_customer_identities_customer", [(1, 7)]),
    (persons._ALIASES, "ix_customers_merged_into", [(1, 7)]),
    (people._SHOPIFY_IDS, "ix_customer_identities_customer", [(1, 7)]),
    (sales._ORDERS, "ix_sales_customer", (1, 7, NUMBER, 0, 31)),
    (sales._RETURNS, "ix_sales_customer", (1, 7, NUMBER, 2000)),
    (entries._ENTRIES, "ix_ledger_entries_source_at", (1, NUMBER, 0, 31, *ACCOUNTS)),
    (entries._ENTRIES, "ix_ledger_entries_destination_at", (1, NUMBER, 0, 31, *ACCOUNTS)),
    (entries._TAKEN, "ix_ledger_entries_source_at", [(1, "customer:7:available", 0, 0)]),
    (entries._ADDED, "ix_ledger_entries_destination_at", [(1, "customer:7:available", 0, 0)]),
    (letters._MESSAGES, "ix_messages_customer", (1, 7, NUMBER, "", 31)),
    (reviews._REVIEWS, "ix_reviews_customer", (1, 7, NUMBER, "", 31)),
    (holding._WAKE, "ix_messages_(customer|unsent|due)", (1, 7, NUMBER, "x")),
]
WHOLE = re.compile(
    r"SCAN (?!json_each|CONSTANT|source_|destination_)"
    r"|Seq Scan on (customers|customer_identities|sales|ledger_entries|messages)"
)


async def test_sqlite_finds_rows_by_index(sqlite_database: Callable[[Path], str], data_dir: Path) -> None:
    """Without statistics, as the program runs."""
    database = await Database.open(sqlite_database(data_dir), data_dir)
    try:
        for statement, index, arguments in STATEMENTS:
            sql = f"EXPLAIN QUERY PLAN {statement.sqlite}"
            given = arguments if statement.kind == "plain" else (json.dumps(arguments),)
            rows = await database.read(lambda s=sql, g=given: ask(Sql(s, s, "plain", True), g))  # type: ignore[misc]
            plan = " | ".join(str(row[3]) for row in rows)
            assert re.search(index, plan), plan
            assert not WHOLE.search(plan), plan
    finally:
        await database.close()


@pytest.mark.parametrize("analysed", [False, True])
async def test_postgresql_finds_rows_by_index(postgres_database: str, analysed: bool) -> None:
    """Beside 20,000 people of the same merchant, whether or not anybody has looked at the tables yet."""
    connection = await asyncpg.connect(postgres_database, server_settings=_SESSION)
    try:
        for statement in FILLING:
            await connection.execute(statement)
        if analysed:
            await connection.execute("ANALYZE")
        for statement, index, arguments in STATEMENTS:
            given = (
                arguments if statement.kind == "plain" else [list(column) for column in zip(*arguments, strict=True)]
            )
            rows = await connection.fetch(f"EXPLAIN {statement.postgres}", *given)
            plan = "\n".join(row[0] for row in rows)
            assert re.search(index, plan), plan
            assert not WHOLE.search(plan), plan
    finally:
        await connection.close()


FILLING = (
    "INSERT INTO customers (merchant_id, number, first_name, last_name, email, created_at)"
    " SELECT 1, n, 'Ann' || n, 'Lee' || n, 'buyer' || n, 1 FROM generate_series(1, 20000) n",
    "INSERT INTO customer_identities SELECT 1, kind, 'buyer' || n, n"
    " FROM generate_series(1, 20000) n, unnest(ARRAY['email', 'shopify']) kind",
    "INSERT INTO sales (merchant_id, number, facts, revision, customer, name, sold_at, standing, created_at)"
    " SELECT 1, n, '{}', 1, n, '#' || n, n, 'counted', n FROM generate_series(1, 20000) n",
    "INSERT INTO ledger_entries (merchant_id, number, key, source, destination, micropoints, reason, at)"
    " SELECT 1, n, 'k' || n, CASE WHEN n % 2 = 0 THEN 'program:issued' ELSE 'customer:' || n / 2 || ':pending' END,"
    " CASE WHEN n % 2 = 0 THEN 'customer:' || n / 2 || ':pending' ELSE 'customer:' || n / 2 || ':available' END,"
    " 1, 'earned', n FROM generate_series(1, 40000) n",
    "INSERT INTO messages (merchant_id, key, kind, customer, channel, state, due_at, next_attempt_at, created_at)"
    " SELECT 1, 'm' || n, 'thank_you', n, 'email', 'sent', n, n, n FROM generate_series(1, 20000) n",
    "INSERT INTO reviews (merchant_id, sale, line, customer, stars, written_at)"
    " SELECT 1, n, '', n, 5, n FROM generate_series(1, 20000) n",
)
