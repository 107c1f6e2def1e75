"""A market on each engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.reconcile.market import Market, Stall, opened_market


@pytest.fixture
async def market(database_url: str, data_dir: Path) -> AsyncIterator[Market]:
    """The program and the pretend platforms on one database."""
    async with opened_market(database_url, data_dir) as market:
        yield market


@pytest.fixture
async def stall(market: Market) -> Stall:
    """A merchant with a shop and a key to it."""
    return await market.open_stall()
