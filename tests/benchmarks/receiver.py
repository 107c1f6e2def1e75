"""The receiver against a bare endpoint: signed 6 KB orders, unique deliveries, every 200 durable."""

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from config.migrate import upgrade
from tests.benchmarks.backlog import mixed
from tests.benchmarks.figures import console, figure, show
from tests.benchmarks.machines import LOAD_CORE, SERVER_CORE, on_core, process, regulars, resident_megabytes
from tests.servers import free_port, postgres_binaries, private_postgres

DOMAIN = "bench.myshopify.com"
SECRET = "hush-hush-hush-hush-hush-hush-hush"
CONNECTIONS = (32, 128)
BODIES = 500  # different orders in turn; delivery ids never repeat
FLOORS = {32: 0.30, 128: 0.40}  # of the bare endpoint, on either engine
TUNED = {"shared_buffers": "1GB", "min_wal_size": "2GB", "max_wal_size": "4GB"}  # as for a machine of its own
SEGMENTS = 120
LOAD = Path(__file__).with_name("orders.lua")


class Run(NamedTuple):
    """What one burst of load saw."""

    per_second: float
    p99_ms: float
    answered: int
    refused: int


def measure(repetitions: int, seconds: int) -> bool:
    """Measure and print; tells whether every floor was reached and every 200 was durable."""
    if shutil.which("wrk") is None:
        raise SystemExit("This benchmark needs the load generator wrk (Debian: apt-get install wrk).")
    runs: dict[tuple[str, int], list[Run]] = {}
    baseline: dict[tuple[str, int], list[Run]] = {}
    memory: dict[str, list[tuple[float, float]]] = {}
    durable = True
    with tempfile.TemporaryDirectory(prefix="regulars-bench-") as folder, _bare() as bare:
        bodies = _write_bodies(Path(folder))
        _load(bare, bodies, 32, 1, "warm")
        # One engine after the other: what one still has to write to the disk must not slow the other down.
        for engine in ("SQLite", "PostgreSQL"):
            for repetition in range(repetitions):
                with _fresh(engine) as (port, pid, stored):
                    warmed = _load(port, bodies, 32, 1, "warm").answered
                    before, answered = resident_megabytes(pid), 0
                    for connections in CONNECTIONS:
                        base = _load(bare, bodies, connections, seconds, "bare")
                        run = _load(port, bodies, connections, seconds, f"{connections}")
                        baseline.setdefault((engine, connections), []).append(base)
                        runs.setdefault((engine, connections), []).append(run)
                        answered += run.answered
                        console.print(
                            f"  {repetition + 1}/{repetitions}  {engine:<10} {connections:>3} connections"
                            f"  {run.per_second:>8,.0f}/s  p99 {run.p99_ms:.0f} ms  bare {base.per_second:>8,.0f}/s",
                            highlight=False,
                        )
                    memory.setdefault(engine, []).append((before, resident_megabytes(pid)))
                    rows = stored()
                    durable &= rows >= answered + warmed
                    if rows < answered + warmed:
                        console.print(f"[bold red]{engine}: {answered + warmed:,} answered, only {rows:,} stored.[/]")
    return _print(runs, baseline, memory) and durable


