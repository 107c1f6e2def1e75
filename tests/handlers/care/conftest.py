"""Nora's tea shop, as in the tests of messages."""

from typing import Any

import pytest

from tests.handlers.messages.stage import Stage


@pytest.fixture
async def nora(database: Any) -> Stage:
    """Return Nora's shop on each engine, open and selling."""
    return await Stage(database).open()
