"""The end a set of deliveries must come to: what each sale is worth to whom, and in which bucket."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracle import shopify, stripe
from tests.oracle.campaigns import mean_rate
from tests.oracle.people import Name, People
from tests.oracle.tellings import DAY, SECOND, Delivery, Programme, Shop, digits, minor

UNCLAIMED: Name = ("unclaimed", "")
PAIR_WINDOW = 15 * 60 * SECOND
MICRO = 1_000_000

SaleName = tuple[str, str, str]  # (platform, kind, id)


@dataclass
class ExpectedSale:
    """One sale as the rules see it; `postings` are micropoints by (person, bucket)."""

    names: frozenset[SaleName]
    told: list[Delivery]
    person: Name = UNCLAIMED
    money: str = "none"  # which platform's money counts
    eligible: int = 0
    open: int = 0
    lost: int = 0
    currency: str = ""
    total: int = 0
    sold_at: int | None = None
    test: bool = False
    order: shopify.OrderWorth = field(default_factory=shopify.OrderWorth)
    payment: stripe.PaymentWorth = field(default_factory=stripe.PaymentWorth)
    programme: Programme | None = None
    sold_after_leaving: bool = False  # its platform was disconnected by then: it is nobody's purchase
    email: str | None = None
    twin: "ExpectedSale | None" = None
    postings: dict[tuple[Name, str], int] = field(default_factory=dict)


@dataclass
class Expected:
    """The end of one merchant."""

    people: People
    sales: list[ExpectedSale]

    @property
    def balances(self) -> dict[tuple[Name, str], int]:
        """Micropoints by (person, bucket), nothing where there is nothing."""
        sums: dict[tuple[Name, str], int] = defaultdict(int)
        for sale in self.sales:
            for place, amount in sale.postings.items():
                sums[place] += amount
        return {place: amount for place, amount in sums.items() if amount}

    def sale_named(self, name: SaleName) -> ExpectedSale | None:
        return next((sale for sale in self.sales if name in sale.names), None)


def expect(shop: Shop, deliveries: Iterable[Delivery], now: int) -> Expected:
    """Compute the end of one shop from everything delivered to it, at one instant (microseconds)."""
    told = _once([d for d in deliveries if shop.owns(d)])
    people = People(told)
    sales = [_value(ExpectedSale(names, group), shop, people) for names, group in _group(told)]
    left = _left(told)
    for sale in sales:
        gone = left.get(sale.money)
        sale.sold_after_leaving = gone is not None and sale.sold_at is not None and sale.sold_at > gone
    _pair(sales)
    for sale in sales:
        if not sale.sold_after_leaving:
            sale.postings = _postings(sale, shop, now)
    return Expected(people, sales)


def _once(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """A repeated delivery is one delivery."""
    return list({(d.platform, d.delivery_id): d for d in deliveries}.values())


def _left(told: Sequence[Delivery]) -> dict[str, int]:
    """Since when each platform is disconnected, by the earliest word: what it sold after that counts for nothing."""
    words: dict[str, list[int]] = defaultdict(list)
    for delivery in told:
        if delivery.topic == "app/uninstalled":
            words["shopify"].append(delivery.triggered_at)
        elif delivery.topic in ("account.application.deauthorized", "apps.install.deleted"):
            words["stripe"].append(delivery.body["created"] * SECOND)
    return {platform: min(moments) for platform, moments in words.items()}


# --- One sale for one commercial order ----------------------------------------------------------


def _group(told: Sequence[Delivery]) -> list[tuple[frozenset[SaleName], list[Delivery]]]:
    """Join deliveries that name the same sale, over any number of steps."""
    payer = _invoice_payers(told)
    bundles: list[tuple[set[SaleName], list[Delivery]]] = []
    for delivery in told:
        names, mine = set(_names(delivery, payer)), [delivery]
        if not names:
            continue
        apart = []
        for other_names, other_told in bundles:
            if other_names & names:
                names |= other_names
                mine = other_told + mine
            else:
                apart.append((other_names, other_told))
        bundles = [*apart, (names, mine)]
    return [(frozenset(names), group) for names, group in bundles]


def _names(delivery: Delivery, payer: dict[str, SaleName]) -> list[SaleName]:
    return _shopify_names(delivery) if delivery.platform == "shopify" else _stripe_names(delivery.body, payer)


def _shopify_names(delivery: Delivery) -> list[SaleName]:
    body, topic = delivery.body, delivery.topic
    if topic in shopify.ORDER_TOPICS:
        attributes = [str(part.get("value")) for part in body.get("note_attributes") or []]
        return [("shopify", "order", str(body["id"])), *(n for n in map(_payment_name, attributes) if n)]
    if topic == "orders/delete":
        return [("shopify", "order", str(body["id"]))]
    if topic.startswith(("refunds/", "fulfillments/", "fulfillment_events/", "disputes/")):
        return [("shopify", "order", str(body["order_id"]))] if body.get("order_id") else []
    return []


def _payment_name(text: str) -> SaleName | None:
    if re.fullmatch(r"pi_\w+", text):
        return ("stripe", "payment", text)
    return ("stripe", "charge", text) if re.fullmatch(r"ch_\w+", text) else None


def _stripe_names(event: dict[str, Any], payer: dict[str, SaleName]) -> list[SaleName]:
    if event.get("object") != "event":
        return []
    thing = event["data"]["object"]
    kind = thing["object"]
    names: list[SaleName | None] = []
    payment, charge = thing.get("payment_intent"), thing.get("charge")
    if kind == "charge":
        names = [("stripe", "charge", thing["id"]), *_orders_named(thing)]
    elif kind == "payment_intent":
        payment, charge = thing["id"], thing.get("latest_charge")
        names = list(_orders_named(thing))
    elif kind == "checkout.session":
        names = [
            ("stripe", "session", thing["id"]),
            payer.get(thing.get("invoice") or ""),
            *_orders_named(thing),
        ]
    elif kind == "invoice":
        return [n for n in [("stripe", "invoice", thing["id"]), payer.get(thing["id"])] if n]
    elif kind not in ("refund", "dispute"):
        return []
    if payment:
        names.append(("stripe", "payment", payment))
    if charge:
        names.append(("stripe", "charge", charge))
    return [name for name in names if name]


def _orders_named(thing: dict[str, Any]) -> list[SaleName]:
    """Shopify orders a Stripe object says it pays."""
    named = (thing.get("metadata") or {}).get("shopify_order_id")
    return [("shopify", "order", str(named))] if named else []


def _invoice_payers(told: Sequence[Delivery]) -> dict[str, SaleName]:
    """The one payment an invoice belongs to; of several, the first by name, for it never joins two."""
    found: dict[str, set[SaleName]] = defaultdict(set)
    for _, link in stripe.objects(told, "invoice_payment"):
        paid_with = link["payment"].get("payment_intent")
        if paid_with:
            found[link["invoice"]].add(("stripe", "payment", paid_with))
    for _, invoice in stripe.objects(told, "invoice"):
        if invoice.get("payment_intent"):
            found[invoice["id"]].add(("stripe", "payment", invoice["payment_intent"]))
        for part in (invoice.get("payments") or {}).get("data") or []:
            if part["payment"].get("payment_intent"):
                found[invoice["id"]].add(("stripe", "payment", part["payment"]["payment_intent"]))
    for kind in ("charge", "payment_intent"):
        for _, thing in stripe.objects(told, kind):
            paid = thing.get("invoice")
            named = thing["id"] if kind == "payment_intent" else thing.get("payment_intent")
            if paid and named:
                found[paid].add(("stripe", "payment", named))
    return {invoice: min(names) for invoice, names in found.items()}


# --- What it is worth, and to whom ---------------------------------------------------------------


def _value(sale: ExpectedSale, shop: Shop, people: People) -> ExpectedSale:
    sale.order = shopify.order_worth([d for d in sale.told if d.platform == "shopify"], shop.programme_at)
    sale.payment = stripe.payment_worth([d for d in sale.told if d.platform == "stripe"], shop.programme_at)
    deleted = any(d.topic == "orders/delete" for d in sale.told)
    if sale.order.order is not None:
        sale.money, worth = "shopify", sale.order
        sale.eligible, sale.currency, sale.total = worth.eligible, worth.currency, worth.total
        sale.sold_at, sale.test, sale.email = worth.sold_at, worth.test, worth.email
        sale.open, sale.lost = _order_disputes(sale)
        if worth.customer:
            sale.person = people.of_shopify(worth.customer)
        elif worth.email:
            sale.person = people.of_email(worth.email)
        else:
            sale.person = people.of_stripe(sale.payment.customer, sale.payment.email) or UNCLAIMED
    elif sale.payment.known and not deleted:
        sale.money, paid = "stripe", sale.payment
        sale.eligible, sale.open, sale.lost = paid.eligible, paid.open, paid.lost
        sale.currency, sale.total, sale.sold_at = paid.currency, paid.total, paid.sold_at
        sale.test, sale.email = paid.test, paid.email
        sale.person = people.of_stripe(paid.customer, paid.email) or UNCLAIMED
    sale.programme = shop.programme_at(sale.sold_at) if sale.sold_at is not None else None
    return sale


def _order_disputes(sale: ExpectedSale) -> tuple[int, int]:
    """The open and the lost share of an order: at most what is eligible, the lost before the open."""
    held = lost = 0
    for status, amount, currency in [*_shopify_disputes(sale.told), *_stripe_disputes(sale.payment)]:
        share = minor_or_all(amount, currency, sale)
        if status in stripe.OPEN:
            held += share
        elif status in stripe.LOST:
            lost += share
    lost = min(lost, sale.eligible)
    return min(held, sale.eligible - lost), lost


def minor_or_all(amount: int | None, currency: str, sale: ExpectedSale) -> int:
    """A dispute in another currency than the order's is about all of it."""
    return sale.eligible if currency != sale.currency or amount is None else amount


