"""Shopify's webhook bodies, small and believable: Ana buys tea at Marlow & Finch."""

import json
from typing import Any

SHOP_ID = 548380009
ORDER_ID = 5_001_000_000_001
PLACED = "2026-11-02T10:00:00-05:00"
PLACED_AT = 1_793_631_600_000_000
CHANGED = "2026-11-03T09:30:00Z"

Body = dict[str, Any]


def encoded(body: object) -> bytes:
    """Write a body as Shopify does: compact."""
    return json.dumps(body, separators=(",", ":")).encode()


def moneys(amount: str, currency: str = "EUR", shown: str = "9999.99") -> Body:
    """Pair shop money with presentment money that must never be read."""
    return {
        "shop_money": {"amount": amount, "currency_code": currency},
        "presentment_money": {"amount": shown, "currency_code": "JPY"},
    }


def line(**changes: Any) -> Body:
    """One line: two packets of Earl Grey at 12.50."""
    return {
        "id": 71,
        "quantity": 2,
        "current_quantity": 2,
        "price": "12.50",
        "price_set": moneys("12.50"),
        "discount_allocations": [],
        "tax_lines": [],
        "product_id": 901,
        "variant_id": 902,
        "title": "Earl Grey",
        "gift_card": False,
        "requires_shipping": True,
    } | changes


def order(**changes: Any) -> Body:
    """Ana's paid order; a change of None is null, and `absent` names keys to leave out."""
    absent = changes.pop("absent", ())
    body = {
        "id": ORDER_ID,
        "admin_graphql_api_id": f"gid://shopify/Order/{ORDER_ID}",
        "name": "#1001",
        "currency": "EUR",
        "created_at": PLACED,
        "processed_at": PLACED,
        "updated_at": CHANGED,
        "cancelled_at": None,
        "financial_status": "paid",
        "fulfillment_status": None,
        "test": False,
        "taxes_included": True,
        "total_price": "30.00",
        "total_price_set": moneys("30.00"),
        "shipping_lines": [{"price": "5.00", "discounted_price": "5.00", "tax_lines": []}],
        "line_items": [line()],
        "refunds": [],
        "fulfillments": [],
        "email": " Ana@Example.com ",
        "contact_email": "ana@example.com",
        "customer_locale": "fr",
        "customer": {
            "id": 31,
            "email": "ana.diaz@example.com",
            "verified_email": True,
            "first_name": "Ana",
            "last_name": "Diaz",
            "phone": "+33100000000",
            "default_address": {"country_code": "CA", "province_code": "ON"},
        },
        "shipping_address": {"country_code": "FR", "province_code": None, "first_name": "A."},
        "billing_address": {"country_code": "DE", "province_code": "BE"},
        "source_name": "web",
        "tags": "gift, vip",
        "note_attributes": [],
        "order_status_url": f"https://Shop.Marlow-Finch.example/{SHOP_ID}/orders/abc/authenticate?key=k",
    } | changes
    return {key: value for key, value in body.items() if key not in absent}


def refund(**changes: Any) -> Body:
    """One packet given back."""
    return {
        "id": 8801,
        "order_id": ORDER_ID,
        "created_at": CHANGED,
        "refund_line_items": [
            {
                "line_item_id": 71,
                "quantity": 1,
                "subtotal": 12.5,
                "subtotal_set": moneys("12.50"),
                "total_tax": 0,
                "total_tax_set": moneys("0.00"),
            }
        ],
        "order_adjustments": [],
        "refund_shipping_lines": [],
        "transactions": [{"kind": "refund", "status": "success", "amount": "12.50", "currency": "EUR"}],
    } | changes


def fulfilment(**changes: Any) -> Body:
    """A parcel under way to France."""
    return {
        "id": 6601,
        "order_id": ORDER_ID,
        "status": "success",
        "created_at": PLACED,
        "updated_at": CHANGED,
        "shipment_status": None,
        "destination": {"country_code": "FR"},
        "line_items": [],
    } | changes


def carrier_event(**changes: Any) -> Body:
    """The carrier's word that the parcel is there."""
    return {
        "id": 5501,
        "fulfillment_id": 6601,
        "order_id": ORDER_ID,
        "shop_id": SHOP_ID,
        "status": "delivered",
        "happened_at": CHANGED,
        "country": "FR",
    } | changes


