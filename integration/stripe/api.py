"""Ask Stripe's API about one object, and say in our four words what went wrong when it does not answer."""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any

import msgspec
import stripe

from integration import meters
from integration.bodies import decode
from integration.clock import Clock
from integration.errors import OutsideError, Rejected, Revoked, Unavailable, Unreadable
from integration.facts import Fact
from integration.stripe.payloads.checkout import InvoiceBody, SessionBody, invoice_facts, session_facts
from integration.stripe.payloads.money import (
    ChargeBody,
    DisputeBody,
    PaymentBody,
    RefundBody,
    charge_facts,
    dispute_facts,
    payment_facts,
    refund_facts,
)
from integration.stripe.payloads.people import CustomerBody, customer_facts
from integration.stripe.values import Reference, Telling

API_VERSION = "2026-10-28.endive"
TIMEOUT_SECONDS = 10
MOST_RETRIES = 2

# What else to send along with each kind.
_EXPANDED: dict[str, list[str]] = {
    "charge": ["refunds"],
    "payment_intent": ["latest_charge.refunds"],
    "checkout.session": [],
    "invoice": ["payments"],
    "refund": ["charge.refunds"],
    "dispute": [],
    "customer": [],
}


class _RefundOfCharge(msgspec.Struct):
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    status: str | None = None
    charge: str | ChargeBody | None = None
    payment_intent: Reference = None


class _Timed(stripe.HTTPXClient):
    """Stripe's own client for httpx, with every question timed and counted by its outcome."""

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        began = perf_counter()
        try:
            answer = await super().request_async(method, url, headers, post_data)
        except stripe.APIConnectionError:
            meters.platform_answered("stripe", None, began)
            raise
        meters.platform_answered("stripe", answer[1], began)
        return answer


class StripeApi:
    """Stripe's API for every merchant; the key comes with each question, nothing is remembered between them."""

    def __init__(
        self,
        base: str | None = None,
        clock: Clock | None = None,
        http: stripe.HTTPClient | None = None,
    ) -> None:
        stripe.enable_telemetry = False
        self._base = base
        self._clock = clock or Clock()
        self._http = http or _Timed(timeout=TIMEOUT_SECONDS)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    def client(self, key: str) -> stripe.StripeClient:
        """Return Stripe's client for one merchant's key: pinned version, two retries, no telemetry."""
        return stripe.StripeClient(
            key,
            http_client=self._http,
            max_network_retries=MOST_RETRIES,
            stripe_version=API_VERSION,
            base_addresses={"api": self._base} if self._base else {},
        )

    async def ping(self, key: str) -> None:
        """Ask for one charge, whichever, which proves the key. Raises as `look` does."""
        try:
            await self.client(key).v1.charges.list_async({"limit": 1})
        except stripe.StripeError as error:
            raise translated(error, "the list of charges") from error

    async def look(self, key: str, kind: str, id: str) -> tuple[Fact, ...]:
        """Fetch one object as it is now and tell it as facts; a refund brings its charge along.

        `kind` is Stripe's object name. Raises Revoked for a dead or too narrow key, Unavailable where asking
        again may help, and Rejected where it will not (there is no such object or kind).
        """
        fetch = self._fetchers(key).get(kind)
        if fetch is None:
            raise Rejected(f"there is no looking at a {kind[:40]}")
        expand = _EXPANDED[kind]
        try:
            found = await fetch(id, {"expand": expand} if expand else {})
        except stripe.StripeError as error:
            raise translated(error, f"{kind} {id}") from error
        try:
            return _facts(kind, body_of(found), self._clock.now())
        except Unreadable as error:
            raise Rejected(f"{kind} {id} cannot be read: {error}") from error

    def _fetchers(self, key: str) -> dict[str, Callable[..., Awaitable[Any]]]:
        v1 = self.client(key).v1
        return {
            "charge": v1.charges.retrieve_async,
            "payment_intent": v1.payment_intents.retrieve_async,
            "checkout.session": v1.checkout.sessions.retrieve_async,
            "invoice": v1.invoices.retrieve_async,
            "refund": v1.refunds.retrieve_async,
            "dispute": v1.disputes.retrieve_async,
            "customer": v1.customers.retrieve_async,
        }


def body_of(found: Any) -> bytes:
    """Return the answer's own bytes: Stripe's objects are no plain data, and hide what they do not know."""
    body: str | bytes = found.last_response.body
    return body if isinstance(body, bytes) else body.encode()


def _facts(kind: str, body: bytes, now: int) -> tuple[Fact, ...]:
    """Tell an answer as the event of that object would. What the API shows, it shows as of `now`."""
    if kind == "refund":
        return _refund_and_charge(decode(_DECODERS["refund"], body), now)
    seen = decode(_DECODERS[kind], body)
    return _TELLERS[kind](seen, Telling(kind, now, bool(seen.livemode)))


def _refund_and_charge(seen: _RefundOfCharge, now: int) -> tuple[Fact, ...]:
    charge = seen.charge
    refund = RefundBody(
        id=seen.id,
        amount=seen.amount,
        currency=seen.currency,
        status=seen.status,
        charge=charge.id if isinstance(charge, ChargeBody) else charge,
        payment_intent=seen.payment_intent,
    )
    facts = refund_facts(refund, Telling("refund", now, False))
    if isinstance(charge, ChargeBody):
        facts += charge_facts(charge, Telling("charge", now, charge.livemode))
    return facts


_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "charge": msgspec.json.Decoder(ChargeBody),
    "payment_intent": msgspec.json.Decoder(PaymentBody),
    "checkout.session": msgspec.json.Decoder(SessionBody),
    "invoice": msgspec.json.Decoder(InvoiceBody),
    "refund": msgspec.json.Decoder(_RefundOfCharge),
    "dispute": msgspec.json.Decoder(DisputeBody),
    "customer": msgspec.json.Decoder(CustomerBody),
}

_TELLERS: dict[str, Callable[[Any, Telling], tuple[Fact, ...]]] = {
    "charge": charge_facts,
    "payment_intent": payment_facts,
    "checkout.session": session_facts,
    "invoice": invoice_facts,
    "dispute": dispute_facts,
    "customer": customer_facts,
}


def translated(error: stripe.StripeError, what: str) -> OutsideError:
    """Say in our words what went wrong with a question about `what`."""
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return Revoked("Stripe no longer accepts our key, or it lacks a permission")
    if isinstance(error, stripe.RateLimitError):
        return Unavailable("Stripe asks us to slow down")
    if isinstance(error, stripe.InvalidRequestError):
        return Rejected(f"Stripe knows no {what}" if error.http_status == 404 else f"Stripe refused {what}")
    if isinstance(error, stripe.APIConnectionError):
        return Unavailable("Stripe cannot be reached")
    if error.http_status is None or error.http_status == 200 or error.http_status >= 500:
        return Unavailable(f"Stripe answered {error.http_status}, without an object")
    return Rejected(f"Stripe refused {what} ({error.http_status})")
