"""How fast a large merchant's customers are placed on the ladder, and how long one who buys much locks the books."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from handlers.context import Context
from handlers.ladder import NOBODY
from handlers.merchants.programs import change_program, read_program
from handlers.tiers import settle
from handlers.tiers.jobs import look_due
from handlers.tiers.views import moves
from integration.clock import DAY, SECOND
from integration.database.engine import Database
from integration.database.steps import Steps, ask, plain
from tests.benchmarks.crowd import BUSY, NOW, fill
from tests.benchmarks.figures import console, show
from tests.benchmarks.machines import new_database

CUSTOMERS = 100_000
ENTRIES = 500_000
BUSY_SALES = 10_000  # of the one who buys all the time
PREVIEWED = 10_000  # people whose moves are counted
PAGE = 100
MOST_RUNS = 20
FLOOR = 500  # people placed in a second
MOST_LOCKED = 0.5  # seconds the books are locked for whoever bought 10,000 times
ENGINES = ("SQLite", "PostgreSQL")
LADDER = {
    "tiers.enabled": True, "tiers.by": "spend",
    "tiers.ladder": {"silver": {"name": "Silver", "threshold": 50}, "gold": {"name": "Gold", "threshold": 200}},
}  # fmt: skip
DEARER = {"tiers.ladder.gold.threshold": 250}


def measure(customers: int = CUSTOMERS, engines: tuple[str, ...] = ENGINES) -> bool:
    """Measure once on each engine and print; tells whether floor and limit held."""
    rows, held = [], True
    for engine in engines:
        with new_database(engine) as (url, folder):
            rate, saved, counted, whole, locked = asyncio.run(_run(url, folder, customers))
        held &= rate >= FLOOR and locked <= MOST_LOCKED
        rows.append(
            (engine, f"{customers:,}", f"{rate:,.0f}", f"≥ {FLOOR:,}", f"{saved * 1000:,.0f}", f"{counted:,.0f}",
             f"{whole * 1000:,.0f}", f"{locked * 1000:,.0f}", f"≤ {MOST_LOCKED * 1000:,.0f}")
        )  # fmt: skip
    heads = ("ladder", "people", "placed/s", "floor", "a save that moves nobody, ms", "counted/s before a change",
             "one with 10,000 sales, ms", "of it under the lock, ms", "limit")  # fmt: skip
    show("Tiers: everybody placed under new terms", heads, rows)
    return held


async def _run(url: str, folder: Path, customers: int) -> tuple[float, float, float, float, float]:
    database = await Database.open(url, folder)
    try:
        crowd = await fill(database, customers, ENTRIES * customers // CUSTOMERS)
        clock = SimpleNamespace(instant=NOW + DAY)
        clock.now = lambda: clock.instant
        context = cast(Context, SimpleNamespace(database=database, clock=clock, rises=None))

        async def saves(settings: dict[str, Any]) -> tuple[int, float]:
            """Change the programme and have the clock look; how many people, in how many seconds."""
            await database.run(lambda: change_program(crowd.merchant_id, settings, clock.instant))
            clock.instant += 2 * SECOND
            began, people = time.perf_counter(), 0
            for _ in range(MOST_RUNS):
                looked_at = await look_due(context)
                people += looked_at
                if not looked_at:
                    break
            return people, time.perf_counter() - began

        people, seconds = await saves(LADDER)
        console.print(f"  {database.dialect}: {people:,} people placed in {seconds:,.0f} s")
        nobody, saved = await saves({"thanks.delay_minutes": 90})
        assert nobody == 0
        counted = await _counted(database, crowd.merchant_id, clock.instant)
        await database.run(lambda: _busier(crowd.merchant_id, BUSY_SALES))
        with _timed_lock() as locked:
            began = time.perf_counter()
            await look_due(context)
            whole = time.perf_counter() - began
        return people / seconds, saved, counted, whole, max(locked)
    finally:
        await database.close()


async def _counted(database: Database, merchant_id: int, now: int) -> float:
    """Count who would move if gold took more; people a second."""
    program = (await database.read(lambda: read_program(merchant_id))).program
    gold = program.tiers.ladder["gold"].model_copy(update={"threshold": DEARER["tiers.ladder.gold.threshold"]})
    tiers = program.tiers.model_copy(update={"ladder": {**program.tiers.ladder, "gold": gold}})
    found, began, after = NOBODY, time.perf_counter(), 0
    while after is not None and found.moves.total() < PREVIEWED:
        page, after = await database.read(lambda a=after: moves(merchant_id, tiers, a, PAGE, now))  # type: ignore[misc,assignment]
        found = found.plus(page)
    return found.moves.total() / (time.perf_counter() - began)


def _busier(merchant_id: int, sales: int) -> Steps[None]:
    """Give the busiest customer the sales of others until they have so many, and have them looked at."""
    sql = (
        "UPDATE sales SET customer = ?2 WHERE merchant_id = ?1 AND number IN"
        " (SELECT number FROM sales WHERE merchant_id = ?1 AND customer <> ?2 ORDER BY number LIMIT ?3)"
    )
    ((have,),) = yield from ask(
        plain("SELECT count(*) FROM sales WHERE merchant_id = ?1 AND customer = ?2"), (merchant_id, BUSY)
    )
    yield from ask(plain(sql), (merchant_id, BUSY, sales - have))
    yield from settle.store.call([(merchant_id, BUSY)], 1)


@contextmanager
def _timed_lock() -> Iterator[list[float]]:
    """Note how long each look at people took from the lock to its last word."""
    found: list[float] = []
    real: Callable[..., Steps[set[int]]] = settle._look

    def timed(*arguments: Any, **named: Any) -> Steps[set[int]]:
        began = time.perf_counter()
        result = yield from real(*arguments, **named)
        found.append(time.perf_counter() - began)
        return result

    settle._look = timed
    try:
        yield found
    finally:
        settle._look = real
