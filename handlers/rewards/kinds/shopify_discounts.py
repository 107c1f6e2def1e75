"""What Shopify's four kinds of discount codes have in common: made under our code, found by it, switched off by it.

One discount a customer (bound to them, one use), or many codes under one parent discount (Built for Shopify 5.5.3),
whose codes are unguessable but hold for whoever types them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from handlers.rewards.kinds import Declined, Issued, Pending, Platform, Standing, Wanted
from integration.clock import to_iso
from integration.errors import Rejected, Unavailable
from integration.money import to_decimal

TAG = "regulars"
LOOK_AGAIN = 2.0  # seconds until codes that are being added are looked for again
_TAKEN = "TAKEN"


@dataclass(frozen=True, slots=True)
class Discount:
    """A kind of discount code: the document that makes it, and what is particular of its input."""

    name: str
    document: str
    particulars: Callable[[Wanted], Mapping[str, Any]]
    platform: str = "shopify"
    alone: bool = False

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Issued | Declined | Pending:
        """Make the discount under our code, or add the code to its parent; never twice."""
        if again:
            found = await find(at, wanted.code)
            if found is not None:
                return _issued(wanted, found.id)
        if wanted.reward.shared and wanted.parent is not None:
            return await _added(at, wanted)
        answer = await at.shopify(self.document, {"discount": {**frame(wanted), **self.particulars(wanted)}})
        made = only(answer)
        errors = made.get("userErrors") or []
        if any(error.get("code") == _TAKEN for error in errors):
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

    async def look(self, at: Platform, wanted: Wanted) -> Standing:
        """Say whether a code was used, as far as Shopify has counted; orders tell it sooner."""
        found = await find(at, wanted.code)
        if found is None:
            return "gone"
        return "used" if found.uses else "unused"

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Standing:
        """Switch a code off; one that was used stays used.

        A discount of its own is deactivated, which keeps its history; a code under a parent is deleted from it.
        """
        found = await find(at, wanted.code)
        if found is None:
            return "gone"
        if wanted.reward.shared:
            # Once used it would still hold for others who have come to know it.
            if found.code_id is not None:
                refuse(only(await at.shopify("reward_code_remove", {"discount": found.id, "codes": [found.code_id]})))
            # It is deleted behind the answer: whoever asks looks again until it is gone.
            return "unused" if await find(at, wanted.code) is not None else "used" if found.uses else "gone"
        if found.uses:
            return "used"
        if not found.is_off:
            refuse(only(await at.shopify("reward_switch_off", {"id": found.id})))
            # It may have been used between the look and the switch: then the points stay spent.
            found = await find(at, wanted.code)
        return "used" if found is not None and found.uses else "gone"


class Found(NamedTuple):
    """A code as Shopify has it."""

    id: str  # of its discount
    code_id: str | None
    uses: int
    is_off: bool


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


async def _added(at: Platform, wanted: Wanted) -> Issued | Declined | Pending:
    assert wanted.parent is not None
    answer = await at.shopify("reward_code_add", {"discount": wanted.parent, "codes": [{"code": wanted.code}]})
    made = only(answer)
    errors = made.get("userErrors") or []
    if errors and not any(error.get("code") == _TAKEN for error in errors):
        return Declined(said(errors))
    # Codes are added behind the answer; that it is there shows by looking for it.
    found = await find(at, wanted.code)
    return Pending(LOOK_AGAIN) if found is None else Issued(found.id, parent=wanted.parent)


async def find(at: Platform, code: str) -> Found | None:
    """Find the discount that has a code; None where there is none."""
    answer = await at.shopify("reward_by_code", {"code": code, "search": f"code:{code}"})
    node = answer.get("codeDiscountNodeByCode")
    if not isinstance(node, dict):
        return None
    discount = node.get("codeDiscount") or {}
    codes = (discount.get("codes") or {}).get("nodes") or []
    mine: Mapping[str, Any] = next((each for each in codes if str(each.get("code", "")).upper() == code.upper()), {})
    return Found(node["id"], mine.get("id"), mine.get("asyncUsageCount") or 0, discount.get("status") == "EXPIRED")


def said(errors: Any) -> str:
    """Put what Shopify found wrong into one sentence."""
    words = [str(error.get("message", "")).strip().rstrip(".") for error in errors if isinstance(error, dict)]
    return f"Shopify says: {'; '.join(filter(None, words))[:300] or 'no reason'}."


def refuse(made: Mapping[str, Any]) -> None:
    """Raise Rejected where a change says what was wrong with it."""
    errors = made.get("userErrors") or []
    if errors:
        raise Rejected(said(errors))


def only(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the one thing a mutation answers with."""
    for value in answer.values():
        if isinstance(value, dict):
            return value
    raise Unavailable("Shopify answered a change with nothing")
