"""Turn the Admin API's answers into the facts that webhooks tell: the same Order, by the same code."""

from hashlib import sha256

import msgspec

from integration.facts import Order, ShopSeen
from integration.shopify.payloads.fulfilments import DestinationBody, FulfilmentBody
from integration.shopify.payloads.orders import (
    AddressBody,
    Allocation,
    CodeBody,
    CustomerBody,
    LineBody,
    NoteAttribute,
    OrderBody,
    ShippingBody,
    TaxLine,
    order_from,
)
from integration.shopify.payloads.refunds import (
    AdjustmentBody,
    RefundBody,
    RefundLineBody,
    RefundShippingBody,
    TransactionBody,
)
from integration.shopify.shops import exact_domain
from integration.shopify.values import Money, MoneySet, country_of, email_of, instant_of, named_id, text_of

FULFILMENT = {"FULFILLED": "fulfilled", "PARTIALLY_FULFILLED": "partial", "RESTOCKED": "restocked"}
# Display statuses that say nothing of where the parcel is.
_NOT_OF_CARRIERS = frozenset({"FULFILLED", "MARKED_AS_FULFILLED", "SUBMITTED", "CANCELED"})


class _Answer(msgspec.Struct, rename="camel"):
    pass


class _Amount(_Answer):
    amount: str | None = None


class Moneys(_Answer):
    shop_money: _Amount | None = None


class _Node(_Answer):
    id: str | None = None


class _Place(_Answer):
    country_code_v2: str | None = msgspec.field(name="countryCodeV2", default=None)
    province_code: str | None = None
    first_name: str | None = None
    last_name: str | None = None


class _Email(_Answer):
    email_address: str | None = None


class _Phone(_Answer):
    phone_number: str | None = None


class _Customer(_Answer):
    id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    verified_email: bool | None = None
    default_email_address: _Email | None = None
    default_phone_number: _Phone | None = None
    default_address: _Place | None = None


class _Tax(_Answer):
    price_set: Moneys | None = None


class ShippingAnswer(_Answer):
    is_removed: bool | None = None
    original_price_set: Moneys | None = None
    discounted_price_set: Moneys | None = None
    tax_lines: list[_Tax] = []


class _ShippingNodes(_Answer):
    nodes: list[ShippingAnswer] = []


class _Allocated(_Answer):
    allocated_amount_set: Moneys | None = None


class LineAnswer(_Answer):
    id: str
    title: str | None = None
    quantity: int | None = None
    current_quantity: int | None = None
    is_gift_card: bool | None = None
    requires_shipping: bool | None = None
    product: _Node | None = None
    variant: _Node | None = None
    original_unit_price_set: Moneys | None = None
    total_discount_set: Moneys | None = None
    discount_allocations: list[_Allocated] = []
    tax_lines: list[_Tax] = []


class Page(_Answer):
    """Whether there is more, and where it begins."""

    has_next_page: bool = False
    end_cursor: str | None = None


class LinesAnswer(_Answer):
    page_info: Page = msgspec.field(default_factory=Page)
    nodes: list[LineAnswer] = []


class _Attribute(_Answer):
    value: str | None = None


class _Fulfilment(_Answer):
    id: str
    status: str | None = None
    display_status: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    delivered_at: str | None = None


class OrderAnswer(_Answer):
    """One page of an order: everything of it, but only some of its lines."""

    id: str
    updated_at: str
    line_items: LinesAnswer
    refunds: list[_Node] = []
    name: str | None = None
    currency_code: str | None = None
    created_at: str | None = None
    processed_at: str | None = None
    cancelled_at: str | None = None
    display_financial_status: str | None = None
    display_fulfillment_status: str | None = None
    test: bool | None = None
    taxes_included: bool | None = None
    email: str | None = None
    phone: str | None = None
    customer_locale: str | None = None
    source_name: str | None = None
    tags: list[str] = []
    discount_codes: list[str] = []
    status_page_url: str | None = None
    custom_attributes: list[_Attribute] = []
    total_price_set: Moneys | None = None
    total_tip_received_set: Moneys | None = None
    shipping_address: _Place | None = None
    billing_address: _Place | None = None
    customer: _Customer | None = None
    shipping_lines: _ShippingNodes = msgspec.field(default_factory=_ShippingNodes)
    fulfillments: list[_Fulfilment] = []


