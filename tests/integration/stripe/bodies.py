"""Stripe's events, small and believable: Ana pays 27.49 dollars for tea."""

import json
from typing import Any

Body = dict[str, Any]

PAID = 1_795_000_000
SECOND = 1_000_000


def encoded(body: object) -> bytes:
    """Write an event as Stripe does: indented."""
    return json.dumps(body, indent=2).encode()


def event(type: str, thing: Body, previous: Body | None = None, **changes: Any) -> Body:
    """Wrap an object in a snapshot event."""
    data: Body = {"object": thing} | ({"previous_attributes": previous} if previous is not None else {})
    return {
        "id": f"evt_{type.replace('.', '_')}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": PAID + 1,
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": "req_1", "idempotency_key": None},
        "type": type,
        "data": data,
    } | changes


def thin(type: str, kind: str, id: str, **changes: Any) -> Body:
    """Wrap a pointer at an object in a thin event."""
    return {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": type,
        "created": "2026-11-22T06:30:00.000Z",
        "livemode": True,
        "related_object": {"id": id, "type": kind, "url": "/v1/things"},
    } | changes


def charge(**changes: Any) -> Body:
    """Ana's charge, captured in full."""
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 2749,
        "amount_captured": 2749,
        "amount_refunded": 0,
        "captured": True,
        "paid": True,
        "status": "succeeded",
        "currency": "usd",
        "created": PAID,
        "livemode": True,
        "payment_intent": "pi_1",
        "customer": None,
        "billing_details": {
            "email": " Ana@Example.com",
            "name": "Ana Diaz Rivera",
            "phone": None,
            "address": {"country": "US", "state": "CA"},
        },
        "receipt_email": "receipts@example.com",
        "metadata": {},
    } | changes


def payment(**changes: Any) -> Body:
    """The payment intent of that charge."""
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 2749,
        "amount_received": 2749,
        "amount_details": {"tip": {}},
        "status": "succeeded",
        "currency": "usd",
        "created": PAID,
        "livemode": True,
        "latest_charge": "ch_1",
        "customer": None,
        "receipt_email": None,
        "metadata": {},
    } | changes


def session(**changes: Any) -> Body:
    """The checkout session in which she paid."""
    return {
        "id": "cs_live_1",
        "object": "checkout.session",
        "currency": "usd",
        "created": PAID,
        "livemode": True,
        "payment_status": "paid",
        "mode": "payment",
        "amount_total": 2749,
        "total_details": {"amount_tax": 250, "amount_shipping": 500, "amount_discount": 0},
        "payment_intent": "pi_1",
        "invoice": None,
        "customer": None,
        "customer_email": None,
        "customer_details": {"email": "ana@example.com", "name": "Ana Diaz", "address": {"country": "US"}},
        "metadata": {},
    } | changes


def refund(**changes: Any) -> Body:
    """Ten dollars given back."""
    return {
        "id": "re_1",
        "object": "refund",
        "amount": 1000,
        "currency": "usd",
        "status": "succeeded",
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "created": PAID,
    } | changes


def dispute(**changes: Any) -> Body:
    """The bank asks it all back."""
    return {
        "id": "du_1",
        "object": "dispute",
        "amount": 2749,
        "currency": "usd",
        "status": "needs_response",
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "livemode": True,
    } | changes


def invoice(**changes: Any) -> Body:
    """A month of the tea club."""
    return {
        "id": "in_1",
        "object": "invoice",
        "currency": "usd",
        "total": 1500,
        "total_excluding_tax": 1250,
        "total_taxes": [{"amount": 250}],
        "amount_paid_off_stripe": 0,
        "customer": "cus_1",
        "customer_email": "ana@example.com",
        "customer_name": "Ana Diaz",
        "customer_phone": None,
        "payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]},
        "livemode": True,
    } | changes


def customer(**changes: Any) -> Body:
    """Ana's record."""
    return {
        "id": "cus_1",
        "object": "customer",
        "email": "Ana@Example.com",
        "name": "Ana Diaz",
        "phone": None,
        "preferred_locales": ["fr-FR"],
        "livemode": True,
    } | changes


INVOICE_PAYMENT: Body = {
    "id": "inpay_1",
    "object": "invoice_payment",
    "currency": "usd",
    "invoice": "in_1",
    "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
    "livemode": True,
}

_OBJECTS: dict[str, Body] = {
    "charge.pending": charge(status="pending", paid=False, captured=True),
    "charge.succeeded": charge(),
    "charge.captured": charge(amount_captured=2000),
    "charge.updated": charge(),
    "charge.failed": charge(status="failed", paid=False, captured=False),
    "charge.refunded": charge(amount_refunded=1000),
    "payment_intent.processing": payment(status="processing", amount_received=0),
    "payment_intent.succeeded": payment(),
    "refund.created": refund(),
    "refund.updated": refund(),
    "refund.failed": refund(status="failed"),
    "charge.refund.updated": refund(),
    "charge.dispute.created": dispute(),
    "charge.dispute.updated": dispute(status="under_review"),
    "charge.dispute.closed": dispute(status="lost"),
    "charge.dispute.funds_withdrawn": dispute(),
    "charge.dispute.funds_reinstated": dispute(status="won"),
    "checkout.session.completed": session(),
    "checkout.session.async_payment_succeeded": session(),
    "checkout.session.async_payment_failed": session(payment_status="unpaid"),
    "checkout.session.expired": session(payment_status="unpaid"),
    "invoice.paid": invoice(),
    "invoice.payment_succeeded": invoice(),
    "invoice_payment.paid": INVOICE_PAYMENT,
    "customer.created": customer(),
    "customer.updated": customer(),
    "customer.deleted": customer(),
    "promotion_code.updated": {"id": "promo_1", "object": "promotion_code", "code": "ANA5", "times_redeemed": 1},
    "account.application.deauthorized": {"id": "ca_1", "object": "application"},
    "apps.install.deleted": {"id": "ainst_1", "object": "apps.install"},
}

SAMPLES: dict[str, Body] = {type: event(type, thing) for type, thing in _OBJECTS.items()} | {
    f"v1.{type}": thin(f"v1.{type}", thing["object"], thing["id"]) for type, thing in _OBJECTS.items()
}
"""One body for every type that has a reader, whole and thin."""
