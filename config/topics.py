"""Which reader reads which topic: the table of contents of everything the platforms tell us."""

from collections.abc import Mapping

from integration.facts import Reader
from integration.shopify.payloads import discounts, disputes, fulfilments, orders, people, recovered, refunds, shop
from integration.stripe.payloads import checkout, money
from integration.stripe.payloads import people as stripe_people
from integration.stripe.payloads.events import read_thin

SHOPIFY: Mapping[str, Reader] = {
    "orders/create": orders.read_order,
    "orders/paid": orders.read_order,
    "orders/updated": orders.read_order,
    "orders/cancelled": orders.read_order,
    "orders/fulfilled": orders.read_order,
    "orders/partially_fulfilled": orders.read_order,
    "orders/edited": orders.read_edited,
    "orders/delete": orders.read_deleted,
    "refunds/create": refunds.read_refund,
    "fulfillments/create": fulfilments.read_fulfilment,
    "fulfillments/update": fulfilments.read_fulfilment,
    "fulfillment_events/create": fulfilments.read_fulfilment_event,
    "customers/create": people.read_customer,
    "customers/update": people.read_customer,
    "customers/enable": people.read_customer,
    "customers/disable": people.read_customer,
    "customers/delete": people.read_deleted,
    "customers/merge": people.read_merge,
    "customers_email_marketing_consent/update": people.read_email_consent,
    "customers_marketing_consent/update": people.read_sms_consent,
    "disputes/create": disputes.read_dispute,
    "disputes/update": disputes.read_dispute,
    "discounts/update": discounts.read_changed,
    "discounts/delete": discounts.read_deleted,
    "shop/update": shop.read_shop,
    "app/uninstalled": shop.read_uninstalled,
    "app/scopes_update": shop.read_scopes,
    "customers/data_request": shop.read_data_request,
    "customers/redact": shop.read_customer_redact,
    "shop/redact": shop.read_shop_redact,
}

_STRIPE_SNAPSHOTS: Mapping[str, Reader] = {
    "charge.pending": money.read_charge,
    "charge.succeeded": money.read_charge,
    "charge.captured": money.read_charge,
    "charge.updated": money.read_charge,
    "charge.failed": money.read_charge,
    "charge.refunded": money.read_charge,
    "payment_intent.processing": money.read_payment,
    "payment_intent.succeeded": money.read_payment,
    "refund.created": money.read_refund,
    "refund.updated": money.read_refund,
    "refund.failed": money.read_refund,
    "charge.refund.updated": money.read_refund,
    "charge.dispute.created": money.read_dispute,
    "charge.dispute.updated": money.read_dispute,
    "charge.dispute.closed": money.read_dispute,
    "charge.dispute.funds_withdrawn": money.read_dispute,
    "charge.dispute.funds_reinstated": money.read_dispute,
    "checkout.session.completed": checkout.read_session,
    "checkout.session.async_payment_succeeded": checkout.read_session,
    "checkout.session.async_payment_failed": checkout.read_session,
    "checkout.session.expired": checkout.read_session,
    "invoice.paid": checkout.read_invoice,
    "invoice.payment_succeeded": checkout.read_invoice,
    "invoice_payment.paid": checkout.read_invoice_payment,
    "customer.created": stripe_people.read_customer,
    "customer.updated": stripe_people.read_customer,
    "customer.deleted": stripe_people.read_customer,
    "promotion_code.updated": stripe_people.read_promotion_code,
    "account.application.deauthorized": stripe_people.read_deauthorized,
    "apps.install.deleted": stripe_people.read_uninstalled,
}

# Every type may also come thin, under the same name after "v1.".
STRIPE: Mapping[str, Reader] = {
    **_STRIPE_SNAPSHOTS,
    **dict.fromkeys([f"v1.{topic}" for topic in _STRIPE_SNAPSHOTS], read_thin),
}

# No platform's topics: what we fetched ourselves because no webhook told of it.
RECOVERED: Mapping[str, Mapping[str, Reader]] = {
    "shopify": {recovered.TOPIC: recovered.read_recovered, "disputes/recovered": disputes.read_dispute},
    "stripe": {
        "charge.recovered": money.read_charge,
        "refund.recovered": money.read_refund,
        "dispute.recovered": money.read_dispute,
    },
}

TOPICS: Mapping[str, Mapping[str, Reader]] = {
    "shopify": {**SHOPIFY, **RECOVERED["shopify"]},
    "stripe": {**STRIPE, **RECOVERED["stripe"]},
}