class _RefundedLine(_Answer):
    quantity: int | None = None
    line_item: _Node | None = None
    subtotal_set: Moneys | None = None
    total_tax_set: Moneys | None = None


class _RefundedLines(_Answer):
    page_info: Page = msgspec.field(default_factory=Page)
    nodes: list[_RefundedLine] = []


class _Adjustment(_Answer):
    reason: str | None = None
    amount_set: Moneys | None = None


class _Adjustments(_Answer):
    nodes: list[_Adjustment] = []


class _RefundedShipping(_Answer):
    subtotal_amount_set: Moneys | None = None


class _RefundedShippings(_Answer):
    nodes: list[_RefundedShipping] = []


class _Transaction(_Answer):
    kind: str | None = None
    status: str | None = None
    amount_set: Moneys | None = None


class _Transactions(_Answer):
    nodes: list[_Transaction] = []


class RefundAnswer(_Answer):
    """One page of a refund: everything of it, but only some of its lines."""

    id: str
    created_at: str | None = None
    refund_line_items: _RefundedLines = msgspec.field(default_factory=_RefundedLines)
    order_adjustments: _Adjustments = msgspec.field(default_factory=_Adjustments)
    refund_shipping_lines: _RefundedShippings = msgspec.field(default_factory=_RefundedShippings)
    transactions: _Transactions = msgspec.field(default_factory=_Transactions)


class _Domain(_Answer):
    host: str | None = None


class ShopAnswer(_Answer):
    """The shop's own record."""

    id: str
    name: str | None = None
    email: str | None = None
    myshopify_domain: str | None = None
    primary_domain: _Domain | None = None
    currency_code: str | None = None
    iana_timezone: str | None = None
    updated_at: str | None = None
    shop_address: _Place | None = None


def order_of(pages: list[OrderAnswer], refunds: list[list[RefundAnswer]]) -> Order:
    """Build the order its pages and its refunds' pages tell. Raises Unreadable as for webhooks."""
    head = pages[0]
    body = OrderBody(
        id=head.id,
        name=head.name,
        currency=head.currency_code,
        updated_at=head.updated_at,
        created_at=head.created_at,
        processed_at=head.processed_at,
        cancelled_at=head.cancelled_at,
        financial_status=head.display_financial_status,
        fulfillment_status=FULFILMENT.get(head.display_fulfillment_status or ""),
        test=head.test,
        taxes_included=head.taxes_included,
        total_price_set=_money(head.total_price_set),
        total_tip_received=_shop_amount(head.total_tip_received_set),
        shipping_lines=[_shipping(line) for line in head.shipping_lines.nodes],
        line_items=[_line(line) for page in pages for line in page.line_items.nodes],
        refunds=[_refund(parts) for parts in refunds],
        fulfillments=[_fulfilment(one, head.shipping_address) for one in head.fulfillments],
        email=head.email,
        phone=head.phone,
        customer_locale=head.customer_locale,
        customer=_customer(head.customer),
        shipping_address=_address(head.shipping_address),
        billing_address=_address(head.billing_address),
        source_name=head.source_name,
        tags=",".join(head.tags),
        discount_codes=[CodeBody(code) for code in head.discount_codes],
        note_attributes=[NoteAttribute(one.value) for one in head.custom_attributes],
    )
    # An answer has no body of its own to digest, so its meaning is: the same state has always the same digest.
    order = order_from(body, "", 0)
    return msgspec.structs.replace(order, digest=sha256(msgspec.json.encode(order)).hexdigest())


