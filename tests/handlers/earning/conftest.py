"""Nora's shop, where occasions bring points."""

from typing import Any

import pytest

from tests.handlers.earning.fair import WAYS, Fair


@pytest.fixture
async def nora(database: Any) -> Fair:
    """Nora's shop: points for every occasion, orders are held for two weeks, and no letters."""
    fair = Fair(database)
    await fair.open()
    off = {"enabled": False}
    await fair.set({"ways": WAYS, "thanks": off, "reviews": off, "earning": {"hold_days": 14}}, at=0)
    return fair
