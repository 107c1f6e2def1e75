"""What Shopify's four kinds of discount codes have in common: made under our code, found by it, switched off by it.

One discount a customer (bound to them, one use), or many codes under one parent discount (Built for Shopify 5.5.3),
whose codes are unguessable but hold for whoever types them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from handlers.rewards.kinds import Asked, Declined, Fate, Issued, Outcome, Platform, Wanted
from handlers.rewards.kinds.shopify_codes import TAKEN, SharedCodes, find, only, refuse, said
from integration.clock import to_iso
from integration.errors import Unavailable
from integration.money import to_decimal

TAG = "regulars"


@dataclass(frozen=True, slots=True)
class Discount:
    """A kind of discount code: the document that makes it, and what is particular of its input."""

    name: str
    document: str
    particulars: Callable[[Wanted], Mapping[str, Any]]
    platform: str = "shopify"
    alone: bool = False
    purse: None = None

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Outcome:
        """Make the discount under our code, or add the code to its parent; never twice."""
        if wanted.reward.shared:
            return (await self.bulk.issue_all(at, [Asked(wanted, again)]))[0]
        if again:
            found = await find(at, wanted.code)
            if found is not None:
                return _issued(wanted, found.id)
        return await self._make(at, wanted)

    @property
    def bulk(self) -> "SharedCodes":
        """What adds codes to the discount they share."""
        return SharedCodes(self._make)

    async def _make(self, at: Platform, wanted: Wanted) -> Outcome:
        answer = await at.shopify(self.document, {"discount": {**frame(wanted), **self.particulars(wanted)}})
        made = only(answer)
        errors = made.get("userErrors") or []
        if any(error.get("code") == TAKEN for error in errors):
            # Somebody made it under our code, which nobody can guess: it was us.
            found = await find(at, wanted.code)
            if found is not None:
                return _issued(wanted, found.id)
        if errors:
            return Declined(said(errors))
        node = made.get("codeDiscountNode")
        if not isinstance(node, dict) or not node.get("id"):
            raise Unavailable("Shopify made a discount and does not say which")
        return _issued(wanted, str(node["id"]))

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Fate:
        """Switch a code off; one that was used stays used.

        A discount of its own is deactivated, which keeps its history; a code under a parent is deleted from it.
        """
        if wanted.reward.shared:
            return Fate((await self.bulk.take_back_all(at, [wanted]))[0])
        found = await find(at, wanted.code)
        if found is None:
            return Fate("gone")
        if found.uses:
            return Fate("used")
        if not found.is_off:
            refuse(only(await at.shopify("reward_switch_off", {"id": found.id})))
            # It may have been used between the look and the switch: then the points stay spent.
            found = await find(at, wanted.code)
        return Fate("used" if found is not None and found.uses else "gone")


def selection(wanted: Wanted) -> dict[str, Any]:
    """Say who may use a discount: its customer where they have an account, else whoever knows the code."""
    if wanted.buyer is not None and not wanted.reward.shared:
        return {"customers": {"add": [f"gid://shopify/Customer/{wanted.buyer}"]}}
    return {"all": "ALL"}


def frame(wanted: Wanted) -> dict[str, Any]:
    """Write what every code discount says of itself, whatever it takes off."""
    reward, shared = wanted.reward, wanted.reward.shared
    return {
        "title": reward.name if shared else wanted.title,
        "code": wanted.code,
        "startsAt": to_iso(wanted.starts_at),
        # Codes under one parent have one end: ours lapse by being switched off.
        "endsAt": None if shared or wanted.expires_at is None else to_iso(wanted.expires_at),
        "usageLimit": None if shared else 1,
        "appliesOncePerCustomer": True,
        "tags": [TAG],
        "context": selection(wanted),
        "combinesWith": {
            "orderDiscounts": reward.with_order_discounts,
            "productDiscounts": reward.with_product_discounts,
            "shippingDiscounts": reward.with_shipping_discounts,
        },
        "minimumRequirement": {"subtotal": {"greaterThanOrEqualToSubtotal": f"{reward.min_order:f}"}}
        if reward.min_order
        else None,
    }


def items(wanted: Wanted) -> dict[str, Any]:
    """Say what a discount is for: some products, some collections, or everything."""
    reward = wanted.reward
    if reward.products:
        return {"products": {"productsToAdd": [f"gid://shopify/Product/{each}" for each in reward.products]}}
    if reward.collections:
        return {"collections": {"add": [f"gid://shopify/Collection/{each}" for each in reward.collections]}}
    return {"all": True}


def money(wanted: Wanted) -> str:
    """Write what a reward is worth as Shopify's decimal text."""
    return f"{to_decimal(wanted.value_minor, wanted.currency):f}"


def _issued(wanted: Wanted, discount: str) -> Issued:
    return Issued(discount, parent=discount if wanted.reward.shared else None)
