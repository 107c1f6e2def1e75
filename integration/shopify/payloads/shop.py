"""Read what concerns the shop: shop/update, app/uninstalled, app/scopes_update, the compliance topics."""

import msgspec

from integration.bodies import decode
from integration.errors import Suspect
from integration.facts import Envelope, PrivacyRequest, Reading, ScopesSeen, ShopSeen, Uninstalled
from integration.shopify.shops import exact_domain
from integration.shopify.values import (
    Id,
    country_of,
    email_of,
    id_of,
    insist_on_kind,
    instant_of,
    named_id,
    text_of,
)

MOST_SCOPES = 500
MOST_ORDERS = 100_000

Told = msgspec.Raw | msgspec.UnsetType


class _ShopBody(msgspec.Struct):
    id: Id = None
    admin_graphql_api_id: str | None = None
    name: str | None = None
    email: str | None = None
    domain: str | None = None
    myshopify_domain: str | None = None
    currency: str | None = None
    iana_timezone: str | None = None
    country_code: str | None = None
    updated_at: str | None = None
    # A shop has at least one of these, and nothing else has.
    plan_name: Told = msgspec.UNSET
    shop_owner: Told = msgspec.UNSET
    money_format: Told = msgspec.UNSET
    # Keys of other bodies.
    line_items: Told = msgspec.UNSET
    order_id: Told = msgspec.UNSET


class _ScopesBody(msgspec.Struct):
    shop_id: Id = None
    current: list[str] | None = None
    updated_at: str | None = None


class _Person(msgspec.Struct):
    id: Id = None
    email: str | None = None
    phone: str | None = None


class _PrivacyBody(msgspec.Struct):
    shop_id: Id = None
    shop_domain: str | None = None
    customer: _Person | msgspec.UnsetType | None = msgspec.UNSET
    orders_requested: list[Id] | msgspec.UnsetType | None = msgspec.UNSET
    orders_to_redact: list[Id] | msgspec.UnsetType | None = msgspec.UNSET
    data_request: Told = msgspec.UNSET


_shop = msgspec.json.Decoder(_ShopBody)
_scopes = msgspec.json.Decoder(_ScopesBody)
_privacy = msgspec.json.Decoder(_PrivacyBody)


def read_shop(body: bytes, envelope: Envelope) -> Reading:
    """Read the shop's own record."""
    seen, shop_id, hosts = _shop_of(body)
    fact = ShopSeen(
        shop_id=shop_id,
        told_at=instant_of(seen.updated_at) or envelope.triggered_at or envelope.received_at,
        domain=exact_domain((seen.myshopify_domain or "").lower()),
        hosts=hosts,
        name=text_of(seen.name),
        email=email_of(seen.email),
        currency=(text_of(seen.currency) or "").upper() or None,
        timezone=text_of(seen.iana_timezone),
        country=country_of(seen.country_code),
    )
    return Reading((fact,), shop_id=shop_id, hosts=hosts)


def read_uninstalled(body: bytes, envelope: Envelope) -> Reading:
    """Read app/uninstalled. Its body is that of shop/update; only the topic differs, which is unsigned."""
    _, shop_id, hosts = _shop_of(body)
    told_at = envelope.triggered_at or envelope.received_at
    return Reading((Uninstalled(told_at=told_at, shop_id=shop_id),), shop_id=shop_id, hosts=hosts)


def read_scopes(body: bytes, envelope: Envelope) -> Reading:
    """Read which access scopes the merchant grants now."""
    seen = decode(_scopes, body)
    if seen.current is None:
        raise Suspect("the body names no scopes")
    if isinstance(seen.shop_id, str):
        insist_on_kind(seen.shop_id, "Shop")
    told_at = instant_of(seen.updated_at) or envelope.triggered_at or envelope.received_at
    return Reading((ScopesSeen(tuple(seen.current[:MOST_SCOPES]), told_at),), shop_id=id_of(seen.shop_id))


def read_data_request(body: bytes, envelope: Envelope) -> Reading:
    """Read customers/data_request: the merchant wants to know what is kept of a person."""
    seen = _privacy_body(body)
    if seen.customer is msgspec.UNSET or seen.orders_to_redact is not msgspec.UNSET:
        raise Suspect("the body is not a data request")
    return _privacy_reading("customers/data_request", seen, seen.orders_requested)


def read_customer_redact(body: bytes, envelope: Envelope) -> Reading:
    """Read customers/redact: a person is to be forgotten."""
    seen = _privacy_body(body)
    asked = not (seen.data_request is seen.orders_requested is msgspec.UNSET)
    if seen.customer is msgspec.UNSET or asked:
        raise Suspect("the body is not a redaction of a customer")
    return _privacy_reading("customers/redact", seen, seen.orders_to_redact)


def read_shop_redact(body: bytes, envelope: Envelope) -> Reading:
    """Read shop/redact: a shop is to be forgotten."""
    seen = _privacy_body(body)
    if not (seen.customer is seen.orders_requested is seen.orders_to_redact is msgspec.UNSET):
        raise Suspect("the body is not a redaction of a shop")
    return _privacy_reading("shop/redact", seen, None)


def _shop_of(body: bytes) -> tuple[_ShopBody, str, tuple[str, ...]]:
    seen = decode(_shop, body)
    telling = seen.plan_name is seen.shop_owner is seen.money_format is msgspec.UNSET
    if (telling and not seen.myshopify_domain) or not (seen.line_items is seen.order_id is msgspec.UNSET):
        raise Suspect("the body is not a shop")
    insist_on_kind(seen.admin_graphql_api_id, "Shop")
    hosts = [text.strip().lower() for text in (seen.myshopify_domain, seen.domain) if text and text.strip()]
    return seen, named_id(seen.id, "the shop"), tuple(dict.fromkeys(hosts))


def _privacy_body(body: bytes) -> _PrivacyBody:
    seen = decode(_privacy, body)
    if seen.shop_id is None or seen.shop_domain is None:
        raise Suspect("the body is not a privacy request")
    return seen


def _privacy_reading(kind: str, seen: _PrivacyBody, orders: list[Id] | msgspec.UnsetType | None) -> Reading:
    person = seen.customer or _Person()
    domain = exact_domain((seen.shop_domain or "").lower())
    fact = PrivacyRequest(
        kind=kind,
        customer_id=id_of(person.id),
        email=email_of(person.email),
        phone=text_of(person.phone),
        order_ids=tuple([found for one in (orders or [])[:MOST_ORDERS] if (found := id_of(one))]),
    )
    return Reading((fact,), shop_id=id_of(seen.shop_id), hosts=(domain,) if domain else ())
