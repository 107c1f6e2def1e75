"""The database: one way to run set-based steps in a transaction, on SQLite's threads or on asyncpg."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from integration import meters
from integration.database.steps import Steps, ask, drive_postgres, plain
from integration.database.wall import walled
from integration.database.writer import WriterThread
from integration.errors import Unavailable

T = TypeVar("T")
Dialect = Literal["sqlite", "postgresql"]

FILE_NAME = "regulars.db"
BUSY_TIMEOUT_MS = 4_000
READER_THREADS = 2
POOL_SIZE = 12  # connections of one process at most, unless said otherwise
PAGES_SHARE = 4  # one in so many of them is for pages; one at least
COMMITS_ABREAST = 2
CONNECT_SECONDS = 4
STATEMENT_SECONDS = 60
URGENT_SECONDS = 5  # for what nobody waits longer for; then the connection is given up, and with it its locks
CLOSE_SECONDS = 5
MOST_TRIES = 6
FIRST_PAUSE_SECONDS = 0.02

_AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,  # the connection went away between two of its own messages
)
_MISSING = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
_ONE = plain("SELECT 1")


class _Driver(Protocol):
    async def run(self, make: Callable[[], Steps[T]]) -> T: ...

    async def run_urgently(self, make: Callable[[], Steps[T]]) -> T: ...

    async def read(self, make: Callable[[], Steps[T]]) -> T: ...

    async def close(self) -> None: ...


class Database:
    """One database of either engine; open it with `Database.open`."""

    def __init__(self, dialect: Dialect, url: str, engine: AsyncEngine, driver: _Driver) -> None:
        self.dialect = dialect
        self.url = url  # password and all: never print it
        self.engine = engine
        self._driver = driver

    @property
    def abreast(self) -> int:
        """How many durable transactions are worth having in flight: SQLite writes one after the other."""
        return 1 if self.dialect == "sqlite" else COMMITS_ABREAST

    @classmethod
    async def open(cls, url: str | None, data_dir: Path, connections: int | None = None) -> "Database":
        """Open the database named by a DATABASE_URL (None: an SQLite file in `data_dir`).

        On PostgreSQL at most `connections` are open at a time (POOL_SIZE by default), one for the hot path and
        one for pages in any case.
        Raises ValueError for a URL of another kind, Unavailable where the database is away.
        """
        target = address(url, data_dir)
        if target.startswith("sqlite"):
            path = Path(make_url(target).database or "")
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls("sqlite", target, _sqlite_engine(path), _Sqlite(path))
        most = connections or POOL_SIZE
        pages = max(1, most // PAGES_SHARE)
        engine = create_async_engine(
            "postgresql+asyncpg://",
            # asyncpg reads the address itself: sslmode and socket paths mean what they mean elsewhere.
            async_creator=lambda: asyncpg.connect(target, timeout=CONNECT_SECONDS),
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=pages,
            max_overflow=0,
            pool_timeout=CONNECT_SECONDS,
        )
        return cls("postgresql", target, engine, await _Postgres.connect(target, max(1, most - pages)))

    async def run(self, make: Callable[[], Steps[T]]) -> T:
        """Run steps in one durable transaction; `make` is called again for each try.

        Raises Unavailable where the database is away, and whatever the steps raise, after a rollback.
        """
        return await self._driver.run(walled(make, self.dialect))

    async def run_urgently(self, make: Callable[[], Steps[T]]) -> T:
        """Run steps like `run`, ahead of other work; for steps that may end after their first statement.

        On PostgreSQL that one commits by itself, which saves two of three round trips; what follows has a
        transaction of its own.
        """
        return await self._driver.run_urgently(walled(make, self.dialect))

    async def read(self, make: Callable[[], Steps[T]]) -> T:
        """Run steps that only read, beside the writers; a write in them fails."""
        return await self._driver.read(walled(make, self.dialect))

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Open an SQLAlchemy transaction that writes; on SQLite it takes the write lock first."""
        async with self.engine.execution_options(writes=True).begin() as connection:
            yield connection

    async def ping(self) -> None:
        """Raise Unavailable unless the database answers."""
        await self.read(lambda: ask(_ONE, ()))

    async def close(self) -> None:
        """Finish what was asked and let go of every connection."""
        await self._driver.close()
        await self.engine.dispose()


def lacks_tables(error: BaseException) -> bool:
    """Tell whether a statement failed because the database is not set up, or is older than the program."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith(("no such table", "no such column"))
    return isinstance(error, _MISSING)


def address(url: str | None, data_dir: Path) -> str:
    """Write a DATABASE_URL in the one form each engine has here: `postgresql://…` or `sqlite:////full/path`.

    None is the file in `data_dir`. Raises ValueError for anything else; the message never holds the URL.
    """
    if not url:
        return f"sqlite:///{(data_dir / FILE_NAME).absolute()}"
    scheme, _, rest = url.partition(":")
    if scheme.partition("+")[0] in ("postgres", "postgresql"):
        return f"postgresql:{rest}"
    if scheme.partition("+")[0] == "sqlite":
        path = make_url(f"sqlite:{rest}").database
        if path and path != ":memory:":
            return f"sqlite:///{Path(path).absolute()}"
    raise ValueError("DATABASE_URL must be postgresql://… or sqlite:///path.")


# --- SQLite -------------------------------------------------------------------------------------

# Of a new file: a webhook's body then fits on one page, and is written and checked as one.
PAGE_BYTES = 8192

_PRAGMAS = (
    f"PRAGMA page_size={PAGE_BYTES}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-32000",
    "PRAGMA temp_store=MEMORY",
    # Half as much again as usual: a busy receiver copies the journal back less often. More, and its slowest
    # answers take too long.
    "PRAGMA wal_autocheckpoint=1500",
)


def _sqlite_engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=str(path)), hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: `begin` below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class _Sqlite:
    """The writer thread, and a few threads that only read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = WriterThread(self._connect, "BEGIN IMMEDIATE", "database-writer")
        self._readers = [
            WriterThread(self._connect_reader, "BEGIN", f"database-reader-{n}") for n in range(READER_THREADS)
        ]
        self._turn = 0

    async def run(self, make: Callable[[], Steps[T]]) -> T:
        return await self._writer.submit(make)

    async def run_urgently(self, make: Callable[[], Steps[T]]) -> T:
        return await self._writer.submit(make, urgent=True)

    async def read(self, make: Callable[[], Steps[T]]) -> T:
        self._turn = (self._turn + 1) % len(self._readers)
        return await self._readers[self._turn].submit(make)

    async def close(self) -> None:
        for thread in (self._writer, *self._readers):
            await asyncio.to_thread(thread.close)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=512)
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only=ON")
        return connection


