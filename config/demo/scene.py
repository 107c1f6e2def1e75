"""What the demo's page shows at one moment, in the shop's words: orders, points, mails, webhooks, the clock."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from config.demo import cast
from config.demo.world import World
from handlers.merchants.naming import named
from handlers.points.timeline import BUCKETS_CALLED, called_entry
from integration.clock import DAY, HOUR, MINUTE, from_iso, to_datetime
from integration.database.steps import TEXT, Row, Steps, ask, keyed, plain
from integration.sandbox.mailbox import Mail
from integration.sandbox.sender import Attempt
from integration.sandbox.shopify_bodies import amount
from integration.sandbox.shopify_records import Customer, Order
from integration.sandbox.stripe import Payment

MOST_WEBHOOKS = 40
MOST_MAILS = 12
MOST_ENTRIES = 40

_OUTCOMES = keyed(
    "SELECT e.delivery_id, e.outcome, e.reason, e.received_at, e.worked_at, e.failed_at"
    " FROM {keys} k CROSS JOIN events e"
    " WHERE e.source = k.source AND e.connection = k.connection AND e.delivery_id = k.delivery_id",
    source=TEXT,
    connection=TEXT,
    delivery_id=TEXT,
)
_NEXT_SETTLING = plain(
    "SELECT min(settle_at) FROM sales WHERE merchant_id = ?1 AND customer = ?2 AND merged_into IS NULL"
)
_NEXT_MESSAGES = plain(
    "SELECT kind, next_attempt_at FROM messages WHERE merchant_id = ?1 AND customer = ?2"
    " AND state IN ('scheduled', 'waiting') ORDER BY next_attempt_at LIMIT 5"
)
_RELEASE = "a return window ends, and its pending points become available"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a visitor can do with an order, and what it does in the shop's words."""

    verb: str
    label: str
    says: str
    main: bool = False


async def scene(world: World, person: Customer) -> dict[str, Any]:
    """Read everything the page shows about one person."""
    shown = await world.account_of(person.email or "")
    attempts = list(enumerate(world.sender.history))[world.seeded :][-MOST_WEBHOOKS:][::-1]
    return {
        "shop": cast.SHOP_NAME,
        "person": person,
        "people": world.people,
        "products": [
            {"place": place, "title": title, "price": _money(price), "words": words, "chosen": place < 2}
            for place, (title, price, words) in enumerate(cast.PRODUCTS)
        ],
        "clock": await _clock(world, person, shown),
        "orders": [_order(world, order, shown) for order in _orders_of(world, person)],
        "points": shown.get("points") or {"available": 0, "pending": 0, "held": 0, "lifetime": 0},
        "entries": [_entry(each, world) for each in reversed(shown.get("entries", [])[-MOST_ENTRIES:])],
        "messages": [_message(each, world) for each in shown.get("messages", []) if each["state"] != "sent"],
        "mails": [_mail(mail, world) for mail in world.mailbox.to(person.email or "")[::-1][:MOST_MAILS]],
        "webhooks": await _webhooks(world, attempts),
    }


def fingerprint(text: str) -> str:
    """A short name for a piece of a page, which changes when the piece does."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# --- The shop's clock ---------------------------------------------------------------------------


async def _clock(world: World, person: Customer, shown: dict[str, Any]) -> dict[str, Any]:
    """The time in the shop, how far it was moved, and what comes next for this person."""
    now, ahead = world.now(), world.context.clock.offset
    coming = await _coming(world, shown)
    first = coming[0] if coming else None
    return {
        "now": _when(now, world),
        "ahead": _span(ahead) if ahead >= MINUTE else None,
        "next": first
        and {
            "at": _when(first[0], world),
            "in": _span(first[0] - now),
            "what": f"{first[1]} to {person.first_name}" if first[1] else _RELEASE,
        },
    }


async def next_due(world: World, person: Customer) -> int | None:
    """When the next thing happens to this person by itself, or None."""
    coming = await _coming(world, await world.account_of(person.email or ""))
    return coming[0][0] if coming else None


async def _coming(world: World, shown: dict[str, Any]) -> list[tuple[int, str]]:
    """What will happen to a person by itself, soonest first: an instant and a message's name, or none."""
    number, now = shown.get("customer", {}).get("number"), world.now()
    if number is None:
        return []

    def steps() -> Steps[list[tuple[int, str]]]:
        sales = yield from ask(_NEXT_SETTLING, (world.merchant, number))
        messages = yield from ask(_NEXT_MESSAGES, (world.merchant, number))
        found = [(int(at), named(str(kind)).title) for kind, at in messages]
        return sorted(found + [(int(row[0]), "") for row in sales if row[0] is not None])

    return [each for each in await world.context.database.read(steps) if each[0] > now]


