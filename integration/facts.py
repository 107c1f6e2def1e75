"""What platforms tell us, in one vocabulary: readers turn payloads into these, handlers merge them.

Ids are strings, money is integer minor units of `currency` (upper case), instants are microseconds.
"""

from collections.abc import Callable

import msgspec


class Envelope(msgspec.Struct, frozen=True):
    """What surrounds a body: unsigned headers for Shopify, so only routing hints there."""

    source: str  # "shopify" or "stripe"
    topic: str
    delivery_id: str
    triggered_at: int | None
    received_at: int
    digest: str = ""  # sha256 of the body, hexadecimal; given to readers, the receiver does not need it


class _Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    pass


# --- Shopify orders -----------------------------------------------------------------------------


class OrderLine(_Fact, frozen=True):
    id: str
    quantity: int
    current_quantity: int
    price_minor: int  # one unit, before discounts, with tax where the order's prices include it
    discount_minor: int = 0  # all allocations, for `quantity` units
    tax_minor: int = 0  # all tax lines, for `quantity` units
    product_id: str | None = None
    variant_id: str | None = None
    title: str = ""
    gift_card: bool = False
    gratuity: bool = False  # a tip or a donation
    requires_shipping: bool = True


class RefundLine(_Fact, frozen=True):
    line_id: str
    quantity: int
    subtotal_minor: int = 0
    tax_minor: int = 0


class OrderRefund(_Fact, frozen=True):
    """One Shopify refund; `stamp` orders its versions (settlement rules, section 1)."""

    id: str
    stamp: int
    lines: tuple[RefundLine, ...] = ()
    discrepancy_minor: int = 0  # |sum of negative refund_discrepancy adjustments|
    shipping_minor: int = 0  # shipping given back
    money_minor: int = 0  # successful refund transactions
    only_money: bool = False  # neither lines nor adjustments: the transactions are all there is
    created_at: int | None = None


class Fulfilment(_Fact, frozen=True):
    id: str
    updated_at: int
    status: str = ""  # pending, open, success, cancelled, error, failure
    created_at: int | None = None
    shipment_status: str | None = None
    country: str | None = None  # destination, ISO 3166 alpha-2
    delivered_at: int | None = None  # carrier's word, from a fulfilment event or shipment_status


class Buyer(_Fact, frozen=True):
    """Who a platform says bought; every part may be missing."""

    platform_id: str | None = None  # Shopify customer id or Stripe cus_…
    email: str | None = None  # lower case, trimmed
    customer_email: str | None = None  # Shopify: the customer record's own address
    email_verified: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    locale: str | None = None


class Order(_Fact, frozen=True):
    """A Shopify order as one delivery showed it."""

    id: str
    updated_at: int
    currency: str  # the shop's money, never presentment money
    digest: str = ""
    triggered_at: int = 0
    name: str = ""
    created_at: int | None = None
    processed_at: int | None = None
    cancelled_at: int | None = None
    financial_status: str | None = None
    fulfillment_status: str | None = None
    test: bool = False
    taxes_included: bool = False
    total_minor: int = 0  # what was to be paid at purchase, with tax and shipping
    shipping_minor: int = 0  # after discounts, at purchase
    shipping_tax_minor: int = 0
    lines: tuple[OrderLine, ...] = ()
    refunds: tuple[OrderRefund, ...] = ()
    fulfilments: tuple[Fulfilment, ...] = ()
    buyer: Buyer = Buyer()
    country: str | None = None  # where it goes, else where it is billed
    region: str | None = None
    source_name: str = ""
    tags: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()  # of discounts, as typed at the checkout; upper case
    payment_ids: tuple[str, ...] = ()  # Stripe pi_… / ch_… found in note attributes


class Home(_Fact, frozen=True):
    """Where something is sent to, as it was typed. It stands beside what a sale keeps: nobody stores it as it is."""

    country: str = ""  # ISO 3166 alpha-2
    zip: str = ""
    street: str = ""
    more: str = ""  # the second line: flat, floor, company


class OrderSeen(_Fact, frozen=True, tag=True):
    order: Order
    home: Home | None = None


class OrderDeleted(_Fact, frozen=True, tag=True):
    order_id: str


class RefundSeen(_Fact, frozen=True, tag=True):
    order_id: str
    refund: OrderRefund


class FulfilmentSeen(_Fact, frozen=True, tag=True):
    order_id: str
    fulfilment: Fulfilment


# --- Stripe payments ----------------------------------------------------------------------------


class Charge(_Fact, frozen=True):
    id: str
    currency: str
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    captured: bool
    status: str  # succeeded, pending, failed
    created_at: int
    payment_id: str | None = None  # pi_…
    invoice_id: str | None = None
    livemode: bool = True
    buyer: Buyer = Buyer()
    country: str | None = None
    region: str | None = None
    order_ids: tuple[str, ...] = ()  # Shopify order ids named in metadata


class Payment(_Fact, frozen=True):
    """A PaymentIntent; money only where no charge is known."""

    id: str
    currency: str
    amount_minor: int
    received_minor: int
    status: str
    created_at: int
    charge_id: str | None = None
    invoice_id: str | None = None
    livemode: bool = True
    excluded_minor: int = 0  # tax, shipping and tip named in amount_details
    tax_minor: int = 0
    shipping_minor: int = 0
    buyer: Buyer = Buyer()
    country: str | None = None
    order_ids: tuple[str, ...] = ()


