"""A pretend Shopify shop: what a merchant and their buyers do, as the signed webhooks it causes.

Every verb changes the shop and returns the deliveries of that one action, in the order they were triggered.
Nothing is sent from here: `integration.sandbox.sender` does that. The same seed, clock and verbs give the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from zoneinfo import ZoneInfo

from integration.sandbox import shopify_bodies as bodies
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify_discounts import Discounts
from integration.sandbox.shopify_outgoing import Outgoing
from integration.sandbox.shopify_records import (
    Address,
    Customer,
    Dispute,
    Fulfillment,
    Line,
    Order,
    Product,
    Refund,
    price,
    tax_on,
    tip_line,
)


class Shop:
    """One pretend shop with its products, people and orders.

    `clock` gives the present instant in microseconds; `secret` is the app's client secret, which signs.
    Amounts are minor units of `currency`; `tax_rate` applies to taxable goods and shipping.
    """

    def __init__(
        self,
        domain: str,
        *,
        secret: str,
        clock: Callable[[], int],
        seed: int = 0,
        name: str = "Pretend Shop",
        email: str = "owner@pretend-shop.example",
        currency: str = "USD",
        timezone: str = "America/New_York",
        country_code: str = "US",
        tax_rate: Decimal = Decimal(0),
        taxes_included: bool = False,
    ) -> None:
        self.domain = domain
        self.secret = secret
        self.clock = clock
        self.name = name
        self.email = email
        self.currency = currency
        self.timezone = timezone
        self.zone = ZoneInfo(timezone)
        self.country_code = country_code
        self.tax_rate = tax_rate
        self.taxes_included = taxes_included
        self.scopes: tuple[str, ...] = ("read_orders", "read_customers", "read_fulfillments")
        self.installed, self.installs = True, 1  # tokens are of one installation
        self.language = "en"
        self.products: dict[int, Product] = {}
        self.customers: dict[int, Customer] = {}
        self.orders: dict[int, Order] = {}
        self.disputes: dict[int, Dispute] = {}
        self.discounts = Discounts()
        self._numbers = 1000
        self._out = Outgoing(domain, secret, self.zone, seed)
        self.id = self._out.shop_id

    # --- What the shop sells, and to whom -------------------------------------------------------

    def stock(
        self,
        title: str,
        price_minor: int,
        *,
        gift_card: bool = False,
        requires_shipping: bool = True,
        taxable: bool = True,
        grams: int = 250,
    ) -> Product:
        """Put a product on sale (no app is told)."""
        number = self._out.id()
        sku = "".join(word[0] for word in title.split()).upper() + str(number % 1000)
        product = Product(
            number,
            self._out.id(),
            title,
            price_minor,
            sku,
            self.name,
            grams=grams,
            gift_card=gift_card,
            requires_shipping=requires_shipping and not gift_card,
            taxable=taxable and not gift_card,
        )
        self.products[product.id] = product
        return product

    def welcome(
        self,
        first_name: str,
        last_name: str,
        email: str | None,
        *,
        locale: str = "en",
        phone: str | None = None,
        address: Address | None = None,
    ) -> tuple[Customer, list[Delivery]]:
        """Open a customer record."""
        now = self.clock()
        customer = Customer(self._out.id(), email, first_name, last_name, now, now, phone, locale, address)
        self.customers[customer.id] = customer
        return customer, self._tell_customer("customers/create", customer)

    def change_customer(
        self,
        customer: Customer,
        *,
        email: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
        phone: str | None = None,
    ) -> list[Delivery]:
        """Change what the record says; None leaves a part as it is."""
        customer.email = email or customer.email
        customer.first_name = first_name or customer.first_name
        customer.last_name = last_name or customer.last_name
        customer.phone = phone or customer.phone
        customer.updated_at = self.clock()
        return self._tell_customer("customers/update", customer)

    def forget_customer(self, customer: Customer) -> list[Delivery]:
        """Delete a customer's record."""
        self.customers.pop(customer.id, None)
        gid = f"gid://shopify/Customer/{customer.id}"
        body = {"id": customer.id, "tax_exemptions": [], "admin_graphql_api_id": gid}
        return self._tell("customers/delete", body)

    def merge_customers(self, kept: Customer, gone: Customer, *, failed: bool = False) -> list[Delivery]:
        """Make two records one; orders of the second belong to the first from then on."""
        errors = []
        if failed:
            errors = [{"customer_ids": [gone.id], "field": "merge_in_progress", "message": "In progress."}]
        else:
            self.customers.pop(gone.id, None)
            for order in self.orders.values():
                if order.customer is gone:
                    order.customer = kept
        body = {
            "admin_graphql_api_customer_kept_id": f"gid://shopify/Customer/{kept.id}",
            "admin_graphql_api_customer_deleted_id": f"gid://shopify/Customer/{gone.id}",
            "admin_graphql_api_job_id": None,
            "status": "failed" if failed else "completed",
            "errors": errors,
        }
        return self._tell("customers/merge", body)

    def change_consent(self, customer: Customer, state: str, *, channel: str = "email") -> list[Delivery]:
        """Set what the person allows on a channel (`email` or `sms`); state as Shopify writes it."""
        customer.consent_at = self.clock()
        when = bodies.shop_time(customer.consent_at, UTC)
        consent = {"state": state, "opt_in_level": "single_opt_in", "consent_updated_at": when}
        if channel == "email":
            customer.email_consent = state
            body = {
                "customer_id": customer.id,
                "email_address": customer.email,
                "email_marketing_consent": consent,
            }
            return self._tell("customers_email_marketing_consent/update", body)
        customer.sms_consent = state
        sms = consent | {"consent_collected_from": "other"}
        body = {"id": customer.id, "phone": customer.phone, "sms_marketing_consent": sms}
        return self._tell("customers_marketing_consent/update", body)

    # --- An order and its money -----------------------------------------------------------------

    def place(
        self,
        customer: Customer | None,
        lines: Sequence[tuple[Product, int]],
        *,
        email: str | None = None,
        shipping_minor: int = 0,
        tip_minor: int = 0,
        duties_minor: int = 0,
        discount_minor: int = 0,
        discount_code: str | None = None,
        presentment: tuple[str, Decimal] | None = None,
        test: bool = False,
        source_name: str = "web",
        gateway: str = "shopify_payments",
        tags: Sequence[str] = (),
        note_attributes: Mapping[str, str] | None = None,
        address: Address | None = None,
        locale: str | None = None,
        processed_at: int | None = None,
    ) -> tuple[Order, list[Delivery]]:
        """Place an order that is still to be paid; a guest has no customer and perhaps an e-mail."""
        self.discounts.typed(discount_code, customer, self.clock())
        now = self.clock()
        self._numbers += 1
        order = Order(
            self._out.id(),
            self._numbers,
            self._out.token(),
            now,
            now,
            self.currency,
            self._basket(lines, tip_minor, discount_minor),
            customer,
            email or (customer.email if customer else None),
            address or (customer.address if customer else None),
            self._out.id(),
            processed_at=now if processed_at is None else processed_at,
            locale=locale or (customer.locale if customer else "en"),
            taxes_included=self.taxes_included,
            tax_rate=self.tax_rate,
            shipping_minor=shipping_minor,
            shipping_tax_minor=tax_on(shipping_minor, self.tax_rate, self.taxes_included),
            duties_minor=duties_minor,
            discount_code=discount_code or ("WELCOME" if discount_minor else None),
            presentment=presentment,
            test=test,
            source_name=source_name,
            gateway=gateway,
            tags=tuple(tags),
            note_attributes=dict(note_attributes or {}),
        )
        self.orders[order.id] = order
        return order, self._out.tell_order(order, "orders/create")

    def authorize(self, order: Order) -> list[Delivery]:
        """Reserve the money on the buyer's card without taking it."""
        order.authorized_minor = order.current_total_minor
        return self._change(order)

    def pay(self, order: Order) -> list[Delivery]:
        """Take everything that is outstanding."""
        return self.capture(order, order.outstanding_minor)

    def capture(self, order: Order, amount_minor: int) -> list[Delivery]:
        """Take a part of the money; orders/paid is told once nothing is outstanding."""
        order.authorized_minor = max(order.authorized_minor, amount_minor)
        order.received_minor += amount_minor
        return self._change(order, *(() if order.outstanding_minor else ("orders/paid",)))

    def void(self, order: Order, *, how: str = "voided") -> list[Delivery]:
        """Let an unpaid order lapse: `voided` by the merchant or `expired` by time."""
        order.ended = how
        return self._change(order)

    def refund(
        self,
        order: Order,
        quantities: Mapping[int, int] | None = None,
        *,
        shipping_minor: int = 0,
        amount_minor: int | None = None,
        pending: bool = False,
        restock: bool = True,
        gateway: str | None = None,
    ) -> list[Delivery]:
        """Give back lines (line id -> units), shipping, or any amount.

        `amount_minor` is the money given back where it is not what the lines and shipping come to: the rest
        shows as a refund_discrepancy, negative where more is given. While `pending`, the whole refund shows
        as a positive discrepancy, until `settle_refund`.
        """
        now = order.updated_at = self.clock()
        entries = [
            order.line(line).give_back(units, self._out.id(), restock) for line, units in (quantities or {}).items()
        ]
        worth = sum(entry.subtotal_minor for entry in entries) + shipping_minor
        if not order.taxes_included:
            worth += sum(entry.tax_minor for entry in entries)
        paid = worth if amount_minor is None else amount_minor
        refund = Refund(
            self._out.id(),
            now,
            entries,
            paid,
            self._out.id(),
            shipping_minor=shipping_minor,
            discrepancy_minor=paid if pending else worth - paid,
            discrepancy_id=self._out.id(),
            shipping_id=self._out.id(),
            status="pending" if pending else "success",
            gateway=gateway or order.gateway,
        )
        order.refunds.append(refund)
        return self._change(order, "refunds/create")

    def settle_refund(self, order: Order, refund: Refund, *, failed: bool = False) -> list[Delivery]:
        """End a pending refund: the money moved, or could not be moved (then nothing was given back)."""
        worth = sum(entry.subtotal_minor for entry in refund.lines) + refund.shipping_minor
        if not order.taxes_included:
            worth += sum(entry.tax_minor for entry in refund.lines)
        refund.status = "failure" if failed else "success"
        refund.discrepancy_minor = worth if failed else worth - refund.amount_minor
        return self._change(order)

    def cancel(self, order: Order, *, reason: str = "customer", refund: bool = True) -> list[Delivery]:
        """Cancel an order; what is left of a paid one is given back first unless `refund` is False."""
        told: list[Delivery] = []
        left = {line.id: line.current_quantity for line in order.goods if line.current_quantity}
        if refund and order.received_minor and left:
            given = sum(each.shipping_minor for each in order.refunds)
            told = self.refund(order, left, shipping_minor=order.shipping_minor - given)
        order.cancelled_at = order.closed_at = self.clock()
        order.cancel_reason = reason
        return told + self._change(order, "orders/cancelled")

    def reopen(self, order: Order) -> list[Delivery]:
        """Take a cancellation or closing back."""
        order.cancelled_at = order.closed_at = order.cancel_reason = None
        return self._change(order)

    def edit(
        self,
        order: Order,
        *,
        add: Sequence[tuple[Product, int]] = (),
        remove: Mapping[int, int] | None = None,
    ) -> list[Delivery]:
        """Change the goods after purchase: products to add, units to take out of lines by id."""
        added = self._basket(add)
        order.lines.extend(added)
        for number, units in (remove or {}).items():
            line = order.line(number)
            line.current_quantity = max(0, line.current_quantity - units)
        order.updated_at = self.clock()
        edit = bodies.edit_body(
            self._out.id(), order, {line.id: line.quantity for line in added}, dict(remove or {}), self.zone
        )
        edited = self._out.tell("orders/edited", edit, order.updated_at)
        return edited + self._out.tell_order(order, "orders/updated", event=edited[0].event_id)

    def retag(self, order: Order, *tags: str) -> list[Delivery]:
        """Change an order's tags."""
        order.tags = tags
        return self._change(order)

    def remove_order(self, order: Order) -> list[Delivery]:
        """Delete an order for good."""
        self.orders.pop(order.id, None)
        return self._tell("orders/delete", {"id": order.id})

    def open_dispute(
        self, order: Order, amount_minor: int | None = None, *, status: str = "needs_response"
    ) -> tuple[Dispute, list[Delivery]]:
        """Have the buyer's bank take (a part of) the payment back for now."""
        amount = order.received_minor if amount_minor is None else amount_minor
        dispute = Dispute(self._out.id(), order.id, amount, self.clock(), status)
        self.disputes[dispute.id] = dispute
        return dispute, self._tell("disputes/create", bodies.dispute_body(dispute, self.currency, self.zone))

    def move_dispute(self, dispute: Dispute, status: str) -> list[Delivery]:
        """Take a dispute on: under_review, won, lost, …"""
        dispute.status = status
        if status in ("won", "lost", "accepted", "charge_refunded"):
            dispute.finalized_at = self.clock()
        return self._tell("disputes/update", bodies.dispute_body(dispute, self.currency, self.zone))

    # --- An order's goods -----------------------------------------------------------------------

    def ship(self, order: Order, quantities: Mapping[int, int] | None = None) -> list[Delivery]:
        """Hand a parcel over: all that is left, or units by line id."""
        if quantities is None:
            left = [line for line in order.goods if line.current_quantity > line.shipped]
            quantities = {line.id: line.current_quantity - line.shipped for line in left}
        for number, units in quantities.items():
            order.line(number).shipped += units
        now = self.clock()
        parcel = Fulfillment(
            self._out.id(),
            now,
            now,
            dict(quantities),
            f"1Z{self._out.token()[:10].upper()}",
            len(order.fulfillments) + 1,
        )
        order.fulfillments.append(parcel)
        whole = "orders/fulfilled" if order.fulfillment_status == "fulfilled" else "orders/partially_fulfilled"
        order.updated_at = now
        event = self._out.uuid()
        return [
            *self._out.tell_parcel("fulfillments/create", parcel, order, event),
            *self._out.tell_order(order, whole, "orders/updated", event=event),
        ]

    def track(self, order: Order, status: str, parcel: Fulfillment | None = None) -> list[Delivery]:
        """Have the carrier report on a parcel (in_transit, out_for_delivery, delivered, failure, …)."""
        parcel = parcel or order.fulfillments[-1]
        parcel.updated_at = now = self.clock()
        parcel.shipment_status = status
        event = self._out.uuid()
        body = bodies.fulfillment_event_body(self._out.id(), parcel, order, status, now, self.id, self.zone)
        told = self._out.tell("fulfillment_events/create", body, now, event)
        return told + self._out.tell_parcel("fulfillments/update", parcel, order, event)

    def deliver(self, order: Order, parcel: Fulfillment | None = None) -> list[Delivery]:
        """Have the carrier report that a parcel has arrived."""
        return self.track(order, "delivered", parcel)

    def recall(self, order: Order, parcel: Fulfillment | None = None) -> list[Delivery]:
        """Cancel a parcel that was handed over by mistake."""
        parcel = parcel or order.fulfillments[-1]
        parcel.status = "cancelled"
        for number, units in parcel.quantities.items():
            order.line(number).shipped -= units
        parcel.updated_at = order.updated_at = self.clock()
        event = self._out.uuid()
        return [
            *self._out.tell_parcel("fulfillments/update", parcel, order, event),
            *self._out.tell_order(order, "orders/updated", event=event),
        ]

    # --- The shop itself ------------------------------------------------------------------------

    def update_shop(self) -> list[Delivery]:
        """Tell the shop's own record, as after a change of its settings."""
        return self._tell("shop/update", self.record())

    def uninstall(self) -> list[Delivery]:
        """Remove the app: tokens are dead from now on."""
        self.installed = False
        return self._tell("app/uninstalled", self.record())

    def install(self) -> None:
        """Put the app in again: it has new tokens to ask for, and hears nothing until it comes."""
        self.installed = True
        self.installs += 1

    def change_scopes(self, *scopes: str) -> list[Delivery]:
        """Change what the app may read."""
        previous, self.scopes = self.scopes, scopes
        body = {
            "id": self.id + 1,
            "shop_id": f"gid://shopify/Shop/{self.id}",
            "previous": previous,
            "current": scopes,
            "updated_at": bodies.shop_time(self.clock(), UTC),
        }
        return self._tell("app/scopes_update", body)

    def request_privacy(self, topic: str, customer: Customer | None = None) -> list[Delivery]:
        """Send one of the compliance topics: customers/data_request, customers/redact or shop/redact."""
        body: bodies.Body = {"shop_id": self.id, "shop_domain": self.domain}
        if customer is not None:
            orders = [order.id for order in self.orders.values() if order.customer is customer]
            body["customer"] = {"id": customer.id, "email": customer.email, "phone": customer.phone}
            body["orders_to_redact" if topic == "customers/redact" else "orders_requested"] = orders
        if topic == "customers/data_request":
            body["data_request"] = {"id": self._out.id()}
        return self._tell(topic, body)

    def record(self) -> bodies.Body:
        """The shop's own record, as shop/update and app/uninstalled carry it."""
        return bodies.shop_body(
            self.id,
            self.domain,
            name=self.name,
            email=self.email,
            country_code=self.country_code,
            currency=self.currency,
            timezone=self.timezone,
            taxes_included=self.taxes_included,
            updated_at=bodies.shop_time(self.clock(), self.zone),
        )

    def deliver_as(self, topic: str, body: bytes) -> Delivery:
        """Sign any bytes under any topic, for deliveries no shop would send by itself."""
        return self._out.delivery(topic, body, self._out.uuid(), self.clock())

    # --- Below: what verbs share ------------------------------------------------------------------

    def _basket(self, wanted: Sequence[tuple[Product, int]], tip_minor: int = 0, discount_minor: int = 0) -> list[Line]:
        lines = [Line(self._out.id(), product, units, units) for product, units in wanted]
        price(lines, discount_minor, self.tax_rate, self.taxes_included)
        if tip_minor:
            lines.append(tip_line(self._out.id(), tip_minor))
        return lines

    def _change(self, order: Order, *topics: str) -> list[Delivery]:
        order.updated_at = self.clock()
        return self._out.tell_order(order, *topics, "orders/updated")

    def _tell_customer(self, topic: str, customer: Customer) -> list[Delivery]:
        return self._tell(topic, bodies.customer_body(customer, self.currency, self.zone))

    def _tell(self, topic: str, body: bodies.Body) -> list[Delivery]:
        return self._out.tell(topic, body, self.clock())
