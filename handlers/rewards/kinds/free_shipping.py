"""Shipping for nothing, as a Shopify discount code."""

from typing import Any

from handlers.rewards.kinds import Wanted, shopify_discounts


def _takes_off(wanted: Wanted) -> dict[str, Any]:
    """What shipping costs, wherever it goes."""
    return {"destination": {"all": True}}


FREE_SHIPPING = shopify_discounts.Discount("free_shipping", "reward_shipping", _takes_off)
