"""A shop whose campaign is for a collection, on each engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.collections.shelf import Shelf
from tests.handlers.reconcile.market import opened_market


@pytest.fixture
async def shelf(database_url: str, data_dir: Path) -> AsyncIterator[Shelf]:
    """The shop with a cup in its collection."""
    async with opened_market(database_url, data_dir) as market:
        yield await Shelf(market).open()
