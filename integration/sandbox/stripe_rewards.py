"""Coupons, promotion codes and credit balances of a pretend Stripe account, by Stripe's rules.

A code is one among the active ones, whatever its case; it holds for its customer, until its end, as often as it says.
A balance below zero is credit; it pays the next invoice.
"""

import random
import re
from collections.abc import Callable, Mapping

from integration.clock import SECOND
from integration.sandbox.stripe_objects import Object

_CODE = re.compile(r"[A-Za-z0-9-]{1,500}")
LONGEST_ID = 200


class Refuses(ValueError):
    """What Stripe refuses; the message says why."""

    def __init__(self, words: str, code: str | None = None, status: int = 400) -> None:
        super().__init__(words)
        self.code, self.status = code, status


class StripeRewards:
    """What takes money off in one account; `clock` gives microseconds, `objects` are the account's own."""

    def __init__(self, objects: dict[str, Object], clock: Callable[[], int], livemode: bool) -> None:
        self._objects = objects
        self._clock = clock
        self._livemode = livemode
        self._dice = random.Random(11)  # noqa: S311 - ids of a pretend account, not secrets

    def all(self, kind: str) -> list[Object]:
        """List the objects of a kind, the oldest first."""
        return [each for each in self._objects.values() if each["object"] == kind]

    def use(self, code: str, customer: str | None, amount: int) -> Object:
        """Use a promotion code at the checkout. Raises Refuses where it does not hold."""
        now = self._clock() // SECOND
        found = next((each for each in self._codes() if each["code"].upper() == code.upper() and each["active"]), None)
        if found is None or (found["expires_at"] is not None and found["expires_at"] <= now):
            raise Refuses("This code is invalid.")
        if found["customer"] not in (None, customer):
            raise Refuses("This code is for somebody else.")
        if found["restrictions"]["first_time_transaction"] and any(
            each["customer"] == customer and each["status"] == "succeeded" for each in self.all("charge")
        ):
            raise Refuses("This code is for a first purchase.")
        if amount < (found["restrictions"]["minimum_amount"] or 0):
            raise Refuses("This order is too small for the code.")
        found["times_redeemed"] += 1
        if found["max_redemptions"] is not None and found["times_redeemed"] >= found["max_redemptions"]:
            found["active"] = False
        return found

    def pay_invoice(self, person: Object, amount: int) -> int:
        """Pay from somebody's credit what it holds of an invoice; returns how much that was."""
        credit: int = min(amount, max(0, -person["balance"]))
        if credit:
            self._book(person, credit, person["currency"], "applied_to_invoice", {}, None)
        return credit

    # --- What the app asks ----------------------------------------------------------------------

    def make_coupon(self, asked: Mapping[str, str], notes: Mapping[str, str]) -> Object:
        """Make a coupon."""
        number = asked.get("id") or self._id("")
        if number in self._objects:
            raise Refuses("Coupon already exists.", "resource_already_exists")
        if ("amount_off" in asked) == ("percent_off" in asked):
            raise Refuses("Give either amount_off or percent_off.")
        if "amount_off" in asked and ("currency" not in asked or int(asked["amount_off"]) <= 0):
            raise Refuses("A fixed amount needs a currency and must be at least 1.")
        if "percent_off" in asked and not 0 < float(asked["percent_off"]) <= 100:
            raise Refuses("Invalid percent_off: must be between 0 and 100.")
        if len(number) > LONGEST_ID or len(asked.get("name", "")) > 40:
            raise Refuses("The coupon's name or id is too long.")
        made = {
            "id": number,
            "object": "coupon",
            "amount_off": int(asked["amount_off"]) if "amount_off" in asked else None,
            "percent_off": float(asked["percent_off"]) if "percent_off" in asked else None,
            "currency": asked.get("currency"),
            "duration": asked.get("duration", "once"),
            "name": asked.get("name"),
            "metadata": dict(notes),
            "livemode": self._livemode,
            "created": self._clock() // SECOND,
            "valid": True,
        }
        self._objects[number] = made
        return made

    def make_code(self, asked: Mapping[str, str], notes: Mapping[str, str]) -> Object:
        """Make a promotion code."""
        if "coupon" in asked or asked.get("promotion[type]") != "coupon":
            raise Refuses("Received unknown parameter: coupon. Did you mean promotion?", "parameter_unknown")
        coupon = self._objects.get(asked.get("promotion[coupon]", ""))
        if coupon is None or coupon["object"] != "coupon":
            raise Refuses(f"No such coupon: '{asked.get('promotion[coupon]')}'", "resource_missing")
        customer, code = asked.get("customer"), asked.get("code", "")
        record = self._objects.get(customer or "", {})
        if customer is not None and (record.get("object") != "customer" or record.get("deleted")):
            raise Refuses(f"No such customer: '{customer}'", "resource_missing")
        if not _CODE.fullmatch(code):
            raise Refuses("The promotion code may only contain letters, digits and dashes.")
        if any(each["active"] and each["code"].upper() == code.upper() for each in self._codes()):
            raise Refuses("An active promotion code with this code already exists.")
        now, ends = self._clock() // SECOND, asked.get("expires_at")
        if ends is not None and int(ends) <= now:
            raise Refuses("The expiry must be in the future.")
        least = asked.get("restrictions[minimum_amount]")
        if least is not None and not asked.get("restrictions[minimum_amount_currency]"):
            raise Refuses("A minimum amount needs a currency.")
        made: Object = {
            "id": self._id("promo_1"),
            "object": "promotion_code",
            "active": True,
            "code": code,
            "promotion": {"type": "coupon", "coupon": coupon["id"]},
            "created": now,
            "customer": customer,
            "expires_at": int(ends) if ends else None,
            "livemode": self._livemode,
            "max_redemptions": int(asked["max_redemptions"]) if "max_redemptions" in asked else None,
            "metadata": dict(notes),
            "restrictions": {
                "first_time_transaction": asked.get("restrictions[first_time_transaction]") == "true",
                "minimum_amount": int(least) if least else None,
                "minimum_amount_currency": asked.get("restrictions[minimum_amount_currency]"),
            },
            "times_redeemed": 0,
        }
        self._objects[made["id"]] = made
        return made

    def change_code(self, number: str, asked: Mapping[str, str]) -> Object:
        """Switch a promotion code off or on; nothing else of it ever changes."""
        found = self._objects.get(number)
        if found is None or found["object"] != "promotion_code":
            raise Refuses(f"No such promotion code: '{number}'", "resource_missing", 404)
        if set(asked) - {"active"}:
            raise Refuses("Only active can be changed.", "parameter_unknown")
        found["active"] = asked.get("active", "true").lower() == "true"
        return found

    def book(self, number: str, asked: Mapping[str, str], notes: Mapping[str, str]) -> Object:
        """Move a customer's balance."""
        person = self._objects.get(number)
        if person is None or person["object"] != "customer" or person.get("deleted"):
            raise Refuses(f"No such customer: '{number}'", "resource_missing", 404)
        currency = asked["currency"].lower()
        if person["currency"] not in (None, currency):
            raise Refuses(f"The currency of this customer is {person['currency']}.")
        if not int(asked["amount"]):
            raise Refuses("The amount must not be zero.")
        return self._book(person, int(asked["amount"]), currency, "adjustment", notes, asked.get("description"))

    def _book(
        self, person: Object, amount: int, currency: str, kind: str, notes: Mapping[str, str], words: str | None
    ) -> Object:
        person["balance"] += amount
        person["currency"] = currency
        moved: Object = {
            "id": self._id("cbtxn_1"),
            "object": "customer_balance_transaction",
            "amount": amount,
            "created": self._clock() // SECOND,
            "currency": currency,
            "customer": person["id"],
            "description": words,
            "ending_balance": person["balance"],
            "livemode": self._livemode,
            "metadata": dict(notes),
            "type": kind,
        }
        self._objects[moved["id"]] = moved
        return moved

    def _codes(self) -> list[Object]:
        return self.all("promotion_code")

    def _id(self, start: str) -> str:
        return f"{start}{self._dice.getrandbits(80):020x}"
