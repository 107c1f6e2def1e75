"""Brings a database to the newest revision, one process at a time, on either engine.

`python -m config.migrate new "words"` writes the next revision from what the code declares beyond it.
"""

import asyncio
import importlib
import importlib.util
import pkgutil
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Index, MetaData, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex

import handlers
from integration.database.engine import PAGE_BYTES, address
from integration.database.schema import metadata

LOCK_WAIT_S = 300  # how long a second process waits for the one that migrates
LOCK_NUMBER = 7_351_904_862  # PostgreSQL's advisory locks are numbers; any will do that nobody else takes
INDEX_LOCK_NUMBER = LOCK_NUMBER + 1
# While a change to a table waits for those who use it, everybody else waits behind it: not for long, then again.
TABLE_WAIT_S = 1
TABLE_TRIES = 120
INDEX_TRIES = 3_600  # of a process that waits for another's indexes
PAUSE_S = 1.0
_NEW_INDEX = re.compile(r"\s*CREATE (UNIQUE )?INDEX (IF NOT EXISTS )?\S+ ON (?P<table>\S+)")
_OLD_INDEX = re.compile(r"\s*DROP INDEX (?P<name>[a-z_]+)")

T = TypeVar("T")


def upgrade(url: str) -> None:
    """Run every revision the database lacks, in one transaction, under a lock; nothing to do is quick.

    Other processes may go on using a PostgreSQL meanwhile: nobody is kept waiting for longer than TABLE_WAIT_S at a
    time, and indexes of tables that hold anything are made after the transaction, without a lock on the table. Those
    they take the place of go last.
    Synchronous: call it from a thread where a loop runs. Takes any `DATABASE_URL` the program takes
    (`sqlite:///path`, `postgresql://…`). Raises ValueError for a URL of another kind, and the driver's
    error where the database cannot be reached; then nothing has changed.
    """

    def run(connection: Connection) -> None:
        settings = _alembic()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")

    _in_transaction(url, run, locked=True)


def is_behind(url: str) -> bool:
    """Tell whether the database lacks revisions this program has; one that is ahead of the program is not behind.

    Raises the driver's error where the database cannot be reached.
    """

    def run(connection: Connection) -> bool:
        current = MigrationContext.configure(connection).get_current_revision()
        known = ScriptDirectory.from_config(_alembic())
        if current is None:
            return True
        return current != known.get_current_head() and current in {one.revision for one in known.walk_revisions()}

    return _in_transaction(url, run, locked=False)


def differences(url: str) -> list[Any]:
    """Return what the database has and the code does not declare, or the reverse; empty when they agree."""

    return _in_transaction(url, _compared, locked=False)


def declared() -> MetaData:
    """Import every capability's `store.py` and `ledger.py`; return the MetaData their tables are in."""
    for package in pkgutil.iter_modules(handlers.__path__, "handlers."):
        for module in ("store", "ledger"):
            if package.ispkg and importlib.util.find_spec(f"{package.name}.{module}"):
                importlib.import_module(f"{package.name}.{module}")
    return metadata


def write_revision(words: str) -> None:
    """Write the next revision file into `config/migrations/versions`; numbered, named after `words`."""
    versions = Path(__file__).parent / "migrations" / "versions"
    number = 1 + sum(1 for _ in versions.glob("[0-9]*.py"))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/before.db"
        upgrade(url)

        def run(connection: Connection) -> None:
            settings = _alembic()
            settings.attributes["connection"] = connection
            command.revision(settings, words, autogenerate=True, rev_id=f"{number:04}")

        _in_transaction(url, run, locked=True)


def _alembic() -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    return settings


def _in_transaction(url: str, run: Callable[[Connection], T], *, locked: bool) -> T:
    target = address(url, Path())
    if target.startswith("sqlite"):
        return _on_sqlite(target, run, locked)
    return asyncio.run(_on_postgres(target, run, locked))


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")


def _on_sqlite(url: str, run: Callable[[Connection], T], locked: bool) -> T:
    Path(make_url(url).database or "").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(
        make_url(url).set(drivername="sqlite+pysqlite"),
        poolclass=NullPool,
        connect_args={"timeout": LOCK_WAIT_S},
        hide_parameters=True,
    )
    # The driver would begin late and not immediately: then two processes could both read "nothing is there".
    # Begun at once, SQLite's own file lock lets one in and keeps the other waiting.
    event.listen(engine, "connect", _prepare)
    begin = "BEGIN IMMEDIATE" if locked else "BEGIN"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    try:
        with engine.begin() as connection:
            return run(connection)
    finally:
        engine.dispose()


