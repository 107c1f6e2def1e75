"""A pretend Stripe account: what is paid, given back and disputed there, as the signed events it causes.

Verbs change the account and return deliveries, as in `integration.sandbox.shopify`; amounts are Stripe's own
integers (ISK and UGX in hundredths). Objects stay readable under their ids, for the pretend API.
"""

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from integration.clock import SECOND, to_iso
from integration.sandbox import stripe_objects as objects
from integration.sandbox.delivery import STRIPE_AGENT, Delivery
from integration.sandbox.stripe_objects import Object
from integration.sandbox.stripe_rewards import StripeRewards

API_VERSION = "2026-10-28.endive"

_LETTERS = string.ascii_letters + string.digits
_CLOSED = frozenset({"won", "lost", "warning_closed"})
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Payment:
    """One payment: its intent, its charge, and the session or invoice it was made by."""

    intent: Object
    charge: Object
    session: Object | None = None
    invoice: Object | None = None

    @property
    def id(self) -> str:
        return str(self.intent["id"])


class Account:
    """One pretend Stripe account with one webhook endpoint.

    `secrets` sign (several while one is being rolled); `path` is the endpoint below the receiver's address;
    `clock` gives microseconds.
    """

    def __init__(
        self,
        *,
        secrets: tuple[str, ...],
        path: str,
        clock: Callable[[], int],
        seed: int = 0,
        livemode: bool = True,
        currency: str = "usd",
        api_key: str = "rk_live_pretend",
        name: str = "Pretend shop",
    ) -> None:
        self.secrets = secrets
        self.path = path
        self.clock = clock
        self.livemode = livemode
        self.currency = currency
        self.api_key = api_key
        self.name = name
        self.objects: dict[str, Object] = {}
        self.events: list[bytes] = []  # every event told, oldest first
        self.rewards = StripeRewards(self.objects, clock, livemode)
        self._random = random.Random(seed)  # noqa: S311 - ids of a pretend account, not secrets
        self._count = 0
        self.id = self._id("acct_1")

    # --- Who pays ---------------------------------------------------------------------------------

    def welcome(self, name: str | None, email: str | None) -> tuple[Object, list[Delivery]]:
        """Open a customer record."""
        person = objects.customer(self._id("cus_"), self._now(), self.livemode, email=email, name=name)
        self._keep(person)
        return person, [self._tell("customer.created", person)]

    def change_customer(self, person: Object, **changes: Any) -> list[Delivery]:
        """Change fields of a customer, e.g. `email="new@example.com"`."""
        before = {name: person.get(name) for name in changes}
        person.update(changes)
        return [self._tell("customer.updated", person, before)]

    def forget_customer(self, person: Object) -> list[Delivery]:
        """Delete a customer; their id answers as deleted from now on."""
        told = [self._tell("customer.deleted", person)]
        self.objects[person["id"]] = {"id": person["id"], "object": "customer", "deleted": True}
        return told

    def switch_code(self, code: Object, *, active: bool = False) -> list[Delivery]:
        """Switch a promotion code off in the dashboard, or on again."""
        before = {"active": code["active"]}
        code["active"] = active
        return [self._tell("promotion_code.updated", code, before)]

    # --- Payments ---------------------------------------------------------------------------------

    def pay(
        self,
        amount: int,
        *,
        person: Object | None = None,
        email: str | None = None,
        name: str | None = None,
        currency: str | None = None,
        tax: int = 0,
        shipping: int = 0,
        country: str | None = "US",
        state: str | None = None,
        metadata: Mapping[str, str] | None = None,
        capture: bool = True,
    ) -> tuple[Payment, list[Delivery]]:
        """Pay with a card; without `capture` the money is only reserved."""
        payment = self._payment(
            amount,
            person,
            email,
            name,
            currency,
            tax,
            shipping,
            country,
            state,
            dict(metadata or {}),
            not capture,
        )
        if capture:
            return payment, self._succeed(payment)
        self._authorize(payment)
        return payment, [
            self._tell("payment_intent.amount_capturable_updated", payment.intent),
            self._tell("charge.succeeded", payment.charge),
        ]

    def checkout(
        self,
        amount: int,
        *,
        person: Object | None = None,
        email: str | None = None,
        name: str | None = None,
        currency: str | None = None,
        tax: int = 0,
        shipping: int = 0,
        discount: int = 0,
        country: str | None = "US",
        state: str | None = None,
        locale: str | None = None,
        metadata: Mapping[str, str] | None = None,
        delayed: bool = False,
        promotion_code: str | None = None,
    ) -> tuple[Payment, list[Delivery]]:
        """Pay through a Checkout session; `delayed` methods are settled later by `settle_payment`.

        `amount` is what is left to pay after the promotion code that was typed.
        """
        notes = dict(metadata or {})
        code = None
        if promotion_code is not None:
            code = self.rewards.use(promotion_code, (person or {}).get("id"), amount + discount)
        payment = self._payment(amount, person, email, name, currency, 0, 0, country, state, notes, False)
        payment.session = objects.session(
            self._id("cs_live_a1" if self.livemode else "cs_test_a1"),
            self._now(),
            self.livemode,
            total=amount,
            tax=tax,
            shipping=shipping,
            discount=discount,
            currency=payment.intent["currency"],
            payment=payment.id,
            customer=payment.intent["customer"],
            email=payment.charge["billing_details"]["email"],
            name=payment.charge["billing_details"]["name"],
            country=country,
            state=state,
            locale=locale,
            metadata=notes,
        )
        self._keep(payment.session)
        payment.session["status"] = "complete"
        coded = []
        if code is not None:
            payment.session["discounts"] = [{"coupon": None, "promotion_code": code["id"]}]
            coded = [self._tell("promotion_code.updated", code, {"times_redeemed": code["times_redeemed"] - 1})]
        if delayed:
            payment.intent["status"] = "processing"
            return payment, [
                *coded,
                self._tell("checkout.session.completed", payment.session),
                self._tell("payment_intent.processing", payment.intent),
                self._tell("charge.pending", payment.charge),
            ]
        told = self._succeed(payment)
        payment.session["payment_status"] = "paid"
        return payment, [*coded, *told, self._tell("checkout.session.completed", payment.session)]

    def settle_payment(self, payment: Payment, *, failed: bool = False) -> list[Delivery]:
        """End a delayed payment: the bank pays, or does not."""
        session = payment.session
        if failed:
            payment.intent["status"] = "requires_payment_method"
            payment.charge["status"] = "failed"
            told = [
                self._tell("payment_intent.payment_failed", payment.intent),
                self._tell("charge.failed", payment.charge),
            ]
            if session:
                told.append(self._tell("checkout.session.async_payment_failed", session))
            return told
        told = self._succeed(payment)
        if session:
            session["payment_status"] = "paid"
            told.append(self._tell("checkout.session.async_payment_succeeded", session))
        return told

    def capture(self, payment: Payment, amount: int | None = None) -> list[Delivery]:
        """Take reserved money, or a part of it: the rest is let go."""
        taken = payment.charge["amount"] if amount is None else amount
        payment.charge |= {"captured": True, "amount_captured": taken}
        payment.intent |= {"status": "succeeded", "amount_received": taken, "amount_capturable": 0}
        return [
            self._tell("charge.captured", payment.charge),
            self._tell("payment_intent.succeeded", payment.intent),
        ]

    def bill(
        self,
        person: Object,
        amount: int,
        *,
        tax: int = 0,
        currency: str | None = None,
        out_of_band: bool = False,
    ) -> tuple[Payment | None, list[Delivery]]:
        """Have an invoice paid: by card, by nothing (amount 0), or outside Stripe."""
        bill = objects.invoice(
            self._id("in_1"),
            self._now(),
            self.livemode,
            total=amount,
            tax=tax,
            currency=currency or self.currency,
            customer=person["id"],
            email=person.get("email"),
            name=person.get("name"),
            out_of_band=out_of_band,
        )
        self._keep(bill)
        amount -= self.rewards.pay_invoice(person, amount)
        paid = [self._tell("invoice.paid", bill), self._tell("invoice.payment_succeeded", bill)]
        if out_of_band or not amount:
            return None, paid
        payment, told = self.pay(amount, person=person, currency=currency)
        payment.invoice = bill
        link = objects.invoice_payment(self._id("inpay_1"), self._now(), self.livemode, bill=bill, payment=payment.id)
        self._keep(link)
        return payment, [*told, *paid, self._tell("invoice_payment.paid", link)]

    # --- Money that comes back --------------------------------------------------------------------

    def refund(
        self, payment: Payment, amount: int | None = None, *, status: str = "succeeded"
    ) -> tuple[Object, list[Delivery]]:
        """Give back an amount, or all that is left; `status` may be `pending` until `move_refund`."""
        charge = payment.charge
        given = charge["amount_captured"] - charge["amount_refunded"] if amount is None else amount
        refund = objects.refund(
            self._id("re_3"),
            self._now(),
            amount=given,
            currency=charge["currency"],
            charge=charge,
            status=status,
        )
        self._keep(refund)
        before = {"amount_refunded": charge["amount_refunded"]}
        charge["amount_refunded"] += given
        charge["refunded"] = charge["amount_refunded"] >= charge["amount_captured"]
        return refund, [
            self._tell("refund.created", refund),
            self._tell("charge.refunded", charge, before),
        ]

    def move_refund(self, payment: Payment, refund: Object, status: str) -> list[Delivery]:
        """Take a refund on; `failed` and `canceled` put the money back to the merchant."""
        before = {"status": refund["status"]}
        refund["status"] = status
        told = [self._tell("refund.updated", refund, before)]
        if status in ("failed", "canceled"):
            charge = payment.charge
            charge["amount_refunded"] -= refund["amount"]
            charge["refunded"] = False
            if status == "failed":
                told.append(self._tell("refund.failed", refund))
        return told

    def open_dispute(
        self, payment: Payment, amount: int | None = None, *, status: str = "needs_response"
    ) -> tuple[Object, list[Delivery]]:
        """Have the bank question a payment; a `warning_…` status is an inquiry that moves no money."""
        charge = payment.charge
        dispute = objects.dispute(
            self._id("du_1"),
            self._now(),
            self.livemode,
            amount=charge["amount_captured"] if amount is None else amount,
            charge=charge,
            status=status,
        )
        self._keep(dispute)
        told = [self._tell("charge.dispute.created", dispute)]
        if not status.startswith("warning_"):
            charge["disputed"] = True
            told.append(self._tell("charge.dispute.funds_withdrawn", dispute))
        return dispute, told

    def move_dispute(self, dispute: Object, status: str) -> list[Delivery]:
        """Take a dispute on: under_review, won, lost, warning_closed, appeal_…"""
        before = {"status": dispute["status"]}
        dispute["status"] = status
        if status not in _CLOSED:
            return [self._tell("charge.dispute.updated", dispute, before)]
        told = [self._tell("charge.dispute.closed", dispute, before)]
        if status == "won":
            told.append(self._tell("charge.dispute.funds_reinstated", dispute))
        return told

    # --- The connection itself --------------------------------------------------------------------

    def deauthorize(self) -> list[Delivery]:
        """Take our access away, as a merchant does who removes the app."""
        return [self._tell("account.application.deauthorized", {"id": "ca_pretend", "object": "application"})]

    def poke(self, kind: str, thing: Object) -> Delivery:
        """Tell of an object by a thin event (`kind` as in `v1.charge.refunded`): its id and nothing more."""
        number, now = self._id("evt_"), self.clock()
        body: Object = {
            "id": number,
            "object": "v2.core.event",
            "type": kind,
            "created": to_iso(now),
            "livemode": self.livemode,
            "context": None,
            "reason": None,
            "related_object": {
                "id": thing["id"],
                "type": thing["object"],
                "url": f"/v1/{thing['object']}s/{thing['id']}",
            },
        }
        return self._sign(kind, number, _encode(body), now)

    def deliver_as(self, kind: str, number: str, body: bytes) -> Delivery:
        """Sign any bytes, for deliveries Stripe would not send by itself."""
        return self._sign(kind, number, body, self.clock())

    # --- Below: how verbs become events -----------------------------------------------------------

    def _payment(
        self,
        amount: int,
        person: Object | None,
        email: str | None,
        name: str | None,
        currency: str | None,
        tax: int,
        shipping: int,
        country: str | None,
        state: str | None,
        metadata: dict[str, str],
        manual: bool,
    ) -> Payment:
        now = self._now()
        customer = person["id"] if person else None
        intent = objects.payment_intent(
            self._id("pi_3"),
            now,
            self.livemode,
            amount=amount,
            currency=currency or self.currency,
            customer=customer,
            receipt_email=None,
            metadata=metadata,
            tax=tax,
            shipping=shipping,
            manual=manual,
        )
        charge = objects.charge(
            self._id("ch_3"),
            now,
            self.livemode,
            amount=amount,
            currency=intent["currency"],
            payment=intent["id"],
            customer=customer,
            email=email or (person or {}).get("email"),
            name=name or (person or {}).get("name"),
            country=country,
            state=state,
            metadata=metadata,
        )
        intent["latest_charge"] = charge["id"]
        self._keep(intent)
        self._keep(charge)
        return Payment(intent, charge)

    def _authorize(self, payment: Payment) -> None:
        payment.charge |= {"paid": True, "status": "succeeded"}
        payment.intent |= {"status": "requires_capture", "amount_capturable": payment.charge["amount"]}

    def _succeed(self, payment: Payment) -> list[Delivery]:
        amount = payment.charge["amount"]
        payment.charge |= {"paid": True, "captured": True, "amount_captured": amount, "status": "succeeded"}
        payment.intent |= {"status": "succeeded", "amount_received": amount}
        return [
            self._tell("charge.succeeded", payment.charge),
            self._tell("payment_intent.succeeded", payment.intent),
        ]

    def _tell(self, kind: str, thing: Object, before: Object | None = None) -> Delivery:
        number, now = self._id("evt_1"), self.clock()
        data: Object = {"object": thing}
        if before is not None:
            data["previous_attributes"] = before
        body = _encode(
            {
                "id": number,
                "object": "event",
                "api_version": API_VERSION,
                "created": now // SECOND,
                "data": data,
                "livemode": self.livemode,
                "pending_webhooks": 1,
                "request": {"id": self._id("req_"), "idempotency_key": None},
                "type": kind,
            }
        )
        self.events.append(body)
        return self._sign(kind, number, body, now)

    def _sign(self, kind: str, number: str, body: bytes, at: int) -> Delivery:
        headers = {
            "Accept": "*/*; q=0.5, application/xml",
            "Cache-Control": "no-cache",
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": STRIPE_AGENT,
        }
        return Delivery("stripe", kind, number, self.path, body, headers, self.secrets, at=at)

    def _keep(self, thing: Object) -> None:
        self.objects[thing["id"]] = thing

    def _now(self) -> int:
        return self.clock() // SECOND

    def _id(self, prefix: str) -> str:
        self._count += 1
        rest = "".join(self._random.choices(_LETTERS, k=14))
        return f"{prefix}{rest}{self._count:06d}"
