"""GET /metrics: what this process counted, and what all of them share, read from the engines at most every few seconds.

Counts of the database are told by every process that is asked; in queries take the maximum, not the sum.
"""

import asyncio
import hmac
import time
from collections.abc import Iterator
from typing import NamedTuple

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from handlers.context import Context
from handlers.inbox.work import BELL as EVENTS_BELL
from handlers.messages.jobs import BELL as MESSAGES_BELL
from handlers.privacy.rules import KINDS
from handlers.watch.rules import SILENT_AFTER
from handlers.watch.store import Readings, take_readings
from integration.clock import SECOND
from integration.errors import Unavailable
from integration.meters import REGISTRY, SOURCES
from integration.queue import Lengths

KEEP_SECONDS = 5.0  # readings are taken anew no more often, however many ask
READ_SECONDS = 3.0
BELLS = (EVENTS_BELL, MESSAGES_BELL)
OPEN_STATES = ("scheduled", "waiting", "sending", "failed")
OPEN_REWARDS = ("asked", "returning", "used")  # a used one is still to be taken off the discount it shares
OPEN_FRIENDS = ("asked", "closing")
LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
# What a proxy adds: then the caller is not the machine it seems to be.
PASSED_ON = (
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "forwarded",
    "via",
    "fly-client-ip",
    "cf-connecting-ip",
)

log = structlog.get_logger()


class Seen(NamedTuple):
    """What the engines told; None for the one that did not answer."""

    at: int
    readings: Readings | None
    queue: Lengths | None


class Look:
    """Reads the engines for whoever asks, once for all who ask within KEEP_SECONDS."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = asyncio.Lock()
        self._seen: Seen | None = None
        self._until = 0.0

    async def seen(self) -> Seen:
        """Return what the engines tell, at most KEEP_SECONDS old."""
        async with self._lock:
            if self._seen is None or time.monotonic() >= self._until:
                self._seen = await self._read()
                self._until = time.monotonic() + KEEP_SECONDS
            return self._seen

    async def _read(self) -> Seen:
        now = self._context.clock.now()
        readings, queue = await asyncio.gather(self._readings(now), self._lengths())
        return Seen(now, readings, queue)

    async def _readings(self, now: int) -> Readings | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._context.database.read(lambda: take_readings(now))
        except Exception as error:  # noqa: BLE001 - told as regulars_up 0; what was counted here is told all the same
            log.warning("readings_failed", error=type(error).__name__)
            return None

    async def _lengths(self) -> Lengths | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._context.queue.lengths(BELLS)
        except (Unavailable, TimeoutError):
            return None  # Told as regulars_up 0.


async def metrics(request: Request) -> Response:
    """Tell what was counted to who may know it: see `may_ask`; to all others there is no such page."""
    if not may_ask(request):
        return PlainTextResponse("Not Found", status_code=404)
    state = request.app.state
    if not hasattr(state, "look"):
        state.look = Look(state.context)
    seen = await state.look.seen()
    lines = generate_latest(_Gauges(seen)) + generate_latest(REGISTRY)
    return Response(lines, media_type=CONTENT_TYPE_LATEST)


def may_ask(request: Request) -> bool:
    """Tell whether a request may read the metrics.

    On METRICS_PORT everybody who reaches it; elsewhere who knows METRICS_TOKEN; where none is set, only who calls
    from this machine itself, not through a proxy.
    """
    state = request.app.state
    if getattr(state, "aside", False):
        return True
    token: str | None = getattr(state, "metrics_token", None)
    if token is not None:
        given = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {token}".encode())
    here = request.client is not None and request.client.host in LOOPBACK
    return here and not any(name in request.headers for name in PASSED_ON)


class _Gauges:
    """What the engines told, as prometheus-client reads a registry."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = _gauge("up", "1 where the engine answers this process, 0 where it does not.", "engine")
        up.add_metric(["database"], float(self._seen.readings is not None))
        up.add_metric(["queue"], float(self._seen.queue is not None))
        yield up
        if self._seen.readings is not None:
            yield from _of_database(self._seen.readings, self._seen.at)
        if self._seen.queue is not None:
            yield from _of_queue(self._seen.queue)


