"""Ana's own page in a shop that gives five off for 500 points."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handlers.account import desk
from tests.handlers.account.guests import Guest
from tests.handlers.reconcile.market import opened_market
from tests.handlers.rewards.counter import Counter


@pytest.fixture
async def ana(database_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Guest]:
    """Ana's browser; nobody waits for a reward that only the test has made."""
    monkeypatch.setattr(desk, "MOST_LOOKS", 1)
    monkeypatch.setattr(desk, "LOOK_SECONDS", 0)
    async with opened_market(database_url, data_dir) as market:
        counter = await Counter(market).open()
        yield Guest(counter)
