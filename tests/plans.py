"""How both engines would find the rows of a statement, for tests of plans."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from integration.database.engine import _SESSION, Database
from integration.database.steps import Sql, ask


async def sqlite_plan(url: str, folder: Path, statement: Sql) -> list[str]:
    """Return the steps in which SQLite would run a statement."""
    sql = f"EXPLAIN QUERY PLAN {statement.sqlite}"
    wanted = max((int(n) for n in re.findall(r"\?(\d+)", sql)), default=0)
    arguments = ("[]",) if statement.kind == "keyed" else (1,) * wanted
    database = await Database.open(url, folder)
    try:
        rows = await database.read(lambda: ask(Sql(sql, sql, "plain", True), arguments))
    finally:
        await database.close()
    return [str(row[3]) for row in rows]


async def postgres_finds(
    url: str,
    filled: Iterable[tuple[str, str, str]],
    asked: Iterable[tuple[Sql, Sequence[Any], str]],
    *,
    rows: int,
    analysed: bool = True,
) -> None:
    """Fail where PostgreSQL reads a whole table, or runs a statement without its index (of several, by `|`: any).

    Tables are filled with so many rows (`n` counts them) first, and `analysed`.
    """
    connection = await asyncpg.connect(url, server_settings=_SESSION)
    try:
        for table, columns, values in filled:
            await connection.execute(
                f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(1, {rows}) n"
            )
            if analysed:
                await connection.execute(f"ANALYZE {table}")
        for statement, arguments, indexes in asked:
            steps = await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {statement.postgres}", *arguments)
            plan = "\n".join(row[0] for row in steps)
            assert any(index in plan for index in indexes.split("|")), plan
            assert "Seq Scan" not in plan, plan
    finally:
        await connection.close()
