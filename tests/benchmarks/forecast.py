"""How fast a forecast counts a shop's year of orders, in how much memory, and how long others wait beside it."""

import asyncio
import gc
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from config.commands.run import COLLECT_AFTER
from config.settings import Settings
from config.wiring import opened
from handlers.merchants.connections import find_merchant
from handlers.merchants.rules import Program
from handlers.programme.jobs import count
from handlers.programme.store import Question
from integration.clock import DAY, Clock
from tests.benchmarks import past_orders
from tests.benchmarks.figures import console, show
from tests.benchmarks.machines import regulars, resident_megabytes
from tests.servers import postgres_binaries, private_postgres

ORDERS = 100_000  # some hundred days of a busy shop
FLOOR = 2_500  # sales/s, under one programme
MOST_MEGABYTES = 150  # beyond what the process had before
LOOKED_EVERY = 50  # turns of the loop between two looks at the memory
NAME = "Bench"
ENGINES = ("SQLite", "PostgreSQL")
SECRET = "0123456789abcdef" * 2
PROGRAM = Program.model_validate(
    {"earning": {"enabled": True}, "thanks": {"enabled": True}, "reviews": {"enabled": True}}
)


def measure(orders: int = ORDERS, engines: tuple[str, ...] = ENGINES) -> bool:
    """Measure once on each engine and print; tells whether floor and limit held."""
    rows, held = [], True
    for engine in engines:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regulars-bench-")))
            url = None
            if engine == "PostgreSQL":
                binaries = postgres_binaries()
                if binaries is None:
                    raise SystemExit("This benchmark needs PostgreSQL (Debian: apt-get install postgresql).")
                url = stack.enter_context(private_postgres(binaries))
            _filled(folder, url, orders)
            # As the program does before it serves.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)
            rate, megabytes, waits = asyncio.run(_counted(folder, url))
        held &= rate >= FLOOR and megabytes <= MOST_MEGABYTES
        rows.append(
            (engine, f"{orders:,}", f"{rate:,.0f}", f"≥ {FLOOR:,}", f"{megabytes:.0f}", f"≤ {MOST_MEGABYTES}",
             f"{waits[len(waits) // 2]:.0f} / {waits[len(waits) * 99 // 100]:.0f}")
        )  # fmt: skip
    heads = ("forecast", "orders", "sales/s", "floor", "MB more", "limit", "others wait, ms p50 / p99")
    show("Forecast: a shop's own orders counted under a programme", heads, rows)
    return held


def _filled(folder: Path, url: str | None, orders: int) -> None:
    """Take a history in, with earning on."""
    environment = {**os.environ, "DATA_DIR": str(folder), "SECRET_KEY": SECRET}
    environment.pop("DATABASE_URL", None)
    environment |= {"DATABASE_URL": url} if url else {}
    file = folder / "orders.jsonl"
    past_orders.write(file, orders, Clock().now())
    console.print(f"  {orders:,} orders are taken in")
    for words in (
        ("migrate",),
        ("merchant", "add", NAME, "--shopify", "bench", "--currency", "USD", "--timezone", "UTC"),
        ("merchant", "program", NAME, "--set", "earning.enabled=true"),
    ):
        subprocess.run(regulars(*words), env=environment, check=True, stdout=subprocess.DEVNULL)
    time.sleep(1.1)  # A programme is in force from the next whole second.
    taken = regulars("backfill", NAME, "--file", str(file), "--commit", "--json")
    subprocess.run(taken, env=environment, check=True, stdout=subprocess.DEVNULL)


async def _counted(folder: Path, url: str | None) -> tuple[float, float, list[float]]:
    """Return sales/s, megabytes more than before, and how many milliseconds a turn of the loop came late, sorted."""
    async with opened(Settings(data_dir=folder, secret_key=SECRET, database_url=url)) as context:
        now = context.clock.now()
        merchant_id = await context.database.read(lambda: find_merchant(NAME))
        question = Question((PROGRAM.model_dump_json(),), now - 365 * DAY, now, 1)
        late: list[float] = []
        held: list[float] = []
        watch = asyncio.create_task(_watched(late, held))
        before, began = resident_megabytes(os.getpid()), time.perf_counter()
        (found,) = await count(context, merchant_id, question, _nothing)
        seconds = time.perf_counter() - began
        watch.cancel()
        return (found.earning + sum(found.nothing.values())) / seconds, max(held) - before, sorted(late)


async def _nothing(_done: int, _due: int) -> None:
    """Tell nobody."""


async def _watched(late: list[float], held: list[float]) -> None:
    while True:
        if len(late) % LOOKED_EVERY == 0:
            held.append(resident_megabytes(os.getpid()))
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        late.append(1_000 * (time.perf_counter() - began) - 5)
