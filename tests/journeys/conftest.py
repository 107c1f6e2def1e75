"""One running program a database engine for all journeys, with a mailbox it sends to."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop

from tests import mailbox as mail
from tests.databases import Databases
from tests.journeys.street import Street


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop, in which the program runs while a journey is played."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def street(
    request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Street]:
    """The program, running, on one database."""
    folder: Path = tmp_path_factory.mktemp("street")
    with ExitStack() as stack:
        if request.param == "sqlite":
            url: str = request.getfixturevalue("sqlite_database")(folder)
        else:
            databases: Databases = request.getfixturevalue("postgres_databases")
            url = stack.enter_context(databases.lent())
        box = mail.Mailbox()
        controller = mail.serve(box)
        opening = Street.opened(url, folder, box)
        yield runner.run(opening.__aenter__())
        runner.run(opening.__aexit__(None, None, None))
        controller.stop()