def _shopify_disputes(told: Sequence[Delivery]) -> list[tuple[str, int, str]]:
    standing: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}
    for delivery in told:
        if not delivery.topic.startswith("disputes/"):
            continue
        body = delivery.body
        status = _as_stripe_says(body)
        if status not in stripe.DISPUTE_RANK:
            continue
        age = (delivery.triggered_at, stripe.DISPUTE_RANK[status])
        name = str(body["id"])
        if name not in standing or age > standing[name][0]:
            standing[name] = (age, {**body, "status": status})
    return [
        (body["status"], minor(body["amount"], body["currency"]), body["currency"]) for _, body in standing.values()
    ]


def _as_stripe_says(body: dict[str, Any]) -> str:
    if body.get("type") == "inquiry":
        return "warning_" + str(body["status"])
    return {"accepted": "lost"}.get(body["status"], body["status"])


def _stripe_disputes(payment: stripe.PaymentWorth) -> list[tuple[str, int, str]]:
    return [
        (d["status"], stripe.stripe_minor(d["amount"], d["currency"].upper()), d["currency"].upper())
        for d in payment.disputes.values()
    ]


# --- The same sale seen on both platforms --------------------------------------------------------


def _pair(sales: Sequence[ExpectedSale]) -> None:
    """Match suspected twins one to one by nearest time; the Stripe one of a pair posts nothing.

    Both are purchases somebody paid for, though the order may have been called off since.
    """
    connected = [s for s in sales if not s.sold_after_leaving]
    orders = [s for s in connected if s.money == "shopify" and not s.payment.known and s.order.money_taken]
    payments = [s for s in connected if s.money == "stripe" and s.payment.captured]
    near = []
    for order in orders:
        for payment in payments:
            if not _alike(order, payment):
                continue
            apart = abs((order.sold_at or 0) - (payment.sold_at or 0))
            if apart <= PAIR_WINDOW:
                near.append((apart, sorted(order.names), sorted(payment.names), order, payment))
    near.sort(key=lambda pair: pair[:3])
    for _, _, _, order, payment in near:
        if order.twin is None and payment.twin is None:
            order.twin, payment.twin = payment, order


