"""Money on the customer's account at the shop: Shopify's store credit.

Shopify gives it again to whoever asks again, and knows no name of ours for it. So the account's newest movement is
noted before the one question, and after an end that is not clear whatever has come since of the same amount is ours:
a customer's rewards of this kind are asked for one after the other.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from handlers.rewards.kinds import Declined, Fate, Issued, Pending, Platform, Wanted
from handlers.rewards.kinds.shopify_codes import only, refuse, said
from handlers.rewards.kinds.shopify_discounts import money
from integration.clock import from_iso, to_iso
from integration.errors import Unavailable
from integration.money import from_decimal_text, to_decimal

FEW_MOVES = 10  # of the account, to note the newest of them
AT_ONCE = 100  # credits looked up by one question
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
            found = _since(moves, wanted.mark, _CREDIT, wanted.value_minor, wanted.currency)
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

    @property
    def purse(self) -> "StoreCredit":
        """Shopify tells of each credit how much of it is left."""
        return self

    async def look_all(self, at: Platform, wanted: Sequence[Wanted]) -> Sequence[Fate]:
        """Say how much of credits was spent, some by one question."""
        lots = await _lots(at, [name for each in wanted for name in (each.platform_id or "", *each.ended)])
        spare = _Spare(lots)
        return [_fate(lots.get(each.platform_id or ""), each, spare) for each in wanted]

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Fate:
        """Take what is left of the money off the account again; what has lapsed there is gone already.

        How much that is is noted before, with where the account stood: a debit of as much since then is ours.
        """
        lots = await _lots(at, [wanted.platform_id or "", *wanted.ended])
        lot, noted = lots.get(wanted.platform_id or ""), _Noted.read(wanted)
        if lot is None:
            return Fate("gone", wanted.used_minor)
        moves = await _moves(at, lot.owner, wanted)
        if noted is not None and _since(moves, noted.move, _DEBIT, noted.minor, wanted.currency) is not None:
            return Fate("gone", wanted.value_minor - noted.minor)
        fate = _fate(lot, wanted, _Spare(lots))
        if fate.standing != "unused":
            return fate
        left = wanted.value_minor - fate.used_minor
        if noted is None or noted.minor != left:
            await at.note(f"{_newest(moves)} {left}")
        debit = {"debitAmount": {"amount": _decimal(left, wanted.currency), "currencyCode": wanted.currency}}
        made = only(await at.shopify("reward_debit", {"account": lot.account, "debit": debit}))
        errors = made.get("userErrors") or []
        if any(error.get("code") == "INSUFFICIENT_FUNDS" for error in errors):
            raise Unavailable("the customer has spent store credit in this moment")
        refuse(made)
        _id_of(made)
        return Fate("gone", fate.used_minor)


class _Noted(NamedTuple):
    """Where the account stood before so much was taken off it."""

    move: str
    minor: int

    @classmethod
    def read(cls, wanted: Wanted) -> "_Noted | None":
        """Read what was noted; before parts were taken back it was always all of it."""
        if wanted.mark is None:
            return None
        move, _, minor = wanted.mark.partition(" ")
        return cls(move, int(minor) if minor else wanted.value_minor)


class _Lot(NamedTuple):
    """What is left of one credit."""

    account: str
    owner: str
    left: Decimal
    expires_at: int | None


class _Spare:
    """What is left of credits of rewards that are over, and so belongs to the customer's others.

    Shopify takes from what lapses soonest, whosever it is: what was taken back for one reward may have come off
    another's credit.
    """

    def __init__(self, lots: Mapping[str, _Lot]) -> None:
        self._lots = lots
        self._taken: dict[str, Decimal] = {}

    def lend(self, ended: Sequence[str], short: Decimal, now: int) -> Decimal:
        """Give of what is spare as much as is short, as far as it goes."""
        given = Decimal(0)
        for name in ended:
            lot = self._lots.get(name)
            if lot is None or (lot.expires_at is not None and lot.expires_at <= now):
                continue
            taken = self._taken.get(name, Decimal(0))
            more = min(short - given, lot.left - taken)
            self._taken[name], given = taken + more, given + more
        return given


def _fate(lot: _Lot | None, wanted: Wanted, spare: _Spare) -> Fate:
    if lot is None:
        return Fate("gone", wanted.used_minor)
    whole = to_decimal(wanted.value_minor, wanted.currency)
    left = lot.left
    if lot.expires_at is not None and lot.expires_at <= wanted.now:
        return Fate("gone", _minor(whole - left, wanted.currency))
    left += spare.lend(wanted.ended, whole - left, wanted.now)
    used = _minor(whole - left, wanted.currency)
    return Fate("used" if left <= 0 else "unused", used)


class _Move(NamedTuple):
    """One movement of an account."""

    id: str
    kind: str
    event: str
    amount: Decimal


def _since(moves: Sequence[_Move], mark: str, kind: str, minor: int, currency: str) -> str | None:
    """Find the movement of an amount that came after what was noted; None where there is none.

    Raises Unavailable where what was noted is not among them: what came before it may be taken for ours.
    """
    amount, found = to_decimal(minor, currency), None
    for move in moves:  # the newest first
        if move.id == mark:
            return found
        if found is None and (move.kind, move.event, move.amount) == (kind, _BY_HAND, amount):
            found = move.id
    if mark != _NOTHING or len(moves) == MOST_MOVES:
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


async def _lots(at: Platform, names: Sequence[str]) -> dict[str, _Lot]:
    """Look up credits by their names, some at once."""
    asked = sorted({name for name in names if name})
    lots: dict[str, _Lot] = {}
    for start in range(0, len(asked), AT_ONCE):
        answer = await at.shopify("reward_credits", {"ids": asked[start : start + AT_ONCE]})
        for node in answer.get("nodes") or ():
            if isinstance(node, Mapping) and node.get("account"):
                ends = from_iso(node["expiresAt"]) if node["expiresAt"] else None
                account = node["account"]
                left = Decimal(node["remainingAmount"]["amount"])
                lots[node["id"]] = _Lot(account["id"], account["owner"]["id"], left, ends)
    return lots


def _decimal(minor: int, currency: str) -> str:
    return f"{to_decimal(minor, currency):f}"


def _minor(amount: Decimal, currency: str) -> int:
    return max(0, from_decimal_text(f"{amount:f}", currency))


def _id_of(made: Mapping[str, Any]) -> str:
    transaction = made.get("storeCreditAccountTransaction")
    if not isinstance(transaction, dict) or not transaction.get("id"):
        raise Unavailable("Shopify moved store credit and does not say which")
    return str(transaction["id"])
