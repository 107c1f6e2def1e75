"""Read what surrounds the money: checkout sessions, invoices and what paid an invoice."""

import msgspec

from integration.facts import Fact, Invoice, InvoiceSeen, Session, SessionSeen
from integration.stripe.payloads.events import reader
from integration.stripe.values import (
    CustomerReference,
    Person,
    Reference,
    Telling,
    buyer_of,
    currency_of,
    id_of,
    instant_of,
    minor_of,
    named_id,
    order_ids_of,
    place_of,
)

MOST_PAYMENTS = 100  # told inside an invoice
MOST_DISCOUNTS = 20  # of a session

_FAILED = frozenset({"checkout.session.async_payment_failed", "checkout.session.expired"})


class _TotalDetails(msgspec.Struct):
    amount_tax: int | None = None
    amount_shipping: int | None = None


class _Collected(msgspec.Struct):
    shipping_details: Person | None = None


class _Discount(msgspec.Struct):
    promotion_code: Reference = None


class SessionBody(msgspec.Struct):
    id: str | None = None
    currency: str | None = None
    created: int | None = None
    livemode: bool = False
    payment_status: str | None = None
    mode: str | None = None
    amount_total: int | None = None
    total_details: _TotalDetails | None = None
    payment_intent: Reference = None
    invoice: Reference = None
    customer: CustomerReference = None
    customer_email: str | None = None
    customer_details: Person | None = None
    collected_information: _Collected | None = None
    shipping_details: Person | None = None  # until 2025-03-31
    shipping: Person | None = None  # until 2022-08-01
    locale: str | None = None
    metadata: dict[str, object] | None = None
    discounts: list[_Discount] | None = None


class _Tax(msgspec.Struct):
    amount: int | None = None


class _PaidWith(msgspec.Struct):
    payment_intent: Reference = None
    charge: Reference = None


class InvoicePaymentBody(msgspec.Struct):
    id: str | None = None
    currency: str | None = None
    invoice: Reference = None
    payment: _PaidWith | None = None


class _InvoicePayments(msgspec.Struct):
    data: list[InvoicePaymentBody] | None = None


class InvoiceBody(msgspec.Struct):
    id: str | None = None
    currency: str | None = None
    livemode: bool = False
    total: int | None = None
    total_excluding_tax: int | None = None
    total_taxes: list[_Tax] | None = None
    total_tax_amounts: list[_Tax] | None = None  # until 2025-03-31
    tax: int | None = None  # until 2025-03-31
    amount_paid_off_stripe: int | None = None
    paid_out_of_band: bool | None = None  # until 2025-03-31
    payments: _InvoicePayments | None = None
    payment_intent: Reference = None  # until 2025-03-31
    charge: Reference = None  # until 2025-03-31
    customer: CustomerReference = None
    customer_email: str | None = None
    customer_name: str | None = None
    customer_phone: str | None = None


def session_facts(seen: SessionBody, telling: Telling) -> tuple[Fact, ...]:
    """Tell a checkout session; one without a currency (it only saves a card) tells nothing."""
    if seen.currency is None:
        return ()
    currency = currency_of(seen.currency)
    collected = seen.collected_information.shipping_details if seen.collected_information else None
    country, region = place_of(collected, seen.shipping_details, seen.shipping, seen.customer_details)
    details = seen.total_details or _TotalDetails()
    return (
        SessionSeen(
            Session(
                id=named_id(seen.id, "the session"),
                currency=currency,
                # Sessions of older versions have no time of their own.
                created_at=instant_of(seen.created, "the session") if seen.created else telling.told_at,
                told_at=telling.told_at,
                payment_status=(seen.payment_status or "unpaid").lower()[:64],
                mode=(seen.mode or "payment").lower()[:64],
                total_minor=minor_of(seen.amount_total, currency),
                tax_minor=minor_of(details.amount_tax, currency),
                shipping_minor=minor_of(details.amount_shipping, currency),
                payment_id=id_of(seen.payment_intent),
                invoice_id=id_of(seen.invoice),
                livemode=telling.livemode,
                failed=telling.topic in _FAILED,
                buyer=buyer_of(seen.customer, seen.customer_details, seen.customer_email),
                country=country,
                region=region,
                order_ids=order_ids_of(seen.metadata),
                promotions=tuple(
                    code for one in (seen.discounts or [])[:MOST_DISCOUNTS] if (code := id_of(one.promotion_code))
                ),
            )
        ),
    )


def invoice_facts(seen: InvoiceBody, telling: Telling) -> tuple[Fact, ...]:
    """Tell an invoice: who is billed, how much of it is tax, and what it was paid with."""
    currency = currency_of(seen.currency)
    inside = [one.payment for one in (seen.payments.data or [])[:MOST_PAYMENTS]] if seen.payments else []
    payments = [id_of(seen.payment_intent), *[id_of(one.payment_intent) for one in inside if one]]
    charges = [id_of(seen.charge), *[id_of(one.charge) for one in inside if one]]
    billed = Person(email=seen.customer_email, name=seen.customer_name, phone=seen.customer_phone)
    return (
        InvoiceSeen(
            Invoice(
                id=named_id(seen.id, "the invoice"),
                currency=currency,
                told_at=telling.told_at,
                total_minor=minor_of(seen.total, currency),
                tax_minor=minor_of(_tax(seen), currency),
                paid_out_of_band=seen.paid_out_of_band is True or (seen.amount_paid_off_stripe or 0) > 0,
                payment_ids=tuple(dict.fromkeys(one for one in payments if one)),
                charge_id=next((one for one in charges if one), None),
                livemode=telling.livemode,
                buyer=buyer_of(seen.customer, billed),
            )
        ),
    )


def invoice_payment_facts(seen: InvoicePaymentBody, telling: Telling) -> tuple[Fact, ...]:
    """Tell which payment paid an invoice: an invoice of which only that is known, without totals."""
    paid_with = seen.payment or _PaidWith()
    payment_id = id_of(paid_with.payment_intent)
    return (
        InvoiceSeen(
            Invoice(
                id=named_id(seen.invoice, "the invoice"),
                currency=currency_of(seen.currency),
                told_at=telling.told_at,
                payment_ids=(payment_id,) if payment_id else (),
                charge_id=id_of(paid_with.charge),
                livemode=telling.livemode,
            )
        ),
    )


def _tax(seen: InvoiceBody) -> int:
    for taxes in (seen.total_taxes, seen.total_tax_amounts):
        if taxes is not None:
            return sum(tax.amount or 0 for tax in taxes)
    if seen.tax is not None:
        return seen.tax
    if seen.total is not None and seen.total_excluding_tax is not None:
        return max(0, seen.total - seen.total_excluding_tax)
    return 0


read_session = reader("checkout.session", SessionBody, session_facts)
read_invoice = reader("invoice", InvoiceBody, invoice_facts)
read_invoice_payment = reader("invoice_payment", InvoicePaymentBody, invoice_payment_facts)
