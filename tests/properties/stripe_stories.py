"""Stripe payments as they live: authorised, captured, given back, disputed; each step records its events."""

import copy
from datetime import datetime, timedelta
from typing import Any

from tests.properties.tape import Tape, seconds

AT_ONCE = timedelta(0)


class PretendPayment:
    """One payment of a pretend Stripe account; a verb changes it and tells what Stripe would tell."""

    def __init__(
        self,
        tape: Tape,
        at: datetime,
        amount: int,
        *,
        currency: str = "usd",
        customer: str | None = None,
        email: str | None = None,
        live: bool = True,
        tax: int = 0,
        shipping: int = 0,
        tip: int = 0,
        metadata: dict[str, str] | None = None,
        intent: bool = True,
        country: str = "US",
    ) -> None:
        self.tape, self.at, self.amount, self.currency = tape, at, amount, currency
        self.customer, self.email, self.live = customer, email, live
        self.tax, self.shipping, self.tip, self.metadata = tax, shipping, tip, metadata or {}
        self.country = country
        self.sold_at = at
        name = f"{tape.number(1000):08}"
        self.charge_id = f"ch_3{name}"
        self.payment_id = f"pi_3{name}" if intent else None
        self.session_id, self.invoice_id = f"cs_live_{name}", f"in_1{name}"
        self.captured = self.refunded = 0
        self.status = "succeeded"

    # --- verbs ---

    def authorise(self) -> "PretendPayment":
        """The card is good for it; no money moved."""
        self.captured = 0
        self._tell("charge.succeeded", self.charge(captured=False))
        return self

    def capture(self, after: timedelta, amount: int, *, rest_counted: bool) -> None:
        """Part or all is taken; Stripe may count the rest as refunded."""
        self.at += after
        self.captured = amount
        self.refunded = self.amount - amount if rest_counted else 0
        self._tell("charge.captured", self.charge(), previous={"captured": False, "amount_captured": 0})
        if self.payment_id:
            self._tell("payment_intent.succeeded", self.payment())

    def pay(self, *, told: tuple[str, ...] = ("charge", "payment", "session")) -> "PretendPayment":
        """The money is taken at once; `told` are the objects whose events are sent."""
        self.captured = self.amount
        if "charge" in told:
            self._tell("charge.succeeded", self.charge())
        if "payment" in told and self.payment_id:
            self._tell("payment_intent.succeeded", self.payment())
        if "session" in told and self.payment_id:
            self._tell("checkout.session.completed", self.session("paid"))
        if "invoice" in told and self.payment_id:
            self._tell("invoice.paid", self.invoice())
            self._tell("invoice.payment_succeeded", self.invoice())
            self._tell("invoice_payment.paid", self.invoice_payment())
        return self

    def pay_later(self, after: timedelta, *, fails: bool = False) -> None:
        """A delayed method: the session is complete and unpaid, the money comes or does not."""
        self._tell("checkout.session.completed", self.session("unpaid"))
        self._tell("payment_intent.processing", self.payment(status="processing", received=0))
        self.captured = self.amount
        self._tell("charge.pending", self.charge(status="pending"))
        self.at += after
        if fails:
            self._tell("checkout.session.async_payment_failed", self.session("unpaid"))
            return
        self._tell("checkout.session.async_payment_succeeded", self.session("paid"))
        self._tell("payment_intent.succeeded", self.payment())
        self._tell("charge.succeeded", self.charge())

    def refund(self, after: timedelta, amount: int, *statuses: str, inline: bool = False) -> None:
        """Give money back; later statuses of the same refund follow (pending, succeeded, failed)."""
        self.at += after
        statuses = statuses or ("succeeded",)
        refund = self._refund(amount, statuses[0])
        before = self.refunded
        self.refunded += amount
        self._tell("refund.created", copy.deepcopy(refund))
        shown = self.charge()
        if inline:
            shown["refunds"] = {"object": "list", "data": [copy.deepcopy(refund)], "has_more": False}
            self._tell("charge.refunded", shown, previous={"amount_refunded": before}, api_version="2020-08-27")
        else:
            self._tell("charge.refunded", shown, previous={"amount_refunded": before})
        for status in statuses[1:]:
            self.at += timedelta(minutes=7)
            former, refund["status"] = refund["status"], status
            if status in ("failed", "canceled"):
                self.refunded -= amount
            kind = "refund.failed" if status == "failed" else "refund.updated"
            self._tell(kind, copy.deepcopy(refund), previous={"status": former})
            if status == "succeeded":
                self._tell("charge.refund.updated", copy.deepcopy(refund), previous={"status": former})

    def dispute(self, after: timedelta, amount: int, statuses: list[str]) -> None:
        """The buyer's bank asks; each status is told in turn, the last ones as closed."""
        self._dispute = (f"du_1{self.tape.number(1000):08}", amount, self.at + after)
        self.dispute_goes_on(statuses, after, kind="charge.dispute.created")

    def dispute_goes_on(
        self, statuses: list[str], after: timedelta = AT_ONCE, kind: str = "charge.dispute.updated"
    ) -> None:
        """More is told of the dispute there is."""
        name, amount, opened = self._dispute
        for status in statuses:
            self.at += after
            if status in ("lost", "won", "warning_closed"):
                kind = "charge.dispute.closed"
            thing = {
                "id": name, "object": "dispute", "amount": amount, "charge": self.charge_id,
                "created": seconds(opened), "currency": self.currency, "livemode": self.live, "metadata": {},
                "payment_intent": self.payment_id, "reason": "fraudulent", "status": status,
            }  # fmt: skip
            self._tell(kind, thing)
            kind = "charge.dispute.updated"
            if status == "won":
                self._tell("charge.dispute.funds_reinstated", copy.deepcopy(thing))

    # --- objects ---

    def charge(self, *, captured: bool = True, status: str | None = None) -> dict[str, Any]:
        """The charge as it is now."""
        return {
            "id": self.charge_id, "object": "charge", "amount": self.amount,
            "amount_captured": self.captured if captured else 0, "amount_refunded": self.refunded,
            "application": None, "balance_transaction": "txn_1",
            "billing_details": {
                "address": {"country": self.country, "state": None}, "email": self.email, "name": "Ana Diaz",
                "phone": None,
            },
            "captured": captured, "created": seconds(self.sold_at), "currency": self.currency,
            "customer": self.customer, "description": None, "disputed": False, "livemode": self.live,
            "metadata": dict(self.metadata), "paid": (status or self.status) == "succeeded",
            "payment_intent": self.payment_id, "receipt_email": None,
            "refunded": bool(self.refunded) and self.refunded >= self.captured,
            "status": status or self.status,
        }  # fmt: skip

    def payment(self, *, status: str = "succeeded", received: int | None = None) -> dict[str, Any]:
        """The payment intent as it is now."""
        details: dict[str, Any] = {"tip": {"amount": self.tip} if self.tip else {}}
        if self.tax:
            details["tax"] = {"total_tax_amount": self.tax}
        if self.shipping:
            details["shipping"] = {"amount": self.shipping, "from_postal_code": None, "to_postal_code": None}
        return {
            "id": self.payment_id, "object": "payment_intent", "amount": self.amount,
            "amount_details": details,
            "amount_received": self.captured if received is None else received, "capture_method": "automatic",
            "created": seconds(self.sold_at), "currency": self.currency, "customer": self.customer,
            "latest_charge": self.charge_id, "livemode": self.live, "metadata": dict(self.metadata),
            "receipt_email": self.email, "status": status,
        }  # fmt: skip

    def session(self, payment_status: str) -> dict[str, Any]:
        """The checkout session of this payment."""
        return {
            "id": self.session_id, "object": "checkout.session", "amount_subtotal": self.amount - self.tax,
            "amount_total": self.amount, "created": seconds(self.sold_at), "currency": self.currency,
            "customer": self.customer,
            "customer_details": {
                "address": {"country": self.country, "state": None}, "email": self.email, "name": "Ana Diaz",
                "phone": None,
            },
            "customer_email": None, "livemode": self.live, "metadata": {}, "mode": "payment",
            "payment_intent": self.payment_id, "payment_status": payment_status, "status": "complete",
            "total_details": {"amount_discount": 0, "amount_shipping": self.shipping, "amount_tax": self.tax},
        }  # fmt: skip

    def invoice(self) -> dict[str, Any]:
        """The invoice this payment paid."""
        return {
            "id": self.invoice_id, "object": "invoice", "amount_paid": self.amount, "amount_due": self.amount,
            "billing_reason": "subscription_cycle", "created": seconds(self.sold_at),
            "currency": self.currency, "customer": self.customer, "customer_email": self.email,
            "customer_name": "Caro Conti",
            "livemode": self.live, "metadata": {}, "parent": {
                "quote_details": None, "subscription_details": {"metadata": {}, "subscription": "sub_1"},
                "type": "subscription_details",
            }, "status": "paid", "subtotal": self.amount - self.tax, "total": self.amount,
            "total_excluding_tax": self.amount - self.tax,
            "total_taxes": [{"amount": self.tax, "tax_behavior": "exclusive", "type": "tax_rate_details"}]
            if self.tax else [],
        }  # fmt: skip

    def invoice_payment(self) -> dict[str, Any]:
        """What links the invoice to the payment."""
        return {
            "id": "inpay_" + self.invoice_id, "object": "invoice_payment", "amount_paid": self.amount,
            "amount_requested": self.amount, "created": seconds(self.sold_at), "currency": self.currency,
            "invoice": self.invoice_id, "is_default": True, "livemode": self.live,
            "payment": {"payment_intent": self.payment_id, "type": "payment_intent"}, "status": "paid",
        }  # fmt: skip

    def _refund(self, amount: int, status: str) -> dict[str, Any]:
        return {
            "id": f"re_3{self.tape.number(1000):08}", "object": "refund", "amount": amount,
            "charge": self.charge_id, "created": seconds(self.at), "currency": self.currency,
            "destination_details": {"type": "card", "card": {"type": "reversal"}}, "metadata": {},
            "payment_intent": self.payment_id, "reason": "requested_by_customer", "status": status,
            "customer": None,
        }  # fmt: skip

    def _tell(self, kind: str, thing: dict[str, Any], **more: Any) -> None:
        self.tape.stripe(kind, thing, self.at, livemode=self.live, **more)


def customer(name: str, email: str | None, at: datetime) -> dict[str, Any]:
    """A Stripe customer record."""
    return {
        "id": name, "object": "customer", "address": None, "balance": 0, "created": seconds(at),
        "currency": "usd", "email": email, "livemode": True, "metadata": {}, "name": "Bea Brandt",
        "phone": None,
    }  # fmt: skip
