"""Every sample payload of both platforms is signed, delivered and worked without an error."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.samples import every, read
from tests.journeys.street import Street
from tests.journeys.town import Town
from tests.oracle.tellings import Delivery

GOOD = {"applied", "waiting", "unhandled"}


@pytest.mark.parametrize("path", every("shopify"))
def test_a_shopify_sample_is_worked(street: Street, runner: asyncio.Runner, path: Path | None) -> None:
    """Stored, read or set aside; never dead, never suspect under its own name."""
    body, topic = read(path), path.stem.replace("__", "/") if path else ""
    runner.run(_worked(street, Delivery("shopify", "jsmith.myshopify.com", topic, f"sample-{topic}", body)))


@pytest.mark.parametrize("path", every("stripe_events"))
def test_a_stripe_sample_is_worked(street: Street, runner: asyncio.Runner, path: Path | None) -> None:
    """Snapshot events of present and older API versions, and thin ones."""
    body = read(path)
    runner.run(_worked(street, Delivery("stripe", "corner-stripe", body["type"], body["id"], body)))


async def _worked(street: Street, delivery: Delivery) -> None:
    town = Town(street, street.number(), "once", None)
    await town.open(shop="jsmith" if delivery.platform == "shopify" else None)
    try:
        await town.is_stripe_account("acct_1Merchant0000001")
        here = delivery if delivery.platform == "shopify" else town.here(delivery)
        assert await town.post(here) == 200
        await street.idle()
        events: list[tuple[Any, ...]] = await town.rows("SELECT outcome, reason, failed_at FROM events")
        assert len(events) == 1
        outcome, reason, failed_at = events[0]
        assert outcome in GOOD and failed_at is None, reason
    finally:
        await street.close(town.merchant)
