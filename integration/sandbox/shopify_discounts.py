"""Discount codes of the pretend shop: made, added to, found, switched off, and used in orders, by Shopify's rules.

A code belongs to one discount, whatever its case. Codes added to a discount, and taken off it, are there or gone
behind the answer; how often one was used is counted some time after the order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from integration.clock import from_iso, to_iso
from integration.sandbox.graph import Node
from integration.sandbox.shopify_records import Customer

MOST_ADDED = 250  # codes by one call
LONGEST_CODE = 255


@dataclass(slots=True)
class Code:
    """One code and how often it was used; `counted` is what the shop says of that."""

    id: int
    text: str
    uses: int = 0
    counted: int = 0


@dataclass(slots=True)
class Creation:
    """Codes that were asked for together, and what was wrong with those that could not be added."""

    id: int
    discount: int
    codes: list[str]
    errors: dict[str, list[Node]] = field(default_factory=dict)
    is_done: bool = False


@dataclass(slots=True)
class Discount:
    """One discount as it was made: its input, its codes, and whether it was switched off."""

    id: int
    kind: str  # DiscountCodeBasic or DiscountCodeFreeShipping
    asked: Mapping[str, Any]
    codes: list[Code] = field(default_factory=list)
    is_off: bool = False
    removing: list[int] = field(default_factory=list)

    @property
    def customers(self) -> list[str]:
        """The ids of those it is for; none = everybody."""
        chosen: list[str] = (self.asked.get("context") or {}).get("customers", {}).get("add", [])
        return [gid.rpartition("/")[2] for gid in chosen]


class CannotUse(ValueError):
    """A code that does not hold at the checkout; the message says why."""


class Discounts:
    """The discounts of one shop."""

    def __init__(self) -> None:
        self.all: dict[int, Discount] = {}
        self.deleted: list[Discount] = []
        self.creations: dict[int, Creation] = {}
        self.fail_codes: list[str] = []  # what is wrong with the next codes that are added, in words
        self._next = 1

    def _id(self) -> int:
        self._next += 1
        return self._next

    def find(self, text: str) -> tuple[Discount, Code] | None:
        """Find a code, whatever its case."""
        for discount in self.all.values():
            for code in discount.codes:
                if code.text.upper() == text.upper():
                    return discount, code
        return None

    def typed(self, code: str | None, buyer: Customer | None, now: int) -> None:
        """Take what somebody typed at the checkout; codes that were not made by the app always hold."""
        if code is not None and self.find(code) is not None:
            self.use(code, str(buyer.id) if buyer else None, now)

    def use(self, text: str, customer: str | None, now: int = 0) -> None:
        """Use a code in an order. Raises CannotUse."""
        found = self.find(text)
        if found is None:
            raise CannotUse(f"{text} is no code of this shop")
        discount, code = found
        if discount.is_off:
            raise CannotUse(f"{text} is switched off")
        if discount.customers and customer not in discount.customers:
            raise CannotUse(f"{text} is for somebody else")
        ends = discount.asked.get("endsAt")
        if ends is not None and from_iso(ends) <= now:
            raise CannotUse(f"{text} has ended")
        limit = discount.asked.get("usageLimit")
        if limit is not None and code.uses >= limit:
            raise CannotUse(f"{text} was used already")
        code.uses += 1

    def count(self) -> None:
        """Let the shop count what was used so far."""
        for discount in self.all.values():
            for code in discount.codes:
                code.counted = code.uses

    def settle(self) -> None:
        """Let come to be what was asked for and stood behind its answer."""
        for creation in self.creations.values():
            if not creation.is_done:
                self._create(creation)
        for discount in self.all.values():
            discount.codes = [code for code in discount.codes if code.id not in discount.removing]
            discount.removing = []

    def _create(self, creation: Creation) -> None:
        discount = self.all.get(creation.discount)
        for text in creation.codes if discount is not None else ():
            if self.find(text) is not None:
                creation.errors[text] = [_error("Code must be unique. Please try a different code.", "TAKEN")]
            elif self.fail_codes:
                creation.errors[text] = [_error(self.fail_codes.pop(0), "INVALID")]
            elif discount is not None:
                discount.codes.append(Code(self._id(), text))
        creation.is_done = True

    def delete(self, discount: Discount) -> None:
        """The merchant deletes a discount, and its codes with it."""
        self.deleted.append(self.all.pop(discount.id))

    def told(self, discount: Discount, now: int) -> tuple[str, bytes]:
        """Say how the shop tells that somebody changed or deleted a discount: the topic, and the body."""
        named: Node = {"admin_graphql_api_id": f"gid://shopify/DiscountCodeNode/{discount.id}"}
        if discount.id not in self.all:
            return "discounts/delete", msgspec.json.encode(named | {"deleted_at": to_iso(now)})
        changed = {"status": _status(discount), "title": discount.asked.get("title"), "updated_at": to_iso(now)}
        return "discounts/update", msgspec.json.encode(named | changed)

    # --- What the app asks ----------------------------------------------------------------------

    def fields(self) -> Node:
        """The fields of queries and mutations."""
        return {
            "discountCodeBasicCreate": lambda basicCodeDiscount: self._make("DiscountCodeBasic", basicCodeDiscount),
            "discountCodeFreeShippingCreate": lambda freeShippingCodeDiscount: self._make(
                "DiscountCodeFreeShipping", freeShippingCodeDiscount
            ),
            "discountRedeemCodeBulkAdd": self._add,
            "discountCodeRedeemCodeBulkDelete": self._remove,
            "discountCodeDeactivate": self._switch_off,
            "codeDiscountNodeByCode": self._by_code,
            "discountRedeemCodeBulkCreation": self._creation,
        }

    def _make(self, kind: str, asked: Mapping[str, Any]) -> Node:
        wrong = self._wrong(asked)
        if wrong:
            return {"codeDiscountNode": None, "userErrors": wrong}
        discount = Discount(self._id(), kind, asked)
        discount.codes.append(Code(self._id(), asked["code"]))
        self.all[discount.id] = discount
        return {"codeDiscountNode": _node(discount), "userErrors": []}

    def _wrong(self, asked: Mapping[str, Any]) -> list[Node]:
        code = asked.get("code") or ""
        if not code or len(code) > LONGEST_CODE:
            return [_error("Code can't be blank", "BLANK")]
        if self.find(code) is not None:
            return [_error("Code must be unique. Please try a different code.", "TAKEN")]
        if asked.get("endsAt") and asked["endsAt"] <= asked["startsAt"]:
            return [_error("Ends at needs to be after starts_at", "END_DATE_BEFORE_START_DATE")]
        context = asked.get("context") or {}
        if len(context) != 1:
            return [_error("Context needs exactly one kind of buyers", "INVALID")]
        value = (asked.get("customerGets") or {}).get("value") or {}
        if "percentage" in value and not 0 < float(value["percentage"]) <= 1:
            return [_error("Value must be between 0.0 and 1.0", "VALUE_OUTSIDE_RANGE")]
        if "discountAmount" in value:
            try:
                amount = Decimal(str(value["discountAmount"]["amount"]))
            except InvalidOperation:
                amount = Decimal(0)
            if amount <= 0:
                return [_error("Amount must be greater than 0", "GREATER_THAN")]
        return []

    def _add(self, discountId: str, codes: Sequence[Mapping[str, str]]) -> Node:
        discount = self.all.get(_number(discountId))
        if discount is None:
            return {"bulkCreation": None, "userErrors": [_error("Discount does not exist.", "INVALID")]}
        if len(codes) > MOST_ADDED:
            return {"bulkCreation": None, "userErrors": [_error("Too many codes", "EXCEEDED_MAX")]}
        creation = Creation(self._id(), discount.id, [each["code"] for each in codes])
        self.creations[creation.id] = creation
        return {"bulkCreation": self._creation_node(creation), "userErrors": []}

    def _creation(self, id: str) -> Node | None:
        creation = self.creations.get(_number(id))
        told = None if creation is None else self._creation_node(creation)
        # Asking takes a moment, in which what stood behind an answer comes to be.
        self.settle()
        return told

    def _creation_node(self, creation: Creation) -> Node:
        def codes(first: int) -> Node:
            nodes = [{"code": text, "errors": creation.errors.get(text, [])} for text in creation.codes[:first]]
            return {"nodes": nodes}

        failed, discount = len(creation.errors), self.all.get(creation.discount)
        return {
            "id": f"gid://shopify/DiscountRedeemCodeBulkCreation/{creation.id}",
            "done": creation.is_done,
            "codesCount": len(creation.codes),
            "importedCount": len(creation.codes) - failed if creation.is_done else 0,
            "failedCount": failed,
            "discountCode": None if discount is None else _node(discount),
            "codes": codes,
        }

    def node(self, gid: str) -> Node | None:
        """Find a discount by its id."""
        discount = self.all.get(_number(gid))
        return None if discount is None else _node(discount)

    def _remove(self, discountId: str, ids: Sequence[str]) -> Node:
        discount = self.all.get(_number(discountId))
        if discount is None:
            return {"job": None, "userErrors": [_error("Discount does not exist.", "INVALID")]}
        discount.removing += [_number(gid) for gid in ids]
        return {"job": {"id": f"gid://shopify/Job/{self._id()}", "done": False}, "userErrors": []}

    def _switch_off(self, id: str) -> Node:
        discount = self.all.get(_number(id))
        if discount is None:
            return {"codeDiscountNode": None, "userErrors": [_error("Discount does not exist.", "INVALID")]}
        discount.is_off = True
        return {"codeDiscountNode": _node(discount), "userErrors": []}

    def _by_code(self, code: str) -> Node | None:
        found = self.find(code)
        # Asking takes a moment, in which what stood behind an answer comes to be.
        self.settle()
        return None if found is None else _node(found[0])


def _node(discount: Discount) -> Node:
    def codes(first: int = 10, query: str | None = None, **_: Any) -> Node:
        wanted = (query or "").removeprefix("code:").upper()
        shown = [code for code in discount.codes if not wanted or code.text.upper() == wanted][:first]
        nodes = [
            {"id": f"gid://shopify/DiscountRedeemCode/{c.id}", "code": c.text, "asyncUsageCount": c.counted}
            for c in shown
        ]
        return {"nodes": nodes}

    return {
        "id": f"gid://shopify/DiscountCodeNode/{discount.id}",
        "codeDiscount": {
            "__typename": discount.kind,
            "title": discount.asked.get("title"),
            "status": _status(discount),
            "endsAt": discount.asked.get("endsAt"),
            "codes": codes,
        },
    }


def _status(discount: Discount) -> str:
    return "EXPIRED" if discount.is_off else "ACTIVE"


def _number(gid: str) -> int:
    number = gid.rpartition("/")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def _error(message: str, code: str) -> Node:
    return {"field": ["basicCodeDiscount"], "message": message, "code": code, "extraInfo": None}
