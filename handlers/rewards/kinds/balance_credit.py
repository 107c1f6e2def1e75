"""Money off the customer's next invoices: credit on their balance at Stripe, below zero as Stripe writes it.

Only who gets invoices can use it. It bears our mark, so that one that was made is found, whatever we heard of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import stripe

from handlers.rewards.kinds import Declined, Fate, Issued, Pending, Platform, Wanted
from handlers.rewards.kinds.stripe_answers import NotThere, plainly, refused
from integration.clock import DAY, SECOND
from integration.errors import Unavailable
from integration.money import from_stripe, to_stripe

MOST_PAGES = 20
PAGE = 100
SKEW = DAY // SECOND  # seconds by which Stripe's clock and ours may differ, generously
_MINE, _STEP = "regulars_reward", "regulars_step"
_BY_HAND = "adjustment"  # how Stripe calls what people and programs move
# What gives back what an invoice or a checkout had taken of the balance.
_GIVEN_BACK = frozenset({"unapplied_from_invoice", "checkout_session_subscription_payment_canceled"})


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
        if again and "given" in (found := _mine(await _moves(v1, wanted.buyer, wanted) or (), wanted)):
            return Issued(f"{wanted.buyer}/{found['given']['id']}")
        try:
            made = await _move(v1, wanted.buyer, wanted, "given", -_asked(wanted, wanted.value_minor))
        except NotThere:
            # What an earlier question may have put on the balance went with the record.
            return Declined("The customer's record at Stripe was deleted.")
        except stripe.InvalidRequestError as error:
            return Declined(refused(error))
        return Issued(f"{wanted.buyer}/{made['id']}")

    @property
    def purse(self) -> "BalanceCredit":
        """The balance's movements tell how much is left."""
        return self

    async def look_all(self, at: Platform, wanted: Sequence[Wanted]) -> Sequence[Fate]:
        """Say how much of credits invoices have taken, one customer after the other."""
        v1 = (await at.stripe()).v1
        of: dict[str, list[Wanted]] = {}
        for each in wanted:
            of.setdefault(_customer(each), []).append(each)
        fates: dict[int, Fate] = {}
        for customer, mine in of.items():
            moves = await _moves(v1, customer, min(mine, key=lambda each: each.starts_at))
            fates |= {each.number: _fate(moves, each) for each in mine}
        return [fates[each.number] for each in wanted]

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Fate:
        """Take as much off the balance again as is left of it; how much that is is noted before.

        An invoice that came between would then have to be paid by the customer: they get back as much as they owe.
        """
        v1, customer = (await at.stripe()).v1, _customer(wanted)
        moves = await _moves(v1, customer, wanted)
        found = _mine(moves or (), wanted)
        taken, kept = found.get("taken"), found.get("kept")
        try:
            if taken is None:
                fate = _fate(moves, wanted)
                if fate.standing != "unused":
                    return fate
                left = _asked(wanted, wanted.value_minor - fate.used_minor)
                if wanted.mark is None:
                    await at.note(str(left))
                # What was asked for before may be under way there: it is asked for again in the same words.
                left = int(wanted.mark or left)
                taken = await _move(v1, customer, wanted, "taken", left)
            owed = min(max(0, taken["ending_balance"]), taken["amount"])
            if owed and kept is None:
                kept = await _move(v1, customer, wanted, "kept", -owed)
        except NotThere:
            return Fate("gone", wanted.used_minor)
        except stripe.InvalidRequestError as error:
            raise Unavailable(f"Stripe does not move the credit: {refused(error)}") from error
        back = from_stripe(taken["amount"] + (kept["amount"] if kept is not None else 0), wanted.currency)
        return Fate("gone" if back > 0 else "used", wanted.value_minor - back)


def _customer(wanted: Wanted) -> str:
    return (wanted.platform_id or "").partition("/")[0]


