"""How many rewards a minute are made at a shop that throttles, and how much of its cost bucket that takes.

The pretend Shopify keeps the real one's bucket: ten points a mutation and one an object, set aside before and the
difference given back; 100 points a second on the standard plan, 1,000 on Plus, twenty seconds' worth at most.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from rich.progress import track

from config.settings import Settings
from config.wiring import REWARDS, opened
from handlers.context import Context
from handlers.merchants.connections import Wish as Joining
from handlers.merchants.connections import add_merchant
from handlers.merchants.programs import change_program
from handlers.points.adjust import adjust
from handlers.rewards import changes
from handlers.rewards.changes import Wish
from handlers.rewards.jobs import BELL, ask_for_ever
from integration.clock import MINUTE, SECOND, Clock
from integration.database.steps import BIG, TEXT, Steps, ask, insert, plain
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_api import BUCKET_SECONDS, PretendShopify
from integration.shopify.admin import Admin
from tests.benchmarks.figures import show
from tests.benchmarks.machines import new_database

ENGINES = ("SQLite", "PostgreSQL")
SECONDS = 30
FLOOR = 1_000  # rewards a minute
A_MINUTE = 1_200  # wishes, so that the last one's wait does not hide the rate
LEAST_OF_BUCKET = 0.8  # of what the bucket would allow at best, where it is what limits
LATE = 30.0  # seconds after the last wish by which all must be there
AT_ONCE = 16  # wishes under way
STANDARD, PLUS = 100.0, 1_000.0  # points a second
OFFER = {"name": "5 off", "kind": "amount_off", "points": 10, "value": "5"}
PLATFORMS = {kind.name: kind.platform for kind in REWARDS}
_PEOPLE = insert("customers", "", merchant_id=BIG, number=BIG, shopify_id=TEXT, created_at=BIG)
_COUNTERS = plain("UPDATE books SET next_customer = ?2 WHERE merchant_id = ?1")
_MADE = plain("SELECT asked_at, issued_at, state FROM redemptions")


class Case(NamedTuple):
    """One shape of codes at so many shops of a plan; at the pace of wishes, or all wanted at once."""

    name: str
    shops: int
    restored: float
    shared: bool
    at_once: bool = False


CASES = (
    Case("one discount, many codes; a standard shop", 1, STANDARD, True),
    Case("a discount a customer; five standard shops", 5, STANDARD, False),
    Case("a discount a customer; a Plus shop", 1, PLUS, False),
    Case("a discount a customer; a standard shop, all at once", 1, STANDARD, False, at_once=True),
)


class Measured(NamedTuple):
    """What one case came to."""

    wanted: int
    made: int
    seconds: float  # from the first wish to the last reward
    waits: list[float]  # seconds, in order
    throttled: int
    spent: float  # points
    allowed: float  # points: what the buckets held and got in that time
    questions: int


def measure(seconds: int = SECONDS, engines: tuple[str, ...] = ENGINES) -> bool:
    """Measure and print; tells whether every floor held and nothing was throttled."""
    rows, held = [], True
    for engine in engines:
        for case in track(CASES, f"rewards, {engine}", transient=True):
            with new_database(engine) as (url, folder):
                found = asyncio.run(_run(url, folder, case, seconds))
            held &= _told(rows, engine, case, found)
    heads = ("engine", "case", "made/min", "floor", "waits s p50 / p95", "throttled", "points", "allowed", "used",
             "a reward")  # fmt: skip
    show("Rewards at a shop that throttles", heads, rows, words=(0, 1))
    return held


def _told(rows: list[tuple[object, ...]], engine: str, case: Case, found: Measured) -> bool:
    """Write one row; tells whether its floor held."""
    rate = found.made / found.seconds * 60
    # As many as the bucket would pay for if it were used to its last point: the baseline where it is what limits.
    cost = found.spent / max(1, found.made)
    best = found.allowed / cost / found.seconds * 60
    floor = LEAST_OF_BUCKET * best if case.at_once else FLOOR
    waits = found.waits or [0.0]
    share = f" ({rate / best:.2f} of the bucket)" if case.at_once else ""
    slow = f"{waits[len(waits) // 2]:.1f} / {waits[len(waits) * 95 // 100]:.1f}"
    rows.append(
        (engine, case.name, f"{rate:,.0f}", f"≥ {floor:,.0f}{share}", slow, found.throttled, f"{found.spent:,.0f}",
         f"{found.allowed:,.0f}", f"{found.spent / found.allowed:.2f}", f"{cost:.2f}")
    )  # fmt: skip
    all_there = case.at_once or found.made == found.wanted
    return rate >= floor and found.throttled == 0 and found.spent <= found.allowed and all_there


async def _run(url: str, folder: Path, case: Case, seconds: int) -> Measured:
    clock = Clock()
    shops = [Shop(f"shop-{n}.myshopify.com", secret="s", clock=clock.now, seed=n) for n in range(case.shops)]
    for shop in shops:
        shop.scopes = ("write_discounts",)
    pretend = PretendShopify.of(shops, "the-key", "the-secret")
    pretend.restored = case.restored
    settings = Settings(
        _env_file=None, database_url=url, data_dir=folder, secret_key="a key of more than thirty-two characters"
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(pretend.app))
    admin = Admin(client, base="http://pretend/{shop}")
    # Wanted all at once, there are more than the bucket can pay for within the time.
    count = round((A_MINUTE if not case.at_once else 2 * 60 * case.restored / 10) * seconds / 60)
    async with opened(settings, clock=clock, shopify=admin) as context:
        merchants = [await _joined(context, pretend, shop, case, -(-count // case.shops)) for shop in shops]
        stop = asyncio.Event()
        asking = asyncio.create_task(ask_for_ever(context, stop))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await _wished(context, merchants, count, seconds, case)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, began + seconds - loop.time()) if case.at_once else LATE):
                while any(row[2] == "asked" for row in await context.database.read(lambda: ask(_MADE, ()))):
                    await asyncio.sleep(0.2)
        rows = await context.database.read(lambda: ask(_MADE, ()))
        elapsed = loop.time() - began
        stop.set()
        context.queue.ring(BELL)
        await asking
    made = [(issued_at - asked_at) / SECOND for asked_at, issued_at, state in rows if state == "issued"]
    first = min(row[0] for row in rows)
    took = elapsed if case.at_once else max(row[1] or 0 for row in rows) / SECOND - first / SECOND
    allowed = case.shops * case.restored * (BUCKET_SECONDS + elapsed)
    return Measured(
        count, len(made), took, sorted(made), sum(pretend.throttled.values()), sum(pretend.spent.values()), allowed,
        len(pretend.calls),
    )  # fmt: skip


async def _joined(context: Context, pretend: PretendShopify, shop: Shop, case: Case, people: int) -> int:
    """Have a merchant join with customers who have points for a reward each."""
    now, run = context.clock.now(), context.database.run
    token = pretend.grant(shop.domain)["access_token"]
    joining = Joining(shop.domain, shop.domain, "USD", "UTC", "US", None, token)
    merchant = (await run(lambda: add_merchant(joining, context.vault, now))).id
    settings = {"rewards.enabled": True, "rewards.catalogue": {"five": OFFER | {"shared": case.shared}}}
    await run(lambda: change_program(merchant, settings, now - MINUTE))

    def give(numbers: range) -> Steps[None]:
        for number in numbers:
            yield from adjust(merchant, number, 10, "A gift", None, now)

    def join() -> Steps[None]:
        rows: list[tuple[Any, ...]] = [(merchant, n, str(n), now) for n in range(1, people + 1)]
        yield from ask(_PEOPLE, rows)
        yield from ask(_COUNTERS, (merchant, people + 1))

    await run(join)
    for start in range(1, people + 1, 100):
        numbers = range(start, min(people + 1, start + 100))
        await run(lambda numbers=numbers: give(numbers))  # type: ignore[misc]
    return merchant


async def _wished(context: Context, merchants: list[int], count: int, seconds: int, case: Case) -> None:
    """Have every customer want a reward: evenly over the time, or all at once."""
    free, loop = asyncio.Semaphore(AT_ONCE), asyncio.get_running_loop()
    began = loop.time()

    async def one(n: int) -> None:
        if not case.at_once:
            await asyncio.sleep(max(0.0, began + seconds * n / count - loop.time()))
        async with free:
            wish = Wish(merchants[n % len(merchants)], n // len(merchants) + 1, "five", 1, f"wish-{n}")
            now = context.clock.now()
            await context.database.run(lambda: changes.redeem(wish, PLATFORMS, now))
        context.queue.ring(BELL)

    async with asyncio.TaskGroup() as group:
        for n in range(count):
            group.create_task(one(n))
