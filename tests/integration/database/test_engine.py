"""One way to run steps on either engine: all or nothing, durable, and honest when the database is away."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from integration.database import engine
from integration.database.engine import Database, address
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain
from integration.errors import Unavailable
from tests.databases import OURS
from tests.servers import postgres_binaries, private_postgres

ADD = insert("accounts", merchant_id=BIG, account=TEXT, micropoints=BIG)
ALL = plain("SELECT account, micropoints FROM accounts ORDER BY account")
BUMP = keyed(
    "UPDATE accounts SET micropoints = accounts.micropoints + 1 FROM {keys} k"
    " WHERE accounts.merchant_id = 1 AND accounts.account = k.account",
    account=TEXT,
)


def add(*names: str) -> Any:
    return lambda: ask(ADD, [(1, name, 0) for name in names])


async def accounts(database: Database) -> list[Any]:
    return await database.read(lambda: ask(ALL, ()))


async def test_steps_that_fail_leave_nothing_behind(database: Database) -> None:
    """One transaction: what came before the failure is rolled back, and the next one starts clean."""

    def half() -> Steps[None]:
        yield from ask(ADD, [(1, "ada", 5)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(half)
    await database.run(add("bob"))
    assert await accounts(database) == [("bob", 0)]


async def test_a_database_error_can_be_caught_inside_the_steps(database: Database) -> None:
    """A savepoint keeps the transaction usable after a refused statement."""

    def careful() -> Steps[str]:
        yield from ask(ADD, [(1, "ada", 0)])
        yield from ask(plain("SAVEPOINT before"), ())
        try:
            yield from ask(ADD, [(1, "ada", 0)])
        except (sqlite3.IntegrityError, asyncpg.UniqueViolationError):
            yield from ask(plain("ROLLBACK TO SAVEPOINT before"), ())
            return "refused"
        return "taken"

    assert await database.run(careful) == "refused"
    assert await accounts(database) == [("ada", 0)]


async def test_many_transactions_at_once_all_count(database: Database) -> None:
    """Rows taken in opposite orders deadlock on PostgreSQL: those transactions are tried again."""
    await database.run(add("ada", "bob"))

    def bump(order: list[str]) -> Steps[None]:
        for name in order:
            yield from ask(BUMP, [(name,)])

    orders = [["ada", "bob"], ["bob", "ada"]] * 3
    await asyncio.gather(*(database.run(lambda o=order: bump(o)) for order in orders))
    assert await accounts(database) == [("ada", 6), ("bob", 6)]


async def test_a_read_cannot_write(database: Database) -> None:
    """What runs beside the writers must not take part in writing."""
    with pytest.raises((sqlite3.OperationalError, asyncpg.PostgresError, Unavailable)):
        await database.read(add("ada"))
    assert await accounts(database) == []


async def test_pages_and_steps_see_the_same_rows(database: Database) -> None:
    """SQLAlchemy's engine and the hot path are two doors to one database."""
    async with database.begin() as connection:
        await connection.execute(text("INSERT INTO accounts VALUES (1, 'ada', 7)"))
    assert await accounts(database) == [("ada", 7)]
    await database.run(add("bob"))
    async with database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM accounts"))).scalar() == 2


async def test_errors_never_show_what_was_written(database: Database) -> None:
    """SQLAlchemy's errors print parameters, which are people's data, unless told not to."""
    with pytest.raises(Exception, match=r"hidden|hide_parameters") as caught:
        async with database.begin() as connection:
            for _ in range(2):
                await connection.execute(text("INSERT INTO accounts VALUES (1, :name, 0)"), {"name": "ada@example.com"})
    assert "[parameters: " not in str(caught.value)


async def test_a_cancelled_asker_does_not_break_the_next(database: Database) -> None:
    """Who hangs up while waiting leaves a transaction that is whole or not there."""
    asking = asyncio.create_task(database.run(add("ada")))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await database.run(add("bob"))
    assert ("bob", 0) in await accounts(database)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "sqlite:////shop/data/regulars.db"),
        ("sqlite:////var/shop.db", "sqlite:////var/shop.db"),
        ("postgres://ada:pw@db/shop?sslmode=require", "postgresql://ada:pw@db/shop?sslmode=require"),
        ("postgresql+asyncpg://db/shop", "postgresql://db/shop"),
    ],
)
def test_addresses_are_written_one_way(url: str | None, expected: str) -> None:
    """Operators write them as their platform does."""
    assert address(url, Path("/shop/data")) == expected


@pytest.mark.parametrize("url", ["mysql://ada:secret@db/shop", "sqlite://", "sqlite:///:memory:", "shop.db"])
def test_other_addresses_are_refused_without_repeating_them(url: str) -> None:
    """An address may hold a password."""
    with pytest.raises(ValueError, match=r"DATABASE_URL must be") as caught:
        address(url, Path("/shop"))
    assert "secret" not in str(caught.value)


# --- SQLite -------------------------------------------------------------------------------------


@pytest.fixture
async def sqlite(sqlite_database: Any, data_dir: Path) -> Any:
    database = await Database.open(sqlite_database(data_dir), data_dir)
    yield database
    await database.close()


async def test_every_sqlite_door_is_durable_and_checks_foreign_keys(sqlite: Database) -> None:
    """WAL alone would lose what was answered with 200 when the power goes: FULL syncs each commit."""
    for name, expected in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
        statement = f"SELECT * FROM pragma_{name}"
        assert await sqlite.run(lambda s=statement: ask(plain(s), ())) == [(expected,)]
        async with sqlite.engine.connect() as connection:
            assert (await connection.execute(text(statement))).scalar() == expected


