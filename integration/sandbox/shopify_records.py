"""What the pretend shop keeps of products, people and orders, with the shop's arithmetic."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody lives, with names and codes as a shop writes both."""

    first_name: str
    last_name: str
    street: str
    city: str
    zip: str
    country: str
    country_code: str
    province: str | None = None
    province_code: str | None = None
    more: str | None = None  # the second line


@dataclass(frozen=True, slots=True)
class Product:
    """Something for sale; prices are minor units of the shop's currency."""

    id: int
    variant_id: int
    title: str
    price_minor: int
    sku: str
    vendor: str
    grams: int = 250
    gift_card: bool = False
    requires_shipping: bool = True
    taxable: bool = True


@dataclass(slots=True)
class Customer:
    """A person with a record in the shop."""

    id: int
    email: str | None
    first_name: str
    last_name: str
    created_at: int
    updated_at: int
    phone: str | None = None
    locale: str = "en"
    address: Address | None = None
    verified_email: bool = True
    email_consent: str = "not_subscribed"
    sms_consent: str = "not_subscribed"
    consent_at: int | None = None


@dataclass(slots=True)
class Line:
    """One line of an order; `discount_minor` and `tax_minor` are for all `quantity` units."""

    id: int
    product: Product
    quantity: int
    current_quantity: int
    discount_minor: int = 0
    tax_minor: int = 0
    shipped: int = 0
    tip: bool = False

    @property
    def gross_minor(self) -> int:
        return self.product.price_minor * self.quantity

    def net_minor(self, units: int) -> int:
        """What `units` of the line cost after their share of the discounts."""
        return self.product.price_minor * units - _share(self.discount_minor, units, self.quantity)

    def tax_of(self, units: int) -> int:
        """The tax on `units` of the line."""
        return _share(self.tax_minor, units, self.quantity)

    def give_back(self, units: int, number: int, restock: bool) -> "RefundedLine":
        """Take units out of the line and tell what they come to."""
        before, after = self.current_quantity, max(0, self.current_quantity - units)
        self.current_quantity = after
        # The difference of two totals, so that single units and the whole line come to the same cents.
        subtotal = self.net_minor(before) - self.net_minor(after)
        return RefundedLine(number, self, before - after, subtotal, self.tax_of(before) - self.tax_of(after), restock)


@dataclass(frozen=True, slots=True)
class RefundedLine:
    id: int
    line: Line
    quantity: int
    subtotal_minor: int
    tax_minor: int
    restock: bool


@dataclass(slots=True)
class Refund:
    """Money or goods given back; `discrepancy_minor` is negative where more was given than the lines say."""

    id: int
    created_at: int
    lines: list[RefundedLine]
    amount_minor: int
    transaction_id: int
    shipping_minor: int = 0
    discrepancy_minor: int = 0
    discrepancy_id: int = 0
    shipping_id: int = 0
    note: str | None = None
    status: str = "success"  # of the transaction: pending, success, failure
    gateway: str = "shopify_payments"


@dataclass(slots=True)
class Fulfillment:
    """A parcel, or a part of an order handed over."""

    id: int
    created_at: int
    updated_at: int
    quantities: dict[int, int]  # line id -> units in this parcel
    tracking: str
    number: int
    carrier: str = "UPS"
    status: str = "success"
    shipment_status: str | None = None


@dataclass(slots=True)
class Dispute:
    id: int
    order_id: int
    amount_minor: int
    initiated_at: int
    status: str = "needs_response"
    finalized_at: int | None = None


