"""How fast one process works a backlog of mixed events, and whether its memory stays flat while it does."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from config.migrate import upgrade
from config.settings import Settings
from config.wiring import opened
from handlers.context import Context
from handlers.inbox.record import Delivery, record_all
from handlers.inbox.work import drain
from handlers.merchants.connections import Wish, add_merchant
from handlers.merchants.programs import change_program
from integration.clock import SECOND
from integration.database.steps import ask, plain
from integration.meters import events_worked
from tests.benchmarks.backlog import mixed
from tests.benchmarks.figures import console, figure, show
from tests.benchmarks.machines import resident_megabytes
from tests.servers import postgres_binaries, private_postgres

DOMAIN = "bench.myshopify.com"
SECRET = "hush-hush-hush-hush-hush-hush-hush"
BACKLOG = 20_000
QUARTERS = 4
POSTGRES_FLOOR = 3_000
FLOORS = {"SQLite": 4_000, "PostgreSQL": POSTGRES_FLOOR}  # events/s of one process
# Notes are due in a month, for a mail is not what is measured.
SWITCHED_ON = {
    "earning.enabled": True,
    "thanks.enabled": True,
    "thanks.when": "every",
    "thanks.delay_minutes": 60 * 24 * 30,
    "reviews.enabled": True,
}


def measure(repetitions: int, engines: tuple[str, ...] = ("SQLite", "PostgreSQL")) -> bool:
    """Measure and print; tells whether the floors were reached. Each run is a fresh process."""
    rows, reached = [], True
    for engine in engines:
        runs = []
        for repetition in range(repetitions):
            said = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.worker", engine], check=True, capture_output=True, text=True
            ).stdout
            runs.append(json.loads(said.splitlines()[-1]))
            last = runs[-1]
            console.print(
                f"  {repetition + 1}/{repetitions}  {engine:<10} {last['per_second']:>7,.0f} events/s"
                f"  {last['megabytes']}",
                highlight=False,
            )
        rate = figure([run["per_second"] for run in runs])
        cpu = figure([run["cpu_us"] for run in runs])
        quarters = zip(*(run["megabytes"] for run in runs), strict=True)
        memory = " → ".join(f"{figure(several).middle:.0f}" for several in quarters)
        reached &= rate.middle >= FLOORS[engine]
        rows.append((f"{engine}, one process", runs[0]["events"], rate, f"≥ {FLOORS[engine]:,}", cpu, memory))
    heads = ("worker", "events", "events/s", "floor", "CPU µs an event", "MB at each quarter")
    show("Worker: sales, points, thanks and reviews from a mixed backlog", heads, rows)
    return reached


async def drain_once(settings: Settings) -> dict[str, object]:
    """Fill an inbox with a mixed backlog, then time one worker emptying it."""
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(opened(settings))
        events, size = await fill(context)
        megabytes: list[int] = []
        watch = asyncio.create_task(_watch_memory(events, megabytes))
        began, cpu = time.perf_counter(), time.process_time()
        worked = await drain(context)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        await watch
        failed = await context.database.read(
            lambda: ask(plain("SELECT COUNT(*) FROM events WHERE failed_at IS NOT NULL OR outcome <> 'applied'"), ())
        )
        behind = await context.database.read(lambda: ask(plain("SELECT COUNT(*) FROM settlements"), ()))
    if worked != events or failed[0][0] or behind[0][0]:
        raise SystemExit(f"{worked} of {events} worked, {failed[0][0]} failed, {behind[0][0]} settlements behind.")
    return {
        "events": events,
        "per_second": events / seconds,
        "cpu_us": cpu / events * 1e6,
        "body_bytes": size,
        "megabytes": megabytes,
    }


async def fill(context: Context, shops: int = 1) -> tuple[int, float]:
    """Store a backlog of so many shops together; returns how many events it has, and the mean size of their bodies."""
    now = context.clock.now()
    start = now - 3 * 3600 * SECOND
    events = size = 0
    for n in range(shops):
        domain = DOMAIN if shops == 1 else f"{n}-{DOMAIN}"
        wish = Wish(name=f"Bench {n}", shop=domain, currency="USD", timezone="America/New_York")
        merchant = await context.database.run(lambda w=wish: add_merchant(w, context.vault, start - 60 * SECOND))  # type: ignore[misc]
        await context.database.run(
            lambda m=merchant: change_program(m.id, SWITCHED_ON, start - 60 * SECOND)  # type: ignore[misc]
        )
        backlog = mixed(domain, SECRET, start, BACKLOG // shops, seed=7 + n)
        for at in range(0, len(backlog), 500):
            told = [Delivery(d.source, domain, d.id, d.topic, d.at, now, d.body) for d in backlog[at : at + 500]]
            await record_all(context.database, told)
        events += len(backlog)
        size += sum(len(d.body) for d in backlog)
    if context.database.dialect == "postgresql":
        for table in ("events", "event_bodies"):
            await context.database.run(lambda t=table: ask(plain(f"ANALYZE {t}"), ()))  # type: ignore[misc]
    return events, size / events


async def _watch_memory(events: int, megabytes: list[int]) -> None:
    """Note the memory held when each quarter of the backlog is done."""
    while len(megabytes) < QUARTERS:
        if events_worked() >= events * (len(megabytes) + 1) / QUARTERS:
            megabytes.append(round(resident_megabytes(os.getpid())))
        await asyncio.sleep(0.01)


def _main(engine: str) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regulars-bench-")))
        url = None
        if engine == "PostgreSQL":
            binaries = postgres_binaries()
            if binaries is None:
                raise SystemExit("This benchmark needs PostgreSQL (Debian: apt-get install postgresql).")
            url = stack.enter_context(private_postgres(binaries, fsync=True))
        settings = Settings(data_dir=folder, database_url=url, secret_key="0123456789abcdef" * 2)
        upgrade(url or f"sqlite:///{folder / 'regulars.db'}")
        print(json.dumps(asyncio.run(drain_once(settings))))


if __name__ == "__main__":
    _main(sys.argv[1])
