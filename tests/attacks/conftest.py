"""The running program, as the journeys have it, and a shop somebody means ill."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.attacks.target import Target
from tests.journeys.conftest import runner, street
from tests.journeys.street import Street
from tests.journeys.town import Town

__all__ = ["runner", "street"]


@pytest.fixture
def target(street: Street, runner: asyncio.Runner) -> Iterator[Target]:
    """One shop with both platforms connected; what is sent to it can be counted."""
    town = Town(street, street.number(), "once", None)
    runner.run(town.open())
    yield Target(town, runner)
    runner.run(street.close(town.merchant))
