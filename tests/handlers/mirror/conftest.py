"""A shop whose customers have points, and which lets us tell it so."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.handlers.reconcile.market import Market, opened_market
from tests.handlers.rewards.counter import SCOPES, Counter


@pytest.fixture
async def counter(database_url: str, data_dir: Path) -> AsyncIterator[Counter]:
    """The counter of Ana's shop, which grants us to write beside its customers."""
    async with opened_market(database_url, data_dir) as market:
        counter = await Counter(market).open()
        await grants(market, *SCOPES, "write_customers")
        counter.stall.shop.scopes = (*SCOPES, "write_customers")
        yield counter


async def grants(market: Market, *scopes: str) -> None:
    """Keep what the shop lets us do, as it told when it was connected."""
    told = "[" + ", ".join(f'"{scope}"' for scope in sorted(scopes)) + "]"
    async with market.context.engine.begin() as connection:
        await connection.execute(text("UPDATE connections SET scopes = :s WHERE platform = 'shopify'"), {"s": told})
