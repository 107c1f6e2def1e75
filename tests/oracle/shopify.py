"""What a Shopify order is worth by the settlement rules, computed from the bodies told about it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracle.tellings import Delivery, Programme, address, half_up, instant, minor

ORDER_TOPICS = {
    "orders/create", "orders/paid", "orders/updated", "orders/cancelled", "orders/fulfilled",
    "orders/partially_fulfilled",
}  # fmt: skip
EARNING_STATUSES = {"paid", "partially_refunded", "refunded"}


@dataclass
class OrderWorth:
    """The newest order and what of it earns, in minor units."""

    order: dict[str, Any] | None = None
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    eligible: int = 0
    parts: list[tuple[str | None, int]] = field(default_factory=list)  # (product, money), before money given back
    tags: frozenset[str] = frozenset()
    channel: str = ""
    currency: str = ""
    sold_at: int | None = None
    total: int = 0
    test: bool = False
    dead: bool = False  # cancelled, deleted, voided: it will not become a sale
    paid: bool = False
    money_taken: bool = False  # paid at some time, whatever became of it
    customer: str | None = None
    email: str | None = None


def order_worth(told: Sequence[Delivery], programme_at: Any) -> OrderWorth:
    """Read every Shopify body about one order; `programme_at(sold_at)` gives the version in force."""
    worth = OrderWorth()
    snapshots = [d for d in told if d.topic in ORDER_TOPICS]
    deleted = any(d.topic == "orders/delete" for d in told)
    if not snapshots:
        return worth
    worth.order = order = max(snapshots, key=_age).body
    worth.refunds = _refunds(told, order)
    worth.currency = order["currency"]
    worth.sold_at = instant(order.get("processed_at") or order.get("created_at"))
    worth.total = minor(order["total_price"], worth.currency)
    worth.test = bool(order.get("test"))
    status = order.get("financial_status")
    worth.dead = deleted or order.get("cancelled_at") is not None or status in ("voided", "expired")
    worth.money_taken = status in EARNING_STATUSES
    worth.paid = worth.money_taken and not worth.dead
    buyer = order.get("customer") or {}
    worth.customer = str(buyer["id"]) if buyer.get("id") else None
    worth.email = address(order.get("email")) or address(order.get("contact_email")) or address(buyer.get("email"))
    if worth.paid:
        programme = programme_at(worth.sold_at)
        if programme is not None:
            worth.eligible, worth.parts = _eligible(order, worth.refunds, programme)
    worth.tags, worth.channel = _tags(order), (order.get("source_name") or "").lower()
    return worth


def _age(delivery: Delivery) -> tuple[int, int, str]:
    digest = hashlib.sha256(delivery.raw).hexdigest()
    return (instant(delivery.body["updated_at"]) or 0, delivery.triggered_at, digest)


def _refunds(told: Sequence[Delivery], order: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The newest version of each refund; what the newest order shows of it is the newest there is."""
    newest: dict[str, tuple[int, dict[str, Any]]] = {}
    for delivery in told:
        if delivery.topic == "refunds/create":
            versions = [(instant(delivery.body.get("created_at")) or 0, delivery.body)]
        elif delivery.topic in ORDER_TOPICS:
            stamp = instant(delivery.body["updated_at"]) or 0
            versions = [(stamp, refund) for refund in delivery.body.get("refunds") or []]
        else:
            versions = []
        for stamp, refund in versions:
            known = newest.get(str(refund["id"]))
            if known is None or stamp > known[0]:
                newest[str(refund["id"])] = (stamp, refund)
    for refund in order.get("refunds") or []:
        newest[str(refund["id"])] = (0, refund)
    return {name: refund for name, (_, refund) in newest.items()}


def _eligible(
    order: dict[str, Any], refunds: dict[str, dict[str, Any]], programme: Programme
) -> tuple[int, list[tuple[str | None, int]]]:
    """What earns, and the parts it is made of before what was given back beyond lines."""
    currency = order["currency"]
    if _excluded_whole(order, programme):
        return 0, []
    inside = {str(refund["id"]) for refund in order.get("refunds") or []}
    lines = {str(line["id"]): line for line in order["line_items"]}
    left = {name: Fraction(_current(line)) for name, line in lines.items()}
    taken = 0
    for name, refund in refunds.items():
        taken += _discrepancy(refund, currency)
        if _only_money(refund):
            taken += _money(refund, currency)
        if name in inside:
            continue
        for item in refund.get("refund_line_items") or []:
            line = str(item["line_item_id"])
            if line in left:
                left[line] -= item["quantity"]
            else:
                taken += minor(_shop_money(item.get("subtotal_set")) or item.get("subtotal") or 0, currency)
    parts: list[tuple[str | None, int]] = [
        (str(line.get("product_id")), _line_net(line, max(left[name], Fraction(0)), order, programme))
        for name, line in lines.items()
    ]
    if programme.setting("earning", "include_shipping", False):
        parts.append((None, _shipping(order, refunds, programme)))
    return max(0, sum(amount for _, amount in parts) - taken), parts


