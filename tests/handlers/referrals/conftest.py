"""A shop in which Ana brings friends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.reconcile.market import opened_market
from tests.handlers.referrals.circle import Circle
from tests.handlers.rewards.counter import Counter


@pytest.fixture
async def circle(database_url: str, data_dir: Path) -> AsyncIterator[Circle]:
    """Ana with her link, and a code a friend got by it; ten off for a friend, a thousand points for her."""
    async with opened_market(database_url, data_dir) as market:
        yield await Circle(await Counter(market).open()).open()
