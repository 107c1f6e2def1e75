"""A harbour on each engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.merchants.harbour import Harbour, opened_harbour


@pytest.fixture
async def harbour(database_url: str, data_dir: Path) -> AsyncIterator[Harbour]:
    """The program twice on one database, and a shop that has just installed it."""
    async with opened_harbour(database_url, data_dir) as harbour:
        yield harbour
