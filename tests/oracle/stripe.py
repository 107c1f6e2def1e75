"""What a Stripe payment is worth by the settlement rules, computed from the events told about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracle.tellings import SECOND, Delivery, Programme, address, half_up, stripe_minor

REFUND_RANK = {"pending": 0, "requires_action": 1, "succeeded": 2, "failed": 3, "canceled": 3}
DISPUTE_RANK = {
    "needs_response": 0,
    "under_review": 1,
    "lost": 2,
    "appeal_needs_response": 3,
    "appeal_under_review": 3,
    "won": 4,
}
OPEN = {"needs_response", "under_review"}
LOST = {"lost", "appeal_needs_response", "appeal_under_review"}


@dataclass
class PaymentWorth:
    """What was paid through Stripe in one sale, in minor units."""

    known: bool = False  # a charge or payment intent has been seen
    eligible: int = 0
    open: int = 0  # share of eligible under dispute
    lost: int = 0  # share of eligible lost
    net: int = 0
    currency: str = ""
    sold_at: int | None = None
    total: int = 0
    test: bool = False
    captured: bool = False
    customer: str | None = None
    email: str | None = None
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)


def objects(told: Iterable[Delivery], kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The (event, object) pairs whose object is of one kind, refunds inside old charges among them."""
    found = []
    for delivery in told:
        event = delivery.body
        if event.get("object") != "event":
            continue
        thing = event["data"]["object"]
        if thing["object"] == kind:
            found.append((event, thing))
        if kind == "refund" and thing["object"] == "charge":
            inline = (thing.get("refunds") or {}).get("data") or []
            found.extend((event, {"charge": thing["id"], **refund}) for refund in inline)
    return found


def disputes_of(told: Iterable[Delivery]) -> dict[str, dict[str, Any]]:
    """The standing of each Stripe dispute: the greatest (event created, rank) of the known statuses."""
    standing: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}
    for event, dispute in objects(told, "dispute"):
        if dispute["status"] not in DISPUTE_RANK:
            continue
        age = (event["created"], DISPUTE_RANK[dispute["status"]])
        if dispute["id"] not in standing or age >= standing[dispute["id"]][0]:
            standing[dispute["id"]] = (age, dispute)
    return {name: dispute for name, (_, dispute) in standing.items()}


def payment_worth(told: Sequence[Delivery], programme_at: Any) -> PaymentWorth:
    """Read every Stripe event about one sale; `programme_at(sold_at)` gives the version in force."""
    worth = PaymentWorth(disputes=disputes_of(told))
    charges: dict[str, list[dict[str, Any]]] = {}
    for _, charge in objects(told, "charge"):
        charges.setdefault(charge["id"], []).append(charge)
    payments: dict[str, list[dict[str, Any]]] = {}
    for _, payment in objects(told, "payment_intent"):
        payments.setdefault(payment["id"], []).append(payment)
    _identify(worth, told)
    everything = [versions[0] for versions in [*charges.values(), *payments.values()]]
    worth.test = any(delivery.body.get("livemode") is False for delivery in told) or any(
        thing.get("livemode") is False for thing in everything
    )
    if not everything:
        return worth
    worth.known = True
    starts = [c[0]["created"] for c in charges.values()] or [p[0]["created"] for p in payments.values()]
    worth.sold_at = min(starts) * SECOND
    worth.currency = everything[0]["currency"].upper()
    programme = programme_at(worth.sold_at)
    for versions in charges.values():
        _add_charge(worth, versions, told, programme)
    covered = {
        versions[0].get("payment_intent")
        for versions in charges.values()
        if any(charge["status"] == "succeeded" for charge in versions)
    }
    for name, versions in payments.items():
        if name not in covered:
            _add_payment(worth, versions, told, programme)
    return worth


def _add_charge(
    worth: PaymentWorth, versions: list[dict[str, Any]], told: Sequence[Delivery], programme: Programme | None
) -> None:
    charge = versions[0]
    amount = _money(charge["amount"], charge)
    if not any(v["status"] == "succeeded" for v in versions):
        return
    if not any(v["captured"] for v in versions):
        worth.total += amount
        return
    captured = max(_money(v["amount_captured"], charge) for v in versions)
    worth.total += captured
    refunded = max(_money(v["amount_refunded"], charge) for v in versions)
    worth.captured = True
    back, failed = _refunds(told, charge["id"], charge.get("payment_intent"))
    net = max(0, min(captured - back, amount - (refunded - failed)))
    _add(worth, net, charge["id"], charge.get("payment_intent"), told, programme)


def _add_payment(
    worth: PaymentWorth, versions: list[dict[str, Any]], told: Sequence[Delivery], programme: Programme | None
) -> None:
    payment = versions[0]
    done = [v for v in versions if v["status"] == "succeeded"]
    if not done:
        return
    received = max(_money(v["amount_received"], payment) for v in done)
    worth.total += received
    worth.captured = True
    back, _ = _refunds(told, payment.get("latest_charge"), payment["id"])
    _add(worth, max(0, received - back), payment.get("latest_charge"), payment["id"], told, programme)


