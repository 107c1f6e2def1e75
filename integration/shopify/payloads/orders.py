"""Read orders: orders/create, paid, updated, cancelled, fulfilled, partially_fulfilled, edited and delete."""

import re
from collections.abc import Iterable

import msgspec

from integration.bodies import decode
from integration.errors import Suspect, Unreadable
from integration.facts import (
    Buyer,
    Envelope,
    Home,
    LookAgain,
    Order,
    OrderDeleted,
    OrderLine,
    OrderRefund,
    OrderSeen,
    Reading,
)
from integration.shopify.payloads.fulfilments import FulfilmentBody, fulfilment_from
from integration.shopify.payloads.refunds import RefundBody, refund_from
from integration.shopify.values import (
    Amount,
    Id,
    MoneySet,
    country_of,
    currency_of,
    email_of,
    id_of,
    insist_on_kind,
    instant_of,
    minor_of,
    named_id,
    quantity_of,
    text_of,
    word_of,
)

MOST_LINES = 10_000
MOST_TAGS = 250
MOST_CODES = 20  # of discounts on one order
MOST_PAYMENT_IDS = 10

_PAYMENT_ID = re.compile(r"\b(?:pi|ch|py)_[A-Za-z0-9]{8,64}\b")
# Donation apps add lines without a product, titled in the shop's language.
_DONATION = re.compile(r"\b(?:donat|donaci|doaç|spende\b|don à\b|don pour\b)", re.IGNORECASE)


class TaxLine(msgspec.Struct, gc=False):
    price: Amount = None
    price_set: MoneySet | None = None


class Allocation(msgspec.Struct, gc=False):
    amount: Amount = None
    amount_set: MoneySet | None = None


# Raw joined with None would accept nothing but null.
_NULL = msgspec.Raw(b"null")


class LineBody(msgspec.Struct, gc=False):
    id: Id = None
    quantity: int | None = None
    current_quantity: int | None = None
    price: Amount = None
    price_set: MoneySet | None = None
    total_discount: Amount = None
    total_discount_set: MoneySet | None = None
    discount_allocations: list[Allocation] | None = None
    tax_lines: list[TaxLine] | None = None
    product_id: Id = None
    variant_id: Id = None
    title: str | None = None
    gift_card: bool | None = None
    requires_shipping: bool | None = None
    tip: msgspec.Raw = _NULL
    tip_payment_gateway: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class AddressBody(msgspec.Struct, gc=False):
    country_code: str | None = None
    province_code: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    address1: str | None = None
    address2: str | None = None
    zip: str | int | None = None


class CustomerBody(msgspec.Struct, gc=False):
    id: Id = None
    email: str | None = None
    verified_email: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    default_address: AddressBody | None = None


class ShippingBody(msgspec.Struct, gc=False):
    price: Amount = None
    price_set: MoneySet | None = None
    discounted_price: Amount = None
    discounted_price_set: MoneySet | None = None
    tax_lines: list[TaxLine] | None = None
    is_removed: bool | None = None


class CodeBody(msgspec.Struct, gc=False):
    code: str | None = None


class NoteAttribute(msgspec.Struct, gc=False):
    value: str | int | float | bool | None = None


class OrderBody(msgspec.Struct, gc=False):
    """What is read of an order; by the keys at the end other kinds of body give themselves away."""

    id: Id = None
    admin_graphql_api_id: str | None = None
    name: str | None = None
    currency: str | None = None
    updated_at: str | None = None
    created_at: str | None = None
    processed_at: str | None = None
    cancelled_at: str | None = None
    financial_status: str | None = None
    fulfillment_status: str | None = None
    test: bool | None = None
    taxes_included: bool | None = None
    total_price: Amount = None
    total_price_set: MoneySet | None = None
    total_tip_received: Amount = None
    total_shipping_price_set: MoneySet | None = None
    shipping_lines: list[ShippingBody] | None = None
    line_items: list[LineBody] | None = None
    refunds: list[RefundBody] | None = None
    fulfillments: list[FulfilmentBody] | None = None
    email: str | None = None
    contact_email: str | None = None
    phone: str | None = None
    customer_locale: str | None = None
    customer: CustomerBody | None = None
    shipping_address: AddressBody | None = None
    billing_address: AddressBody | None = None
    source_name: str | None = None
    tags: str | None = None
    discount_codes: list[CodeBody] | None = None
    note_attributes: list[NoteAttribute] | None = None
    order_status_url: str | None = None
    order_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    refund_line_items: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    invoice_url: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    abandoned_checkout_url: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Edit(msgspec.Struct):
    order_id: Id = None


class _EditedBody(msgspec.Struct):
    order_edit: _Edit | None = None


