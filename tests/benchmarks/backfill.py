"""How fast a history of a million orders is taken in by `regulars backfill`, and that its memory stays flat."""

import json
import os
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from integration.clock import Clock
from tests.benchmarks import past_orders
from tests.benchmarks.figures import console, show
from tests.benchmarks.machines import regulars, resident_megabytes
from tests.servers import postgres_binaries, private_postgres

ORDERS = 1_000_000
FLOOR = 2_000  # orders/s from the file's first byte to the last posting, on either engine
MOST_MEGABYTES = 300
NAME = "Bench"
ENGINES = ("SQLite", "PostgreSQL")


def measure(orders: int = ORDERS, engines: tuple[str, ...] = ENGINES) -> bool:
    """Measure once on each engine and print; tells whether floor and limit held."""
    rows, held = [], True
    for engine in engines:
        found = _measured(engine, orders)
        held &= found["rate"] >= FLOOR and found["most"] <= MOST_MEGABYTES
        megabytes = f"{found['first']:.0f} → {found['last']:.0f}, most {found['most']:.0f}"
        rows.append(
            (engine, f"{orders:,}", f"{found['rate']:,.0f}", f"≥ {FLOOR:,}", f"{found['taking']:,.0f}",
             megabytes, f"≤ {MOST_MEGABYTES}")
        )  # fmt: skip
    heads = ("backfill", "orders", "orders/s in all", "floor", "orders/s taken in", "MB", "limit")
    show("Backfill: from the export's first byte to the last posting", heads, rows)
    return held


def _measured(engine: str, orders: int) -> dict[str, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regulars-bench-")))
        environment = {**os.environ, "DATA_DIR": str(folder), "SECRET_KEY": "0123456789abcdef" * 2}
        environment.pop("DATABASE_URL", None)
        if engine == "PostgreSQL":
            binaries = postgres_binaries()
            if binaries is None:
                raise SystemExit("This benchmark needs PostgreSQL (Debian: apt-get install postgresql).")
            environment["DATABASE_URL"] = stack.enter_context(private_postgres(binaries, fsync=True))
        file = folder / "orders.jsonl"
        earning = past_orders.write(file, orders, Clock().now())
        console.print(f"  {engine}: {orders:,} orders, {file.stat().st_size / 1e9:.1f} GB of lines")
        for words in (
            ("migrate",),
            ("merchant", "add", NAME, "--shopify", "bench", "--currency", "USD", "--timezone", "UTC"),
            ("merchant", "program", NAME, "--set", "earning.enabled=true", "--set", "earning.points_per_unit=1"),
        ):
            subprocess.run(regulars(*words), env=environment, check=True, stdout=subprocess.DEVNULL)
        time.sleep(1.1)  # A programme is in force from the next whole second.
        found = _carried_out(environment, file)
    if found["orders"] != orders or found["points"] != earning:
        raise SystemExit(f"{found['orders']} orders and {found['points']} points, not {orders} and {earning}.")
    return found


def _carried_out(environment: dict[str, str], file: Path) -> dict[str, Any]:
    """Run the command, and watch its memory."""
    began = time.perf_counter()
    running = subprocess.Popen(
        regulars("backfill", NAME, "--file", str(file), "--commit", "--json"), env=environment, stdout=subprocess.PIPE
    )
    megabytes: list[float] = []
    watch = threading.Thread(target=_watch, args=(running, megabytes))
    watch.start()
    taking: float | None = None
    line: dict[str, Any] = {}
    assert running.stdout is not None
    for said in running.stdout:
        line = json.loads(said)
        if line.get("phase") == "orders":
            taking = taking or time.perf_counter()
            console.print(f"    {line['done']:>9,} {line['per_second']:>7,}/s {megabytes[-1]:.0f} MB", highlight=False)
    if running.wait():
        raise SystemExit("The backfill did not come to its end.")
    ended = time.perf_counter()
    watch.join()
    settled = [at for at in megabytes if at] or [0.0]
    return {
        "orders": line["orders"],
        "points": line["points"],
        "rate": line["orders"] / (ended - began),
        "taking": line["orders"] / (ended - (taking or began)),
        "first": settled[min(len(settled) - 1, 5)],
        "last": settled[-1],
        "most": max(settled),
    }


def _watch(running: "subprocess.Popen[bytes]", megabytes: list[float]) -> None:
    while running.poll() is None:
        try:
            megabytes.append(resident_megabytes(running.pid))
        except OSError:
            return
        time.sleep(1)