# --- Orders ---------------------------------------------------------------------------------------


def _orders_of(world: World, person: Customer) -> list[Order | Payment]:
    orders: list[Order | Payment] = [order for order in world.shop.orders.values() if order.customer is person]
    orders += [each for each in world.payments if each.charge["billing_details"]["email"] == person.email]
    return sorted(orders, key=_made_at, reverse=True)


def _made_at(sold: Order | Payment) -> int:
    return sold.created_at if isinstance(sold, Order) else int(sold.charge["created"]) * 1_000_000


def _order(world: World, sold: Order | Payment, shown: dict[str, Any]) -> dict[str, Any]:
    if isinstance(sold, Payment):
        return _payment(world, sold, shown)
    sale = _sale_of(shown, f"shopify:order:{sold.id}")
    return {
        "id": f"order-{sold.id}",
        "name": f"Order #{sold.number}",
        "at": _when(sold.created_at, world),
        "lines": [f"{line.product.title}" for line in sold.lines],
        "total": _money(sold.total_minor),
        "refunded": _money(sold.refunded_minor) if sold.refunded_minor else None,
        "standing": _standing(sold),
        "steps": _steps(sold),
        "why": sale.get("why", []) if sale else [],
    }


def _payment(world: World, payment: Payment, shown: dict[str, Any]) -> dict[str, Any]:
    charge = payment.charge
    sale = _sale_of(shown, f"stripe:payment:{payment.id}")
    back = charge["amount_refunded"]
    left = charge["amount_captured"] - back
    return {
        "id": payment.id,
        "name": "Stripe payment",
        "at": _when(_made_at(payment), world),
        "lines": ["Tasting box, by payment link"],
        "total": _money(charge["amount"]),
        "refunded": _money(back) if back else None,
        "standing": ["paid"] if not back else ["partially refunded" if left else "refunded"],
        "steps": [Step("refund", "Refund half", _REFUND_SAYS)] if left else [],
        "why": sale.get("why", []) if sale else [],
    }


_REFUND_SAYS = "Half of what is left goes back to the buyer. The points follow the money."


def _standing(order: Order) -> list[str]:
    """The order's badges, as the shop's own admin would show them."""
    if order.cancelled_at is not None:
        return ["cancelled"]
    badges = [order.financial_status.replace("_", " ")]
    if order.fulfillments:
        badges.append("delivered" if _delivered(order) else "shipped")
    elif order.received_minor:
        badges.append("to be shipped")
    return badges


def _steps(order: Order) -> list[Step]:
    """What can be done with an order now; the first is what a shop would do next."""
    if order.cancelled_at is not None:
        return []
    if order.financial_status == "pending":
        return [
            Step("pay", "Pay", "The buyer's card is charged. Regulars notes the points and says thank you.", True),
            Step("cancel", "Cancel", "The order is called off: nothing is earned, nothing is sent."),
        ]
    steps = []
    if not order.fulfillments:
        steps.append(Step("ship", "Ship", "You hand the parcel to the carrier.", True))
    elif not _delivered(order):
        steps.append(Step("deliver", "Deliver", "The carrier reports arrival. A review request is planned.", True))
    if _refundable(order) > 0:
        steps.append(Step("refund", "Refund half", _REFUND_SAYS))
    if not order.fulfillments:
        steps.append(Step("cancel", "Cancel", "You call the order off and give everything back. The points go, too."))
    return steps


def _delivered(order: Order) -> bool:
    return any(parcel.shipment_status == "delivered" for parcel in order.fulfillments)


def _refundable(order: Order) -> int:
    """What of the goods has not been given back yet, in minor units."""
    return order.current_subtotal_minor - order.refunded_minor


def half_of(order: Order) -> int:
    """Half of the goods' money that is left, in minor units, rounded up."""
    return (_refundable(order) + 1) // 2


def _sale_of(shown: dict[str, Any], identity: str) -> dict[str, Any] | None:
    for sale in shown.get("sales", []):
        if identity in sale["ids"]:
            return dict(sale)
    return None


# --- Points, mails, webhooks ----------------------------------------------------------------------


