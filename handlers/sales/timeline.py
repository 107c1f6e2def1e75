"""What sales add to a person's timeline: orders and payments with what became of them, refunds, disputes."""

from collections.abc import Iterator, Sequence

import msgspec

from handlers.customers.timeline import SELF, Badge, Bound, Item, Whose, numbered
from handlers.merchants.rules import Earning
from handlers.sales.rules import SaleFacts, Worth
from handlers.sales.worth import worth
from integration.database.steps import Sql, Steps, ask, plain

MOST_RETURNS = 2_000  # sales of one person with a refund or a dispute that are looked through, the newest first
MOST_LINES = 3  # products named of one order

_SOLD = "COALESCE(s.sold_at, s.created_at)"
_ORDERS = plain(
    f"SELECT s.number, {_SOLD}, s.facts, s.name, s.platform, s.standing, s.test FROM sales s"
    f" WHERE s.merchant_id = ?1 AND s.customer IN ({SELF}) AND s.merged_into IS NULL"
    f" AND ({_SOLD}, s.number) < (?3, ?4) ORDER BY {_SOLD} DESC, s.number DESC LIMIT ?5"
)
# Facts leave out what is empty, so these words are in them only where there is something to tell.
_RETURNS_SQL = (
    f"SELECT s.number, {_SOLD}, s.facts, s.name, s.test FROM sales s"
    f" WHERE s.merchant_id = ?1 AND s.customer IN ({SELF}) AND s.merged_into IS NULL"
    """ AND (instr(s.facts, '"refunds":{') > 0 OR instr(s.facts, '"disputes":{') > 0)"""
    f" AND {_SOLD} <= ?3 ORDER BY {_SOLD} DESC, s.number DESC LIMIT ?4"
)
_RETURNS: Sql = plain(_RETURNS_SQL, postgres=_RETURNS_SQL.replace("instr(", "strpos("))

_STANDINGS = {
    "waiting_for_order": Badge("Waiting for the order", "info"),
    "waiting_for_payment": Badge("Waiting for the payment", "info"),
    "unpaid": Badge("Not paid yet", "warning"),
    "authorized": Badge("Authorised", "info"),
    "partially_paid": Badge("Partly paid", "warning"),
    "cancelled": Badge("Cancelled"),
    "voided": Badge("Voided"),
    "deleted": Badge("Deleted in the shop"),
    "uncaptured": Badge("Not captured yet", "info"),
    "elsewhere": Badge("Counted with its Shopify order"),
    "undone": Badge("Import taken back"),
    "disconnected": Badge("After disconnecting"),
}
_DISPUTES = {
    "needs_response": Badge("Waiting for your answer", "warning"),
    "under_review": Badge("Under review", "warning"),
    "lost": Badge("Lost", "critical"),
    "appeal_needs_response": Badge("Lost, appeal open", "critical"),
    "appeal_under_review": Badge("Lost, under appeal", "critical"),
    "won": Badge("Won", "success"),
}

_facts = msgspec.json.Decoder(SaleFacts)


class Orders:
    """The source `orders`: each purchase where it was made, and how it stands by now."""

    name = "orders"

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List purchases by when they were made."""
        rows = yield from ask(_ORDERS, (whose.shop.id, whose.number, before.at, numbered(before.key), limit))
        return [_order(whose, *row) for row in rows]


class Returns:
    """The source `returns`: money given back and payments disputed, each when it happened."""

    name = "returns"

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List refunds and disputes by when they happened; never before the purchase they are of."""
        rows = yield from ask(_RETURNS, (whose.shop.id, whose.number, before.at, MOST_RETURNS))
        found = [item for row in rows for item in _returned(whose, *row)]
        below = [item for item in found if (item.at, item.key) < before]
        return sorted(below, key=lambda item: (item.at, item.key), reverse=True)[:limit]


def _order(
    whose: Whose, number: int, at: int, told: str, name: str | None, platform: str | None, standing: str, test: int
) -> Item:
    facts = _facts.decode(told)
    value = worth(facts, Earning())
    return Item(
        at=at,
        key=str(number),
        what="order",
        title=f"{called(name, platform)}: {whose.money(value.paid_minor, value.currency)}".removesuffix(": "),
        badge=_STANDINGS.get(standing) or _paid(value),
        details=tuple(_details(whose, facts, value)),
        sale=number,
        test=bool(test),
    )


def called(name: str | None, platform: str | None) -> str:
    """Name a sale for people: by the shop's own name for it, else by what kind of thing it is."""
    if name:
        return f"Order {name}"
    return "Stripe payment" if platform == "stripe" else "Order"


def _paid(value: Worth) -> Badge:
    if value.net_minor >= value.paid_minor:
        return Badge("Paid", "success")
    return Badge("Refunded" if value.net_minor == 0 else "Partly refunded", "warning")


def _details(whose: Whose, facts: SaleFacts, value: Worth) -> Iterator[str]:
    if facts.order is not None:
        lines = [f"{line.quantity} × {line.title}" if line.quantity > 1 else line.title for line in facts.order.lines]
        named = [line for line in lines if line]
        if named:
            rest = len(named) - MOST_LINES
            yield ", ".join(named[:MOST_LINES]) + (f" and {rest} more" if rest > 0 else "")
    if value.standing == "counted" and (back := value.paid_minor - value.net_minor):
        yield f"{whose.money(back, value.currency)} given back so far"
    parcels = [parcel for parcel in facts.fulfilments.values() if parcel.status != "cancelled"]
    arrived = [parcel.delivered_at for parcel in parcels if parcel.delivered_at is not None]
    if arrived:
        yield f"Delivered on {whose.day(max(arrived))}"
    elif sent := [parcel.created_at for parcel in parcels if parcel.created_at is not None]:
        yield f"Sent on {whose.day(max(sent))}"
    if facts.imported is not None and facts.imported.run:
        yield f"Brought in by import {facts.imported.run}"


def _returned(whose: Whose, number: int, sold_at: int, told: str, name: str | None, test: int) -> Iterator[Item]:
    facts = _facts.decode(told)
    currency = facts.order.currency if facts.order is not None else None
    whole = f"order {name}" if name else "a purchase"
    for refund in facts.refunds.values():
        pieces = sum(line.quantity for line in refund.lines)
        amount = whose.money(refund.money_minor, currency) if refund.money_minor else ""
        yield Item(
            at=max(refund.created_at or refund.stamp, sold_at),
            key=f"{number}:refund:{refund.id}",
            what="refund",
            title=f"{amount or 'Something'} given back for {whole}",
            details=(f"{pieces} {'piece' if pieces == 1 else 'pieces'} returned",) if pieces else (),
            sale=number,
            test=bool(test),
        )
    for dispute in facts.disputes.values():
        if dispute.status.startswith("warning_"):
            continue  # An inquiry: nothing was taken.
        yield Item(
            at=max(dispute.told_at, sold_at),
            key=f"{number}:dispute:{dispute.id}",
            what="dispute",
            title=f"The payment of {whose.money(dispute.amount_minor, dispute.currency)} for {whole} was disputed",
            badge=_DISPUTES.get(dispute.status),
            sale=number,
            test=bool(test),
        )
