"""The tea shop with a past, on each engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.backfill.past import Past


@pytest.fixture
async def past(database_url: str, data_dir: Path) -> AsyncIterator[Past]:
    """Half a year of orders that nobody has been told of."""
    async with Past.opened(database_url, data_dir) as past:
        past.lives()
        yield past
