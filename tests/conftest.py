"""What every test may ask for: a migrated database on both engines, a queue, a mailbox, samples."""

import asyncio
import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import structlog

from config.commands.run import COLLECT_AFTER
from config.migrate import upgrade
from tests import mailbox as mail
from tests import watched
from tests.databases import TEMPLATE, Databases
from tests.servers import postgres_binaries, private_postgres, private_valkey

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[1]
ENGINES = ("sqlite", "postgresql")
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 << 30  # a run needs a fifth of that


def pytest_configure() -> None:
    """Spare the tests what they have no use for: disks, and pictures of errors."""
    # A test makes and drops hundreds of small files.
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        # For programs the tests start too.
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    # A test that makes something fail has it logged: to draw every frame with its variables takes longer than the test.
    structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback
    watched.start()


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of the garbage collector's rounds, as the program does when it starts."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _has_room(folder: Path) -> bool:
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return False
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize >= MEMORY_BYTES and not system.f_flag & os.ST_NOEXEC


def missing(what: str) -> None:
    """Skip the test with a reason; on a build server what is missing is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop in a thread of its own, so that the test's loop is left alone."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(autouse=True)
def nothing_private_is_logged() -> Iterator[None]:
    """Fail the test whose program logs a person or a secret."""
    watched.again()
    yield
    assert watched.found() == []


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of sample payloads and schemas that lies beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        missing("the folder `shared` beside the repository, with platform samples and schemas")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run one PostgreSQL for the session; yields the address of its maintenance database."""
    binaries = postgres_binaries()
    if binaries is None:
        missing("PostgreSQL's server binaries (Debian: apt-get install postgresql)")
    assert binaries is not None
    # Whoever waits for each other need not do so for a second before it is looked into.
    with private_postgres(binaries, tuned={"deadlock_timeout": "50ms"}) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_databases(postgres: str) -> Iterator[Databases]:
    """Lend fresh, migrated PostgreSQL databases: `with postgres_databases.lent() as url`."""
    apart(_execute(postgres, f"CREATE DATABASE {TEMPLATE}"))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(upgrade, postgres.removesuffix("/postgres") + f"/{TEMPLATE}").result()
    databases = Databases(postgres)
    yield databases
    databases.close()


@pytest.fixture
def postgres_database(postgres_databases: Databases) -> Iterator[str]:
    """Yield the address of a fresh, migrated PostgreSQL database."""
    with postgres_databases.lent() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Return what makes a fresh, migrated SQLite database in a folder: a copy of one migrated once."""
    migrated = tmp_path_factory.mktemp("migrated") / "migrated.db"
    with ThreadPoolExecutor(1) as thread:
        thread.submit(upgrade, f"sqlite:///{migrated}").result()

    def make(folder: Path) -> str:
        path = folder / "regulars.db"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(migrated, path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return the folder the program keeps its files in, new for each test."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, data_dir: Path) -> str:
    """Return the address of a fresh, migrated database; the test runs once on each engine."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_database")(data_dir))
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
async def database(database_url: str, data_dir: Path) -> AsyncIterator[Any]:
    """Yield an opened Database on each engine."""
    from integration.database.engine import Database

    database = await Database.open(database_url, data_dir)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def house(database: Any) -> Any:
    """Return Nora's and Otto's shops, and what browsers may see of them, on each engine."""
    from tests.visits import House

    return await House(database).open()


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """Run one Valkey for the session; yields its address."""
    with private_valkey() as url:
        yield url


@pytest.fixture
def redis_url(valkey: str) -> str:
    """Return the address of a Valkey that is empty when the test starts."""
    from redis import Redis

    with Redis.from_url(valkey) as client:
        client.flushall()
    return valkey


@pytest.fixture
def mailbox() -> Iterator[mail.Mailbox]:
    """Run a mail server for the test; yields the mailbox (`.url`, `.letters`, `.answers`)."""
    box = mail.Mailbox()
    controller = mail.serve(box)
    try:
        yield box
    finally:
        controller.stop()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
