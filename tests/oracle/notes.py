"""Who is thanked and who is asked for a review, when none has been sent yet: read from the same deliveries."""

from collections.abc import Sequence

from tests.oracle.expectation import UNCLAIMED, Expected, ExpectedSale
from tests.oracle.shopify import EARNING_STATUSES, is_gratuity
from tests.oracle.tellings import DAY, SECOND, Shop, instant, minor

MILESTONES = {1, 3, 10}


def thanked(expected: Expected) -> dict[int, int]:
    """When each sale's note is due, by the sale's place in `expected.sales`; left out where there is none."""
    due = {}
    for place, sale in enumerate(expected.sales):
        programme = sale.programme
        if programme is None or not programme.setting("thanks", "enabled", False) or sale.sold_at is None:
            continue
        if sale.person == UNCLAIMED or not counts(sale) or given_back(sale):
            continue
        if programme.setting("thanks", "when", "milestones") == "milestones":
            own = sorted(moment(s) for s in expected.sales if same_buyer(s, sale) and counts(s) and s.sold_at)
            if own.index(moment(sale)) + 1 not in MILESTONES:
                continue
        due[place] = sale.sold_at + programme.setting("thanks", "delay_minutes", 60) * 60 * SECOND
    return due


def same_buyer(one: ExpectedSale, other: ExpectedSale) -> bool:
    return one.person == other.person and one.test == other.test


def counts(sale: ExpectedSale) -> bool:
    """Paid, not called off, sold while connected, and not the Stripe half of a pair."""
    if sale.sold_after_leaving:
        return False
    if sale.money == "shopify":
        return sale.order.paid
    return sale.money == "stripe" and sale.payment.captured and sale.twin is None


def given_back(sale: ExpectedSale) -> bool:
    """All the money went back."""
    if sale.money == "stripe":
        return sale.payment.net <= 0
    order = sale.order.order
    assert order is not None
    back = sum(
        minor(part["amount"], sale.currency)
        for refund in sale.order.refunds.values()
        for part in refund.get("transactions") or []
        if part["kind"] == "refund" and part["status"] == "success"
    )
    return order["financial_status"] == "refunded" or back >= sale.total


def moment(sale: ExpectedSale) -> tuple[int, str]:
    """When it was bought; within one second by the id of the order, else of the payment."""
    ranks = ("order",) if sale.money == "shopify" else ("payment", "charge")
    named = next((ids for kind in ranks if (ids := sorted(i for _, k, i in sale.names if k == kind))), [""])
    return (sale.sold_at or 0, named[0])


def asked(expected: Expected, shop: Shop) -> dict[int, int]:
    """When each sale's review request is due; only of orders that nothing was given back of or called off."""
    due = {}
    for place, sale in enumerate(expected.sales):
        order = sale.order.order
        if order is None or sale.sold_after_leaving or not plain(sale):
            continue
        programme = sale.programme
        if programme is None or not programme.setting("reviews", "enabled", False) or sale.sold_at is None:
            continue
        goods = [x for x in order["line_items"] if not x["gift_card"] and not is_gratuity(x) and x["current_quantity"]]
        if sale.person == UNCLAIMED or order["financial_status"] not in EARNING_STATUSES or not goods:
            continue

        def days(key: str, default: int, programme=programme) -> int:  # type: ignore[no-untyped-def]
            return int(programme.setting("reviews", key, default)) * DAY

        if order["source_name"] == "pos":
            due[place] = sale.sold_at + days("days_point_of_sale", 0)
        elif not any(line["requires_shipping"] for line in goods):
            due[place] = sale.sold_at + days("days_digital", 3)
        elif order["fulfillment_status"] != "partial" and (times := _parcels(sale, shop, days)):
            due[place] = max(times)
    return due


def plain(sale: ExpectedSale) -> bool:
    """Nothing happened to the order that a reader of the rules could take one way or the other."""
    topics = {delivery.topic for delivery in sale.told}
    order = sale.order.order
    assert order is not None
    undone = {"orders/cancelled", "orders/delete", "refunds/create"} & topics
    return not undone and not sale.order.refunds and not order["cancelled_at"]


def _parcels(sale: ExpectedSale, shop: Shop, days) -> Sequence[int]:  # type: ignore[no-untyped-def]
    """When to ask about each parcel: so long after it arrived, else after it was sent."""
    sent: dict[str, int] = {}
    country: dict[str, str] = {}
    arrived: dict[str, int] = {}
    for delivery in sale.told:
        body, topic = delivery.body, delivery.topic
        if topic == "fulfillment_events/create" and body["status"] == "delivered":
            name = str(body["fulfillment_id"])
            arrived[name] = min(arrived.get(name, 1 << 62), instant(body["happened_at"]) or 0)
        parcels = [body] if topic.startswith("fulfillments/") else []
        if topic.startswith("orders/") and "fulfillments" in body:
            parcels = body["fulfillments"]
        for parcel in parcels:
            name = str(parcel["id"])
            sent[name] = min(sent.get(name, 1 << 62), instant(parcel["created_at"]) or 0)
            country[name] = parcel["destination"]["country_code"]
            if parcel["shipment_status"] == "delivered":
                arrived[name] = min(arrived.get(name, 1 << 62), instant(parcel["updated_at"]) or 0)
    return [
        arrived[name] + days("days_after_delivery", 10)
        if name in arrived
        else at
        + (
            days("days_after_fulfilment_abroad", 21)
            if shop.country and country[name] != shop.country
            else days("days_after_fulfilment", 14)
        )
        for name, at in sent.items()
    ]
