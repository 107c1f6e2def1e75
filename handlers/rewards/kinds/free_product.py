"""One product for nothing, as a Shopify discount code."""

from typing import Any

from handlers.rewards.kinds import Wanted, shopify_discounts


def _takes_off(wanted: Wanted) -> dict[str, Any]:
    """The price of one piece, off this product alone."""
    # Its price off this product, once for the order: a percentage would give away every piece of it.
    amount = {"amount": shopify_discounts.money(wanted), "appliesOnEachItem": False}
    return {"customerGets": {"value": {"discountAmount": amount}, "items": shopify_discounts.items(wanted)}}


FREE_PRODUCT = shopify_discounts.Discount("free_product", "reward_basic", _takes_off)