def _alike(order: ExpectedSale, payment: ExpectedSale) -> bool:
    return (
        order.email is not None
        and order.email == payment.email
        and order.total == payment.total
        and order.currency == payment.currency
        and order.test == payment.test
    )


# --- Points --------------------------------------------------------------------------------------


def _postings(sale: ExpectedSale, shop: Shop, now: int) -> dict[tuple[Name, str], int]:
    programme = sale.programme
    if programme is None or not programme.setting("earning", "enabled", False) or sale.sold_at is None:
        return {}
    if sale.money == "stripe" and sale.twin is not None:
        return {}
    per_minor = _points_per_minor(sale, shop, programme) * MICRO
    whole = ((sale.eligible - sale.lost) * per_minor).__floor__()
    held = (sale.open * per_minor).__floor__()
    over = now >= sale.sold_at + programme.setting("earning", "hold_days", 30) * DAY
    ledger = "test:" if sale.test else ""
    places = {
        (sale.person, ledger + "disputed"): held,
        (sale.person, ledger + ("available" if over else "pending")): whole - held,
    }
    return {place: amount for place, amount in places.items() if amount}


def _points_per_minor(sale: ExpectedSale, shop: Shop, programme: Programme) -> Fraction:
    """Points for one minor unit of the sale's currency, exactly; nothing where no rate is known."""
    assert sale.sold_at is not None
    if sale.money == "shopify":
        of = (sale.order.parts, sale.order.tags, sale.order.channel)
    else:
        of = ([(None, sale.eligible)], frozenset(), "")
    rate = mean_rate(programme, shop.timezone, sale.sold_at, *of)
    if sale.currency != shop.currency:
        rate *= Fraction(str(programme.setting("earning", "rates", {}).get(sale.currency, 0)))
    return rate / 10 ** digits(sale.currency)