_order = msgspec.json.Decoder(OrderBody)
_edited = msgspec.json.Decoder(_EditedBody)
_deleted = msgspec.json.Decoder(dict[str, object])


def read_order(body: bytes, envelope: Envelope) -> Reading:
    """Read a whole order.

    Raises Unreadable (without `updated_at` among others) and Suspect where the body is no order.
    """
    seen = decode(_order, body)
    if (
        seen.line_items is None
        or seen.order_id is not msgspec.UNSET
        or seen.refund_line_items is not msgspec.UNSET
        or seen.invoice_url is not msgspec.UNSET
        or seen.abandoned_checkout_url is not msgspec.UNSET
    ):
        raise Suspect("the body is not an order")
    insist_on_kind(seen.admin_graphql_api_id, "Order")
    host, shop_id = signed_place(seen.order_status_url)
    return Reading(
        facts=(OrderSeen(order_from(seen, envelope.digest, envelope.triggered_at or 0), _home(seen.shipping_address)),),
        shop_id=shop_id,
        hosts=(host,) if host else (),
    )


def read_edited(body: bytes, envelope: Envelope) -> Reading:
    """Read orders/edited, which tells only what was added and removed: the order must be looked at again."""
    seen = decode(_edited, body)
    if seen.order_edit is None:
        raise Suspect("the body is not an order edit")
    return Reading((LookAgain("order", named_id(seen.order_edit.order_id, "the edited order")),))


def read_deleted(body: bytes, envelope: Envelope) -> Reading:
    """Read orders/delete. Anything but exactly one id is Suspect: any signed body could delete an order."""
    seen = decode(_deleted, body)
    if seen.keys() != {"id"}:
        raise Suspect("the body is more or less than an order's id")
    order_id = seen["id"]
    if isinstance(order_id, bool) or not isinstance(order_id, int | str):
        raise Unreadable("the deleted order's id is not an id")
    return Reading((OrderDeleted(named_id(order_id, "the deleted order")),))


def order_from(seen: OrderBody, digest: str, triggered_at: int) -> Order:
    """Turn an order as Shopify shows it into ours: shop money in minor units, instants in microseconds.

    Raises Unreadable where what it needs is missing or no value of its kind.
    """
    updated_at = instant_of(seen.updated_at)
    if updated_at is None:
        raise Unreadable("the order has no updated_at, so it cannot be told from an older state of it")
    currency = currency_of(seen.currency)
    refunds = tuple([refund_from(refund, updated_at, currency) for refund in seen.refunds or ()])
    shipping, shipping_tax = _shipping(seen, currency)
    country, region = _destination(seen)
    return Order(
        id=named_id(seen.id, "the order"),
        updated_at=updated_at,
        currency=currency,
        digest=digest,
        triggered_at=triggered_at,
        name=text_of(seen.name) or "",
        created_at=instant_of(seen.created_at),
        processed_at=instant_of(seen.processed_at),
        cancelled_at=instant_of(seen.cancelled_at),
        financial_status=word_of(seen.financial_status),
        fulfillment_status=word_of(seen.fulfillment_status),
        test=seen.test is True,
        taxes_included=seen.taxes_included is True,
        total_minor=minor_of(seen.total_price_set, seen.total_price, currency),
        shipping_minor=shipping,
        shipping_tax_minor=shipping_tax,
        lines=_lines(seen, refunds, currency),
        refunds=refunds,
        fulfilments=tuple([fulfilment_from(one) for one in seen.fulfillments]) if seen.fulfillments else (),
        buyer=_buyer(seen),
        country=country,
        region=region,
        source_name=text_of(seen.source_name) or "",
        tags=_tags(seen.tags),
        codes=_codes(seen.discount_codes) if seen.discount_codes else (),
        payment_ids=_payment_ids(seen.note_attributes) if seen.note_attributes else (),
    )


def _lines(seen: OrderBody, refunds: Iterable[OrderRefund], currency: str) -> tuple[OrderLine, ...]:
    bodies = seen.line_items or []
    if len(bodies) > MOST_LINES:
        raise Unreadable(f"it has more than {MOST_LINES} lines")
    tips = minor_of(None, seen.total_tip_received, currency)
    given_back: dict[str, int] | None = None
    lines = []
    for body in bodies:
        line_id = named_id(body.id, "a line")
        quantity = quantity_of(body.quantity, 1)
        current = body.current_quantity
        if current is None:
            # Older API versions do not tell what is left; it is what was bought less what the refunds took.
            if given_back is None:
                given_back = _given_back(refunds)
            current = quantity - given_back.get(line_id, 0)
        price = minor_of(body.price_set, body.price, currency)
        discount = 0
        if body.discount_allocations:
            for allocation in body.discount_allocations:
                discount += minor_of(allocation.amount_set, allocation.amount, currency)
        elif body.total_discount is not None or body.total_discount_set is not None:
            discount = minor_of(body.total_discount_set, body.total_discount, currency)
        product_id = id_of(body.product_id)
        lines.append(
            OrderLine(
                id=line_id,
                quantity=quantity,
                current_quantity=quantity_of(current),
                price_minor=price,
                discount_minor=discount,
                tax_minor=_taxes(body.tax_lines, currency) if body.tax_lines else 0,
                product_id=product_id,
                variant_id=id_of(body.variant_id),
                title=text_of(body.title) or "",
                gift_card=body.gift_card is True,
                gratuity=product_id is None and _is_gratuity(body, price * quantity, tips),
                requires_shipping=body.requires_shipping is not False,
            )
        )
    return tuple(lines)


