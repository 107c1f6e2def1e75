"""From webhook to ledger across processes: `web` and `worker` on PostgreSQL, idle and beside 10,000 queued orders."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import asyncpg

from config.wiring import opened
from handlers.inbox.claim import WAITING
from handlers.inbox.record import Delivery as Told
from handlers.inbox.record import record_all
from handlers.merchants.connections import Merchant, Wish, add_merchant
from handlers.merchants.programs import change_program
from integration.clock import HOUR, SECOND
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify import Shop
from tests.benchmarks.backlog import CATALOGUE, Ticking
from tests.benchmarks.figures import console, figure, show
from tests.benchmarks.scale import QUEUE, SECRET, SET_ASIDE, Installation, installed
from tests.benchmarks.sending import Sender, written
from tests.benchmarks.worker import SWITCHED_ON

PER_SECOND = 50
QUEUED = 10_000  # orders of the busy shop, told of twice each: created, paid
P50_MS, P99_MS = 15.0, 80.0
P50_BESIDE_MS = 60.0
MOST_TIMES_IDLE = 3.0  # of the slowest 1 %: what a quiet shop may feel of a busy one
QUIET, BUSY = "quiet.myshopify.com", "busy.myshopify.com"
LOOK_SECONDS = 0.001
LOOK_QUEUE_SECONDS = 0.05
WARM_SECONDS = 2
PATIENCE_SECONDS = 30
MOST_SECONDS = 60  # in which the queue has to be empty
CONNECTIONS = 8
TEMPLATE = "queued"
# A plan made while the tables are empty is kept.
BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

_NEW = (
    "SELECT e.number, i.value FROM ledger_entries e JOIN sale_identities i"
    " ON i.merchant_id = e.merchant_id AND i.sale = e.sale AND i.kind = 'order'"
    " WHERE e.merchant_id = $1 AND e.number > $2"
)
_QUEUED = f"SELECT 1 FROM events t WHERE {WAITING} AND t.connection = '{BUSY}' LIMIT 1"


class Waits(NamedTuple):
    """How long orders took to the ledger, in ms, ascending."""

    idle: list[float]
    beside: list[float]


def measure(repetitions: int, seconds: int) -> bool:
    """Measure and print; tells whether every limit held in the median of repetitions."""
    with installed() as machines:
        machines.create(TEMPLATE)
        paid = asyncio.run(_prepare(machines))
        machines.execute(TEMPLATE, SET_ASIDE, "VACUUM ANALYZE events", "ANALYZE event_bodies")
        runs = []
        for repetition in range(repetitions):
            runs.append(_run(machines, paid, seconds))
            idle, beside = runs[-1]
            console.print(
                f"  {repetition + 1}/{repetitions}  idle p50 {_p50(idle):.1f} ms p99 {_p99(idle):.1f} ms,"
                f" beside the queue p50 {_p50(beside):.1f} ms p99 {_p99(beside):.1f} ms ({len(beside)} orders)",
                highlight=False,
            )
    return _print(runs)


def _print(runs: Sequence[Waits]) -> bool:
    idle_p50, idle_p99 = figure([_p50(run.idle) for run in runs]), figure([_p99(run.idle) for run in runs])
    p50, p99 = figure([_p50(run.beside) for run in runs]), figure([_p99(run.beside) for run in runs])
    times = figure([_p99(run.beside) / _p99(run.idle) for run in runs])
    orders = [sum(len(waits) for waits in each) for each in zip(*runs, strict=True)]
    heads = ("webhook → ledger", "orders", "p50 ms", "limit", "p99 ms", "limit", "p99, times idle", "limit")
    rows = [
        ("web + worker, idle", orders[0], idle_p50, P50_MS, idle_p99, P99_MS, "", ""),
        (f"{QUEUED:,} orders of another shop queued", orders[1], p50, P50_BESIDE_MS, p99, "", times, MOST_TIMES_IDLE),
    ]
    show(f"Webhook to ledger at {PER_SECOND}/s across processes, PostgreSQL and Valkey", heads, rows)
    return (
        idle_p50.middle < P50_MS
        and idle_p99.middle < P99_MS
        and p50.middle < P50_BESIDE_MS
        and times.middle < MOST_TIMES_IDLE
    )


async def _prepare(machines: Installation) -> list[Delivery]:
    """Add both shops, store the busy one's orders, and return the quiet one's paid orders."""
    async with opened(machines.settings(TEMPLATE)) as context:
        now = context.clock.now()
        start = now - HOUR
        for name, domain in (("Quiet", QUIET), ("Busy", BUSY)):
            wish = Wish(name=name, shop=domain, currency="USD", timezone="UTC")
            merchant: Merchant = await context.database.run(
                lambda w=wish: add_merchant(w, context.vault, start - SECOND)  # type: ignore[misc]
            )
            await context.database.run(lambda m=merchant: change_program(m.id, SWITCHED_ON, start - SECOND))  # type: ignore[misc]
        queued = _orders(BUSY, start, QUEUED, ("orders/create", "orders/paid"))
        for at in range(0, len(queued), 500):
            told = [Told(d.source, BUSY, d.id, d.topic, d.at, now, d.body) for d in queued[at : at + 500]]
            await record_all(context.database, told)
    return _orders(QUIET, start, PER_SECOND * (MOST_SECONDS + WARM_SECONDS + 30), ("orders/paid",))


def _orders(domain: str, start: int, orders: int, topics: Sequence[str]) -> list[Delivery]:
    """Make a shop's paid orders, each of a buyer of its own in turn of a thousand, told under some topics."""
    shop = Shop(domain, secret=SECRET, clock=Ticking(start))
    products = [shop.stock(title, price) for title, price in CATALOGUE]
    people = [shop.welcome("Ann", "Abel", f"buyer{n}@{domain}.example")[0] for n in range(1_000)]
    told: list[Delivery] = []
    for n in range(orders):
        order, news = shop.place(people[n % 1_000], [(products[n % 4], 1 + n % 3)])
        told += [delivery for delivery in (*news, *shop.pay(order)) if delivery.topic in topics]
    return told


