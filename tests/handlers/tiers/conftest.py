"""Nora's shop, where regulars have tiers."""

from typing import Any

import pytest

from tests.handlers.messages.stage import Stage
from tests.handlers.tiers.ladder import LADDER


@pytest.fixture
async def nora(database: Any) -> Stage:
    """Nora's shop: silver for 50 euros within twelve months, gold for 150, no hold, and no letters."""
    stage = await Stage(database).open()
    await stage.set({"tiers": LADDER, "thanks": {"enabled": False}, "reviews": {"enabled": False}}, at=0)
    return stage
