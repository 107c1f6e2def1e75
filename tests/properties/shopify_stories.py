"""Shopify orders as they live: bought, paid, changed, sent, given back; each step records its webhooks."""

import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.properties.tape import SHOP_DOMAIN, SHOP_ID, Tape, decimal, iso, money

AT_ONCE = timedelta(0)


@dataclass
class Line:
    """One line of an order; amounts in minor units, discount and tax for the whole line."""

    price: int
    quantity: int = 1
    discount: int = 0
    tax: int = 0
    product: int = 9001
    gift_card: bool = False
    tip: bool = False
    id: int = 0
    removed: int = 0

    @property
    def current(self) -> int:
        return self.quantity - self.removed

    @property
    def each(self) -> int:
        """What one piece is given back with, discounts shared out."""
        return (self.price * self.quantity - self.discount) // max(1, self.quantity)


@dataclass
class Buyer:
    """Who buys: a Shopify account, a guest with an address, or nobody known."""

    customer: int | None = None
    email: str | None = None
    verified: bool | None = True


class PretendOrder:
    """One order of a pretend shop; a verb changes it and tells what Shopify would tell."""

    def __init__(
        self,
        tape: Tape,
        at: datetime,
        lines: list[Line],
        buyer: Buyer,
        *,
        currency: str = "USD",
        shown: tuple[str, int] | None = None,
        taxes_included: bool = False,
        shipping: int = 0,
        shipping_tax: int = 0,
        test: bool = False,
        status: str = "paid",
        source: str = "web",
        tags: str = "",
        notes: dict[str, str] | None = None,
        country: str = "US",
        codes: tuple[str, ...] = (),
    ) -> None:
        self.tape, self.at, self.lines, self.buyer = tape, at, lines, buyer
        self.codes = codes  # of discounts, as typed at the checkout
        self.currency, self.shown, self.taxes_included = currency, shown, taxes_included
        self.shipping, self.shipping_tax, self.test, self.status = shipping, shipping_tax, test, status
        self.source, self.tags, self.notes, self.country = source, tags, notes or {}, country
        self.sold_at = self.updated_at = at
        self.id = tape.number(5_100_000_000_000)
        self.cancelled_at: datetime | None = None
        self.refunds: list[dict[str, Any]] = []
        self.fulfilments: list[dict[str, Any]] = []
        self.fulfilled: str | None = None
        for line in lines:
            line.id = tape.number(71_000_000_000_000)
        self.paid = self._paid()

    # --- verbs ---

    def place(self) -> "PretendOrder":
        """The buyer checks out: created, and paid where it was."""
        self._tell("orders/create")
        if self.status == "paid":
            self._tell("orders/paid", "orders/updated")
        return self

    def becomes(self, status: str, after: timedelta = AT_ONCE, *topics: str) -> None:
        """The money moves on: authorised to paid, pending to voided, …"""
        self.status = status
        self._pass(after)
        self._tell(*(topics or (("orders/paid",) if status == "paid" else ())), "orders/updated")

    def refund(
        self,
        after: timedelta = AT_ONCE,
        *,
        pieces: dict[int, int] | None = None,
        adjustment: int = 0,
        shipping: int = 0,
        transactions: list[tuple[str, int]] | None = None,
        gateway: str = "shopify_payments",
        early: bool = False,
    ) -> dict[str, Any]:
        """Give back pieces by line, an adjustment (negative: more than the lines), shipping, money.

        `transactions` are (status, amount); `early` tells refunds/create before the order shows the refund.
        """
        self._pass(after)
        refund = self._refund_body(pieces or {}, adjustment, shipping, transactions, gateway)
        if early:
            self.tape.shopify("refunds/create", copy.deepcopy(refund), self.at)
        for index, quantity in (pieces or {}).items():
            self.lines[index].removed += quantity
        self.refunds.append(refund)
        self.status = "refunded" if all(line.current == 0 for line in self.lines) else "partially_refunded"
        if not early:
            self.tape.shopify("refunds/create", copy.deepcopy(refund), self.at)
        self._tell("orders/updated")
        return refund

    def settle(self, refund: dict[str, Any], after: timedelta = AT_ONCE, status: str = "success") -> None:
        """The bank answers about a pending refund: its transaction and the discrepancy that stood for it."""
        self._pass(after)
        for transaction in refund["transactions"]:
            transaction["status"] = status
        if status == "success":
            refund["order_adjustments"] = [
                part for part in refund["order_adjustments"] if part["amount"].startswith("-")
            ]
        self._tell("orders/updated")

    def edit(
        self, after: timedelta = AT_ONCE, *, add: Line | None = None, remove: tuple[int, int] | None = None
    ) -> None:
        """The merchant edits the order: a line more, or some pieces of a line fewer."""
        self._pass(after)
        additions, removals = [], []
        if add is not None:
            add.id = self.tape.number(71_000_000_000_000)
            self.lines.append(add)
            additions.append({"id": add.id, "delta": add.quantity})
        if remove is not None:
            self.lines[remove[0]].removed += remove[1]
            removals.append({"id": self.lines[remove[0]].id, "delta": remove[1]})
        edit = {
            "id": self.tape.number(78_000_000_000_000), "app_id": None, "created_at": iso(self.at),
            "committed_at": iso(self.at), "notify_customer": False, "order_id": self.id, "staff_note": "",
            "user_id": None, "line_items": {"additions": additions, "removals": removals},
            "discounts": {"line_item": {"additions": [], "removals": []}},
            "shipping_lines": {"additions": [], "removals": []},
        }  # fmt: skip
        self.tape.shopify("orders/edited", {"order_edit": edit}, self.at)
        self._tell("orders/updated")

    def cancel(self, after: timedelta = AT_ONCE) -> None:
        """The order is called off."""
        self._pass(after)
        self.cancelled_at = self.at
        self._tell("orders/cancelled", "orders/updated")

    def reopen(self, after: timedelta = AT_ONCE) -> None:
        """The cancellation is taken back."""
        self._pass(after)
        self.cancelled_at = None
        self._tell("orders/updated")

    def delete(self, after: timedelta = AT_ONCE) -> None:
        """The order is deleted: all that is told is its number."""
        self._pass(after)
        self.tape.shopify("orders/delete", {"id": self.id}, self.at)

    def ship(self, after: timedelta = AT_ONCE, *, country: str | None = None, partial: bool = False) -> dict[str, Any]:
        """A parcel leaves, with everything or with a part."""
        self._pass(after)
        parcel = {
            "id": self.tape.number(41_000_000_000_000), "order_id": self.id, "status": "success",
            "created_at": iso(self.at), "service": "manual", "updated_at": iso(self.at),
            "tracking_company": "UPS", "shipment_status": None, "email": self.buyer.email,
            "destination": {"country_code": country or self.country, "city": "Springfield"},
            "line_items": [self._line_body(line) for line in self.lines], "tracking_number": "1z",
            "receipt": {}, "name": f"#{self.id % 10000}.1",
        }  # fmt: skip
        self.fulfilments.append(parcel)
        self.fulfilled = "partial" if partial else "fulfilled"
        self.tape.shopify("fulfillments/create", copy.deepcopy(parcel), self.at)
        self._tell("orders/partially_fulfilled" if partial else "orders/fulfilled", "orders/updated")
        return parcel

    def arrive(self, parcel: dict[str, Any], after: timedelta = AT_ONCE, status: str = "delivered") -> None:
        """The carrier says where the parcel is."""
        self._pass(after)
        parcel["shipment_status"], parcel["updated_at"] = status, iso(self.at)
        event = {
            "id": self.tape.number(61_000_000_000_000), "fulfillment_id": parcel["id"], "status": status,
            "message": None, "happened_at": iso(self.at), "city": None, "province": None, "country": "US",
            "zip": None, "address1": None, "latitude": None, "longitude": None, "shop_id": SHOP_ID,
            "created_at": iso(self.at), "updated_at": iso(self.at), "estimated_delivery_at": None,
            "order_id": self.id,
        }  # fmt: skip
        self.tape.shopify("fulfillment_events/create", event, self.at)
        self.tape.shopify("fulfillments/update", copy.deepcopy(parcel), self.at)

    def dispute(self, after: timedelta, amount: int, statuses: list[str], kind: str = "chargeback") -> None:
        """The buyer's bank asks; each status is told in turn."""
        self._dispute = (self.tape.number(28_000_000_000_000), amount, kind)
        self.dispute_goes_on(statuses, after, topic="disputes/create")

    def dispute_goes_on(self, statuses: list[str], after: timedelta = AT_ONCE, topic: str = "disputes/update") -> None:
        """More is told of the dispute there is."""
        name, amount, kind = self._dispute
        for status in statuses:
            self._pass(after)
            body = {
                "id": name, "order_id": self.id, "type": kind, "amount": decimal(amount, self.currency),
                "currency": self.currency, "reason": "fraudulent", "network_reason_code": "4837",
                "status": status, "evidence_due_by": iso(self.at), "evidence_sent_on": None,
                "finalized_on": iso(self.at) if status in ("won", "lost", "accepted") else None,
                "initiated_at": iso(self.sold_at),
            }  # fmt: skip
            self.tape.shopify(topic, body, self.at)
            topic = "disputes/update"

    # --- bodies ---

    def _paid(self) -> int:
        """What the buyer paid at purchase; later edits do not change it."""
        goods = sum(line.price * line.quantity - line.discount for line in self.lines)
        taxes = 0 if self.taxes_included else sum(line.tax for line in self.lines) + self.shipping_tax
        return goods + taxes + self.shipping

    def _tips(self) -> int:
        return sum(line.price * line.quantity for line in self.lines if line.tip)

    def body(self) -> dict[str, Any]:
        """The order as Shopify shows it now."""
        customer = None
        if self.buyer.customer is not None:
            customer = {
                "id": self.buyer.customer, "email": self.buyer.email, "first_name": "Ana",
                "last_name": "Diaz", "state": "disabled",
                "verified_email": self.buyer.verified, "phone": None,
            }  # fmt: skip
        total = self.paid
        return {
            "id": self.id,
            "admin_graphql_api_id": f"gid://shopify/Order/{self.id}",
            "name": f"#{self.id % 10000}",
            "buyer_accepts_marketing": True,
            "cancelled_at": iso(self.cancelled_at),
            "contact_email": self.buyer.email,
            "created_at": iso(self.sold_at),
            "currency": self.currency,
            "customer_locale": "en",
            "email": self.buyer.email or "",
            "financial_status": self.status,
            "fulfillment_status": self.fulfilled,
            "note_attributes": [{"name": name, "value": value} for name, value in self.notes.items()],
            "order_status_url": f"https://{SHOP_DOMAIN}/{SHOP_ID}/orders/abc/authenticate?key=k",
            "presentment_currency": (self.shown or (self.currency, 1))[0],
            "processed_at": iso(self.sold_at),
            "source_name": self.source,
            "tags": self.tags,
            "taxes_included": self.taxes_included,
            "test": self.test,
            "total_price": decimal(total, self.currency),
            "total_price_set": money(total, self.currency, self.shown),
            "total_tip_received": decimal(self._tips(), self.currency),
            "total_shipping_price_set": money(self.shipping, self.currency, self.shown),
            "updated_at": iso(self.updated_at),
            "shipping_address": {"country_code": self.country, "province_code": "NY"},
            "customer": customer,
            "discount_codes": [{"code": code, "amount": "0.00", "type": "fixed_amount"} for code in self.codes],
            "fulfillments": copy.deepcopy(self.fulfilments),
            "line_items": [self._line_body(line) for line in self.lines],
            "refunds": copy.deepcopy(self.refunds),
            "shipping_lines": [
                {
                    "id": self.id + 1, "title": "Standard", "price": decimal(self.shipping, self.currency),
                    "price_set": money(self.shipping, self.currency, self.shown),
                    "discounted_price": decimal(self.shipping, self.currency),
                    "discounted_price_set": money(self.shipping, self.currency, self.shown),
                    "tax_lines": self._tax(self.shipping_tax), "discount_allocations": [],
                }
            ] if self.shipping else [],
        }  # fmt: skip

    def _line_body(self, line: Line) -> dict[str, Any]:
        body = {
            "id": line.id, "title": "Tip" if line.tip else "Coffee",
            "product_id": None if line.tip else line.product, "variant_id": None,
            "quantity": line.quantity, "current_quantity": line.current,
            "price": decimal(line.price, self.currency),
            "price_set": money(line.price, self.currency, self.shown),
            "gift_card": line.gift_card, "requires_shipping": not (line.gift_card or line.tip),
            "tax_lines": self._tax(line.tax), "duties": [],
            "discount_allocations": [
                {
                    "amount": decimal(line.discount, self.currency), "discount_application_index": 0,
                    "amount_set": money(line.discount, self.currency, self.shown),
                }
            ] if line.discount else [],
        }  # fmt: skip
        if line.tip:
            body["tip_payment_gateway"] = "shopify_payments" if line.price % 2 else None
        return body

    def _tax(self, amount: int) -> list[dict[str, Any]]:
        if not amount:
            return []
        return [
            {
                "title": "VAT", "rate": 0.2, "price": decimal(amount, self.currency),
                "price_set": money(amount, self.currency, self.shown),
            }
        ]  # fmt: skip

    def _refund_body(
        self,
        pieces: dict[int, int],
        adjustment: int,
        shipping: int,
        transactions: list[tuple[str, int]] | None,
        gateway: str,
    ) -> dict[str, Any]:
        name = self.tape.number(89_000_000_000_000)
        items = []
        for index, quantity in pieces.items():
            line = self.lines[index]
            value = line.each * quantity
            items.append(
                {
                    "id": self.tape.number(48_000_000_000_000), "quantity": quantity, "line_item_id": line.id,
                    "restock_type": "no_restock", "subtotal": float(decimal(value, self.currency)),
                    "total_tax": 0, "subtotal_set": money(value, self.currency, self.shown),
                    "total_tax_set": money(0, self.currency, self.shown), "line_item": self._line_body(line),
                }
            )  # fmt: skip
        given = sum(self.lines[i].each * q for i, q in pieces.items()) - adjustment + shipping
        adjustments = []
        if adjustment:
            adjustments.append(self._adjustment(name, "refund_discrepancy", adjustment))
        if shipping:
            adjustments.append(self._adjustment(name, "shipping_refund", -shipping))
        return {
            "id": name, "order_id": self.id, "created_at": iso(self.at), "note": None, "user_id": None,
            "processed_at": iso(self.at), "duties": [], "return": None, "refund_shipping_lines": [],
            "restock": False, "admin_graphql_api_id": f"gid://shopify/Refund/{name}",
            "order_adjustments": adjustments, "refund_line_items": items,
            "transactions": [
                {
                    "id": self.tape.number(24_000_000_000_000), "order_id": self.id, "kind": "refund",
                    "gateway": gateway, "status": status, "test": self.test,
                    "amount": decimal(amount, self.currency), "currency": self.currency,
                }
                for status, amount in (transactions if transactions is not None else [("success", given)])
            ],
        }  # fmt: skip

    def _adjustment(self, refund: int, kind: str, amount: int) -> dict[str, Any]:
        return {
            "id": self.tape.number(23_000_000_000_000), "order_id": self.id, "refund_id": refund,
            "amount": decimal(amount, self.currency), "tax_amount": decimal(0, self.currency), "kind": kind,
            "reason": kind, "amount_set": money(amount, self.currency, self.shown),
            "tax_amount_set": money(0, self.currency, self.shown),
        }  # fmt: skip

    def _pass(self, after: timedelta) -> None:
        self.at += after
        self.updated_at = self.at

    def _tell(self, *topics: str) -> None:
        for topic in topics:
            self.tape.shopify(topic, self.body(), self.at)


@dataclass
class Account:
    """A Shopify customer record and what it was called before."""

    id: int
    email: str | None
    verified: bool = True
    former: list[str] = field(default_factory=list)

    def body(self, at: datetime) -> dict[str, Any]:
        """The record as customers/create and customers/update show it."""
        return {
            "id": self.id, "created_at": iso(at), "updated_at": iso(at), "first_name": "Bo",
            "last_name": "Berg", "state": "enabled", "note": None, "verified_email": self.verified,
            "email": self.email,
            "phone": None, "currency": "USD", "addresses": [],
            "admin_graphql_api_id": f"gid://shopify/Customer/{self.id}",
        }  # fmt: skip


def merge_body(kept: int, gone: int, status: str = "completed") -> dict[str, Any]:
    """What customers/merge says of two customers who became one."""
    return {
        "admin_graphql_api_customer_kept_id": f"gid://shopify/Customer/{kept}",
        "admin_graphql_api_customer_deleted_id": f"gid://shopify/Customer/{gone}",
        "admin_graphql_api_job_id": None,
        "status": status,
        "errors": [] if status == "completed" else [{"customer_ids": [kept], "message": "in progress"}],
    }
