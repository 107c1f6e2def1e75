"""Lists what happened in one Stripe account as events our readers know, whole and under their own ids."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
import stripe

from integration.clock import DAY, SECOND
from integration.errors import Rejected
from integration.stripe.api import StripeApi, body_of, translated

# What a merchant's endpoint is subscribed to (README); one question may name twenty types.
TYPES = (
    "charge.succeeded",
    "charge.captured",
    "charge.updated",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_reinstated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "payment_intent.succeeded",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "invoice.paid",
    "invoice_payment.paid",
    "customer.created",
    "customer.updated",
    "customer.deleted",
)
EVENTS_REACH = 30 * DAY  # older events are no longer listed
A_PAGE = 100  # as many as Stripe gives
MOST_PAGES = 10_000  # of one listing: a million objects
PAUSE_SECONDS = 0.2  # between questions: the account's budget is shared with its own checkout

# Objects that stand in for the events of a time that events no longer reach, and what they are filed under.
OBJECTS = {"charge": "charge.recovered", "refund": "refund.recovered", "dispute": "dispute.recovered"}


class Listed(NamedTuple):
    """One event as its webhook would carry it; `created_at` is when Stripe made the event or the object."""

    id: str
    topic: str
    created_at: int
    body: bytes


class _Head(msgspec.Struct):
    id: str
    created: int
    type: str = ""
    livemode: bool = False


class _List(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool = False


_list = msgspec.json.Decoder(_List)
_head = msgspec.json.Decoder(_Head)


class Listing:
    """What one account tells when asked, unhurriedly; for one run through it."""

    def __init__(self, api: StripeApi, key: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        v1 = api.client(key).v1
        self.calls = 0
        self._sleep = sleep
        self._events = v1.events.list_async
        self._fetchers: dict[str, Callable[..., Awaitable[Any]]] = {
            "charge": v1.charges.list_async,
            "refund": v1.refunds.list_async,
            "dispute": v1.disputes.list_async,
        }

    async def events(self, since: int, until: int | None) -> AsyncIterator[list[Listed]]:
        """List events made from `since` (or thirty days ago) to before `until`, the newest first, by pages.

        Raises Revoked, Unavailable or Rejected as `StripeApi.look`.
        """
        async for found in self._pages(self._events, {"types": list(TYPES)}, since, until, "events"):
            heads = [(raw, _decoded(_head, bytes(raw))) for raw in found]
            yield [Listed(head.id, head.type, head.created * SECOND, bytes(raw)) for raw, head in heads]

    async def objects(self, kind: str, since: int, until: int, now: int) -> AsyncIterator[list[Listed]]:
        """List a kind of `OBJECTS` made in a time that events no longer reach, as events of ours, by pages.

        They show the objects as of `now`; the same state has always the same id.
        """
        more: dict[str, Any] = {"expand": ["data.refunds"]} if kind == "charge" else {}
        async for found in self._pages(self._fetchers[kind], more, since, until, f"{kind}s"):
            yield [_as_event(kind, bytes(raw), now) for raw in found]

    async def _pages(
        self,
        fetch: Callable[..., Awaitable[Any]],
        more: dict[str, Any],
        since: int,
        until: int | None,
        what: str,
    ) -> AsyncIterator[list[msgspec.Raw]]:
        created = {"gte": since // SECOND} | ({} if until is None else {"lt": until // SECOND})
        asked: dict[str, Any] = {"created": created, "limit": A_PAGE, **more}
        for _ in range(MOST_PAGES):
            if self.calls:
                await self._sleep(PAUSE_SECONDS)
            self.calls += 1
            try:
                answer = await fetch(asked)
            except stripe.PermissionError as error:
                # The key may be good for all else it is used for.
                raise Rejected(f"Stripe does not let our key read {what}: give it that permission") from error
            except stripe.StripeError as error:
                raise translated(error, what) from error
            page = _decoded(_list, body_of(answer))
            yield page.data
            if not page.has_more or not page.data:
                return
            asked["starting_after"] = _decoded(_head, bytes(page.data[-1])).id


def _as_event(kind: str, raw: bytes, now: int) -> Listed:
    head = _decoded(_head, raw)
    number = f"recovered-{head.id}-{sha256(raw).hexdigest()[:16]}"
    event = {
        "id": number,
        "object": "event",
        "type": OBJECTS[kind],
        "created": now // SECOND,
        "livemode": head.livemode,
        "data": {"object": msgspec.Raw(raw)},
    }
    return Listed(number, OBJECTS[kind], head.created * SECOND, msgspec.json.encode(event))


def _decoded(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Rejected(f"Stripe tells its list in another shape: {str(error)[:160]}") from None