def _run(machines: Installation, paid: Sequence[Delivery], seconds: int) -> Waits:
    machines.create("run", TEMPLATE)
    merchant = machines.fetch("run", "SELECT id FROM merchants WHERE name = 'Quiet'")[0]["id"]
    with ExitStack() as stack:
        port, _ = stack.enter_context(machines.web("run"))
        stack.enter_context(machines.worker("run"))
        waits = asyncio.run(_sent(machines, port, merchant, paid, seconds))
    machines.drop("run")
    return waits


async def _sent(machines: Installation, port: int, merchant: int, paid: Sequence[Delivery], seconds: int) -> Waits:
    """Send evenly, first alone, then beside the queue until it is empty."""
    watch = _Watch(merchant)
    left = iter(paid)
    url = machines.url("run")
    async with Sender(port, CONNECTIONS) as sender:
        looking = asyncio.create_task(watch.look(url))
        await _evenly(sender, left, watch, time.perf_counter() + WARM_SECONDS)
        await watch.arrived()
        await _evenly(sender, left, watch, time.perf_counter() + seconds)
        idle = await watch.arrived()
        connection = await asyncpg.connect(url)
        await connection.execute(QUEUE)
        await asyncio.to_thread(machines.ring)
        emptied = asyncio.create_task(_empty(connection))
        await _evenly(sender, left, watch, time.perf_counter() + MOST_SECONDS, emptied)
        beside = await watch.arrived()
        await connection.close()
        watch.over = True
        await looking
    return Waits(idle, beside)


async def _empty(connection: Any) -> None:
    while await connection.fetch(_QUEUED):
        await asyncio.sleep(LOOK_QUEUE_SECONDS)


async def _evenly(
    sender: Sender, left: Any, watch: "_Watch", until: float, emptied: "asyncio.Task[None] | None" = None
) -> None:
    """Send one after the other at PER_SECOND, until the moment or until the queue is empty."""
    beginning, posts = time.perf_counter(), []
    while time.perf_counter() < until and not (emptied is not None and emptied.done()):
        delivery = next(left)
        watch.sent[_order_id(delivery.body)] = time.perf_counter()
        posts.append(asyncio.create_task(sender.post(written(delivery))))
        await asyncio.sleep(max(0.0, beginning + len(posts) / PER_SECOND - time.perf_counter()))
    if emptied is not None and not emptied.done():
        raise SystemExit(f"The queue was not empty after {MOST_SECONDS} seconds.")
    statuses = await asyncio.gather(*posts)
    if set(statuses) != {200}:
        raise SystemExit(f"Some webhooks were answered {set(statuses) - {200}}.")


class _Watch:
    """Looks at the ledger all the time, and notes when an order stands there."""

    def __init__(self, merchant: int) -> None:
        self._merchant = merchant
        self.sent: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self.over = False

    async def look(self, url: str) -> None:
        """Look until it is over."""
        connection = await asyncpg.connect(url, server_settings=BY_INDEX)
        statement = await connection.prepare(_NEW)
        last = 0
        while not self.over:
            rows = await statement.fetch(self._merchant, last)
            now = time.perf_counter()
            for number, order in rows:
                self._seen.setdefault(order, now)
                last = max(last, number)
            await asyncio.sleep(LOOK_SECONDS)
        await connection.close()

    async def arrived(self) -> list[float]:
        """Wait until all that was sent stands in the ledger; returns how long each took, and begins anew."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while lost := self.sent.keys() - self._seen.keys():
            if time.perf_counter() > deadline:
                raise SystemExit(f"{len(lost)} of {len(self.sent)} orders never reached the ledger.")
            await asyncio.sleep(LOOK_QUEUE_SECONDS)
        waits = sorted((self._seen[order] - at) * 1000 for order, at in self.sent.items())
        self.sent = {}
        return waits


def _order_id(body: bytes) -> str:
    # The order's own id is the first of the body.
    return body[:64].split(b'"id":', 1)[1].split(b",", 1)[0].strip().decode()


def _p50(waits: Sequence[float]) -> float:
    return waits[len(waits) // 2]


def _p99(waits: Sequence[float]) -> float:
    return waits[int(len(waits) * 0.99)]
