"""Receiving webhooks: verify the raw bytes, store them durably, ring, and only then answer 200.

A raw ASGI callable in front of Starlette: a route of the framework would cost a third of the throughput.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, NamedTuple

import structlog

from handlers.context import Context
from handlers.inbox.endpoints import Endpoints
from handlers.inbox.record import Delivery, record_all
from handlers.inbox.work import BELL
from integration import tracing
from integration.clock import SECOND
from integration.database.writer import GroupCommit
from integration.errors import Unavailable
from integration.facts import Envelope
from integration.faults import point
from integration.meters import DELIVERY
from integration.shopify import webhooks as shopify
from integration.stripe import webhooks as stripe

MOST_BODY_BYTES = 5_000_000
BODY_SECONDS = 5.0
RETRY_AFTER = b"2"

SHOPIFY_PATH = "/webhooks/shopify"
STRIPE_PREFIX = "/webhooks/stripe/"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

log = structlog.get_logger()


class _Answer(NamedTuple):
    start: Message
    body: Message
    status: int


def _answer(status: int, words: bytes = b"", *headers: tuple[bytes, bytes]) -> _Answer:
    fixed = [(b"content-length", str(len(words)).encode())]
    if words:
        fixed.append((b"content-type", b"text/plain; charset=utf-8"))
    return _Answer(
        {"type": "http.response.start", "status": status, "headers": [*fixed, *headers]},
        {"type": "http.response.body", "body": words},
        status,
    )


OK = _answer(200)
FORGED = _answer(401, b"The signature is missing, wrong or outdated.\n")
NO_ENDPOINT = _answer(404, b"There is no such endpoint.\n")
NOT_POST = _answer(405, b"Webhooks are posted.\n", (b"allow", b"POST"))
# What was left unread of a body would be taken for the next request: these close the connection.
_CLOSE = (b"connection", b"close")
SLOW = _answer(408, b"The body took too long.\n", _CLOSE)
LARGE = _answer(413, b"The body is larger than 5 MB.\n", _CLOSE)
ENCODED = _answer(415, b"Send the body as it is, without a content encoding.\n", _CLOSE)
TORN = _answer(400, b"The body is not as long as announced.\n", _CLOSE)
LATER = _answer(503, b"It cannot be stored now: send it again.\n", (b"retry-after", RETRY_AFTER))


class Receiver:
    """Answers `/webhooks/…` and hands everything else on to `app`."""

    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._context = context
        self._endpoints = Endpoints(context)
        self._readers = _Readers()
        self._commits: GroupCommit[Delivery, bool] = GroupCommit(
            lambda deliveries: record_all(context.database, deliveries),
            lambda: context.queue.ring(BELL),
            context.database.abreast,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            if path == SHOPIFY_PATH or path.startswith(STRIPE_PREFIX):
                began = perf_counter()
                try:
                    answer = await self._answer(scope, receive, path)
                except Unavailable as error:
                    log.warning("delivery_not_stored", reason=str(error))
                    answer = LATER
                except Exception as error:
                    # Whatever is wrong is ours, and passes: asking for a resend loses nothing.
                    log.exception("delivery_not_stored", error=type(error).__name__)
                    answer = LATER
                if answer is not None:
                    await send(answer.start)
                    await send(answer.body)
                    point("receive.answered")
                    source = "shopify" if path == SHOPIFY_PATH else "stripe"
                    DELIVERY[source, answer.status].observe(perf_counter() - began)
                return
        await self._app(scope, receive, send)

    async def drained(self) -> None:
        """Wait until every delivery taken so far is durable."""
        await self._commits.drained()

    async def _answer(self, scope: Scope, receive: Receive, path: str) -> _Answer | None:
        """Take one delivery; None when the sender hung up. Few calls deep: every level costs each delivery."""
        if scope["method"] != "POST":
            return NOT_POST
        headers: Headers = scope["headers"]
        announced, refusal = _announced(headers)
        if refusal is not None:
            return refusal
        secrets: tuple[str, ...] = self._context.shopify_secrets
        token = ""
        if path != SHOPIFY_PATH:
            token = path.removeprefix(STRIPE_PREFIX)
            found = await self._endpoints.secrets(token) if _TOKEN.fullmatch(token) else None
            if found is None:
                return NO_ENDPOINT
            secrets = found
        point("receive.before_read")
        body = await self._readers.body(receive, announced)
        if not isinstance(body, bytes):
            return body
        if token:
            delivery = await self._from_stripe(headers, token, secrets, body)
        else:
            delivery = self._from_shopify(headers, secrets, body)
        if delivery is None:
            return FORGED
        point("receive.verified")
        verdicts, position = self._commits.place(delivery, len(body))
        if tracing.is_on():
            return await self._traced(delivery, verdicts, position)
        return OK if (await verdicts)[position] else LATER

    async def _traced(self, delivery: Delivery, verdicts: Awaitable[list[bool]], position: int) -> _Answer:
        """Wait for a delivery to be stored, and have its trace begin with that."""
        stored = False
        try:
            stored = (await verdicts)[position]
        finally:
            tracing.record(
                "receive",
                tracing.receipt(delivery.source, delivery.connection, delivery.delivery_id, delivery.received_at),
                None,
                delivery.received_at,
                self._context.clock.now(),
                error=None if stored else "not_stored",
                source=delivery.source,
                topic=delivery.topic,
                delivery=delivery.delivery_id,
            )
        return OK if stored else LATER

    def _from_shopify(self, headers: Headers, secrets: tuple[str, ...], body: bytes) -> Delivery | None:
        """Return what a Shopify body and its headers tell; None where nobody we know signed it."""
        told = shopify.read_headers(headers)
        if not shopify.verify(body, told.signature, secrets):
            return None
        envelope = shopify.envelope(told, body, self._context.clock.now())
        return _delivery(envelope, told.shop or "", body)

    async def _from_stripe(
        self, headers: Headers, token: str, secrets: tuple[str, ...], body: bytes
    ) -> Delivery | None:
        signatures = [value for name, value in headers if name == b"stripe-signature"]
        # Twice the same header is two claims; neither is believed.
        signature = signatures[0] if len(signatures) == 1 else None
        now = self._context.clock.now()
        if not stripe.verify(body, signature, secrets, now / SECOND):
            fresh = await self._endpoints.read_again(token)
            if fresh in (None, secrets) or not stripe.verify(body, signature, fresh or (), now / SECOND):
                return None
        return _delivery(stripe.envelope(body, now)[0], token, body)


def _delivery(envelope: Envelope, connection: str, body: bytes) -> Delivery:
    return Delivery(
        envelope.source,
        connection,
        envelope.delivery_id,
        envelope.topic,
        envelope.triggered_at,
        envelope.received_at,
        body,
    )


def _announced(headers: Headers) -> tuple[int | None, _Answer | None]:
    """Return the announced length of a body, or the refusal its headers already deserve."""
    found = dict(headers)
    if len(found) < len(headers) and sum(name in (b"content-length", b"content-encoding") for name, _ in headers) > 1:
        # Two claims about one body: it is not said which holds.
        return None, ENCODED if b"content-encoding" in found else TORN
    encoding = found.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        return None, ENCODED
    length = found.get(b"content-length")
    if length is None:
        return None, None
    if not length.isdigit() or len(length) > 15:
        return None, TORN
    announced = int(length)
    return (None, LARGE) if announced > MOST_BODY_BYTES else (announced, None)


class _Readers:
    """Cuts off whose body takes too long, with one timer for all of them: most bodies are here at once."""

    def __init__(self) -> None:
        self._since: dict[asyncio.Task[Any], float] = {}
        self._slow: set[asyncio.Task[Any]] = set()
        self._looks = False

    async def body(self, receive: Receive, announced: int | None) -> bytes | _Answer | None:
        """Read a body within its limits; an answer where it breaks one, None where the sender hung up."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._since[task] = loop.time()
        if not self._looks:
            self._looks = True
            loop.call_later(BODY_SECONDS, self._look, loop)
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > MOST_BODY_BYTES:
                    return LARGE
                chunks.append(chunk)
                if not message.get("more_body", False):
                    break
        except asyncio.CancelledError:
            if task not in self._slow:
                raise
            task.uncancel()
            return SLOW
        finally:
            self._slow.discard(task)
            self._since.pop(task, None)
        if announced is not None and size != announced:
            return TORN
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        # The oldest stands first.
        for task, since in list(self._since.items()):
            if now - since < BODY_SECONDS:
                break
            del self._since[task]
            self._slow.add(task)
            task.cancel()
        oldest = next(iter(self._since.values()), None)
        self._looks = oldest is not None
        if oldest is not None:
            loop.call_later(max(0.0, oldest + BODY_SECONDS - now), self._look, loop)
