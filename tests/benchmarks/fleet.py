"""A day of Black Friday for 1,000 shops, pressed into two minutes: `web` and `worker`s on PostgreSQL and Valkey."""

import asyncio
import gc
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

import asyncpg
from rich.progress import track

from config.wiring import opened
from handlers.merchants.connections import Merchant, Wish, add_merchant
from handlers.merchants.programs import change_program
from integration.clock import DAY, HOUR, SECOND
from tests.benchmarks import black_friday
from tests.benchmarks.figures import console, show
from tests.benchmarks.machines import machine_busy_seconds
from tests.benchmarks.scale import Installation, installed
from tests.benchmarks.sending import Sender, written
from tests.benchmarks.worker import SWITCHED_ON

HOURS = 24
HOUR_SECONDS = 5  # that an hour of the day takes
TIMES = 3600 // HOUR_SECONDS  # faster than life
ORDERS = 8_000
WORKERS = 2
CONNECTIONS = 64
MOST_AGE_SECONDS = 60.0
DATABASE = "fleet"
AGAIN_SECONDS = 1.0  # before a webhook that was not answered 200 is sent again
MOST_ATTEMPTS = 30
BAR = 24  # characters of the busiest hour

_BACKLOG = (
    "SELECT count(*) AS events, coalesce(extract(epoch FROM clock_timestamp()) - min(received_at) / 1e6, 0) AS age"
    " FROM events WHERE worked_at IS NULL AND failed_at IS NULL AND merchant_id IS NOT NULL"
)
_END = (
    "SELECT count(*) AS events, count(*) FILTER (WHERE outcome = 'applied') AS applied,"
    " count(DISTINCT merchant_id) AS shops FROM events"
)


class Planned(NamedTuple):
    """One webhook, ready to be sent: when (seconds from the beginning), and what goes over the wire."""

    at: float
    request: tuple[bytes, bytes]


class Look(NamedTuple):
    """What a look at the database found."""

    at: float
    events: int
    age: float  # of the oldest, seconds


@dataclass
class Day:
    """What happened so far."""

    took: list[tuple[float, float]] = field(default_factory=list)  # when it was due, and seconds to its answer
    again: int = 0  # attempts that were not answered 200
    looks: list[Look] = field(default_factory=list)
    busy: float = 0.0


def measure(orders: int = ORDERS) -> bool:
    """Measure one day and print it; tells whether the backlog was never older than a minute and all ended well."""
    with installed() as machines:
        machines.create(DATABASE)
        midnight = time.time_ns() // 1000 - DAY - HOUR
        asyncio.run(_open_shops(machines, midnight))
        planned, distinct = _plan(orders, midnight)
        gc.freeze()
        with ExitStack() as stack:
            port, _ = stack.enter_context(machines.web(DATABASE))
            for _ in range(WORKERS):
                stack.enter_context(machines.worker(DATABASE))
            this = asyncio.run(_lived(machines, port, planned))
            audited = machines.audit(DATABASE)
        end = machines.fetch(DATABASE, _END)[0]
    if end["events"] != distinct or end["applied"] != distinct:
        raise SystemExit(f"Of {distinct} events {end['events']} were stored and {end['applied']} applied.")
    return _print(this, planned, end["shops"], sum(one["sales"] for one in audited["merchants"]))


async def _open_shops(machines: Installation, midnight: int) -> None:
    async with opened(machines.settings(DATABASE)) as context:
        for n in track(range(black_friday.SHOPS), "Opening shops", console=console, transient=True):
            wish = Wish(name=f"Shop {n}", shop=black_friday.domain(n), currency="USD", timezone="America/New_York")
            merchant: Merchant = await context.database.run(
                lambda w=wish: add_merchant(w, context.vault, midnight - HOUR)  # type: ignore[misc]
            )
            await context.database.run(lambda m=merchant: change_program(m.id, SWITCHED_ON, midnight - HOUR))  # type: ignore[misc]


def _plan(orders: int, midnight: int) -> tuple[list[Planned], int]:
    """Draw the day and write its webhooks; returns them and how many differ."""
    planned, distinct = [], set()
    for sent in track(
        black_friday.day(orders, midnight), "Drawing the day", total=None, console=console, transient=True
    ):
        planned.append(Planned(sent.at / SECOND / TIMES, written(sent.delivery)))
        distinct.add(sent.delivery.id)
    return planned, len(distinct)