def _excluded_whole(order: dict[str, Any], programme: Programme) -> bool:
    tags = _tags(order)
    barred = {tag.lower() for tag in programme.setting("earning", "exclude_tags", ())}
    channels = {channel.lower() for channel in programme.setting("earning", "exclude_channels", ())}
    return bool(tags & barred) or (order.get("source_name") or "").lower() in channels


def _tags(order: dict[str, Any]) -> frozenset[str]:
    return frozenset(tag.strip().lower() for tag in (order.get("tags") or "").split(",") if tag.strip())


def _current(line: dict[str, Any]) -> int:
    current = line.get("current_quantity")
    return int(line["quantity"] if current is None else current)


def _line_net(line: dict[str, Any], quantity: Fraction, order: dict[str, Any], programme: Programme) -> int:
    """What of one line earns for so many pieces: after discounts, with or without its tax."""
    bought = line["quantity"]
    if not bought or line.get("gift_card") or is_gratuity(line):
        return 0
    if str(line.get("product_id")) in {str(p) for p in programme.setting("earning", "exclude_products", ())}:
        return 0
    currency = order["currency"]
    price = minor(_shop_money(line.get("price_set")) or line["price"], currency)
    discount = sum(
        minor(_shop_money(part.get("amount_set")) or part["amount"], currency)
        for part in line.get("discount_allocations") or []
    )
    tax = _tax(line, currency)
    whole = price * bought - discount
    with_tax = programme.setting("earning", "include_tax", False)
    if order.get("taxes_included") and not with_tax:
        whole -= tax
    if with_tax and not order.get("taxes_included"):
        whole += tax
    return half_up(Fraction(whole) * quantity / bought)


def is_gratuity(line: dict[str, Any]) -> bool:
    """A tip is the one kind of line that names (be it as null) the gateway it was paid with."""
    return "tip_payment_gateway" in line


def _tax(thing: dict[str, Any], currency: str) -> int:
    return sum(
        minor(_shop_money(part.get("price_set")) or part["price"], currency) for part in thing.get("tax_lines") or []
    )


def _shipping(order: dict[str, Any], refunds: dict[str, dict[str, Any]], programme: Programme) -> int:
    currency = order["currency"]
    total = 0
    for line in order.get("shipping_lines") or []:
        total += minor(_shop_money(line.get("discounted_price_set")) or line["price"], currency)
        with_tax = programme.setting("earning", "include_tax", False)
        if order.get("taxes_included") and not with_tax:
            total -= _tax(line, currency)
        if with_tax and not order.get("taxes_included"):
            total += _tax(line, currency)
    back = 0
    for refund in refunds.values():
        for part in refund.get("order_adjustments") or []:
            if part.get("kind") == "shipping_refund":
                back -= minor(_shop_money(part.get("amount_set")) or part["amount"], currency)
    return max(0, total - back)


def _discrepancy(refund: dict[str, Any], currency: str) -> int:
    """How much more was given back than lines and shipping explain: the negative discrepancies."""
    amounts = [
        minor(_shop_money(part.get("amount_set")) or part["amount"], currency)
        for part in refund.get("order_adjustments") or []
        if part.get("kind") == "refund_discrepancy"
    ]
    return -sum(amount for amount in amounts if amount < 0)


def _only_money(refund: dict[str, Any]) -> bool:
    return not (
        refund.get("refund_line_items") or refund.get("order_adjustments") or refund.get("refund_shipping_lines")
    )


def _money(refund: dict[str, Any], currency: str) -> int:
    return sum(
        minor(part["amount"], currency)
        for part in refund.get("transactions") or []
        if part.get("status") == "success" and part.get("kind") == "refund"
    )


def _shop_money(pair: dict[str, Any] | None) -> str | None:
    return ((pair or {}).get("shop_money") or {}).get("amount")