def _of_database(read: Readings, now: int) -> Iterator[GaugeMetricFamily]:
    yield from _of_events(read, now)
    messages = _gauge("messages", "Messages by state; of those that are done only the failed.", "state")
    for state in OPEN_STATES:
        messages.add_metric([state], read.messages.get(state, 0))
    yield messages
    yield _alone(
        "message_overdue_seconds", "How long the oldest message has been due.", _age(read.message_due_since, now)
    )
    yield _alone("sales_due", "Sales the clock has made due and nobody has settled yet.", read.sales_due)
    settlements = _gauge("settlements_failed", "Sales a capability could not settle, by what comes next.", "state")
    for state in ("retrying", "given_up"):
        settlements.add_metric([state], read.settlements.get(state, 0))
    yield settlements
    asked = _gauge("privacy_requests", "Requests by law that are still to be carried out, by kind.", "kind")
    for kind in KINDS:
        asked.add_metric([kind], read.privacy.get(kind, 0))
    yield asked
    if read.privacy_due_at is not None:
        left = (read.privacy_due_at - now) / SECOND
        yield _alone("privacy_due_seconds", "How long until the nearest deadline of such a request.", left)
    rewards = _gauge("rewards_open", "Rewards a platform is still to be asked about, by state.", "state")
    for state in OPEN_REWARDS:
        rewards.add_metric([state], read.rewards.get(state, 0))
    yield rewards
    yield _alone("reward_oldest_seconds", "How long the oldest of them has waited.", _age(read.reward_waits_since, now))
    friends = _gauge("friend_codes_open", "Friends' codes a platform is still to be asked about, by state.", "state")
    for state in OPEN_FRIENDS:
        friends.add_metric([state], read.friends.get(state, 0))
    yield friends
    age = _age(read.friend_waits_since, now)
    yield _alone("friend_code_oldest_seconds", "How long the oldest of them should have been there, or gone.", age)
    alive = sum(now - sign.at < SILENT_AFTER for sign in read.processes)
    yield _alone("workers", "Workers heard of within a minute.", alive)
    yield _alone("audit_drifts", "Things that did not agree at each merchant's last audit, in all.", read.audits.drifts)
    yield _alone("audited_merchants", "Merchants whose books have been audited at least once.", read.audits.merchants)
    if read.audits.oldest_at is not None:
        age = _age(read.audits.oldest_at, now)
        yield _alone("audit_oldest_seconds", "How long ago the merchant was audited who has waited longest.", age)


def _of_events(read: Readings, now: int) -> Iterator[GaugeMetricFamily]:
    waiting = _gauge("backlog_events", "Events due or in a worker's hands, by platform; ends at 50,000.", "source")
    retrying = _gauge("retrying_events", "Events that failed and will be tried again, by platform.", "source")
    oldest = _gauge("backlog_oldest_seconds", "How long the oldest event has been due, by platform.", "source")
    dead = _gauge("dead_letters", "Events given up, by platform; ends at 50,000.", "source")
    quiet = _gauge("webhooks_quiet", "Connections whose platform has news that no webhook told of.", "source")
    recovered = _gauge("recovered_events", "Events found by asking the platform, still kept; ends at 50,000.", "source")
    for source in SOURCES:
        backlog = read.backlog.get(source)
        waiting.add_metric([source], backlog.waiting if backlog else 0)
        retrying.add_metric([source], backlog.retrying if backlog else 0)
        oldest.add_metric([source], _age(backlog.due_since if backlog else None, now))
        dead.add_metric([source], read.dead_letters.get(source, 0))
        quiet.add_metric([source], read.quiet.get(source, 0))
        recovered.add_metric([source], read.recovered.get(source, 0))
    yield from (waiting, retrying, oldest, dead, quiet, recovered)
    yield _alone("unknown_shop_events", "Events kept of shops that are not connected.", read.unknown_events)


def _of_queue(lengths: Lengths) -> Iterator[GaugeMetricFamily]:
    yield _alone("queue_jobs", "Jobs in Redis, those of a later time among them.", lengths.jobs)
    rings = _gauge("rings_unheard", "Rings no worker has heard yet, by bell; ends at 8.", "bell")
    for bell, count in lengths.rings.items():
        rings.add_metric([bell], count)
    yield rings


def _gauge(name: str, words: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"regulars_{name}", words, labels=[label])


def _alone(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"regulars_{name}", words, value=value)


def _age(since: int | None, now: int) -> float:
    return 0.0 if since is None else max(0, now - since) / SECOND