async def _lived(machines: Installation, port: int, planned: Sequence[Planned]) -> Day:
    this = Day()
    async with Sender(port, CONNECTIONS) as sender:
        busy, idle = machine_busy_seconds()
        beginning = time.perf_counter()
        looking = asyncio.create_task(_look(machines.url(DATABASE), this, beginning))
        posts: set[asyncio.Task[None]] = set()
        for each in planned:
            pause = beginning + each.at - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            task = asyncio.create_task(_post(sender, each, this, beginning))
            posts.add(task)
            task.add_done_callback(posts.discard)
        if posts:
            await asyncio.wait(posts)
        await asyncio.sleep(max(0.0, beginning + HOURS * HOUR_SECONDS - time.perf_counter()))
        busy_after, idle_after = machine_busy_seconds()
        this.busy = (busy_after - busy) / (busy_after - busy + idle_after - idle)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    if len(this.took) != len(planned):
        raise SystemExit(f"Of {len(planned)} webhooks {len(this.took)} were taken.")
    return this


async def _post(sender: Sender, planned: Planned, this: Day, beginning: float) -> None:
    """Post until answered 200; how long the first answer took counts from the moment it was due."""
    for _ in range(MOST_ATTEMPTS):
        with suppress(OSError):  # Not answered is not taken, TimeoutError among them.
            if await sender.post(planned.request) == 200:
                this.took.append((planned.at, time.perf_counter() - beginning - planned.at))
                return
        this.again += 1
        await asyncio.sleep(AGAIN_SECONDS)


async def _look(url: str, this: Day, beginning: float) -> None:
    """Look once a second how much waits, and since when."""
    connection: Any = await asyncpg.connect(url, server_settings={"enable_seqscan": "off"})
    try:
        while True:
            row = await connection.fetchrow(_BACKLOG)
            this.looks.append(Look(time.perf_counter() - beginning, row["events"], float(row["age"])))
            await asyncio.sleep(1 - (time.perf_counter() - beginning) % 1)
    finally:
        await connection.close()


def _print(this: Day, planned: Sequence[Planned], shops: int, sales: int) -> bool:
    rates = [0.0] * HOURS
    for each in planned:
        rates[int(each.at / HOUR_SECONDS)] += 1 / HOUR_SECONDS
    _print_hours(this, rates)
    oldest = max(look.age for look in this.looks)
    peak, mean = max(rates), sum(rates) / HOURS
    took = sorted(took for _, took in this.took)
    alike = sales * TIMES / black_friday.SHOPS
    figures = (
        (
            "shops that sold, and the largest of them",
            f"{shops:,} of {black_friday.SHOPS:,}, {_largest():.0f}× the median",
        ),
        ("webhooks, sales", f"{len(planned):,}, {sales:,}"),
        ("faster than life", f"{TIMES}×: as dense as with {alike:,.0f} orders a shop that day"),
        ("events/s in the mean, at the peak", f"{mean:,.0f}, {peak:,.0f} ({peak / mean:.1f}×)"),
        ("answered within ms, 50 %, 99 %", f"{1000 * _share(took, 0.5):.0f}, {1000 * _share(took, 0.99):.0f}"),
        ("attempts not answered 200", this.again),
        ("cores busy", f"{this.busy:.0%}"),
        ("oldest event, s: median of looks", f"{median(look.age for look in this.looks):.2f}"),
        ("oldest event, s: ever", f"{oldest:.2f}, limit {MOST_AGE_SECONDS:.0f}"),
    )
    show(f"Black Friday: web and {WORKERS} workers on PostgreSQL and Valkey, audited", ("", "figure"), figures)
    return oldest <= MOST_AGE_SECONDS


def _print_hours(this: Day, rates: Sequence[float]) -> None:
    answers: list[list[float]] = [[] for _ in range(HOURS)]
    for at, took in this.took:
        answers[int(at / HOUR_SECONDS)].append(took)
    looks: list[list[Look]] = [[] for _ in range(HOURS)]
    for look in this.looks:
        looks[min(int(look.at / HOUR_SECONDS), HOURS - 1)].append(look)
    rows = [
        (
            f"{hour:02}:00",
            f"{rate:,.0f}",
            "█" * round(BAR * rate / max(rates)) or "▏",
            f"{1000 * _share(sorted(answers[hour]), 0.99):,.0f}",
            f"{max((look.events for look in looks[hour]), default=0):,}",
            f"{max((look.age for look in looks[hour]), default=0.0):.2f}",
        )
        for hour, rate in enumerate(rates)
    ]
    heads = ("hour", "events/s", "", "answered within ms (99 %)", "most waiting", "oldest, s")
    show(f"A day, hour by hour ({HOUR_SECONDS} s each)", heads, rows, words=(0, 2))


def _largest() -> float:
    shares = black_friday.shares()
    return shares[0] / median(shares)


def _share(ascending: Sequence[float], share: float) -> float:
    return ascending[int(len(ascending) * share)] if ascending else 0.0
