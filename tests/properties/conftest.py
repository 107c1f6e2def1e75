"""Hypothesis profiles, and one stage a database engine for all examples."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, settings

from tests.databases import Databases
from tests.properties.plays import Stage

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

# REGULARS_EXAMPLES=2000 looks further, with another seed each time; a build server repeats itself.
EXAMPLES = int(os.environ.get("REGULARS_EXAMPLES", "60"))
SHRINK = "REGULARS_SHRINK" in os.environ
settings.register_profile(
    "ends",
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="REGULARS_EXAMPLES" not in os.environ,
    print_blob=True,
    suppress_health_check=SLOW,
    report_multiple_bugs=False,
    # An example is a whole history: what it shrinks to is not worth minutes of a build server's time.
    phases=(Phase.explicit, Phase.reuse, Phase.generate, *((Phase.shrink,) if SHRINK else ())),
)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all examples; hypothesis calls its tests from outside a loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def stage(
    request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """The whole program on one database; every example is another merchant in it."""
    folder: Path = tmp_path_factory.mktemp("stage")
    with ExitStack() as stack:
        if request.param == "sqlite":
            make: Callable[[Path], str] = request.getfixturevalue("sqlite_database")
            url = make(folder)
        else:
            databases: Databases = request.getfixturevalue("postgres_databases")
            url = stack.enter_context(databases.lent())
        opening = Stage.opened(url, folder)
        yield runner.run(opening.__aenter__())
        runner.run(opening.__aexit__(None, None, None))
