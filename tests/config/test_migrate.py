"""Migrations: they make the declared tables, from anywhere, once, whoever comes at the same time."""

import ast
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from config.migrate import _alembic, _changed, _in_transaction, _index, differences, upgrade
from tests.conftest import ENGINES, REPOSITORY, apart


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/new.db"
    import asyncpg

    maintenance = request.getfixturevalue("postgres")

    async def create() -> None:
        connection = await asyncpg.connect(maintenance)
        await connection.execute("DROP DATABASE IF EXISTS empty")
        await connection.execute("CREATE DATABASE empty")
        await connection.close()

    apart(create())
    return str(maintenance).removesuffix("/postgres") + "/empty"


def in_thread(work, *arguments):
    """Run a synchronous migration step away from any loop of the test."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work, *arguments).result()


def missing_tables(url):
    """Return the names of declared tables the database lacks."""
    return {change[1].name for change in in_thread(differences, url) if change[0] == "add_table"}


def test_migrations_make_exactly_the_tables_the_code_declares(database_url):
    """A table changed in a store.py and forgotten in the revisions shows here, on both engines."""
    assert in_thread(differences, database_url) == []


def test_an_empty_database_lacks_every_table(empty_url):
    """The comparison above can fail: before the first revision it names the tables."""
    assert {"events", "sales", "ledger_entries", "messages"} <= missing_tables(empty_url)


def test_migrating_twice_changes_nothing_the_second_time(empty_url):
    """Every start migrates, so a second run must be harmless."""
    in_thread(upgrade, empty_url)
    after_one = in_thread(differences, empty_url)
    in_thread(upgrade, empty_url)
    assert str(in_thread(differences, empty_url)) == str(after_one)
    assert not missing_tables(empty_url)


def test_processes_that_migrate_at_once_wait_for_each_other(empty_url, tmp_path):
    """Three machines of a new release start together, from a folder that is not the repository."""
    program = "import sys; from config.migrate import upgrade; upgrade(sys.argv[1])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty_url],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    outcomes = [(process.communicate()[1].decode()[-500:], process.returncode) for process in processes]
    assert outcomes == [("", 0)] * 3
    assert not missing_tables(empty_url)


def test_a_database_that_cannot_be_reached_is_an_error():
    """A wrong address must stop the start, not be taken for an up-to-date database."""
    with pytest.raises(OSError):
        in_thread(upgrade, "postgresql://nobody@127.0.0.1:1/none")


def test_names_of_files_leave_the_journal(empty_url):
    """What releases before wrote there of imports; the rest of a line stays, and so do all other lines."""
    lines = {
        "import:1": ('{"file": "Ana Quaxington.csv", "lines": 2, "micropoints": 5}', {"lines": 2, "micropoints": 5}),
        "import:2": (None, None),
        "programme": ('{"file": "x"}', {"file": "x"}),
    }

    def before(connection):
        settings = _alembic()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0024")
        for about, (detail, _) in lines.items():
            row = {"about": about, "detail": detail}
            line = "INSERT INTO journal (merchant_id, at, mark, who, did, about, detail) VALUES (1, 1, :about, '', '',"
            connection.execute(text(f"{line} :about, :detail)"), row)

    def after(connection):
        found = connection.execute(text("SELECT about, detail FROM journal")).all()
        return {about: detail and json.loads(detail) for about, detail in found}

    in_thread(lambda: _in_transaction(empty_url, before, locked=True))
    in_thread(upgrade, empty_url)
    shown = in_thread(lambda: _in_transaction(empty_url, after, locked=False))
    assert shown == {about: kept for about, (_, kept) in lines.items()}


def test_an_index_of_a_table_that_holds_something_is_made_without_locking_it(postgres_database):
    """And one that an earlier process left unfinished is made anew."""
    import asyncpg

    async def prepare():
        connection = await asyncpg.connect(postgres_database)
        await connection.execute(
            "INSERT INTO events (source, connection, delivery_id, topic, received_at, next_attempt_at)"
            " VALUES ('shopify', 'lavender', 'w1', 'note', 1, 1)"
        )
        await connection.execute("DROP INDEX ix_events_waiting")
        await connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_events_leased'::regclass"
        )
        await connection.close()

    async def valid():
        connection = await asyncpg.connect(postgres_database)
        names = "('ix_events_waiting'::regclass, 'ix_events_leased'::regclass)"
        found = await connection.fetch(f"SELECT indisvalid FROM pg_index WHERE indexrelid IN {names}")
        await connection.close()
        return [row[0] for row in found]

    apart(prepare())
    in_thread(upgrade, postgres_database)
    assert apart(valid()) == [True, True]
    assert in_thread(differences, postgres_database) == []


def test_an_index_goes_only_when_what_takes_its_place_is_there(empty_url):
    """Processes of both releases look entries up meanwhile; without any index each would read the whole ledger."""
    seen = []

    def before(connection):
        settings = _alembic()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0025")
        connection.execute(
            text(
                "INSERT INTO ledger_entries (merchant_id, number, key, source, destination, micropoints, reason, at)"
                " VALUES (1, 1, 'k', 'a', 'b', 1, 'accrual', 1)"
            )
        )

    def indexes(connection):
        found = {index["name"] for index in inspect(connection).get_indexes("ledger_entries")}
        return {name for name in found if "source" in name}

    def step(connection):
        seen.append(indexes(connection))

    in_thread(lambda: _in_transaction(empty_url, before, locked=False))
    in_thread(lambda: _in_transaction(empty_url, step, locked=False))
    in_thread(upgrade, empty_url)
    in_thread(lambda: _in_transaction(empty_url, step, locked=False))
    assert seen == [{"ix_ledger_entries_source"}, {"ix_ledger_entries_source_at"}]
    assert in_thread(differences, empty_url) == []


def test_an_index_in_use_is_not_dropped_within_the_change(postgres_database):
    """It is named instead, to be dropped when the new ones are finished."""

    async def change():
        engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(postgres_database))
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO books (merchant_id) VALUES (1)"))
            await connection.execute(text("CREATE INDEX ix_former ON books (head)"))
            await connection.execute(text("CREATE INDEX ix_bare ON ledger_entries (reason)"))

        def run(connection):
            for name in ("ix_former", "ix_bare"):
                connection.execute(text(f"DROP INDEX {name}"))

        def there(connection):
            found = [
                one["name"] for table in ("books", "ledger_entries") for one in inspect(connection).get_indexes(table)
            ]
            return [name for name in ("ix_former", "ix_bare") if name in found]

        async def left():
            async with engine.begin() as connection:
                return await connection.run_sync(there)

        _, idle = await _changed(engine, run)
        before = await left()
        await _index(engine, idle)
        after = await left()
        await engine.dispose()
        return idle, before, after

    import asyncpg

    assert apart(change()) == (["ix_former"], ["ix_former"], [])


GONE = {"drop_table", "drop_column", "rename_table", "drop_constraint"}


def expands(source):
    """Return what a revision's upgrade does that an older release beside it could not live with."""
    upgrade = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == "upgrade")
    wrong = []
    for call in (node for node in ast.walk(upgrade) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        if name in GONE or (name == "alter_column" and words != {"nullable": "True"}):
            wrong.append(name)
        if name == "add_column":
            column = next(arg for arg in call.args if isinstance(arg, ast.Call))
            told = {word.arg: ast.unparse(word.value) for word in column.keywords}
            if told.get("nullable") == "False" and "server_default" not in told:
                wrong.append("add_column")
    return wrong


def test_revisions_only_add():
    """Two releases run beside each other while a new one is rolled out, so nothing an older one uses may go."""
    for path in sorted((REPOSITORY / "config/migrations/versions").glob("[0-9]*.py")):
        if not path.name.startswith("0001"):
            assert expands(path.read_text()) == [], path.name


@pytest.mark.parametrize(
    "statement",
    [
        "op.drop_table('sales')",
        "op.drop_column('sales', 'facts')",
        "op.rename_table('sales', 'purchases')",
        "op.alter_column('sales', 'facts', nullable=False)",
        "op.alter_column('sales', 'facts', new_column_name='told')",
        "op.add_column('sales', sa.Column('more', sa.Text(), nullable=False))",
    ],
)
def test_a_revision_that_takes_away_is_noticed(statement):
    """The rule above can fail."""
    assert expands(f"def upgrade():\n    {statement}\n")