def _add(
    worth: PaymentWorth,
    net: int,
    charge: str | None,
    payment: str | None,
    told: Sequence[Delivery],
    programme: Programme | None,
) -> None:
    """Take the exclusions and the disputed share off one payment's net."""
    whole, excluded = _exclusions(told, payment, programme)
    worth.net += net

    def earning(part: int) -> int:
        return half_up(Fraction(part * (whole - excluded), whole)) if whole else part

    mine = [
        d for d in worth.disputes.values() if d.get("charge") in (charge, None) or d.get("payment_intent") == payment
    ]
    lost = min(net, sum(_share(d, worth.currency, net) for d in mine if d["status"] in LOST))
    held = min(net - lost, sum(_share(d, worth.currency, net) for d in mine if d["status"] in OPEN))
    worth.eligible += earning(net)
    worth.lost += earning(lost)
    worth.open += min(earning(held), earning(net) - earning(lost))


def _share(dispute: dict[str, Any], currency: str, net: int) -> int:
    if dispute["currency"].upper() != currency:
        return net
    return stripe_minor(dispute["amount"], currency)


def _refunds(told: Sequence[Delivery], charge: str | None, payment: str | None) -> tuple[int, int]:
    """The sums of what was given back and of what failed to be, each refund at its highest rank."""
    newest: dict[str, dict[str, Any]] = {}
    for _, refund in objects(told, "refund"):
        if refund.get("charge") != charge and (payment is None or refund.get("payment_intent") != payment):
            continue
        known = newest.get(refund["id"])
        if known is None or REFUND_RANK[refund["status"]] > REFUND_RANK[known["status"]]:
            newest[refund["id"]] = refund
    failed = sum(_money(r["amount"], r) for r in newest.values() if REFUND_RANK[r["status"]] == 3)
    return sum(_money(r["amount"], r) for r in newest.values()) - failed, failed


def _exclusions(told: Sequence[Delivery], payment: str | None, programme: Programme | None) -> tuple[int, int]:
    """The whole a buyer paid and what of it does not earn: from the session, the intent, the invoice."""
    with_tax = programme is not None and programme.setting("earning", "include_tax", False)
    with_shipping = programme is not None and programme.setting("earning", "include_shipping", False)
    sessions = [s for _, s in objects(told, "checkout.session")]
    intents = [p for _, p in objects(told, "payment_intent") if payment in (None, p["id"])]
    invoices = [i for _, i in objects(told, "invoice")]
    whole = tax = shipping = tip = 0
    for intent in intents:
        parts = intent.get("amount_details") or {}
        whole = _money(intent["amount"], intent)
        tax = _money((parts.get("tax") or {}).get("total_tax_amount"), intent)
        shipping = _money((parts.get("shipping") or {}).get("amount"), intent)
        tip = _money((parts.get("tip") or {}).get("amount"), intent)
    for session in sessions:
        parts = session.get("total_details") or {}
        whole = _money(session["amount_total"], session)
        tax = max(tax, _money(parts.get("amount_tax"), session))
        shipping = max(shipping, _money(parts.get("amount_shipping"), session))
    if not tax:
        for invoice in invoices:
            invoiced = sum(_money(part["amount"], invoice) for part in invoice.get("total_taxes") or [])
            invoiced = invoiced or _money(invoice.get("tax"), invoice)
            if invoiced:
                tax = invoiced
                whole = whole or _money(invoice["total"], invoice)
    excluded = tip + (0 if with_tax else tax) + (0 if with_shipping else shipping)
    return whole, excluded


def _money(amount: int | None, thing: dict[str, Any]) -> int:
    return stripe_minor(amount, thing["currency"].upper())


def _identify(worth: PaymentWorth, told: Sequence[Delivery]) -> None:
    """Who paid: the session says best, then the charge, the invoice, the receipt's address."""
    addresses: list[str | None] = []
    customers: list[str | None] = []
    for _, thing in objects(told, "checkout.session"):
        details = thing.get("customer_details") or {}
        addresses.append(address(details.get("email")) or address(thing.get("customer_email")))
        customers.append(name_of(thing.get("customer")))
    for _, thing in objects(told, "charge"):
        addresses.append(address((thing.get("billing_details") or {}).get("email")))
        customers.append(name_of(thing.get("customer")))
    for _, thing in objects(told, "invoice"):
        addresses.append(address(thing.get("customer_email")))
        customers.append(name_of(thing.get("customer")))
    for kind in ("payment_intent", "charge"):
        for _, thing in objects(told, kind):
            addresses.append(address(thing.get("receipt_email")))
            customers.append(name_of(thing.get("customer")))
    worth.email = next((a for a in addresses if a), None)
    worth.customer = next((c for c in customers if c), None)


def name_of(reference: Any) -> str | None:
    """The id of something Stripe shows as an id, as the whole object, or as nothing."""
    return reference.get("id") if isinstance(reference, dict) else reference