class Session(_Fact, frozen=True):
    """A Checkout session: identity and what of the money is tax and shipping."""

    id: str
    currency: str
    created_at: int
    told_at: int  # event created
    payment_status: str  # paid, unpaid, no_payment_required
    mode: str = "payment"
    total_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0
    payment_id: str | None = None
    invoice_id: str | None = None
    livemode: bool = True
    failed: bool = False
    buyer: Buyer = Buyer()
    country: str | None = None
    region: str | None = None
    order_ids: tuple[str, ...] = ()
    promotions: tuple[str, ...] = ()  # promo_… of the codes that were used


class Invoice(_Fact, frozen=True):
    id: str
    currency: str
    told_at: int
    total_minor: int = 0
    tax_minor: int = 0
    paid_out_of_band: bool = False
    payment_ids: tuple[str, ...] = ()  # pi_… this invoice was paid with
    charge_id: str | None = None  # older API versions
    livemode: bool = True
    buyer: Buyer = Buyer()


class StripeRefund(_Fact, frozen=True):
    id: str
    amount_minor: int
    status: str  # pending, requires_action, succeeded, failed, canceled
    charge_id: str | None = None
    payment_id: str | None = None
    created_at: int | None = None


class Dispute(_Fact, frozen=True):
    """A dispute of either platform; statuses are Stripe's words."""

    id: str
    amount_minor: int
    currency: str
    status: str
    told_at: int
    charge_id: str | None = None
    payment_id: str | None = None
    order_id: str | None = None


class ChargeSeen(_Fact, frozen=True, tag=True):
    charge: Charge
    refunds: tuple[StripeRefund, ...] = ()
    home: Home | None = None


class PaymentSeen(_Fact, frozen=True, tag=True):
    payment: Payment
    home: Home | None = None


class SessionSeen(_Fact, frozen=True, tag=True):
    session: Session


class InvoiceSeen(_Fact, frozen=True, tag=True):
    invoice: Invoice


class StripeRefundSeen(_Fact, frozen=True, tag=True):
    refund: StripeRefund


class DisputeSeen(_Fact, frozen=True, tag=True):
    dispute: Dispute


# --- People -------------------------------------------------------------------------------------


class CustomerSeen(_Fact, frozen=True, tag=True):
    """A customer record as a platform shows it; `former_email` is what it was before this change.

    `joined_at` is when they opened an account, where this tells of that: who checks out as a guest has a record, too.
    """

    platform: str
    buyer: Buyer
    told_at: int
    former_email: str | None = None
    deleted: bool = False
    joined_at: int | None = None


class CustomersMerged(_Fact, frozen=True, tag=True):
    """Two Shopify customers became one: `gone_id` now means `kept_id`."""

    kept_id: str
    gone_id: str


class ConsentSeen(_Fact, frozen=True, tag=True):
    """What a person allows on a channel (`email` or `sms`); state as Shopify writes it, lower case."""

    platform: str
    channel: str
    state: str  # subscribed, unsubscribed, not_subscribed, pending, redacted, invalid
    told_at: int
    customer_id: str | None = None
    address: str | None = None


# --- The connection itself ----------------------------------------------------------------------


class ShopSeen(_Fact, frozen=True, tag=True):
    """The shop's own record."""

    shop_id: str
    told_at: int
    domain: str | None = None  # its myshopify domain
    hosts: tuple[str, ...] = ()
    name: str | None = None
    email: str | None = None
    currency: str | None = None
    timezone: str | None = None
    country: str | None = None


class Uninstalled(_Fact, frozen=True, tag=True):
    """The merchant removed the app (Shopify) or took our access away (Stripe)."""

    told_at: int
    shop_id: str | None = None


class ScopesSeen(_Fact, frozen=True, tag=True):
    scopes: tuple[str, ...]
    told_at: int


class PrivacyRequest(_Fact, frozen=True, tag=True):
    """One of the compliance topics; kept for the privacy capability."""

    kind: str  # customers/data_request, customers/redact, shop/redact
    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None
    order_ids: tuple[str, ...] = ()  # orders asked for, or to be redacted with the person


class PromotionSeen(_Fact, frozen=True, tag=True):
    """A promotion code at Stripe: how often it was used so far, and whether it still holds."""

    id: str
    code: str
    uses: int
    told_at: int
    active: bool = True


class DiscountSeen(_Fact, frozen=True, tag=True):
    """Somebody changed or deleted a discount of codes at Shopify; what of it, and how it stands now, is not told."""

    id: str  # Shopify's global id


class LookAgain(_Fact, frozen=True, tag=True):
    """The event does not carry what is needed: ask the platform for this object, or wait for the event that does.

    `kind` is `order` (Shopify) or Stripe's object name (`charge`, `payment_intent`, `checkout.session`,
    `invoice`, `refund`, `dispute`, `customer`).
    """

    kind: str
    id: str


Fact = (
    OrderSeen
    | OrderDeleted
    | RefundSeen
    | FulfilmentSeen
    | ChargeSeen
    | PaymentSeen
    | SessionSeen
    | InvoiceSeen
    | StripeRefundSeen
    | DisputeSeen
    | CustomerSeen
    | CustomersMerged
    | ConsentSeen
    | ShopSeen
    | Uninstalled
    | ScopesSeen
    | PrivacyRequest
    | PromotionSeen
    | DiscountSeen
    | LookAgain
)


class Reading(msgspec.Struct, frozen=True):
    """What one body told: facts, and which shop signed it where the body says so."""

    facts: tuple[Fact, ...]
    shop_id: str | None = None
    hosts: tuple[str, ...] = ()  # hosts named in signed parts of the body (order status URL)
    account: str | None = None  # Stripe Connect: the account the event is about, where it is not our own


Reader = Callable[[bytes, Envelope], Reading]
"""Reads one body. Raises Unreadable (malformed) or Suspect (another topic's shape)."""
