"""From the moment a webhook is sent to the moment its points stand in the ledger, with `regulars serve`."""

import os
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from integration.sandbox.delivery import Delivery
from tests.benchmarks.backlog import mixed
from tests.benchmarks.figures import console, figure, show
from tests.benchmarks.machines import process, regulars, resident_megabytes
from tests.servers import free_port

DOMAIN = "bench.myshopify.com"
SECRET = "hush-hush-hush-hush-hush-hush-hush"
PER_SECOND = 50
P50_MS, P99_MS = 10.0, 60.0
LOOK_SECONDS = 0.0005
PATIENCE_SECONDS = 10


def measure(repetitions: int, seconds: int) -> bool:
    """Measure and print; tells whether both limits held in the median of repetitions."""
    with tempfile.TemporaryDirectory(prefix="regulars-bench-") as folder:
        data_dir, port = Path(folder), free_port()
        environment = {
            "PORT": str(port),
            "DATA_DIR": folder,
            "SHOPIFY_API_KEY": "bench",
            "SHOPIFY_API_SECRET": SECRET,
            "SECRET_KEY": "0123456789abcdef0123456789abcdef",
            "LOG_LEVEL": "WARNING",
        }
        with process(regulars("serve"), environment, port) as running:
            for words in (
                ("merchant", "add", "Bench", "--shopify", DOMAIN, "--currency", "USD", "--timezone", "UTC"),
                ("merchant", "program", "Bench", "--set", "earning.enabled=true", "--set", "thanks.enabled=true",
                 "--set", "thanks.when=every", "--set", "reviews.enabled=true"),
            ):  # fmt: skip
                subprocess.run(regulars(*words), env={**os.environ, **environment}, check=True, capture_output=True)
            time.sleep(1.5)  # a programme is in force from the next whole second
            # One shop for all repetitions: orders that name another shop's id would rightly have no effect.
            wanted = PER_SECOND * seconds
            start = time.time_ns() // 1000
            paid = [d for d in mixed(DOMAIN, SECRET, start, 14 * wanted * repetitions) if d.topic == "orders/paid"]
            p50s, p99s = [], []
            before = resident_megabytes(running.pid)
            for repetition in range(repetitions):
                orders = paid[repetition * wanted : (repetition + 1) * wanted]
                waits = _one_run(port, data_dir / "regulars.db", orders)
                p50s.append(waits[len(waits) // 2])
                p99s.append(waits[int(len(waits) * 0.99)])
                console.print(f"  {repetition + 1}/{repetitions}  p50 {p50s[-1]:.1f} ms  p99 {p99s[-1]:.1f} ms")
            after = resident_megabytes(running.pid)
    p50, p99 = figure(p50s), figure(p99s)
    heads = ("webhook → ledger", "orders", "p50 ms", "limit", "p99 ms", "limit", "MB, start → end")
    row = ("serve, SQLite", PER_SECOND * seconds * repetitions, p50, P50_MS, p99, P99_MS, f"{before:.0f} → {after:.0f}")
    show(f"Webhook to ledger at {PER_SECOND}/s", heads, [row])
    return p50.middle < P50_MS and p99.middle < P99_MS


def _one_run(port: int, database: Path, paid: Sequence[Delivery]) -> list[float]:
    """Send paid orders evenly; return for each, in ascending order, how many ms later it stood in the ledger."""
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(database, seen, done), daemon=True)
    watcher.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        beginning = time.perf_counter()
        for n, delivery in enumerate(paid):
            pause = beginning + n / PER_SECOND - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            sent[_order_id(delivery.body)] = time.perf_counter()
            answer = client.post(delivery.path, content=delivery.body, headers=delivery.headers)
            answer.raise_for_status()
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while len(sent.keys() & seen.keys()) < len(sent) and time.perf_counter() < deadline:
        time.sleep(0.01)
    done.set()
    watcher.join()
    lost = sent.keys() - seen.keys()
    if lost:
        raise SystemExit(f"{len(lost)} of {len(sent)} orders never reached the ledger.")
    return sorted((seen[order] - at) * 1000 for order, at in sent.items())


def _order_id(body: bytes) -> str:
    # The order's own id is the first of the body.
    return body[:64].split(b'"id":', 1)[1].split(b",", 1)[0].strip().decode()


def _watch(database: Path, seen: dict[str, float], done: threading.Event) -> None:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None) as connection:
        last = connection.execute("SELECT COALESCE(MAX(number), 0) FROM ledger_entries").fetchone()[0]
        while not done.is_set():
            rows = connection.execute(
                "SELECT e.number, i.value FROM ledger_entries e JOIN sale_identities i"
                " ON i.merchant_id = e.merchant_id AND i.sale = e.sale AND i.kind = 'order' WHERE e.number > ?",
                (last,),
            ).fetchall()
            now = time.perf_counter()
            for number, order in rows:
                seen.setdefault(order, now)
                last = max(last, number)
            time.sleep(LOOK_SECONDS)
