"""Money on the customer's account at the shop: Shopify's store credit.

Shopify gives it again to whoever asks again, and knows no name of ours for it. So the account's newest movement is
noted before the one question, and after an end that is not clear whatever has come since of the same amount is ours:
a customer's rewards of this kind are asked for one after the other.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from handlers.rewards.kinds import Declined, Issued, Pending, Platform, Standing, Wanted
from handlers.rewards.kinds.shopify_codes import only, refuse, said
from handlers.rewards.kinds.shopify_discounts import money
from integration.clock import from_iso, to_iso
from integration.errors import Unavailable

FEW_MOVES = 10  # of the account, to note the newest of them
MOST_MOVES = 100  # to find ours among those that came since
_NOTHING = "nothing"  # had happened on the account when it was noted
_CREDIT, _DEBIT = "StoreCreditAccountCreditTransaction", "StoreCreditAccountDebitTransaction"
_BY_HAND = "ADJUSTMENT"  # how Shopify calls what apps and staff do


class StoreCredit:
    """The kind `store_credit`."""

    name = "store_credit"
    platform = "shopify"
    alone = True
    bulk = None

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Issued | Declined | Pending:
        """Put the money on the account, once."""
        if wanted.buyer is None:
            return Declined("Store credit needs a customer account at the shop, and this customer has none.")
        owner = f"gid://shopify/Customer/{wanted.buyer}"
        moves = await _moves(at, owner, wanted)
        if wanted.mark is not None:
            found = _since(moves, wanted, _CREDIT)
            if found is not None:
                return Issued(found)
        else:
            await at.note(_newest(moves))
        credit = {
            "creditAmount": {"amount": money(wanted), "currencyCode": wanted.currency},
            "expiresAt": None if wanted.expires_at is None else to_iso(wanted.expires_at),
        }
        made = only(await at.shopify("reward_credit", {"owner": owner, "credit": credit}))
        if made.get("userErrors"):
            return Declined(said(made["userErrors"]))
        return Issued(_id_of(made))

    async def look(self, at: Platform, wanted: Wanted) -> Standing:
        """Say whether any of the money was spent."""
        lot = await _lot(at, wanted)
        return "gone" if lot is None else "unused" if lot.is_whole else "used"

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Standing:
        """Take the money off the account again where all of it is there; what has lapsed there is gone already."""
        lot = await _lot(at, wanted)
        if lot is None:
            return "gone"
        if not lot.is_whole:
            # Ours may be what was taken from it: Shopify takes from what lapses soonest, whosever it is.
            if wanted.mark is None:
                return "used"
            taken = _since(await _moves(at, lot.owner, wanted), wanted, _DEBIT)
            return "gone" if taken is not None else "used"
        if lot.expires_at is not None and lot.expires_at <= wanted.now:
            return "gone"
        moves = await _moves(at, lot.owner, wanted)
        if wanted.mark is not None:
            if _since(moves, wanted, _DEBIT) is not None:
                return "gone"
        else:
            await at.note(_newest(moves))
        debit = {"debitAmount": {"amount": money(wanted), "currencyCode": wanted.currency}}
        made = only(await at.shopify("reward_debit", {"account": lot.account, "debit": debit}))
        errors = made.get("userErrors") or []
        if any(error.get("code") == "INSUFFICIENT_FUNDS" for error in errors):
            return "used"
        refuse(made)
        _id_of(made)
        return "gone"


class _Move(NamedTuple):
    """One movement of an account."""

    id: str
    kind: str
    event: str
    amount: Decimal


class _Lot(NamedTuple):
    """What is left of one credit."""

    account: str
    owner: str
    is_whole: bool
    expires_at: int | None


def _since(moves: Sequence[_Move], wanted: Wanted, kind: str) -> str | None:
    """Find the movement of our amount that came after what was noted; None where there is none.

    Raises Unavailable where what was noted is not among them: what came before it may be taken for ours.
    """
    amount, found = Decimal(money(wanted)), None
    for move in moves:  # the newest first
        if move.id == wanted.mark:
            return found
        if found is None and (move.kind, move.event, move.amount) == (kind, _BY_HAND, amount):
            found = move.id
    if wanted.mark != _NOTHING or len(moves) == MOST_MOVES:
        raise Unavailable("this customer's store credit has moved too often to find what is ours")
    return found


def _newest(moves: Sequence[_Move]) -> str:
    """Name the newest movement: what comes after it may be ours."""
    named = next((move.id for move in moves if move.id), None)
    if named is None and len(moves) >= FEW_MOVES:
        raise Unavailable("nothing but lapses has moved this customer's store credit of late")
    return named or _NOTHING


async def _moves(at: Platform, owner: str, wanted: Wanted) -> list[_Move]:
    """List the newest movements of the customer's account in the reward's currency, the newest first."""
    first = FEW_MOVES if wanted.mark is None else MOST_MOVES
    answer = await at.shopify("reward_credit_moves", {"customer": owner, "first": first})
    for account in ((answer.get("customer") or {}).get("storeCreditAccounts") or {}).get("nodes") or []:
        if account["balance"]["currencyCode"] == wanted.currency:
            return [
                # What has lapsed has no name, and is nobody's movement.
                _Move(node.get("id") or "", node["__typename"], node["event"], Decimal(node["amount"]["amount"]))
                for node in account["transactions"]["nodes"]
            ]
    return []


async def _lot(at: Platform, wanted: Wanted) -> _Lot | None:
    node = (await at.shopify("reward_credit_look", {"id": wanted.platform_id})).get("node")
    if not isinstance(node, dict) or not node.get("id"):
        return None
    whole = Decimal(node["amount"]["amount"]) == Decimal(node["remainingAmount"]["amount"])
    account = node["account"]
    return _Lot(
        account["id"], account["owner"]["id"], whole, from_iso(node["expiresAt"]) if node["expiresAt"] else None
    )


def _id_of(made: Mapping[str, Any]) -> str:
    transaction = made.get("storeCreditAccountTransaction")
    if not isinstance(transaction, dict) or not transaction.get("id"):
        raise Unavailable("Shopify moved store credit and does not say which")
    return str(transaction["id"])
