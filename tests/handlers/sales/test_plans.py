"""A shop's sales of a time, and its latest ones, are found by when they were sold, however many there are."""

from typing import Any

import pytest

from handlers.sales import books
from integration.database.steps import Sql, ask, plain

SALES = 20_000
_MANY = plain(
    "INSERT INTO sales (merchant_id, number, facts, revision, standing, sold_at, created_at)"
    " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
    " SELECT 1 + i % 3, i, '{}', 1, 'counted', i * 1000, 0 FROM n",
    postgres="INSERT INTO sales (merchant_id, number, facts, revision, standing, sold_at, created_at)"
    " SELECT 1 + i % 3, i, '{}', 1, 'counted', i * 1000, 0 FROM generate_series(1, $1) i",
)
STATEMENTS = (
    (books._OLD_ONES_FIRST, (1, 9_000_000, 5, 12_000_000, 200)),
    (books._NEW_ONES_FIRST, (1, 100)),
    (books._HOW_MANY, (1, 9_000_000, 12_000_000, 1_000)),
    (books._STIR_SOLD_SINCE, (1, 19_990_000, 1)),
)


@pytest.mark.parametrize("analysed", [False, True])
async def test_sales_of_a_time_are_found_without_reading_the_others(database: Any, analysed: bool) -> None:
    """On either engine, with and without statistics of the table."""
    await database.run(lambda: ask(_MANY, (SALES,)))
    if analysed:
        await database.run(lambda: ask(plain("ANALYZE sales"), ()))
    for sql, arguments in STATEMENTS:
        text = f"EXPLAIN QUERY PLAN {sql.sqlite}" if database.dialect == "sqlite" else f"EXPLAIN {sql.postgres}"
        explain = Sql(text, text, "plain", returns=True)
        rows = await database.run(lambda e=explain, a=arguments: ask(e, a))
        words = "\n".join(str(row[-1]) for row in rows)
        assert "ix_sales_sold" in words, words
        assert "SCAN sales" not in words and "Seq Scan" not in words, words
