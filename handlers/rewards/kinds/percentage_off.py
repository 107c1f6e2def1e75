"""A share off an order, as a Shopify discount code."""

from typing import Any

from handlers.rewards.kinds import Wanted, shopify_discounts


def _takes_off(wanted: Wanted) -> dict[str, Any]:
    """A share of what it is for; Shopify writes 10 % as 0.1."""
    share = float(wanted.reward.percent / 100)
    return {"customerGets": {"value": {"percentage": share}, "items": shopify_discounts.items(wanted)}}


PERCENTAGE_OFF = shopify_discounts.Discount("percentage_off", "reward_basic", _takes_off)
