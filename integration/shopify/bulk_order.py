"""Read one order from the lines a bulk operation wrote of it: its own, and those of its children."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from integration.bodies import decode_part
from integration.errors import Unreadable
from integration.facts import Order, OrderLine, OrderRefund, RefundLine
from integration.shopify.answers import LineAnswer, LinesAnswer, Moneys, OrderAnswer, ShippingAnswer, order_of
from integration.shopify.payloads.orders import signed_place
from integration.shopify.values import currency_of, instant_of, minor_of, named_id

_HIGHEST = 2**63 - 1  # what an integer column holds


class _Refund(msgspec.Struct, rename="camel"):
    id: str
    created_at: str | None = None


class _Head(OrderAnswer, kw_only=True):
    line_items: LinesAnswer = msgspec.field(default_factory=LinesAnswer)  # they come as lines of their own
    refunds: list[_Refund] = msgspec.field(default_factory=list)  # type: ignore[assignment]
    total_refunded_set: Moneys | None = None
    total_refunded_shipping_set: Moneys | None = None
    refund_discrepancy_set: Moneys | None = None


class _Child(msgspec.Struct):
    id: str


class Assembled(NamedTuple):
    """An order from a bulk result; `is_sure` = its refunds, told in sums, can mean one thing only."""

    order: Order
    is_sure: bool
    shop_id: str | None = None
    host: str | None = None


_head = msgspec.json.Decoder(_Head)
_child = msgspec.json.Decoder(_Child)
_line = msgspec.json.Decoder(LineAnswer)
_shipping = msgspec.json.Decoder(ShippingAnswer)


def assemble(head: bytes, children: Iterable[bytes]) -> Assembled:
    """Read an order from its line and its children's lines, which may come twice and in any order.

    Raises Unreadable where a line has another shape than was asked for.
    """
    seen = decode_part(_head, head)
    lines: dict[str, LineAnswer] = {}
    shipping: dict[str, ShippingAnswer] = {}
    for body in children:
        gid = decode_part(_child, body).id
        if gid.startswith("gid://shopify/LineItem/"):
            lines[gid] = decode_part(_line, body)
        elif gid.startswith("gid://shopify/ShippingLine/"):
            shipping[gid] = decode_part(_shipping, body)
    # By number, so that the same state is the same order however its lines were mixed.
    seen.line_items.nodes = [lines[gid] for gid in sorted(lines, key=_by_number)]
    seen.shipping_lines.nodes = [shipping[gid] for gid in sorted(shipping, key=_by_number)]
    order = order_of([seen], [])
    host, shop_id = signed_place(seen.status_page_url)
    if not seen.refunds:
        return Assembled(order, True, shop_id, host)
    currency = currency_of(seen.currency_code)
    sums = [
        minor_of(None, moneys.shop_money.amount if moneys and moneys.shop_money else None, currency)
        for moneys in (seen.total_refunded_set, seen.total_refunded_shipping_set, seen.refund_discrepancy_set)
    ]
    refunds, is_sure = _refunds(order, seen.refunds, *sums)
    return Assembled(msgspec.structs.replace(order, refunds=refunds), is_sure, shop_id, host)


def _refunds(
    order: Order, told: Sequence[_Refund], money: int, shipping: int, discrepancy: int
) -> tuple[tuple[OrderRefund, ...], bool]:
    """Make refunds from an order's sums: all on the first of them, since only the sums are known.

    They are sure where everything was given back, or where one refund is explained by the units it took.
    """
    taken = [line for line in order.lines if line.current_quantity < line.quantity]
    all_gone = order.financial_status == "refunded" and all(line.current_quantity == 0 for line in order.lines)
    if all_gone:
        shipping = order.shipping_minor
    explained = abs(money - sum(_paid_for(order, line) for line in taken)) <= len(taken)
    is_sure = all_gone or (len(told) == 1 and not discrepancy and not shipping and bool(taken) and explained)
    # Of one state of the order what a refund's own record says goes before its share in the sums.
    stamp = order.updated_at - 1
    first, *others = sorted(told, key=lambda refund: refund.id)
    whole = OrderRefund(
        id=named_id(first.id, "a refund"),
        stamp=stamp,
        lines=tuple(
            RefundLine(line.id, line.quantity - line.current_quantity, _paid_for(order, line)) for line in taken
        ),
        discrepancy_minor=max(0, -discrepancy),
        shipping_minor=shipping,
        money_minor=money,
        only_money=False,
        created_at=instant_of(first.created_at),
    )
    rest = [OrderRefund(named_id(one.id, "a refund"), stamp, created_at=instant_of(one.created_at)) for one in others]
    return (whole, *rest), is_sure


def _paid_for(order: Order, line: OrderLine) -> int:
    """What was paid for the units of a line that are gone, with tax, in minor units."""
    tax = 0 if order.taxes_included else line.tax_minor
    whole = line.price_minor * line.quantity - line.discount_minor + tax
    return whole * (line.quantity - line.current_quantity) // line.quantity if line.quantity else 0


def _by_number(gid: str) -> tuple[int, str]:
    return len(gid), gid


def order_number(gid: str) -> int:
    """Return the number of an order's global id. Raises Unreadable where it is none."""
    if not gid.startswith("gid://shopify/Order/"):
        raise Unreadable("it is no order, nor a part of one")
    number = int(named_id(gid, "the order"))
    if number > _HIGHEST:
        raise Unreadable("an order's id is out of range")
    return number