def _is_gratuity(body: LineBody, whole: int, tips: int) -> bool:
    # A tip carries `tip`, or the gateway it was paid with, be it null, which no other line has; the Admin API
    # names no tips, but tells their sum. All are lines without a product.
    return (
        body.tip_payment_gateway is not msgspec.UNSET
        or bytes(body.tip) not in (b"null", b"false")
        or (tips > 0 and whole == tips)
        or bool(body.title and _DONATION.search(body.title))
    )


def _given_back(refunds: Iterable[OrderRefund]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for refund in refunds:
        for line in refund.lines:
            sums[line.line_id] = sums.get(line.line_id, 0) + line.quantity
    return sums


def _taxes(taxes: Iterable[TaxLine] | None, currency: str) -> int:
    return sum([minor_of(tax.price_set, tax.price, currency) for tax in taxes or ()])


def _shipping(seen: OrderBody, currency: str) -> tuple[int, int]:
    """Return shipping after discounts and its tax, at purchase."""
    if seen.shipping_lines is None:
        return minor_of(seen.total_shipping_price_set, None, currency), 0
    price = tax = 0
    for line in seen.shipping_lines:
        if line.is_removed:
            continue
        if line.discounted_price_set is None and line.discounted_price is None:
            price += minor_of(line.price_set, line.price, currency)
        else:
            price += minor_of(line.discounted_price_set, line.discounted_price, currency)
        tax += _taxes(line.tax_lines, currency)
    return price, tax


def _buyer(seen: OrderBody) -> Buyer:
    customer = seen.customer or CustomerBody()
    customer_email = email_of(customer.email)
    address = seen.shipping_address or seen.billing_address or customer.default_address or AddressBody()
    return Buyer(
        platform_id=id_of(customer.id),
        email=email_of(seen.email) or email_of(seen.contact_email) or customer_email,
        customer_email=customer_email,
        email_verified=customer.verified_email,
        first_name=text_of(customer.first_name or address.first_name),
        last_name=text_of(customer.last_name or address.last_name),
        phone=text_of(seen.phone or customer.phone),
        locale=text_of(seen.customer_locale),
    )


def _destination(seen: OrderBody) -> tuple[str | None, str | None]:
    """Return country and region: where it goes, else where it is billed, else where the customer lives."""
    home = seen.customer.default_address if seen.customer else None
    for address in (seen.shipping_address, seen.billing_address, home):
        if address is not None:
            country = country_of(address.country_code)
            if country:
                return country, text_of(address.province_code)
    return None, None


def _home(address: AddressBody | None) -> Home | None:
    if address is None or not address.address1 or not address.zip or not address.country_code:
        return None
    return Home(address.country_code, str(address.zip), address.address1, address.address2 or "")


def _tags(text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    return tuple([tag for part in text.split(",", MOST_TAGS)[:MOST_TAGS] if (tag := part.strip())])


def _codes(bodies: Iterable[CodeBody]) -> tuple[str, ...]:
    typed = (code.strip().upper() for body in bodies if (code := text_of(body.code)))
    return tuple(sorted(dict.fromkeys(typed)))[:MOST_CODES]


def _payment_ids(attributes: Iterable[NoteAttribute]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for attribute in attributes:
        if isinstance(attribute.value, str) and "_" in attribute.value:
            found.update(dict.fromkeys(_PAYMENT_ID.findall(attribute.value)))
    return tuple(found)[:MOST_PAYMENT_IDS]


def signed_place(url: str | None) -> tuple[str | None, str | None]:
    """Return the host and the shop id an order status URL names: https://host/<shop id>/orders/…."""
    if not url or not url.startswith("https://"):
        return None, None
    host, _, path = url[8:].partition("/")
    first = path.partition("/")[0]
    shop_id = id_of(first) if first.isascii() and first.isdigit() and len(first) <= 20 else None
    return (host.lower()[:253] or None), shop_id
