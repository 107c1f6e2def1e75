"""A shop whose customers have points and whose programme offers rewards."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.reconcile.market import opened_market
from tests.handlers.rewards.counter import Counter


@pytest.fixture
async def counter(database_url: str, data_dir: Path) -> AsyncIterator[Counter]:
    """The counter of Ana's shop, where points are spent."""
    async with opened_market(database_url, data_dir) as market:
        yield await Counter(market).open()
