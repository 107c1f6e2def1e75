"""Nora's and Otto's shops, and webhooks that come in and are worked."""

from collections.abc import Mapping
from typing import Any

import pytest

from handlers.inbox.record import Delivery, record_all
from handlers.inbox.work import drain
from handlers.reconcile.store import recovered_of
from tests.integration.shopify.bodies import encoded, order
from tests.visits import NORA, House, Visitor

__all__ = ["came", "order"]


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops on each engine."""
    return await House(database, over={"recovered": recovered_of}).open()


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora's browser."""
    return await house.signed_in(NORA)


async def came(
    house: House, *bodies: Mapping[str, Any] | bytes, topic: str = "orders/paid", shop: str = "nora"
) -> None:
    """Webhooks come to a shop, each under a delivery id of its own, and are worked."""
    ((start,),) = await house.rows("SELECT count(*) FROM events")
    now = house.clock.now()
    deliveries = [
        Delivery(
            "shopify", f"{shop}.myshopify.com", f"delivery-{start + number}", topic, now, now,
            body if isinstance(body, bytes) else encoded(body),
        )
        for number, body in enumerate(bodies)
    ]  # fmt: skip
    assert all(await record_all(house.database, deliveries))
    await drain(house.context)