def shop_of(shop: ShopAnswer, now: int) -> ShopSeen:
    """Build what the shop's record tells, as told `now` where it names no time of its own."""
    host = shop.primary_domain.host if shop.primary_domain else None
    hosts = [text.strip().lower() for text in (shop.myshopify_domain, host) if text]
    return ShopSeen(
        shop_id=named_id(shop.id, "the shop"),
        told_at=instant_of(shop.updated_at) or now,
        domain=exact_domain((shop.myshopify_domain or "").lower()),
        hosts=tuple(dict.fromkeys(hosts)),
        name=text_of(shop.name),
        email=email_of(shop.email),
        currency=shop.currency_code,
        timezone=shop.iana_timezone,
        country=country_of(shop.shop_address.country_code_v2 if shop.shop_address else None),
    )


def _money(moneys: Moneys | None) -> MoneySet | None:
    amount = _shop_amount(moneys)
    return None if amount is None else MoneySet(Money(amount))


def _shop_amount(moneys: Moneys | None) -> str | None:
    return moneys.shop_money.amount if moneys and moneys.shop_money else None


def _taxes(taxes: list[_Tax]) -> list[TaxLine]:
    return [TaxLine(price_set=_money(tax.price_set)) for tax in taxes]


def _line(line: LineAnswer) -> LineBody:
    return LineBody(
        id=line.id,
        title=line.title,
        quantity=line.quantity,
        current_quantity=line.current_quantity,
        price_set=_money(line.original_unit_price_set),
        total_discount_set=_money(line.total_discount_set),
        discount_allocations=[
            Allocation(amount_set=_money(one.allocated_amount_set)) for one in line.discount_allocations
        ],
        tax_lines=_taxes(line.tax_lines),
        product_id=line.product.id if line.product else None,
        variant_id=line.variant.id if line.variant else None,
        gift_card=line.is_gift_card,
        requires_shipping=line.requires_shipping,
    )


def _shipping(line: ShippingAnswer) -> ShippingBody:
    return ShippingBody(
        is_removed=line.is_removed,
        price_set=_money(line.original_price_set),
        discounted_price_set=_money(line.discounted_price_set),
        tax_lines=_taxes(line.tax_lines),
    )


def _refund(parts: list[RefundAnswer]) -> RefundBody:
    head = parts[0]
    return RefundBody(
        id=head.id,
        created_at=head.created_at,
        refund_line_items=[
            RefundLineBody(
                line_item_id=line.line_item.id if line.line_item else None,
                quantity=line.quantity,
                subtotal_set=_money(line.subtotal_set),
                total_tax_set=_money(line.total_tax_set),
            )
            for part in parts
            for line in part.refund_line_items.nodes
        ],
        # The Admin API keeps shipping apart, so that all its adjustments are what webhooks call discrepancies.
        order_adjustments=[
            AdjustmentBody(kind="refund_discrepancy", reason=one.reason, amount_set=_money(one.amount_set))
            for one in head.order_adjustments.nodes
        ],
        refund_shipping_lines=[
            RefundShippingBody(_money(one.subtotal_amount_set)) for one in head.refund_shipping_lines.nodes
        ],
        transactions=[
            TransactionBody(kind=one.kind, status=one.status, amount_set=_money(one.amount_set))
            for one in head.transactions.nodes
        ],
    )


def _fulfilment(one: _Fulfilment, destination: _Place | None) -> FulfilmentBody:
    carrier = one.display_status if one.display_status not in _NOT_OF_CARRIERS else None
    return FulfilmentBody(
        id=one.id,
        status=one.status,
        shipment_status=carrier,
        created_at=one.created_at,
        updated_at=one.updated_at,
        delivered_at=one.delivered_at,
        destination=DestinationBody(destination.country_code_v2) if destination else None,
    )


def _customer(customer: _Customer | None) -> CustomerBody | None:
    if customer is None:
        return None
    return CustomerBody(
        id=customer.id,
        email=customer.default_email_address.email_address if customer.default_email_address else None,
        verified_email=customer.verified_email,
        first_name=customer.first_name,
        last_name=customer.last_name,
        phone=customer.default_phone_number.phone_number if customer.default_phone_number else None,
        default_address=_address(customer.default_address),
    )


def _address(place: _Place | None) -> AddressBody | None:
    if place is None:
        return None
    return AddressBody(place.country_code_v2, place.province_code, place.first_name, place.last_name)
