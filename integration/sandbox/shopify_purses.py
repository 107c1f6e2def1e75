"""Store credit and gift cards of a pretend shop: given, taken, spent and switched off, by Shopify's rules.

Store credit is given again to whoever asks again; a debit takes from what lapses soonest. A gift card has one code,
whatever its case, which is never told after it was made.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from integration.clock import from_iso, to_datetime, to_iso
from integration.sandbox.graph import Node
from integration.sandbox.shopify import Shop

_CODE = re.compile(r"[a-z0-9]{8,20}")
_CREDIT, _DEBIT = "StoreCreditAccountCreditTransaction", "StoreCreditAccountDebitTransaction"


@dataclass(slots=True)
class Move:
    """One movement of an account; `left` is what of a credit is still there."""

    id: int
    kind: str
    amount: Decimal
    event: str
    at: int
    left: Decimal = Decimal(0)
    expires_at: int | None = None


@dataclass(slots=True)
class CreditAccount:
    """What one customer has at the shop in one currency."""

    id: int
    customer: int
    currency: str
    moves: list[Move] = field(default_factory=list)  # the oldest first

    def balance(self, now: int) -> Decimal:
        """What is there to spend."""
        return sum((move.left for move in self._open(now)), Decimal(0))

    def take(self, amount: Decimal, now: int) -> None:
        """Take from what lapses soonest."""
        for move in sorted(self._open(now), key=lambda each: (each.expires_at or 2**62, each.id)):
            taken = min(move.left, amount)
            move.left -= taken
            amount -= taken

    def _open(self, now: int) -> list[Move]:
        return [move for move in self.moves if move.left and (move.expires_at is None or move.expires_at > now)]


@dataclass(slots=True)
class Card:
    """One gift card."""

    id: int
    code: str
    value: Decimal
    balance: Decimal
    currency: str
    expires_on: str | None
    note: str | None
    is_on: bool = True


@dataclass(slots=True)
class Purses:
    """The money of one shop's customers that is no money."""

    shop: Shop
    accounts: list[CreditAccount] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    searchable: bool = True  # whether the search knows of new cards yet
    _next: int = 1

    def spend(self, customer: int, amount: str) -> None:
        """Have somebody pay with their store credit."""
        account = next(each for each in self.accounts if each.customer == customer)
        self._debit(account, Decimal(amount), "ORDER_PAYMENT")

    def pay_with(self, code: str, amount: str) -> None:
        """Have somebody pay with a gift card. Raises ValueError where it does not hold."""
        card = next((each for each in self.cards if each.code == code.lower()), None)
        if card is None or not card.is_on or card.balance < Decimal(amount):
            raise ValueError("this gift card does not hold")
        card.balance -= Decimal(amount)

    # --- What the app asks ----------------------------------------------------------------------

    def credit_fields(self, root: Mapping[str, Any]) -> Node:
        """The fields of queries and mutations about store credit, over those of the shop."""

        def customer(id: str) -> Node | None:
            found = root["customer"](id)
            mine = [self._account_node(each) for each in self.accounts if id.endswith(f"/{each.customer}")]
            return None if found is None else found | {"storeCreditAccounts": lambda first: {"nodes": mine[:first]}}

        return {
            "customer": customer,
            "storeCreditAccountCredit": self._give,
            "storeCreditAccountDebit": self._take,
        }

    def node(self, id: str) -> Node | None:
        """Find a movement of store credit, or a gift card, by its id."""
        moves = ((account, move) for account in self.accounts for move in account.moves)
        found = next((self._move_node(*each) for each in moves if id == _gid(each[1].kind, each[1].id)), None)
        return found or next((_card(each) for each in self.cards if _gid("GiftCard", each.id) == id), None)

    def card_fields(self) -> Node:
        """The fields of queries and mutations about gift cards."""
        return {
            "giftCardCreate": self._make_card,
            "giftCardDeactivate": self._switch_off,
            "giftCards": self._search,
        }

    def _id(self) -> int:
        self._next += 1
        return self._next

    def _give(self, id: str, creditInput: Mapping[str, Any]) -> Node:
        amount, currency = Decimal(creditInput["creditAmount"]["amount"]), creditInput["creditAmount"]["currencyCode"]
        expires_at = from_iso(creditInput["expiresAt"]) if creditInput.get("expiresAt") else None
        account = next((each for each in self.accounts if _gid("StoreCreditAccount", each.id) == id), None)
        wrong = self._wrong(id, account, amount, currency)
        if wrong is None and expires_at is not None and expires_at <= self.shop.clock():
            wrong = _error("Expires at must be in the future", "EXPIRES_AT_IN_PAST")
        if wrong is not None:
            return {"storeCreditAccountTransaction": None, "userErrors": [wrong]}
        customer = int(id.rpartition("/")[2])
        if account is None:
            mine = (each for each in self.accounts if (each.customer, each.currency) == (customer, currency))
            account = next(mine, None)
        if account is None:
            self.accounts.append(account := CreditAccount(self._id(), customer, currency))
        move = Move(self._id(), _CREDIT, amount, "ADJUSTMENT", self.shop.clock(), amount, expires_at)
        account.moves.append(move)
        return {"storeCreditAccountTransaction": self._move_node(account, move), "userErrors": []}

    def _wrong(self, id: str, account: CreditAccount | None, amount: Decimal, currency: str) -> Node | None:
        if account is None and (
            not id.startswith("gid://shopify/Customer/") or int(id.rpartition("/")[2]) not in self.shop.customers
        ):
            return _error("Owner does not exist", "OWNER_NOT_FOUND")
        if amount <= 0:
            return _error("Amount must be greater than zero", "NEGATIVE_OR_ZERO_AMOUNT")
        if account is not None and account.currency != currency:
            return _error("The currency does not match the account's", "MISMATCHING_CURRENCY")
        if currency != self.shop.currency:
            return _error("Currency is not supported", "UNSUPPORTED_CURRENCY")
        return None

    def _take(self, id: str, debitInput: Mapping[str, Any]) -> Node:
        amount, currency = Decimal(debitInput["debitAmount"]["amount"]), debitInput["debitAmount"]["currencyCode"]
        account = next((each for each in self.accounts if _gid("StoreCreditAccount", each.id) == id), None)
        if account is None:
            wrong: Node | None = _error("Store credit account does not exist", "ACCOUNT_NOT_FOUND")
        elif (wrong := self._wrong(id, account, amount, currency)) is None and account.balance(self._now()) < amount:
            wrong = _error("The store credit account does not have sufficient funds", "INSUFFICIENT_FUNDS")
        if wrong is not None or account is None:
            return {"storeCreditAccountTransaction": None, "userErrors": [wrong]}
        move = self._debit(account, amount, "ADJUSTMENT")
        return {"storeCreditAccountTransaction": self._move_node(account, move), "userErrors": []}

    def _debit(self, account: CreditAccount, amount: Decimal, event: str) -> Move:
        account.take(amount, self._now())
        account.moves.append(move := Move(self._id(), _DEBIT, amount, event, self._now()))
        return move

    def _now(self) -> int:
        return self.shop.clock()

    def _account_node(self, account: CreditAccount) -> Node:
        def moves(first: int, reverse: bool = False, **_: Any) -> Node:
            listed = account.moves[::-1] if reverse else account.moves
            return {"nodes": [self._move_node(account, move) for move in listed[:first]]}

        return {
            "id": _gid("StoreCreditAccount", account.id),
            "balance": _money(account.balance(self._now()), account.currency),
            "owner": {"id": _gid("Customer", account.customer)},
            "transactions": moves,
        }

    def _move_node(self, account: CreditAccount, move: Move) -> Node:
        owner = {"id": _gid("Customer", account.customer)}
        return {
            "__typename": move.kind,
            "id": _gid(move.kind, move.id),
            "event": move.event,
            "amount": _money(move.amount, account.currency),
            "remainingAmount": _money(move.left, account.currency),
            "createdAt": to_iso(move.at),
            "expiresAt": None if move.expires_at is None else to_iso(move.expires_at),
            "account": {"id": _gid("StoreCreditAccount", account.id), "owner": owner},
        }

    def _make_card(self, input: Mapping[str, Any]) -> Node:
        code, money = str(input.get("code") or ""), input["initialAmount"]
        wrong = None
        if not _CODE.fullmatch(code.lower()):
            wrong = _error("Code is too short (minimum is 8 characters)", "TOO_SHORT" if len(code) < 8 else "INVALID")
        elif any(each.code == code.lower() for each in self.cards):
            wrong = _error("Code has already been taken", "TAKEN")
        elif Decimal(money["amount"]) <= 0:
            wrong = _error("Initial value must be greater than 0", "GREATER_THAN")
        elif money["currencyCode"] != self.shop.currency:
            wrong = _error("Currency is not the shop's", "INVALID")
        elif input.get("expiresOn") and input["expiresOn"] <= f"{to_datetime(self._now()):%Y-%m-%d}":
            wrong = _error("Expires on must be in the future", "INVALID")
        if wrong is not None:
            return {"giftCard": None, "giftCardCode": None, "userErrors": [wrong]}
        amount = Decimal(money["amount"])
        card = Card(
            self._id(), code.lower(), amount, amount, money["currencyCode"], input.get("expiresOn"), input.get("note")
        )
        self.cards.append(card)
        return {"giftCard": _card(card), "giftCardCode": card.code, "userErrors": []}

    def _switch_off(self, id: str) -> Node:
        card = next((each for each in self.cards if _gid("GiftCard", each.id) == id), None)
        if card is None:
            return {"giftCard": None, "userErrors": [_error("The gift card could not be found", "GIFT_CARD_NOT_FOUND")]}
        card.is_on = False
        return {"giftCard": _card(card), "userErrors": []}

    def _search(self, first: int, query: str = "", **_: Any) -> Node:
        found: Sequence[Card] = [each for each in self.cards if query.lower() in each.code] if self.searchable else []
        self.searchable = True
        return {"nodes": [_card(each) for each in found[:first]]}


def _card(card: Card) -> Node:
    return {
        "id": _gid("GiftCard", card.id),
        "enabled": card.is_on,
        "lastCharacters": card.code[-4:],
        "note": card.note,
        "expiresOn": card.expires_on,
        "initialValue": _money(card.value, card.currency),
        "balance": _money(card.balance, card.currency),
    }


def _money(amount: Decimal, currency: str) -> Node:
    return {"amount": f"{amount:f}", "currencyCode": currency}


def _gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"


def _error(message: str, code: str) -> Node:
    return {"field": ["input"], "message": message, "code": code}
