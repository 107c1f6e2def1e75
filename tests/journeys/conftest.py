"""One running program a database engine for all journeys, with a mailbox it sends to."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mailbox as mail
from tests.conftest import _execute, _named, apart
from tests.journeys.street import Street

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop, in which the program runs while a journey is played."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def street(
    request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Street]:
    """The program, running, on one database."""
    folder: Path = tmp_path_factory.mktemp("street")
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_database")(folder)
    else:
        server: str = request.getfixturevalue("migrated_postgres")
        name = f"street_{next(_numbers)}"
        apart(_execute(server, f"CREATE DATABASE {name} TEMPLATE migrated"))
        url = _named(server, name)
    box = mail.Mailbox()
    controller = mail.serve(box)
    opening = Street.opened(url, folder, box)
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))
    controller.stop()
