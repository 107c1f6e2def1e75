"""Read what moves money: charges, payment intents, refunds and disputes."""

import msgspec

from integration.facts import (
    Charge,
    ChargeSeen,
    Dispute,
    DisputeSeen,
    Fact,
    Payment,
    PaymentSeen,
    StripeRefund,
    StripeRefundSeen,
)
from integration.stripe.payloads.events import reader
from integration.stripe.values import (
    CustomerReference,
    Person,
    Reference,
    Telling,
    buyer_of,
    currency_of,
    home_of,
    id_of,
    instant_of,
    minor_of,
    named_id,
    order_ids_of,
    place_of,
)

MOST_INLINE = 100  # refunds of a charge or charges of a payment told inside of it


class RefundBody(msgspec.Struct):
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    status: str | None = None
    charge: Reference = None
    payment_intent: Reference = None
    created: int | None = None


class RefundList(msgspec.Struct):
    data: list[RefundBody] | None = None
    has_more: bool | None = None


class ChargeBody(msgspec.Struct):
    id: str | None = None
    amount: int | None = None
    amount_captured: int | None = None  # absent before 2020
    amount_refunded: int | None = None
    captured: bool | None = None
    paid: bool | None = None
    status: str | None = None
    currency: str | None = None
    created: int | None = None
    livemode: bool = False
    payment_intent: Reference = None
    invoice: Reference = None  # until 2025-03-31
    customer: CustomerReference = None
    billing_details: Person | None = None
    shipping: Person | None = None
    receipt_email: str | None = None
    metadata: dict[str, object] | None = None
    refunds: RefundList | None = None  # inline until 2022-11-15, or expanded


class ChargeList(msgspec.Struct):
    data: list[ChargeBody] | None = None


class _AmountOfTax(msgspec.Struct):
    total_tax_amount: int | None = None


class _Amount(msgspec.Struct):
    amount: int | None = None


class _AmountDetails(msgspec.Struct):
    tax: _AmountOfTax | None = None
    shipping: _Amount | None = None
    tip: _Amount | None = None


class PaymentBody(msgspec.Struct):
    id: str | None = None
    amount: int | None = None
    amount_received: int | None = None
    amount_details: _AmountDetails | None = None
    status: str | None = None
    currency: str | None = None
    created: int | None = None
    livemode: bool = False
    latest_charge: str | ChargeBody | None = None
    charges: ChargeList | None = None  # inline until 2022-11-15
    invoice: Reference = None  # until 2025-03-31
    customer: CustomerReference = None
    shipping: Person | None = None
    receipt_email: str | None = None
    metadata: dict[str, object] | None = None


class DisputeBody(msgspec.Struct):
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    status: str | None = None
    livemode: bool = False
    charge: Reference = None
    payment_intent: Reference = None


def charge_facts(seen: ChargeBody, telling: Telling) -> tuple[Fact, ...]:
    """Tell a charge, and the refunds inside of it."""
    refunds = (seen.refunds.data or [])[:MOST_INLINE] if seen.refunds else []
    return (
        ChargeSeen(
            charge_from(seen, telling.livemode),
            tuple([refund_from(refund, seen.currency) for refund in refunds]),
            home_of(seen.shipping),
        ),
    )


def payment_facts(seen: PaymentBody, telling: Telling) -> tuple[Fact, ...]:
    """Tell a payment intent, and the charges inside of it."""
    charges = (seen.charges.data or [])[:MOST_INLINE] if seen.charges else []
    latest = seen.latest_charge
    if isinstance(latest, ChargeBody):
        charges, latest = [latest], latest.id
    elif latest is None and charges:
        latest = charges[0].id
    currency = currency_of(seen.currency)
    tax, shipping, tip = _excluded(seen.amount_details or _AmountDetails(), currency)
    country, _ = place_of(seen.shipping)
    payment = Payment(
        id=named_id(seen.id, "the payment intent"),
        currency=currency,
        amount_minor=minor_of(seen.amount, currency),
        received_minor=minor_of(seen.amount_received, currency),
        status=(seen.status or "").lower()[:64],
        created_at=instant_of(seen.created, "the payment intent"),
        charge_id=id_of(latest),
        invoice_id=id_of(seen.invoice),
        livemode=telling.livemode,
        excluded_minor=tax + shipping + tip,
        tax_minor=tax,
        shipping_minor=shipping,
        buyer=buyer_of(seen.customer, None, seen.receipt_email),
        country=country,
        order_ids=order_ids_of(seen.metadata),
    )
    inside = [fact for charge in charges for fact in charge_facts(charge, telling)]
    return (PaymentSeen(payment, home_of(seen.shipping)), *inside)


