"""What one process counts and times, in a registry of its own: how often, how long, and with what outcome.

Names and labels are closed sets: no label ever holds what somebody sent, nor a merchant or a person.
"""

from collections.abc import Iterable
from time import perf_counter
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from integration.clock import SECOND

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

SOURCES = ("shopify", "stripe")
STATUSES = (200, 400, 401, 404, 405, 408, 413, 415, 503)

Outcome = Literal["ok", "throttled", "unavailable", "revoked", "rejected"]
JobOutcome = Literal["ok", "put_off", "failed"]

# Platforms hang up after five seconds; a healthy answer takes a few milliseconds.
_DELIVERY = Histogram(
    "regulars_delivery_seconds",
    "From the first look at a webhook to its answer, by platform and HTTP status.",
    ["source", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
# Looked up once: finding a child by its labels costs more than counting.
DELIVERY = {(source, status): _DELIVERY.labels(source, str(status)) for source in SOURCES for status in STATUSES}

_WORK = Histogram(
    "regulars_work_seconds",
    "From receiving an event to its being worked, by platform; replayed and adopted events count in full.",
    ["source"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600),
    registry=REGISTRY,
)
WORK = {source: _WORK.labels(source) for source in SOURCES}

EVENT_FAILURES = Counter(
    "regulars_event_failures",
    "Attempts at an event that failed, by what failed: reading it, asking the platform, or applying it.",
    ["step"],
    registry=REGISTRY,
)
for _step in ("read", "look", "apply"):
    EVENT_FAILURES.labels(_step)

MESSAGES = Counter(
    "regulars_message_attempts",
    "Attempts to send a message, by channel and what became of it.",
    ["channel", "outcome"],
    registry=REGISTRY,
)
for _outcome in ("sent", "refused", "rejected", "unavailable", "fault"):
    MESSAGES.labels("email", _outcome)

_PLATFORM = Histogram(
    "regulars_platform_call_seconds",
    "Questions put to a platform's API, by platform and outcome.",
    ["platform", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)

# A series has to be there at zero before its first count: Prometheus sees no increase in one that begins at one.
for _source in SOURCES:
    for _result in get_args(Outcome):
        _PLATFORM.labels(_source, _result)

PLATFORM_THROTTLED = Counter(
    "regulars_platform_throttled",
    "Questions a platform put off in an answer that is otherwise 200 (Shopify's query cost).",
    ["platform"],
    registry=REGISTRY,
)
PLATFORM_THROTTLED.labels("shopify")

DATABASE_RETRIES = Counter(
    "regulars_database_retries",
    "Transactions tried again, by reason.",
    ["reason"],
    registry=REGISTRY,
)
for _reason in ("deadlock", "serialization"):
    DATABASE_RETRIES.labels(_reason)
DATABASE_AWAY = Counter(
    "regulars_database_unavailable", "Transactions refused because the database was away.", registry=REGISTRY
)
QUEUE_AWAY = Counter("regulars_queue_unavailable", "Rings and jobs Redis did not take.", registry=REGISTRY)

JOBS = Counter("regulars_jobs", "Runs of jobs, by job and outcome.", ["job", "outcome"], registry=REGISTRY)
LOOP_FAILURES = Counter(
    "regulars_loop_failures", "Worker loops that broke and were started again.", ["loop"], registry=REGISTRY
)


def expect(jobs: Iterable[str], loops: Iterable[str]) -> None:
    """Begin at zero what a worker will count by these names."""
    for job in jobs:
        for outcome in get_args(JobOutcome):
            JOBS.labels(job, outcome)
    for loop in loops:
        LOOP_FAILURES.labels(loop)


def worked(source: str, received_at: int, now: int) -> None:
    """Time an event that has been worked; instants in microseconds."""
    timer = WORK.get(source)
    if timer is not None:
        timer.observe(max(0, now - received_at) / SECOND)


def platform_answered(platform: str, status: int | None, began: float) -> None:
    """Time a question to a platform begun at `perf_counter()` `began`; status None = there was no answer."""
    _PLATFORM.labels(platform, outcome_of(status)).observe(perf_counter() - began)


def outcome_of(status: int | None) -> Outcome:
    """Name what an HTTP status of a platform's API means to us."""
    if status is None or status >= 500 or status == 408:
        return "unavailable"
    if status in (429, 430):
        return "throttled"
    if status == 401:
        return "revoked"
    return "ok" if 200 <= status < 300 else "rejected"


def events_worked() -> int:
    """Return how many events this process has worked."""
    samples = (sample for family in _WORK.collect() for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name.endswith("_count")))
