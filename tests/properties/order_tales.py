"""Tales of Shopify orders: how one begins, and one thing after another that becomes of it."""

from datetime import datetime, timedelta
from typing import Any

from tests.properties.cases import (
    BEGINNINGS,
    COURSES,
    ORDER_STEPS,
)
from tests.properties.shopify_stories import Buyer, Line, PretendOrder
from tests.properties.teller import Teller


def order_story(teller: Teller) -> None:
    """An order and up to a few things that become of it."""
    begin = teller.choose("begin", *["paid"] * (100 if teller.planned else 4), *BEGINNINGS[1:])
    teller.case(f"order: {begin}")
    more: dict[str, Any] = {"status": "paid" if begin == "foreign" else begin}
    if begin == "foreign":
        more["currency"] = teller.pick("CHF", "GBP")
    order = new_order(teller, teller.moment(), teller.shopper(), **more).place()
    if begin not in ("paid", "foreign"):
        end = teller.choose("end", "paid", "paid", "voided", "expired", "stays")
        teller.case(f"order: {begin} then {end}")
        if end != "stays":
            order.becomes(end, teller.after())
    for _ in range(teller.steps("step")):
        order_step(teller, order)


def order_step(teller: Teller, order: PretendOrder) -> None:
    """One thing that happens to an order."""
    step = teller.choose("step", "pieces", "all", *ORDER_STEPS)
    teller.case(f"step: {step}")
    later = teller.after()
    some = {i: line.current for i, line in enumerate(order.lines) if line.current > 0}
    if step in ("pieces", "store credit") and some:
        index = teller.pick(*some)
        gateway = "shopify_store_credit" if step == "store credit" else "shopify_payments"
        pieces = {index: teller.amount(1, some[index])}
        order.refund(later, pieces=pieces, gateway=gateway, early=teller.chance())
    elif step == "all" and some:
        order.refund(later, pieces=some, shipping=teller.pick(0, order.shipping), early=teller.chance())
    elif step == "discrepancy":
        order.refund(later, adjustment=-teller.amount(1, 4_000), early=teller.chance())
    elif step == "money only":
        order.refund(later, transactions=[("success", teller.amount(1, 4_000))], early=teller.chance())
    elif step == "pending money":
        refund = order.refund(later, transactions=[("pending", teller.amount(1, 4_000))], early=True)
        order.settle(refund, teller.after() + timedelta(seconds=1), teller.pick("success", "failure"))
    elif step == "shipping refund" and order.shipping:
        order.refund(later, shipping=order.shipping, early=teller.chance())
    elif step == "pending refund" and some:
        index = teller.pick(*some)
        value = order.lines[index].each
        refund = order.refund(later, pieces={index: 1}, adjustment=value, transactions=[("pending", value)], early=True)
        order.settle(refund, teller.after() + timedelta(seconds=1))
    elif step == "exchange" and some:
        order.refund(later, pieces={teller.pick(*some): 1}, transactions=[])
        order.edit(timedelta(0), add=new_line(teller))
    elif step == "edit up":
        order.edit(later, add=new_line(teller))
    elif step == "edit down" and some:
        order.edit(later, remove=(teller.pick(*some), 1))
    elif step == "cancel":
        order.cancel(later)
    elif step == "reopen":
        order.cancel(later)
        order.reopen(teller.after())
    elif step == "delete" and (teller.planned or teller.chance(3)):
        order.delete(later)
    elif step == "dispute":
        order.dispute(later, teller.amount(1, 12_000), dispute_course(teller))
    elif step == "inquiry":
        order.dispute(later, teller.amount(1, 12_000), ["needs_response", "won"], kind="inquiry")
    elif step == "ship":
        parcel = order.ship(later, country=teller.pick(None, "DE"), partial=teller.chance(3))
        if teller.chance():
            order.arrive(parcel, teller.after(), teller.pick("in_transit", "delivered"))
    elif step == "touch":
        order.tags = teller.pick("vip", "staff", "")
        order.becomes(order.status, later, "orders/updated")


def dispute_course(teller: Teller) -> list[str]:
    course: list[str] = teller.choose("course", *COURSES)
    teller.case("dispute: " + course[-1])
    return course


def new_order(teller: Teller, at: datetime, buyer: Buyer, **more: Any) -> PretendOrder:
    """An order of one to three lines."""
    lines = [new_line(teller) for _ in range(teller.pick(1, 2, 3))]
    currency = more.pop("currency", teller.currency)
    words: dict[str, Any] = {
        "taxes_included": teller.chance(),
        "shipping": teller.pick(0, 0, 500, 990),
        "shown": teller.pick(None, None, ("SEK", 11)),
        "test": teller.choose("test", *[False] * 7, True) if not teller.planned or "test" in teller.plan else False,
        "source": teller.pick("web", "web", "pos", "shopify_draft_order") if not teller.planned else "web",
        "tags": teller.pick("", "", "staff, vip") if not teller.planned else teller.pick("", "vip"),
    } | more
    if words["shipping"] and teller.chance():
        words["shipping_tax"] = words["shipping"] // 6
    for name in ("taxes_included", "shipping", "shown", "test"):
        if words[name]:
            teller.case(f"order: {name}")
    return PretendOrder(teller.tape, at, lines, buyer, currency=currency, **words)


def new_line(teller: Teller) -> Line:
    quantity = teller.pick(1, 1, 2, 3)
    line = Line(teller.amount(50, 9_000), quantity, product=teller.pick(9001, 9002))
    whole = line.price * quantity
    if teller.chance(3):
        teller.case("order: discount")
        line.discount = teller.amount(1, whole)
    if teller.chance(3):
        line.tax = (whole - line.discount) // teller.pick(5, 6, 11)
    what = teller.choose("line", "goods", "goods", "goods", "goods", "gift card", "tip")
    line.gift_card, line.tip = what == "gift card", what == "tip"
    teller.case(f"line: {what}")
    return line
