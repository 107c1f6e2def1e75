"""Set-based SQL as plain generators, so that one piece of logic runs on SQLite's thread and on asyncpg.

A step function is a generator that yields `Ask` values and is sent back the rows (a list of tuples; for
writes a list with one tuple, the number of rows touched). It never awaits and never commits: the driver runs
it in one transaction. `yield from` calls a sub-step.

    def balances(keys) -> Steps[list[Row]]:
        rows = yield from ask(BALANCES, keys)

In `keyed`, `insert` and `plain` the word `{clock}` stands for the instant by the database's own clock: the one
time all processes have in common, whatever their machines' clocks say.
"""

import json
import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

Row = tuple[Any, ...]
T = TypeVar("T")

MOST_PACKED = 64  # rows in one statement

BIG, TEXT = "bigint", "text"

CLOCK_SQLITE = "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"
CLOCK_POSTGRES = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"

NOTHING = ""
"""The text of a statement PostgreSQL does not need, because it does the same in the one after it."""


@dataclass(frozen=True, slots=True)
class Sql:
    """One statement in both dialects; built by `keyed`, `insert` or `plain`."""

    sqlite: str
    postgres: str
    kind: str  # "keyed", "many" or "plain"
    returns: bool
    columns: int = 0
    name: str = field(default="")
    across: str = ""  # why it may touch rows of several owners, also in the visit of one


class Ask(NamedTuple):
    """One round trip: a statement and its rows (keyed, many) or its arguments (plain)."""

    sql: Sql
    rows: Sequence[Any]


Steps = Generator[Ask, list[Row], T]


def ask(sql: Sql, rows: Sequence[Any]) -> Steps[list[Row]]:
    """Run one statement for all `rows` (plain: with these arguments); no rows means no round trip."""
    if not rows and sql.kind != "plain":
        return []
    result = yield Ask(sql, rows)
    return result


def _returns(sql: str) -> bool:
    return sql.lstrip()[:6].upper() == "SELECT" or " RETURNING " in sql.replace("\n", " ").upper()


def keyed(sql: str, *, postgres_suffix: str = "", **columns: str) -> Sql:
    """A SELECT, UPDATE or DELETE over a relation of keys: write `{keys} k` (or any alias) where it stands.

    Columns are named in the order the row tuples carry them, with a type (`BIG` or `TEXT`). SQLite
    needs the keys first and `CROSS JOIN` to keep that order. `postgres_suffix` is for row locks, which
    SQLite's single writer does not need.
    """
    fields = ", ".join(f"json_extract(value, '$[{position}]') AS {name}" for position, name in enumerate(columns))
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(columns.values(), start=1))
    names = ", ".join(columns)
    return Sql(
        sqlite=sql.replace("{keys}", f"(SELECT {fields} FROM json_each(?1))").replace("{clock}", CLOCK_SQLITE),
        postgres=sql.replace("{keys}", f"(SELECT * FROM unnest({arrays}) AS u({names}))").replace(
            "{clock}", CLOCK_POSTGRES
        )
        + postgres_suffix,
        kind="keyed",
        returns=_returns(sql),
        columns=len(columns),
    )


def insert(table: str, suffix: str = "", **columns: str) -> Sql:
    """An INSERT of many rows; `suffix` holds the ON CONFLICT clause (both engines read the same)."""
    names = ", ".join(columns)
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(columns.values(), start=1))
    return Sql(
        sqlite=f"INSERT INTO {table} ({names}) VALUES {{rows}} {suffix.replace('{clock}', CLOCK_SQLITE)}",
        postgres=f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"
        f" {suffix.replace('{clock}', CLOCK_POSTGRES)}",
        kind="many",
        returns=False,
        columns=len(columns),
    )


def plain(sql: str, *, postgres: str | None = None, across: str = "") -> Sql:
    """A statement with scalar arguments, written `?1`, `?2`… (and in the same order for PostgreSQL).

    `across` says why it may touch rows of several owners (see `wall`).
    """
    translated = re.sub(r"\?(\d+)", r"$\1", postgres or sql).replace("{clock}", CLOCK_POSTGRES)
    return Sql(sql.replace("{clock}", CLOCK_SQLITE), translated, kind="plain", returns=_returns(sql), across=across)


def drive_sqlite(steps: Steps[T], cursor: Any) -> T:
    """Run steps on an sqlite3 cursor whose connection has a transaction open.

    A database error is raised inside the step function, which may catch it (after a savepoint) and go on.
    """
    rows: list[Row] | None = None
    error: Exception | None = None
    while True:
        try:
            request = steps.throw(error) if error is not None else steps.send(rows)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        rows, error = None, None
        try:
            rows = _ask_sqlite(cursor, request.sql, request.rows)
        except Exception as failure:  # noqa: BLE001 - handed to the step function, which raises it again
            error = failure


def _ask_sqlite(cursor: Any, sql: Sql, rows: Sequence[Any]) -> list[Row]:
    if sql.kind == "many":
        return [(_write_packed(cursor, sql, rows),)]
    if sql.kind == "keyed":
        cursor.execute(sql.sqlite, (json.dumps(rows),))
    else:
        cursor.execute(sql.sqlite, tuple(rows))
    return cursor.fetchall() if sql.returns else [(cursor.rowcount,)]


def _write_packed(cursor: Any, sql: Sql, rows: Sequence[Any]) -> int:
    """Write many rows with few statements: `{rows}` becomes a list of rows, by powers of two.

    The driver gives the interpreter away and takes it back for every statement it steps, and for every row of an
    `executemany`; beside a busy event loop each of these is a wait.
    """
    done = touched = 0
    while done < len(rows):
        count = min(MOST_PACKED, 1 << ((len(rows) - done).bit_length() - 1))
        part = rows[done : done + count]
        cursor.execute(_packed(sql.sqlite, sql.columns, count), [value for row in part for value in row])
        touched += cursor.rowcount
        done += count
    return touched


@lru_cache(maxsize=1024)
def _packed(sqlite: str, columns: int, count: int) -> str:
    row = "(" + ", ".join("?" * columns) + ")"
    return sqlite.replace("{rows}", ", ".join([row] * count))


async def drive_postgres(steps: Steps[T], connection: Any) -> T:
    """Run steps on an asyncpg connection that has a transaction open; errors as in `drive_sqlite`."""
    rows: list[Row] | None = None
    error: Exception | None = None
    while True:
        try:
            request = steps.throw(error) if error is not None else steps.send(rows)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        rows, error = None, None
        try:
            rows = await _ask_postgres(connection, request.sql, request.rows)
        except Exception as failure:  # noqa: BLE001 - handed to the step function, which raises it again
            error = failure


async def _ask_postgres(connection: Any, sql: Sql, rows: Sequence[Any]) -> list[Row]:
    if sql.postgres == NOTHING:
        return [(0,)]
    arguments: Iterable[Any] = rows if sql.kind == "plain" else zip(*rows, strict=True)
    if sql.returns:
        return [tuple(record) for record in await connection.fetch(sql.postgres, *arguments)]
    status = await connection.execute(sql.postgres, *arguments)
    last = status.rsplit(" ", 1)[-1]
    return [(int(last) if last.isdigit() else 0,)]
