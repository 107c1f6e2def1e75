"""Nora's shop for the tests of the programme page."""

from typing import Any

import pytest

from tests.handlers.messages.stage import Stage


@pytest.fixture
async def nora(database: Any) -> Stage:
    """Nora's shop on each engine, its mails kept in memory."""
    return await Stage(database).open()