def refund_facts(seen: RefundBody, telling: Telling) -> tuple[Fact, ...]:
    """Tell a refund. It has no `livemode` of its own, and needs none: its charge tells."""
    return (StripeRefundSeen(refund_from(seen, seen.currency)),)


def dispute_facts(seen: DisputeBody, telling: Telling) -> tuple[Fact, ...]:
    """Tell a dispute; words Stripe adds to its statuses are passed on as they are."""
    currency = currency_of(seen.currency)
    return (
        DisputeSeen(
            Dispute(
                id=named_id(seen.id, "the dispute"),
                amount_minor=minor_of(seen.amount, currency),
                currency=currency,
                status=(seen.status or "").lower()[:64],
                told_at=telling.told_at,
                charge_id=id_of(seen.charge),
                payment_id=id_of(seen.payment_intent),
            )
        ),
    )


def charge_from(seen: ChargeBody, livemode: bool) -> Charge:
    """Turn a charge as Stripe shows it into ours. Raises Unreadable where what it needs is missing."""
    currency = currency_of(seen.currency)
    country, region = place_of(seen.shipping, seen.billing_details)
    captured = seen.captured is True
    status = (seen.status or ("succeeded" if seen.paid else "failed")).lower()[:64]
    return Charge(
        id=named_id(seen.id, "the charge"),
        currency=currency,
        amount_minor=minor_of(seen.amount, currency),
        # Older versions tell only that it was captured, which then meant in full.
        captured_minor=minor_of(seen.amount_captured or seen.amount, currency) if captured else 0,
        refunded_minor=minor_of(seen.amount_refunded, currency),
        captured=captured,
        status="succeeded" if status == "paid" else status,
        created_at=instant_of(seen.created, "the charge"),
        payment_id=id_of(seen.payment_intent),
        invoice_id=id_of(seen.invoice),
        livemode=livemode,
        buyer=buyer_of(seen.customer, seen.billing_details, seen.receipt_email),
        country=country,
        region=region,
        order_ids=order_ids_of(seen.metadata),
    )


def refund_from(seen: RefundBody, currency: str | None) -> StripeRefund:
    """Turn a refund as Stripe shows it into ours; the oldest have no status, since none could fail."""
    return StripeRefund(
        id=named_id(seen.id, "the refund"),
        amount_minor=minor_of(seen.amount, currency_of(seen.currency or currency)),
        status=(seen.status or "succeeded").lower()[:64],
        charge_id=id_of(seen.charge),
        payment_id=id_of(seen.payment_intent),
        created_at=instant_of(seen.created, "the refund") if seen.created else None,
    )


def _excluded(details: _AmountDetails, currency: str) -> tuple[int, int, int]:
    """Return tax, shipping and tip named in the payment."""
    return (
        minor_of(details.tax.total_tax_amount, currency) if details.tax else 0,
        minor_of(details.shipping.amount, currency) if details.shipping else 0,
        minor_of(details.tip.amount, currency) if details.tip else 0,
    )


read_charge = reader("charge", ChargeBody, charge_facts)
read_payment = reader("payment_intent", PaymentBody, payment_facts)
read_refund = reader("refund", RefundBody, refund_facts)
read_dispute = reader("dispute", DisputeBody, dispute_facts)