async def _on_postgres(url: str, run: Callable[[Connection], T], locked: bool) -> T:
    # asyncpg reads the address itself, so that sslmode and socket paths mean what they mean elsewhere.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url),
        poolclass=NullPool,
        hide_parameters=True,
    )
    try:
        if not locked:
            async with engine.begin() as connection:
                return await connection.run_sync(run)
        result, idle = await _changed(engine, run)
        await _index(engine, idle)
        return result
    finally:
        await engine.dispose()


async def _changed(engine: AsyncEngine, run: Callable[[Connection], T]) -> tuple[T, list[str]]:
    """Run a change under the lock of all who migrate, again and again while its tables are in use.

    Returns also which indexes are to be dropped once the new ones are there.
    """

    def changed(connection: Connection, idle: list[str]) -> T:
        return run(_leaving_indexes_out(connection, idle))

    for _ in range(TABLE_TRIES):
        idle: list[str] = []
        try:
            async with engine.begin() as connection:
                await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'"))
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_NUMBER})"))
                await connection.execute(text(f"SET LOCAL lock_timeout = '{TABLE_WAIT_S}s'"))
                result = await connection.run_sync(changed, idle)
            return result, idle
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != asyncpg.LockNotAvailableError.sqlstate:
                raise
            await asyncio.sleep(PAUSE_S)
    raise TimeoutError("the tables are in use without a pause")


def _leaving_indexes_out(connection: Connection, idle: list[str]) -> Connection:
    """Make no index on a table that holds anything: nobody could write to it meanwhile.

    Drop none of it either, but name it in `idle`: until what takes its place is there, everybody would read the table.
    """

    def before(own: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        def holds(table: str) -> bool:
            return bool(own.exec_driver_sql(f"SELECT EXISTS (SELECT 1 FROM {table})").scalar())

        if (new := _NEW_INDEX.match(statement)) and holds(new["table"]):
            return "SELECT 1", parameters
        if old := _OLD_INDEX.match(statement):
            table = f"SELECT indrelid::regclass FROM pg_index WHERE indexrelid = '{old['name']}'::regclass"
            if holds(str(own.exec_driver_sql(table).scalar_one())):
                idle.append(old["name"])
                return "SELECT 1", parameters
        return statement, parameters

    event.listen(connection, "before_cursor_execute", before, retval=True)
    return connection


async def _index(engine: AsyncEngine, idle: Sequence[str]) -> None:
    """Make the declared indexes that are missing while everybody goes on, one process at a time; then drop the idle.

    What an earlier process did not finish is made anew. An idle one that it did not drop stays, and does no harm.
    """
    async with engine.connect() as unbound:
        connection = await unbound.execution_options(isolation_level="AUTOCOMMIT")
        # Asked for instead of waited for: an index is not finished while anybody waits in a statement.
        for _ in range(INDEX_TRIES):
            if (await connection.execute(text(f"SELECT pg_try_advisory_lock({INDEX_LOCK_NUMBER})"))).scalar():
                break
            await asyncio.sleep(PAUSE_S)
        else:
            raise TimeoutError("another process takes long to make indexes")
        broken = await connection.execute(text("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid"))
        for (name,) in broken.all():
            await connection.execute(text(f"DROP INDEX CONCURRENTLY {name}"))
        for index in await connection.run_sync(_missing_indexes):
            words = str(CreateIndex(index).compile(dialect=engine.dialect))
            await connection.execute(text(words.replace("INDEX ", "INDEX CONCURRENTLY ", 1)))
        wanted = {index.name for table in declared().tables.values() for index in table.indexes}
        for name in idle:
            if name not in wanted:
                await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))


def _missing_indexes(connection: Connection) -> list[Index]:
    changes = _compared(connection)
    # Of a table or a column that a later revision makes, that revision makes the indexes.
    later = {change[1].name for change in changes if change[0] == "add_table"}
    columns = {(change[2], change[3].name) for change in changes if change[0] == "add_column"}
    return [
        change[1]
        for change in changes
        if change[0] == "add_index"
        and (table := change[1].table.name) not in later
        and not any((table, column.name) in columns for column in change[1].columns)
    ]


def _compared(connection: Connection) -> list[Any]:
    """List how the database differs from what is declared."""
    context = MigrationContext.configure(connection, opts={"include_object": _is_comparable})
    with warnings.catch_warnings():
        # SQLite cannot be asked for such an index.
        warnings.filterwarnings("ignore", ".*expression-based index")
        return list(compare_metadata(context, declared()))


def _is_comparable(item: Any, _name: str | None, kind: str, _reflected: bool, other: Any) -> bool:
    """Tell whether two things can be compared: of an index of expressions, PostgreSQL tells in words of its own."""
    if kind != "index" or other is None:
        return True
    return all(isinstance(expression, Column) for one in (item, other) for expression in one.expressions)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "new":
        sys.exit('usage: python -m config.migrate new "what changes, in a few words"')
    write_revision(sys.argv[2])
