"""Money or a share off at Stripe: a promotion code of its own under a coupon that all alike rewards share.

It can be typed where the merchant's Checkout or Payment Links allow promotion codes, and on invoices.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import stripe

from handlers.rewards.kinds import Declined, Fate, Issued, Pending, Platform, Standing, Wanted
from handlers.rewards.kinds.stripe_answers import NotThere, plainly, refused
from integration.clock import SECOND
from integration.errors import Unavailable
from integration.money import exponent, to_stripe

MOST_NAME = 40  # characters of a coupon's name
_MINE = "regulars_reward"


class PromotionCode:
    """The kind `promotion_code`."""

    name = "promotion_code"
    platform = "stripe"
    alone = False
    bulk = None
    purse = None

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Issued | Declined | Pending:
        """Make the code under its coupon; Stripe answers the same question the same way for a day, after which we look.

        See https://docs.stripe.com/api/idempotent_requests.
        """
        v1 = (await at.stripe()).v1
        if again and (found := await _found(v1, wanted)) is not None:
            return Issued(str(found["id"]))
        try:
            coupon = await _coupon(v1, wanted)
            made = await plainly(
                v1.promotion_codes.create_async(
                    _asked(wanted, coupon), options={"idempotency_key": f"regulars:{wanted.code}:code"}
                ),
                "a promotion code",
            )
        except stripe.InvalidRequestError as error:
            found = await _found(v1, wanted)
            return Declined(refused(error)) if found is None else Issued(str(found["id"]))
        return Issued(str(made["id"]))

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Fate:
        """Switch the code off; one that was used stays used."""
        v1 = (await at.stripe()).v1
        found = await _found(v1, wanted)
        if found is None or _standing(found) != "unused":
            return Fate(_standing(found))
        # Its answer tells of a use between the look and the switch: then the points stay spent.
        try:
            off = await plainly(v1.promotion_codes.update_async(found["id"], {"active": False}), "a promotion code")
        except stripe.InvalidRequestError as error:
            raise Unavailable(f"Stripe does not switch the code off: {refused(error)}") from error
        return Fate(_standing(off))


def _standing(code: Mapping[str, Any] | None) -> Standing:
    if code is None:
        return "gone"
    return "used" if code["times_redeemed"] else "unused" if code["active"] else "gone"


async def _found(v1: Any, wanted: Wanted) -> Mapping[str, Any] | None:
    listed = await plainly(v1.promotion_codes.list_async({"code": wanted.code, "limit": 10}), "promotion codes")
    return next((each for each in listed["data"] if (each.get("metadata") or {}).get(_MINE) == wanted.code), None)


def _asked(wanted: Wanted, coupon: str) -> dict[str, Any]:
    reward = wanted.reward
    asked: dict[str, Any] = {
        "promotion": {"type": "coupon", "coupon": coupon},
        "code": wanted.code,
        "max_redemptions": 1,
        "metadata": {_MINE: wanted.code},
    }
    restrictions: dict[str, Any] = {}
    if wanted.welcome:
        restrictions["first_time_transaction"] = True
    if wanted.buyer is not None:
        asked["customer"] = wanted.buyer  # Whoever has no record there: the code alone, which nobody can guess.
    if wanted.expires_at is not None:
        asked["expires_at"] = wanted.expires_at // SECOND
    if reward.min_order:
        least = int(reward.min_order.scaleb(exponent(wanted.currency)))
        restrictions["minimum_amount"] = to_stripe(least, wanted.currency)
        restrictions["minimum_amount_currency"] = wanted.currency.lower()
    if restrictions:
        asked["restrictions"] = restrictions
    return asked


async def _coupon(v1: Any, wanted: Wanted) -> str:
    """Find the coupon for what a code takes off, or make it; its id says what that is, so there is one of each."""
    reward = wanted.reward
    value: dict[str, Any]
    if reward.percent:
        value = {"percent_off": f"{reward.percent:f}"}
    else:
        amount = to_stripe(wanted.value_minor, wanted.currency)
        value = {"amount_off": amount, "currency": wanted.currency.lower()}
    named = f"{wanted.merchant_id}:{reward.name}:{sorted(value.items())}"
    coupon = f"regulars-{hashlib.sha256(named.encode()).hexdigest()[:24]}"
    try:
        return str((await plainly(v1.coupons.retrieve_async(coupon), "a coupon"))["id"])
    except NotThere:
        asked = {"id": coupon, "duration": "once", "name": reward.name[:MOST_NAME], **value}
    try:
        return str((await plainly(v1.coupons.create_async(asked), "a coupon"))["id"])
    except stripe.InvalidRequestError as error:
        try:
            # Somebody else may have made it in the meantime.
            return str((await plainly(v1.coupons.retrieve_async(coupon), "a coupon"))["id"])
        except NotThere:
            raise error from None