def customer(**changes: Any) -> Body:
    """Ana's record."""
    return {
        "id": 31,
        "admin_graphql_api_id": "gid://shopify/Customer/31",
        "email": "Ana@Example.com",
        "verified_email": True,
        "first_name": "Ana",
        "last_name": "Diaz",
        "phone": None,
        "created_at": PLACED,
        "updated_at": CHANGED,
        "state": "enabled",
    } | changes


def shop(**changes: Any) -> Body:
    """Marlow & Finch themselves."""
    return {
        "id": SHOP_ID,
        "name": "Marlow & Finch",
        "email": "Hello@marlow-finch.example",
        "domain": "shop.marlow-finch.example",
        "myshopify_domain": "marlow-finch.myshopify.com",
        "currency": "EUR",
        "iana_timezone": "Europe/Paris",
        "country_code": "FR",
        "plan_name": "basic",
        "shop_owner": "Ines Marlow",
        "updated_at": CHANGED,
    } | changes


def dispute(**changes: Any) -> Body:
    """The bank asks Ana's money back."""
    return {
        "id": 4401,
        "order_id": ORDER_ID,
        "type": "chargeback",
        "amount": "30.00",
        "currency": "EUR",
        "reason": "fraudulent",
        "status": "needs_response",
        "initiated_at": CHANGED,
        "finalized_on": None,
    } | changes


def privacy(**changes: Any) -> Body:
    """What every compliance topic says, without the person."""
    return {"shop_id": SHOP_ID, "shop_domain": "marlow-finch.myshopify.com"} | changes


_ANA: Body = {"id": 31, "email": "ana@example.com", "phone": "+33100000000"}

SAMPLES: dict[str, Body] = {
    "orders/create": order(financial_status="pending"),
    "orders/paid": order(),
    "orders/updated": order(),
    "orders/cancelled": order(cancelled_at=CHANGED),
    "orders/fulfilled": order(fulfillment_status="fulfilled", fulfillments=[fulfilment()]),
    "orders/partially_fulfilled": order(fulfillment_status="partial", fulfillments=[fulfilment()]),
    "orders/edited": {"order_edit": {"id": 1, "order_id": ORDER_ID, "line_items": {"additions": []}}},
    "orders/delete": {"id": ORDER_ID},
    "refunds/create": refund(),
    "fulfillments/create": fulfilment(),
    "fulfillments/update": fulfilment(shipment_status="delivered"),
    "fulfillment_events/create": carrier_event(),
    "customers/create": customer(),
    "customers/update": customer(),
    "customers/enable": customer(),
    "customers/disable": customer(state="disabled"),
    "customers/delete": {
        "id": 31,
        "tax_exemptions": [],
        "admin_graphql_api_id": "gid://shopify/Customer/31",
    },
    "customers/merge": {
        "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/31",
        "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/32",
        "status": "completed",
        "errors": [],
    },
    "customers_email_marketing_consent/update": {
        "customer_id": 31,
        "email_address": "Ana@example.com",
        "email_marketing_consent": {"state": "SUBSCRIBED", "consent_updated_at": CHANGED},
    },
    "customers_marketing_consent/update": {
        "id": 31,
        "phone": "+33100000000",
        "sms_marketing_consent": {"state": "unsubscribed", "consent_updated_at": CHANGED},
    },
    "disputes/create": dispute(),
    "disputes/update": dispute(status="won", finalized_on=CHANGED),
    "shop/update": shop(),
    "app/uninstalled": shop(),
    "discounts/update": {
        "admin_graphql_api_id": "gid://shopify/DiscountCodeNode/71",
        "title": "5 off",
        "status": "EXPIRED",
        "created_at": CHANGED,
        "updated_at": CHANGED,
    },
    "discounts/delete": {"admin_graphql_api_id": "gid://shopify/DiscountCodeNode/71", "deleted_at": CHANGED},
    "app/scopes_update": {
        "id": 1,
        "shop_id": f"gid://shopify/Shop/{SHOP_ID}",
        "previous": [],
        "current": ["read_orders"],
        "updated_at": CHANGED,
    },
    "customers/data_request": privacy(customer=_ANA, orders_requested=[ORDER_ID], data_request={"id": 9}),
    "customers/redact": privacy(customer=_ANA, orders_to_redact=[ORDER_ID]),
    "shop/redact": privacy(),
}
"""One body for every topic that has a reader."""
