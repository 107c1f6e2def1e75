"""Which reader reads which topic: the table of contents of everything the platforms tell us."""

from collections.abc import Mapping

from integration.facts import Reader
from integration.shopify.payloads import disputes, fulfilments, orders, people, refunds, shop

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
    "shop/update": shop.read_shop,
    "app/uninstalled": shop.read_uninstalled,
    "app/scopes_update": shop.read_scopes,
    "customers/data_request": shop.read_data_request,
    "customers/redact": shop.read_customer_redact,
    "shop/redact": shop.read_shop_redact,
}

STRIPE: Mapping[str, Reader] = {}

TOPICS: Mapping[str, Mapping[str, Reader]] = {"shopify": SHOPIFY, "stripe": STRIPE}
