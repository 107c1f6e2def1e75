"""Objects of the pretend Stripe, field by field as API version 2026-10-28.endive shapes them."""

from typing import Any

Object = dict[str, Any]

_ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def address(country: str | None, state: str | None = None) -> Object:
    """An address of which only country and state are known."""
    return _ADDRESS | {"country": country, "state": state}


def customer(number: str, created: int, livemode: bool, *, email: str | None, name: str | None) -> Object:
    """A customer record."""
    return {
        "id": number,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": created,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": email,
        "invoice_prefix": number[-8:].upper(),
        "livemode": livemode,
        "metadata": {},
        "name": name,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def payment_intent(
    number: str,
    created: int,
    livemode: bool,
    *,
    amount: int,
    currency: str,
    customer: str | None,
    receipt_email: str | None,
    metadata: dict[str, str],
    tax: int,
    shipping: int,
    manual: bool,
) -> Object:
    """A payment's intent, before it is paid; `tax` and `shipping` are named in its amount details."""
    details: Object = {"tip": {}}
    if tax:
        details["tax"] = {"total_tax_amount": tax}
    if shipping:
        details["shipping"] = {"amount": shipping, "from_postal_code": None, "to_postal_code": None}
    return {
        "id": number,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": details,
        "amount_received": 0,
        "application": None,
        "automatic_payment_methods": {"enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "manual" if manual else "automatic_async",
        "client_secret": f"{number}_secret_pretend",
        "confirmation_method": "automatic",
        "created": created,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": livemode,
        "metadata": metadata,
        "next_action": None,
        "payment_method": None,
        "processing": None,
        "receipt_email": receipt_email,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "status": "requires_payment_method",
        "transfer_group": None,
    }


def charge(
    number: str,
    created: int,
    livemode: bool,
    *,
    amount: int,
    currency: str,
    payment: str | None,
    customer: str | None,
    email: str | None,
    name: str | None,
    country: str | None,
    state: str | None,
    metadata: dict[str, str],
) -> Object:
    """A charge that is still pending."""
    return {
        "id": number,
        "object": "charge",
        "amount": amount,
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {
            "address": address(country, state),
            "email": email,
            "name": name,
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": None,
        "captured": False,
        "created": created,
        "currency": currency,
        "customer": customer,
        "description": None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": livemode,
        "metadata": metadata,
        "on_behalf_of": None,
        "outcome": {"network_status": "approved_by_network", "risk_level": "normal", "type": "authorized"},
        "paid": False,
        "payment_intent": payment,
        "payment_method": None,
        "payment_method_details": {
            "card": {"brand": "visa", "country": country, "funding": "credit", "last4": "4242"},
            "type": "card",
        },
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "status": "pending",
        "transfer_group": None,
    }


def session(
    number: str,
    created: int,
    livemode: bool,
    *,
    total: int,
    tax: int,
    shipping: int,
    discount: int,
    currency: str,
    payment: str | None,
    customer: str | None,
    email: str | None,
    name: str | None,
    country: str | None,
    state: str | None,
    locale: str | None,
    metadata: dict[str, str],
) -> Object:
    """A Checkout session that is still open."""
    return {
        "id": number,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "allow_promotion_codes": None,
        "amount_subtotal": total - tax - shipping + discount,
        "amount_total": total,
        "automatic_tax": {"enabled": bool(tax), "liability": None, "provider": None, "status": None},
        "client_reference_id": None,
        "consent": None,
        "created": created,
        "currency": currency,
        "custom_fields": [],
        "customer": customer,
        "customer_account": None,
        "customer_details": {
            "address": address(country, state),
            "business_name": None,
            "email": email,
            "individual_name": None,
            "name": name,
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
        "customer_email": None,
        "discounts": [],
        "expires_at": created + 86_400,
        "invoice": None,
        "livemode": livemode,
        "locale": locale,
        "metadata": metadata,
        "mode": "payment",
        "payment_intent": payment,
        "payment_link": None,
        "payment_status": "unpaid",
        "presentment_details": None,
        "recovered_from": None,
        "setup_intent": None,
        "shipping_cost": {"amount_subtotal": shipping, "amount_tax": 0, "amount_total": shipping} if shipping else None,
        "status": "open",
        "subscription": None,
        "success_url": "https://shop.example/thanks",
        "total_details": {"amount_discount": discount, "amount_shipping": shipping, "amount_tax": tax},
        "ui_mode": "hosted_page",
        "url": None,
    }


def invoice(
    number: str,
    created: int,
    livemode: bool,
    *,
    total: int,
    tax: int,
    currency: str,
    customer: str | None,
    email: str | None,
    name: str | None,
    out_of_band: bool,
) -> Object:
    """A paid invoice of a subscription."""
    return {
        "id": number,
        "object": "invoice",
        "amount_due": total,
        "amount_overpaid": 0,
        "amount_paid": total,
        "amount_paid_off_stripe": total if out_of_band else 0,
        "amount_remaining": 0,
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "created": created,
        "currency": currency,
        "customer": customer,
        "customer_email": email,
        "customer_name": name,
        "discounts": [],
        "lines": {"object": "list", "data": [], "has_more": False, "url": f"/v1/invoices/{number}/lines"},
        "livemode": livemode,
        "metadata": {},
        "number": f"{number[-8:].upper()}-0001",
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_pretend"}},
        "status": "paid",
        "status_transitions": {"paid_at": created},
        "subtotal": total - tax,
        "subtotal_excluding_tax": total - tax,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total - tax,
        "total_taxes": [{"amount": tax, "tax_behavior": "exclusive", "taxability_reason": None}] if tax else [],
    }


def invoice_payment(number: str, created: int, livemode: bool, *, bill: Object, payment: str) -> Object:
    """What links an invoice to the payment it was paid with."""
    return {
        "id": number,
        "object": "invoice_payment",
        "amount_paid": bill["total"],
        "amount_requested": bill["total"],
        "created": created,
        "currency": bill["currency"],
        "invoice": bill["id"],
        "is_default": True,
        "livemode": livemode,
        "payment": {"payment_intent": payment, "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": created},
    }


def refund(number: str, created: int, *, amount: int, currency: str, charge: Object, status: str) -> Object:
    """A refund of a charge."""
    return {
        "id": number,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": created,
        "currency": currency,
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": "requested_by_customer",
        "receipt_number": None,
        "status": status,
    }


def dispute(number: str, created: int, livemode: bool, *, amount: int, charge: Object, status: str) -> Object:
    """A dispute of a charge."""
    return {
        "id": number,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "evidence_details": {"due_by": created + 7 * 86_400, "has_evidence": False, "submission_count": 0},
        "is_charge_refundable": status.startswith("warning_"),
        "livemode": livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {"card": {"brand": "visa", "case_type": "chargeback"}, "type": "card"},
        "reason": "product_not_received",
        "status": status,
    }
