"""Migrations: they make the declared tables, from anywhere, once, whoever comes at the same time."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.migrate import differences, upgrade
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