@dataclass(slots=True)
class Order:
    """An order from the till to its end; money in minor units of the shop's currency."""

    id: int
    number: int
    token: str
    created_at: int
    updated_at: int
    currency: str
    lines: list[Line]
    customer: Customer | None
    email: str | None
    address: Address | None
    shipping_line_id: int
    processed_at: int = 0
    locale: str = "en"
    taxes_included: bool = False
    tax_rate: Decimal = Decimal(0)
    shipping_minor: int = 0
    shipping_tax_minor: int = 0
    duties_minor: int = 0
    discount_code: str | None = None
    presentment: tuple[str, Decimal] | None = None  # currency, and how many of it one unit of the shop's buys
    test: bool = False
    source_name: str = "web"
    tags: tuple[str, ...] = ()
    note_attributes: dict[str, str] = field(default_factory=dict)
    gateway: str = "shopify_payments"
    authorized_minor: int = 0
    received_minor: int = 0
    ended: str | None = None  # voided or expired
    cancelled_at: int | None = None
    cancel_reason: str | None = None
    closed_at: int | None = None
    refunds: list[Refund] = field(default_factory=list)
    fulfillments: list[Fulfillment] = field(default_factory=list)

    def line(self, number: int) -> Line:
        """Find a line by id; KeyError where the order has none of that id."""
        for line in self.lines:
            if line.id == number:
                return line
        raise KeyError(f"order #{self.number} has no line {number}")

    @property
    def goods(self) -> list[Line]:
        return [line for line in self.lines if not line.tip]

    @property
    def tip_minor(self) -> int:
        return sum(line.gross_minor for line in self.lines if line.tip)

    @property
    def subtotal_minor(self) -> int:
        return sum(line.gross_minor - line.discount_minor for line in self.goods)

    @property
    def tax_minor(self) -> int:
        return sum(line.tax_minor for line in self.lines) + self.shipping_tax_minor

    @property
    def total_minor(self) -> int:
        """What the buyer was to pay at purchase."""
        extra = 0 if self.taxes_included else self.tax_minor
        return self.subtotal_minor + self.shipping_minor + self.duties_minor + self.tip_minor + extra

    @property
    def current_subtotal_minor(self) -> int:
        return sum(line.net_minor(line.current_quantity) for line in self.goods)

    @property
    def current_tax_minor(self) -> int:
        return sum(line.tax_of(line.current_quantity) for line in self.lines) + self.shipping_tax_minor

    @property
    def current_total_minor(self) -> int:
        """What the order is worth after edits and refunds of lines and shipping."""
        extra = 0 if self.taxes_included else self.current_tax_minor
        shipping = self.shipping_minor - sum(refund.shipping_minor for refund in self.refunds)
        return self.current_subtotal_minor + shipping + self.duties_minor + self.tip_minor + extra

    @property
    def refunded_minor(self) -> int:
        return sum(refund.amount_minor for refund in self.refunds if refund.status == "success")

    @property
    def outstanding_minor(self) -> int:
        """What is still to be paid."""
        return max(0, self.current_total_minor + self.refunded_minor - self.received_minor)

    @property
    def financial_status(self) -> str:
        if self.ended:
            return self.ended
        if not self.received_minor and self.total_minor:
            return "authorized" if self.authorized_minor else "pending"
        if self.refunded_minor:
            return "refunded" if self.refunded_minor >= self.received_minor else "partially_refunded"
        return "partially_paid" if self.received_minor < self.current_total_minor else "paid"

    @property
    def fulfillment_status(self) -> str | None:
        shippable = [line for line in self.goods if line.quantity]
        if shippable and all(line.shipped >= line.quantity for line in shippable):
            return "fulfilled"
        return "partial" if any(line.shipped for line in shippable) else None


def price(lines: Iterable[Line], discount_minor: int, rate: Decimal, included: bool) -> None:
    """Spread a discount over lines (gift cards have none) and put the tax on what is left."""
    priced = list(lines)
    weights = [0 if line.product.gift_card else line.gross_minor for line in priced]
    for line, part in zip(priced, spread(discount_minor, weights), strict=True):
        line.discount_minor = part
        if line.product.taxable:
            line.tax_minor = tax_on(line.gross_minor - part, rate, included)


def tip_line(number: int, amount_minor: int) -> Line:
    """A tip, which Shopify shows as a line without a product."""
    tip = Product(0, 0, "Tip", amount_minor, "", "", grams=0, requires_shipping=False, taxable=False)
    return Line(number, tip, 1, 1, tip=True)


def tax_on(amount_minor: int, rate: Decimal, included: bool) -> int:
    """The tax on an amount, half up; where prices include it, the part of the amount that is tax."""
    exact = amount_minor * rate / (1 + rate) if included else amount_minor * rate
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def spread(amount_minor: int, weights: Iterable[int]) -> list[int]:
    """Split an amount in proportion to weights, so that the parts add up; the rest goes to the first ones."""
    weighted = list(weights)
    whole = sum(weighted)
    if not whole:
        return [0 for _ in weighted]
    parts = [amount_minor * weight // whole for weight in weighted]
    rest = amount_minor - sum(parts)
    for position, weight in enumerate(weighted):
        if rest and weight:
            parts[position] += 1
            rest -= 1
    return parts


def _share(amount_minor: int, units: int, quantity: int) -> int:
    return amount_minor * units // quantity if quantity else 0
