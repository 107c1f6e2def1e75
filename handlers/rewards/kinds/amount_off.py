"""Money off an order, as a Shopify discount code."""

from typing import Any

from handlers.rewards.kinds import Wanted, shopify_discounts


def _takes_off(wanted: Wanted) -> dict[str, Any]:
    """A fixed amount, once for the order."""
    amount = {"amount": shopify_discounts.money(wanted), "appliesOnEachItem": False}
    return {"customerGets": {"value": {"discountAmount": amount}, "items": shopify_discounts.items(wanted)}}


AMOUNT_OFF = shopify_discounts.Discount("amount_off", "reward_basic", _takes_off)
