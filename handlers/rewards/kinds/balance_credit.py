"""Money off the customer's next invoices: credit on their balance at Stripe, below zero as Stripe writes it.

Only who gets invoices can use it. It bears our mark, so that one that was made is found, whatever we heard of it.
"""

from collections.abc import Mapping
from typing import Any

import stripe

from handlers.rewards.kinds import Declined, Issued, Pending, Platform, Standing, Wanted
from handlers.rewards.kinds.stripe_answers import NotThere, plainly, refused
from integration.clock import DAY, SECOND
from integration.errors import Unavailable
from integration.money import to_stripe

MOST_PAGES = 20
PAGE = 100
SKEW = DAY // SECOND  # seconds by which Stripe's clock and ours may differ, generously
_MINE, _STEP = "regulars_reward", "regulars_step"


class BalanceCredit:
    """The kind `balance_credit`."""

    name = "balance_credit"
    platform = "stripe"
    alone = False
    bulk = None

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Issued | Declined | Pending:
        """Put the credit on the balance, once."""
        if wanted.buyer is None:
            return Declined("Credit needs a customer record at Stripe, and this customer has none.")
        v1 = (await at.stripe()).v1
        if again and "given" in (found := await _mine(v1, wanted.buyer, wanted)):
            return Issued(f"{wanted.buyer}/{found['given']['id']}")
        try:
            made = await _move(v1, wanted.buyer, wanted, "given", -1)
        except NotThere:
            # What an earlier question may have put on the balance went with the record.
            return Declined("The customer's record at Stripe was deleted.")
        except stripe.InvalidRequestError as error:
            return Declined(refused(error))
        return Issued(f"{wanted.buyer}/{made['id']}")

    async def look(self, at: Platform, wanted: Wanted) -> Standing:
        """Say whether as much credit is there as was given; an invoice that took of it used it."""
        v1, customer = (await at.stripe()).v1, _customer(wanted)
        return await _left(v1, customer, wanted)

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Standing:
        """Take as much off the balance again, where it is still there.

        An invoice that came between would then have to be paid by the customer: they get it back, and it counts as
        used.
        """
        v1, customer = (await at.stripe()).v1, _customer(wanted)
        found = await _mine(v1, customer, wanted) if again else {}
        if "kept" in found:
            return "used"
        taken = found.get("taken")
        try:
            if taken is None:
                stands = await _left(v1, customer, wanted)
                if stands != "unused":
                    return stands
                taken = await _move(v1, customer, wanted, "taken", 1)
            if taken["ending_balance"] <= 0:
                return "gone"
            await _move(v1, customer, wanted, "kept", -1)
        except stripe.InvalidRequestError as error:
            raise Unavailable(f"Stripe does not move the credit: {refused(error)}") from error
        return "used"


def _customer(wanted: Wanted) -> str:
    return (wanted.platform_id or "").partition("/")[0]


async def _left(v1: Any, customer: str, wanted: Wanted) -> Standing:
    try:
        record = await plainly(v1.customers.retrieve_async(customer), "a customer")
    except NotThere:
        return "gone"
    if record.get("deleted"):
        return "gone"
    return "unused" if -record["balance"] >= to_stripe(wanted.value_minor, wanted.currency) else "used"


async def _move(v1: Any, customer: str, wanted: Wanted, step: str, sign: int) -> Mapping[str, Any]:
    asked = {
        "amount": sign * to_stripe(wanted.value_minor, wanted.currency),
        "currency": wanted.currency.lower(),
        "description": wanted.title,
        "metadata": {_MINE: wanted.code, _STEP: step},
    }
    options = {"idempotency_key": f"regulars:{wanted.code}:{step}"}
    moved = v1.customers.balance_transactions.create_async(customer, asked, options=options)
    return await plainly(moved, "credit of a customer")


async def _mine(v1: Any, customer: str, wanted: Wanted) -> dict[str, Mapping[str, Any]]:
    """Find what was moved for this reward, by step."""
    asked: dict[str, Any] = {"limit": PAGE, "created": {"gte": wanted.starts_at // SECOND - SKEW}}
    found: dict[str, Mapping[str, Any]] = {}
    for _ in range(MOST_PAGES):
        try:
            page = await plainly(v1.customers.balance_transactions.list_async(customer, asked), "credit of a customer")
        except NotThere:
            return found
        for each in page["data"]:
            notes = each.get("metadata") or {}
            if notes.get(_MINE) == wanted.code:
                found[str(notes.get(_STEP))] = each
        if not page["has_more"]:
            return found
        asked["starting_after"] = page["data"][-1]["id"]
    raise Unavailable("this customer's balance at Stripe has moved too often to find what is ours")