async def test_records_go_before_other_waiting_work(sqlite: Database) -> None:
    """Somebody waits for the answer to a webhook; nobody waits for a batch."""
    gate, order = threading.Event(), []

    def hold() -> Steps[None]:
        gate.wait(10)
        return
        yield

    def note(name: str) -> Steps[None]:
        order.append(name)
        return
        yield

    tasks = [asyncio.create_task(sqlite.run(hold))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(sqlite.run(lambda: note("batch"))) for _ in range(2)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(sqlite.run_urgently(lambda: note("record"))))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["record", "batch", "batch"]


async def test_a_lock_that_is_held_too_long_is_said_to_pass(
    sqlite: Database, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the file: try again later, nothing is broken."""
    await sqlite.run(lambda: ask(plain("PRAGMA busy_timeout=10"), ()))
    other = sqlite3.connect(data_dir / "regulars.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        await sqlite.run(add("ada"))
    other.execute("ROLLBACK")
    other.close()
    await sqlite.run(add("ada"))
    assert await accounts(sqlite) == [("ada", 0)]


async def test_a_full_disk_is_said_to_pass(sqlite: Database) -> None:
    """Writes are refused until there is room, reads go on, and it heals by itself."""
    (pages,) = (await sqlite.run(lambda: ask(plain("SELECT * FROM pragma_page_count"), ())))[0]
    await sqlite.run(lambda: ask(plain(f"PRAGMA max_page_count={pages}"), ()))
    with pytest.raises(Unavailable, match="full"):
        await sqlite.run(add(*(f"{n:0500}" for n in range(1000))))
    assert await accounts(sqlite) == []
    await sqlite.run(lambda: ask(plain("PRAGMA max_page_count=100000"), ()))
    await sqlite.run(add("ada"))
    assert await accounts(sqlite) == [("ada", 0)]


async def test_a_mistake_in_a_statement_is_not_taken_for_bad_weather(sqlite: Database) -> None:
    """Trying again would never help."""
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await sqlite.run(lambda: ask(plain("SELECT * FROM nowhere"), ()))


# --- PostgreSQL ---------------------------------------------------------------------------------


async def test_a_postgresql_that_goes_away_is_unavailable_and_heals() -> None:
    """Connections that were cut are replaced when the server is back."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("needs PostgreSQL's server binaries")
    with private_postgres(binaries) as url:
        database = await Database.open(url, Path("/nowhere"))
        await database.ping()
        admin = await asyncpg.connect(url)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        await admin.close()
        outcomes = [await _tried(database) for _ in range(3)]
        assert outcomes[-1] is True and set(outcomes) <= {True, "Unavailable"}
    assert await _tried(database) == "Unavailable"
    await database.close()


async def _tried(database: Database) -> Any:
    try:
        await database.ping()
    except Unavailable as error:
        return type(error).__name__
    return True


@pytest.mark.parametrize("way", ["run", "read"])
async def test_a_connection_that_closes_under_its_transaction_is_the_database_away(
    postgres_database: str, way: str
) -> None:
    """The driver then speaks of its interface; whoever asked must hear that it passes, and try again."""
    database = await Database.open(postgres_database, Path("/nowhere"))

    def cut_off() -> Steps[None]:
        yield from ask(plain("SELECT 1"), ())
        for holder in database._driver._pool._holders:  # type: ignore[attr-defined]
            if holder._con is not None:
                holder._con._transport.abort()
        yield from ask(plain("SELECT 2"), ())

    with pytest.raises(Unavailable):
        await getattr(database, way)(cut_off)
    await database.ping()
    await database.close()


async def test_a_postgresql_that_is_not_there_is_said_without_its_address() -> None:
    """The address holds a password."""
    with pytest.raises(Unavailable) as caught:
        await Database.open("postgresql://ada:secret@127.0.0.1:1/shop", Path("/nowhere"))
    assert "secret" not in str(caught.value)


async def test_a_small_pool_serves_everybody_in_turn(postgres_database: str) -> None:
    """Two connections, one of them for pages: a hundred transactions wait for each other and none fails."""
    database = await Database.open(postgres_database, Path("/nowhere"), connections=2)
    try:
        await asyncio.gather(*(database.run(add(f"a{n}")) for n in range(100)))
        async with database.engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM accounts"))).scalar() == 100
            ours = plain(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> ?1"
            )
            ((count,),) = await database.read(lambda: ask(ours, (OURS,)))
        assert count == 2
    finally:
        await database.close()


async def test_urgent_work_gives_its_connection_up_when_it_takes_too_long(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked has hung up by then; a lock somebody else holds must not fill the pool with waits."""
    monkeypatch.setattr(engine, "URGENT_SECONDS", 0.2)
    database = await Database.open(postgres_database, Path("/nowhere"), connections=2)
    other = await asyncpg.connect(postgres_database)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Unavailable):
                await database.run_urgently(add("ada"))
        await database.run_urgently(add("bob"))
        assert await accounts(database) == [("bob", 0)]
    finally:
        await other.close()
        await database.close()


async def test_urgent_steps_that_go_on_have_a_transaction_for_the_rest(postgres_database: str) -> None:
    """The first statement stands by itself; what comes after it is kept whole or not at all."""

    def three(last: str) -> Steps[None]:
        yield from ask(ADD, [(1, "first", 0)])
        yield from ask(ADD, [(1, "second", 0)])
        yield from ask(ADD, [(1, last, 0)])

    database = await Database.open(postgres_database, Path("/nowhere"))
    try:
        with pytest.raises(asyncpg.UniqueViolationError):
            await database.run_urgently(lambda: three("second"))
        assert await accounts(database) == [("first", 0)]
        await database.run(lambda: ask(plain("DELETE FROM accounts"), ()))
        await database.run_urgently(lambda: three("third"))
        assert await accounts(database) == [("first", 0), ("second", 0), ("third", 0)]
    finally:
        await database.close()