def _entry(entry: dict[str, Any], world: World) -> dict[str, Any]:
    return {
        "at": _when(from_iso(entry["at"]), world),
        "points": entry["points"],
        "reason": called_entry(str(entry["reason"])).short,
        "from": _place(entry["from"]),
        "to": _place(entry["to"]),
    }


def _place(name: str) -> str:
    last = name.rpartition(":")[2]
    if last in BUCKETS_CALLED:
        return BUCKETS_CALLED[last].badge.words.lower()
    return "the programme" if last == "issued" else last


def _message(message: dict[str, Any], world: World) -> dict[str, Any]:
    due = from_iso(message["due_at"]) if message["due_at"] else None
    return {
        "kind": named(message["kind"]).title,
        "state": message["state"],
        "due": _when(due, world) if due is not None else None,
        "in": _span(due - world.now()) if due is not None and due > world.now() else None,
        "reason": message["reason"],
    }


def _mail(mail: Mail, world: World) -> dict[str, Any]:
    html = mail.part("html") or ""
    # Links of a mail open beside the demo, as they would from a mail program.
    return {
        "id": fingerprint(mail.message_id or mail.subject),
        "subject": mail.subject,
        "from": str(mail.parsed["From"] or mail.sender),
        "to": ", ".join(mail.recipients),
        "html": html.replace("<head>", '<head><base target="_blank">', 1),
        "text": mail.part("plain") or "",
        "unsubscribe": mail.parsed["List-Unsubscribe"] is not None,
    }


async def _webhooks(world: World, attempts: Sequence[tuple[int, Attempt]]) -> list[dict[str, Any]]:
    known = {row[0]: row for row in await _outcomes(world, [attempt for _, attempt in attempts])}
    return [_webhook(place, attempt, known.get(attempt.delivery.id), world) for place, attempt in attempts]


async def _outcomes(world: World, attempts: Sequence[Attempt]) -> list[Row]:
    account = world.account.path.rpartition("/")[2]
    keys = [
        (each.delivery.source, world.shop.domain if each.delivery.source == "shopify" else account, each.delivery.id)
        for each in attempts
    ]

    def steps() -> Steps[list[Row]]:
        rows = yield from ask(_OUTCOMES, keys)
        return rows

    return await world.context.database.read(steps)


def _webhook(place: int, attempt: Attempt, row: Row | None, world: World) -> dict[str, Any]:
    delivery = attempt.delivery
    headers = delivery.headers_at(attempt.at)
    signature = headers.get("X-Shopify-Hmac-Sha256") or headers.get("Stripe-Signature", "").partition("v1=")[2]
    return {
        "place": place,
        "at": _when(attempt.at, world, seconds=True),
        "source": delivery.source.capitalize(),
        "topic": delivery.topic,
        "signature": f"{signature[:10]}…",
        "size": f"{len(delivery.body) / 1000:.1f} kB",
        "status": attempt.status,
        "ok": attempt.outcome == "ok",
        "took": f"{attempt.took * 1000:.0f} ms",
        "became": _became(attempt, row),
    }


def _became(attempt: Attempt, row: Row | None) -> str:
    """What the program made of a delivery, in a few words."""
    if attempt.outcome != "ok":
        return "refused: the signature is wrong" if attempt.status == 401 else attempt.answer or "no answer"
    if attempt.number > 1:
        return "seen before: nothing done twice"
    if row is None:
        return "not kept"
    _, outcome, reason, received_at, worked_at, failed_at = row
    if failed_at is not None:
        return f"could not be read: {reason}"
    if worked_at is None:
        return f"waits: {reason}" if reason else "stored, not worked yet"
    if outcome == "applied":
        return f"worked {max(0, worked_at - received_at) / 1000:.0f} ms later"
    return f"{outcome}: {reason}" if reason else str(outcome)


# --- Words ----------------------------------------------------------------------------------------


def _money(minor: int) -> str:
    return f"${amount(minor, cast.CURRENCY)}"


def _when(instant: int, world: World, *, seconds: bool = False) -> str:
    moment: datetime = to_datetime(instant).astimezone(ZoneInfo(cast.TIMEZONE))
    clock = f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b %Y}, {clock}"


def _span(duration: int) -> str:
    """Say how long something lasts, roughly: `9 days`, `3 hours`, `a moment`."""
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        count = round(duration / length)
        if duration >= length:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "a moment"