def _asked(wanted: Wanted, minor: int) -> int:
    return to_stripe(minor, wanted.currency)


def _fate(moves: Sequence[Mapping[str, Any]] | None, wanted: Wanted) -> Fate:
    """Say what is left of one credit; with the customer's record, what was left of it went."""
    if moves is None:
        return Fate("gone", wanted.used_minor)
    left = from_stripe(left_of(moves).get(wanted.code, 0), wanted.currency)
    return Fate("unused" if left > 0 else "used", max(0, wanted.value_minor - left))


@dataclass(slots=True)
class _Credit:
    """One credit on a balance, and what is left of it; `mine` = the code of the reward it is."""

    mine: str | None
    left: int
    taken: int = 0  # by invoices, which may give it back


def left_of(moves: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Say what is left of each of our credits among movements of a balance, the newest first; by code.

    Stripe keeps one sum. What came first is used first, whoever gave it; what is taken back for a reward comes off its
    own credit; what an invoice gives back belongs where it was taken last; whoever owes pays with what comes.
    """
    before = moves[-1]["ending_balance"] - moves[-1]["amount"] if moves else 0
    credits, debt = [_Credit(None, max(0, -before))], max(0, before)
    for move in reversed(moves):
        notes = move.get("metadata") or {}
        code, step, amount = notes.get(_MINE), notes.get(_STEP), abs(move["amount"])
        own = [each for each in credits if each.mine == code] if code is not None else []
        if move["amount"] > 0:
            for each in [*own, *credits] if step == "taken" else credits:
                part = min(each.left, amount)
                each.left, amount = each.left - part, amount - part
                each.taken += part if move["type"] != _BY_HAND else 0
            debt += amount
            continue
        paid = min(debt, amount)
        debt, amount = debt - paid, amount - paid
        for each in reversed(credits) if move["type"] in _GIVEN_BACK else ():
            part = min(each.taken, amount)
            each.left, each.taken, amount = each.left + part, each.taken - part, amount - part
        if own:
            own[0].left += amount
        else:
            credits.append(_Credit(code if step == "given" else None, amount))
    return {each.mine: each.left for each in credits if each.mine is not None}


async def _move(v1: Any, customer: str, wanted: Wanted, step: str, amount: int) -> Mapping[str, Any]:
    asked = {
        "amount": amount,
        "currency": wanted.currency.lower(),
        "description": wanted.title,
        "metadata": {_MINE: wanted.code, _STEP: step},
    }
    options = {"idempotency_key": f"regulars:{wanted.code}:{step}"}
    moved = v1.customers.balance_transactions.create_async(customer, asked, options=options)
    return await plainly(moved, "credit of a customer")


def _mine(moves: Iterable[Mapping[str, Any]], wanted: Wanted) -> dict[str, Mapping[str, Any]]:
    """Find what was moved for a reward, by step."""
    mine = [each for each in moves if (each.get("metadata") or {}).get(_MINE) == wanted.code]
    return {str(each["metadata"].get(_STEP)): each for each in mine}


async def _moves(v1: Any, customer: str, since: Wanted) -> list[Mapping[str, Any]] | None:
    """List how a balance moved since a reward was wanted, the newest first; None where the record is gone."""
    asked: dict[str, Any] = {"limit": PAGE, "created": {"gte": since.starts_at // SECOND - SKEW}}
    moves: list[Mapping[str, Any]] = []
    for _ in range(MOST_PAGES):
        try:
            page = await plainly(v1.customers.balance_transactions.list_async(customer, asked), "credit of a customer")
        except NotThere:
            return None
        except stripe.InvalidRequestError as error:
            raise Unavailable(f"Stripe does not list a customer's credit: {refused(error)}") from error
        moves += page["data"]
        if not page["has_more"]:
            return moves
        asked["starting_after"] = page["data"][-1]["id"]
    raise Unavailable("this customer's balance at Stripe has moved too often to find what is ours")
