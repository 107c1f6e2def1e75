"""Small webhook bodies of the pretend shop and the writers all bodies share, in Shopify's REST shapes."""

from datetime import datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from integration.clock import SECOND
from integration.money import exponent
from integration.sandbox.shopify_records import (
    Address,
    Customer,
    Dispute,
    Fulfillment,
    Order,
)

Body = dict[str, Any]

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def shop_time(instant: int | None, zone: tzinfo) -> str | None:
    """Write an instant as Shopify does: whole seconds in the shop's time zone, with the offset."""
    if instant is None:
        return None
    return (_EPOCH + timedelta(seconds=instant // SECOND)).astimezone(zone).isoformat()


def amount(minor: int, currency: str) -> str:
    """Write minor units as a decimal string with the currency's digits."""
    digits = exponent(currency)
    if not digits:
        return str(minor)
    whole, fraction = divmod(abs(minor), 10**digits)
    return f"{'-' if minor < 0 else ''}{whole}.{fraction:0{digits}d}"


class Money:
    """Writes an order's amounts: as plain text, and as the pair of shop money and what the buyer saw."""

    __slots__ = ("currency", "presentment")

    def __init__(self, order: Order) -> None:
        self.currency = order.currency
        self.presentment = order.presentment

    def text(self, minor: int) -> str:
        """Shop money as a decimal string."""
        return amount(minor, self.currency)

    def both(self, minor: int) -> Body:
        """Shop money and presentment money, as `…_set` fields carry them."""
        shop = {"amount": amount(minor, self.currency), "currency_code": self.currency}
        if self.presentment is None:
            return {"shop_money": shop, "presentment_money": shop}
        seen_currency, rate = self.presentment
        scale = Decimal(10) ** (exponent(seen_currency) - exponent(self.currency))
        seen = int((minor * rate * scale).quantize(Decimal(1), ROUND_HALF_UP))
        return {
            "shop_money": shop,
            "presentment_money": {"amount": amount(seen, seen_currency), "currency_code": seen_currency},
        }


def fulfillment_event_body(
    event_id: int, parcel: Fulfillment, order: Order, status: str, at: int, shop_id: int, zone: tzinfo
) -> Body:
    """What a carrier says happened to a parcel."""
    when = shop_time(at, zone)
    return {
        "id": event_id,
        "address1": None,
        "admin_graphql_api_id": f"gid://shopify/FulfillmentEvent/{event_id}",
        "city": None,
        "country": order.address.country_code if order.address else None,
        "created_at": when,
        "estimated_delivery_at": None,
        "fulfillment_id": parcel.id,
        "happened_at": when,
        "latitude": None,
        "longitude": None,
        "message": f"Parcel is {status.replace('_', ' ')}",
        "order_id": order.id,
        "province": None,
        "shop_id": shop_id,
        "status": status,
        "updated_at": when,
        "zip": None,
    }


def customer_body(customer: Customer, currency: str, zone: tzinfo) -> Body:
    """A person's record, as customers/create and update carry it (consent is not in it)."""
    return person(customer, currency) | {
        "addresses": [_default_address(customer)] if customer.address else [],
        "created_at": shop_time(customer.created_at, zone),
        "updated_at": shop_time(customer.updated_at, zone),
    }


def dispute_body(dispute: Dispute, currency: str, zone: tzinfo) -> Body:
    """A dispute, as disputes/create and update carry it."""
    return {
        "id": dispute.id,
        "amount": amount(dispute.amount_minor, currency),
        "currency": currency,
        "evidence_due_by": shop_time(dispute.initiated_at + 7 * 86_400 * SECOND, zone),
        "evidence_sent_on": None,
        "finalized_on": shop_time(dispute.finalized_at, zone),
        "initiated_at": shop_time(dispute.initiated_at, zone),
        "network_reason_code": "4837",
        "order_id": dispute.order_id,
        "reason": "fraudulent",
        "status": dispute.status,
        "type": "chargeback",
    }


def edit_body(edit_id: int, order: Order, added: dict[int, int], removed: dict[int, int], zone: tzinfo) -> Body:
    """What orders/edited tells: which lines changed by how many units, and nothing of the money."""
    when = shop_time(order.updated_at, zone)
    return {
        "order_edit": {
            "id": edit_id,
            "app_id": None,
            "committed_at": when,
            "created_at": when,
            "discounts": {"line_item": {"additions": [], "removals": []}},
            "line_items": {
                "additions": [{"id": line, "delta": units} for line, units in added.items()],
                "removals": [{"id": line, "delta": units} for line, units in removed.items()],
            },
            "notify_customer": False,
            "order_id": order.id,
            "shipping_lines": {"additions": [], "removals": []},
            "staff_note": "",
            "user_id": None,
        }
    }


def person(customer: Customer, currency: str) -> Body:
    """A customer as an order carries them: without times and consent."""
    body = {
        "id": customer.id,
        "admin_graphql_api_id": f"gid://shopify/Customer/{customer.id}",
        "created_at": None,
        "currency": currency,
        "email": customer.email,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "multipass_identifier": None,
        "note": None,
        "phone": customer.phone,
        "state": "disabled",
        "tax_exempt": False,
        "tax_exemptions": [],
        "updated_at": None,
        "verified_email": customer.verified_email,
    }
    if customer.address:
        body["default_address"] = _default_address(customer)
    return body


def _default_address(customer: Customer) -> Body:
    return (address_body(customer.address) or {}) | {
        "id": customer.id + 1,
        "country_name": customer.address.country if customer.address else None,
        "customer_id": customer.id,
        "default": True,
    }


def address_body(address: Address | None) -> Body | None:
    """An address as every order, parcel and customer carries it."""
    if address is None:
        return None
    return {
        "first_name": address.first_name,
        "last_name": address.last_name,
        "name": f"{address.first_name} {address.last_name}",
        "address1": address.street,
        "address2": address.more,
        "city": address.city,
        "company": None,
        "country": address.country,
        "country_code": address.country_code,
        "latitude": None,
        "longitude": None,
        "phone": None,
        "province": address.province,
        "province_code": address.province_code,
        "zip": address.zip,
    }


def shop_body(
    shop_id: int,
    domain: str,
    *,
    name: str,
    email: str,
    country_code: str,
    currency: str,
    timezone: str,
    taxes_included: bool,
    updated_at: str | None,
) -> Body:
    """The shop's own record."""
    return {
        "id": shop_id,
        "name": name,
        "email": email,
        "domain": domain,
        "country": country_code,
        "country_code": country_code,
        "country_name": country_code,
        "currency": currency,
        "customer_email": email,
        "enabled_presentment_currencies": [currency],
        "iana_timezone": timezone,
        "myshopify_domain": domain,
        "plan_name": "basic",
        "primary_locale": "en",
        "shop_owner": "Robin Marlow",
        "taxes_included": taxes_included,
        "timezone": timezone,
        "updated_at": updated_at,
    }
