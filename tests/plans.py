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


async def postgres_plans(
    url: str, filled: Iterable[tuple[str, str, str]], asked: Iterable[tuple[Sql, Sequence[Any]]], *, rows: int
) -> list[str]:
    """Fill tables with so many rows (`n` counts them), analyse them, and return how PostgreSQL ran each statement."""
    connection = await asyncpg.connect(url, server_settings=_SESSION)
    try:
        for table, columns, values in filled:
            await connection.execute(
                f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(1, {rows}) n"
            )
            await connection.execute(f"ANALYZE {table}")
        found = []
        for statement, arguments in asked:
            plan = await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {statement.postgres}", *arguments)
            found.append("\n".join(row[0] for row in plan))
        return found
    finally:
        await connection.close()