# --- PostgreSQL ---------------------------------------------------------------------------------

_SESSION = {
    "application_name": "regulars",
    # A process that stops in the middle of a transaction must not hold its locks for ever: its work is another's by
    # the end of the lease.
    "idle_in_transaction_session_timeout": "15s",
    # JIT costs more than it gives on statements of a few milliseconds.
    "jit": "off",
    # Every statement of the hot path looks keys up by an index. On tables nobody has analysed yet the planner
    # would rather read them whole, which is slower the more there is; the penalties keep the plan the same.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # And joins are made in the order they are written: keys first. A plan made for empty tables is kept while
    # they grow.
    "join_collapse_limit": "1",
    # Else a plan made while a table has a few hundred rows reads the whole of a small secondary index, for a merchant,
    # in the place of a look into the larger index of the key; and that plan, too, is kept while they grow.
    "cpu_index_tuple_cost": "1",
}


class _Postgres:
    """A pool of asyncpg connections."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, url: str, most: int) -> "_Postgres":
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=most,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                server_settings=_SESSION,
                reset=_leave_as_is,
            )
        except _AWAY as error:
            raise _unavailable(error) from error
        return cls(pool)

    async def run(self, make: Callable[[], Steps[T]]) -> T:
        return await self._tried(lambda connection: _in_transaction(connection, make(), readonly=False))

    async def run_urgently(self, make: Callable[[], Steps[T]]) -> T:
        async def drive(connection: Any) -> T:
            with _given_up(connection):
                return await _first_alone(connection, make())

        return await self._tried(drive)

    async def read(self, make: Callable[[], Steps[T]]) -> T:
        return await self._tried(lambda connection: _in_transaction(connection, make(), readonly=True))

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), CLOSE_SECONDS)
        except (TimeoutError, *_AWAY):
            self._pool.terminate()

    async def _tried(self, drive: Callable[[Any], Awaitable[T]]) -> T:
        for attempt in range(MOST_TRIES):
            try:
                async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection:
                    return await drive(connection)
            except _AGAIN as error:
                meters.DATABASE_RETRIES.labels(_reason(error)).inc()
                if attempt == MOST_TRIES - 1:
                    raise Unavailable("The database is too busy to agree on a change.") from error
                # At random, so that two that met do not meet again.
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 2))  # noqa: S311
            except _AWAY as error:
                raise _unavailable(error) from error
            except asyncpg.InterfaceError as error:
                # The driver's word for mistakes of ours, and for a connection that closed under its transaction.
                if "closed" not in str(error):
                    raise
                raise _unavailable(error) from error
        raise AssertionError("a try ends with a result or an error")


async def _leave_as_is(_connection: Any) -> None:
    """Put a connection back without asking it to forget what nothing here sets: that is a round trip each time."""


async def _in_transaction(connection: Any, steps: Steps[T], readonly: bool) -> T:
    async with connection.transaction(isolation="read_committed", readonly=readonly):
        return await drive_postgres(steps, connection)


async def _first_alone(connection: Any, steps: Steps[T]) -> T:
    later = _BeginsLate(connection)
    try:
        result = await drive_postgres(steps, later)
    except BaseException:
        await later.end(well=False)
        raise
    await later.end(well=True)
    return result


class _BeginsLate:
    """A connection whose transaction begins with the second statement; the first commits by itself."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._transaction: Any = None
        self._statements = 0

    async def fetch(self, sql: str, *arguments: Any) -> Any:
        await self._begin()
        return await self._connection.fetch(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> Any:
        await self._begin()
        return await self._connection.execute(sql, *arguments)

    async def end(self, well: bool) -> None:
        if self._transaction is not None:
            await (self._transaction.commit() if well else self._transaction.rollback())

    async def _begin(self) -> None:
        self._statements += 1
        if self._statements == 2:
            self._transaction = self._connection.transaction(isolation="read_committed")
            await self._transaction.start()


@contextmanager
def _given_up(connection: Any) -> Iterator[None]:
    """Close a connection on which urgent work takes too long: to cancel it politely needs a server that answers."""
    given_up = False

    def give_up() -> None:
        nonlocal given_up
        given_up = True
        connection.terminate()

    late = asyncio.get_running_loop().call_later(URGENT_SECONDS, give_up)
    try:
        yield
    except asyncpg.InterfaceError as error:
        if given_up:
            raise asyncpg.ConnectionDoesNotExistError("it was given up") from error
        raise
    finally:
        late.cancel()


def _reason(error: BaseException) -> str:
    return "deadlock" if isinstance(error, asyncpg.DeadlockDetectedError) else "serialization"


def _unavailable(error: BaseException) -> Unavailable:
    meters.DATABASE_AWAY.inc()
    return Unavailable(f"PostgreSQL cannot be used now ({type(error).__name__}).", retry_after=2.0)
