"""Which sale is asked about, and when: neutral rules only, never who is likely to be pleased."""

from collections.abc import Iterator
from typing import NamedTuple

from handlers.merchants.rules import Reviews
from handlers.sales.rules import Sale, SaleFacts
from integration.clock import DAY
from integration.facts import Fulfilment, Order, OrderLine

REQUEST = "review_request"
REMINDER = "review_reminder"
ASKED_ABOUT = 3  # products of one order
LINK_LIFE = 180 * DAY
POSTPONED_BY = 7 * DAY
MOST_POSTPONED = 3
_NOT_YET = 1 << 62  # later than any instant: nothing has arrived
_NOT_SHIPPED = frozenset({"cancelled", "error", "failure"})


class Target(NamedTuple):
    """When a sale's request is due, or why there is to be none (yet)."""

    due_at: int | None
    reason: str | None = None


def request_key(sale: int) -> str:
    """Name the one review request of a sale."""
    return f"review_request:sale:{sale}"


def reminder_key(sale: int, postponed: int = 0) -> str:
    """Name the one reminder of a sale, or the asking again after the parcel was late."""
    return f"review_reminder:sale:{sale}" + (f":{postponed}" if postponed else "")


def target(sale: Sale) -> Target:
    """Decide a sale's request.

    A payment without an order of the shop has neither products nor a parcel to ask about: no request. The
    order's own rules stand in the merchants' reference: delivery, else the time a parcel usually takes.
    """
    order = sale.facts.order
    if order is None or sale.facts.order_deleted:
        return Target(None, "there is no order to ask about")
    if sale.quiet:
        return Target(None, "a backfill told of it: nobody is asked about old orders")
    if sale.version is None:
        return Target(None, "no programme was in force when it was sold")
    settings = sale.version.program.reviews
    if not settings.enabled:
        return Target(None, "review requests were off when it was sold")
    if sale.customer is None:
        return Target(None, "nobody is known to have bought it")
    if sale.worth.standing == "disconnected":
        return Target(None, "it was sold after the shop was disconnected")
    if sale.worth.standing not in ("counted", "cancelled"):
        return Target(None, "the order is not paid")
    goods = list(products(order, sale.facts, settings.ask_about_returns))
    if not goods:
        return Target(None, "there is nothing to review")
    return _timed(sale, order, settings, goods)


def products(order: Order, facts: SaleFacts, returned_too: bool) -> Iterator[OrderLine]:
    """List the lines that can be reviewed: goods sold, and those given back only if `returned_too`."""
    given_back = {line.line_id for refund in facts.refunds.values() for line in refund.lines}
    for line in order.lines:
        if line.gift_card or line.gratuity or line.quantity <= 0:
            continue
        if line.current_quantity > 0 or (returned_too and line.id in given_back):
            yield line


def _timed(sale: Sale, order: Order, settings: Reviews, goods: list[OrderLine]) -> Target:
    sold_at = sale.worth.sold_at or order.updated_at
    if order.source_name == "pos":
        return _unless_undone(sale, order, settings, sold_at, sold_at + settings.days_point_of_sale * DAY)
    if not any(line.requires_shipping for line in goods):
        delivered = [f.created_at or f.updated_at for f in sale.facts.fulfilments.values()]
        got_at = min(delivered, default=_NOT_YET)
        return _unless_undone(sale, order, settings, got_at, sold_at + settings.days_digital * DAY)
    parcels = [f for f in sale.facts.fulfilments.values() if f.status not in _NOT_SHIPPED]
    if not parcels:
        return Target(None, "it has not been sent yet" if not order.cancelled_at else "it was cancelled")
    if order.fulfillment_status == "partial":
        return Target(None, "a part of it has not been sent yet")
    if any(f.delivered_at is None and f.shipment_status == "failure" for f in parcels):
        return Target(None, "the carrier could not deliver it")
    times = [_arrival(f, sale, order, settings) for f in parcels]
    delivered_at = max(arrival for arrival, _ in times)
    return _unless_undone(sale, order, settings, delivered_at, max(due_at for _, due_at in times))


def _arrival(parcel: Fulfilment, sale: Sale, order: Order, settings: Reviews) -> tuple[int, int]:
    """Return when a parcel arrived, or is taken to have, and when to ask about it."""
    if parcel.delivered_at is not None:
        return parcel.delivered_at, parcel.delivered_at + settings.days_after_delivery * DAY
    sent_at = parcel.created_at if parcel.created_at is not None else parcel.updated_at
    country, home = parcel.country or order.country, sale.shop.country
    abroad = bool(country and home and country != home)
    days = settings.days_after_fulfilment_abroad if abroad else settings.days_after_fulfilment
    # Without a carrier's word a parcel counts as arrived when asking leaves the usual days after delivery.
    return sent_at + max(days - settings.days_after_delivery, 0) * DAY, sent_at + days * DAY


def _unless_undone(sale: Sale, order: Order, settings: Reviews, arrived_at: int, due_at: int) -> Target:
    """Ask unless the sale was cancelled or wholly given back before it arrived: facts, not feelings."""
    if order.cancelled_at is not None and order.cancelled_at < arrived_at:
        return Target(None, "the order was cancelled before it arrived")
    undone_at = _given_back_at(sale, order)
    if undone_at is None:
        return Target(due_at)
    if undone_at < arrived_at:
        return Target(None, "everything was given back before it arrived")
    if not settings.ask_about_returns:
        return Target(None, "returned goods are not asked about")
    return Target(max(due_at, undone_at))


def _given_back_at(sale: Sale, order: Order) -> int | None:
    """Return when the last of everything was given back; None = something was kept."""
    goods = [line for line in order.lines if not line.gift_card and not line.gratuity and line.quantity > 0]
    kept = any(line.current_quantity > 0 for line in goods)
    paid_back = sale.worth.paid_minor > 0 and sale.worth.net_minor <= 0 and order.cancelled_at is None
    if kept and not paid_back:
        return None
    times = [r.created_at if r.created_at is not None else r.stamp for r in sale.facts.refunds.values()]
    return max(times, default=None)