@contextmanager
def _fresh(engine: str) -> Iterator[tuple[int, int, Callable[[], int]]]:
    """Serve on a new database; yields the port, the process, and what counts the deliveries stored."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regulars-bench-")))
        url = None
        if engine == "PostgreSQL":
            binaries = postgres_binaries()
            if binaries is None:
                raise SystemExit("This benchmark needs PostgreSQL (Debian: apt-get install postgresql).")
            url = stack.enter_context(private_postgres(binaries, fsync=True, tuned=TUNED))
            asyncio.run(_run_in(url))
        port, pid = stack.enter_context(_product(folder / "data", url))
        yield port, pid, lambda: _stored_sqlite(folder / "data") if url is None else _stored_postgres(url)


async def _run_in(url: str) -> None:
    """Give a new server what one that has run for an hour has: segments of its log to use again.

    A new one makes and flushes 16 MB of zeroes every few hundred milliseconds under this load.
    """
    connection = await asyncpg.connect(url)
    try:
        for _ in range(SEGMENTS):
            await connection.execute("SELECT pg_logical_emit_message(true, 'run', 'in')")
            await connection.execute("SELECT pg_switch_wal()")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _print(
    runs: dict[tuple[str, int], list[Run]],
    baseline: dict[tuple[str, int], list[Run]],
    memory: dict[str, list[tuple[float, float]]],
) -> bool:
    rows, reached = [], True
    for (engine, connections), several in runs.items():
        bases = baseline[engine, connections]
        ratio = figure([run.per_second / base.per_second for run, base in zip(several, bases, strict=True)])
        p99 = figure([run.p99_ms for run in several])
        refused = sum(run.refused for run in several)
        floor = FLOORS[connections]
        reached &= refused == 0 and ratio.middle >= floor and p99.middle < 50
        held = " → ".join(f"{figure(values).middle:.0f}" for values in zip(*memory[engine], strict=True))
        rate, base_rate = figure([run.per_second for run in several]), figure([base.per_second for base in bases])
        rows.append((engine, connections, rate, base_rate, ratio, f"≥ {floor}", p99, refused, held))
    heads = ("receiver", "connections", "requests/s", "bare", "ratio", "floor", "p99 ms", "not 200", "MB, start → end")
    show("Receiver: verify, store durably, ring, answer 200 (median, least to most)", heads, rows)
    return reached


def _load(port: int, bodies: Path, connections: int, seconds: int, label: str) -> Run:
    said = subprocess.run(
        on_core(
            LOAD_CORE,
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s", str(LOAD),
             f"http://127.0.0.1:{port}/webhooks/shopify", "--", str(bodies), label],
        ),
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = re.search(r"^RESULT (.*)$", said, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk said nothing usable:\n{said}")
    result = json.loads(found.group(1))
    answered = result["requests"] - result["refused"]
    return Run(result["requests"] / result["seconds"], result["p99_ms"], answered, result["refused"])


def _write_bodies(folder: Path) -> Path:
    """Write signed orders for the generator, one a line: signature, tab, body."""
    orders = [d for d in mixed(DOMAIN, SECRET, 1_790_000_000_000_000, 4 * BODIES) if d.topic == "orders/create"]
    path = folder / "orders.tsv"
    lines = (d.headers["X-Shopify-Hmac-Sha256"].encode() + b"\t" + d.body for d in orders[:BODIES])
    path.write_bytes(b"\n".join(lines) + b"\n")
    size = sum(len(d.body) for d in orders[:BODIES]) / len(orders[:BODIES])
    console.print(f"{len(orders[:BODIES])} different signed orders of {size / 1000:.1f} KB.")
    return path


@contextmanager
def _bare() -> Iterator[int]:
    port = free_port()
    command = on_core(SERVER_CORE, [sys.executable, "-m", "tests.benchmarks.bare", str(port)])
    with process(command, {}, port):
        yield port


@contextmanager
def _product(data_dir: Path, database_url: str | None) -> Iterator[tuple[int, int]]:
    data_dir.mkdir()
    port = free_port()
    environment = {
        "PORT": str(port),
        "DATA_DIR": str(data_dir),
        "SHOPIFY_API_KEY": "bench",
        "SHOPIFY_API_SECRET": SECRET,
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "LOG_LEVEL": "WARNING",
    }
    if database_url is not None:
        environment["DATABASE_URL"] = database_url
    command = regulars("merchant", "add", "Bench", "--shopify", DOMAIN, "--currency", "USD", "--timezone", "UTC")
    upgrade(database_url or f"sqlite:///{data_dir / 'regulars.db'}")
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    with process(on_core(SERVER_CORE, regulars("web")), environment, port) as running:
        yield port, running.pid


def _stored_sqlite(data_dir: Path) -> int:
    with sqlite3.connect(data_dir / "regulars.db") as connection:
        return int(connection.execute("SELECT COUNT(*) FROM events").fetchone()[0])


def _stored_postgres(url: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval("SELECT COUNT(*) FROM events"))
        finally:
            await connection.close()

    return asyncio.run(count())
