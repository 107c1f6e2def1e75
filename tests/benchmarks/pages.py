"""How long a merchant's pages take beside 100,000 customers and a million entries, each page's slowest in twenty."""

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from config.asgi import build
from config.migrate import upgrade
from config.settings import Settings
from config.wiring import opened
from handlers.context import Context
from handlers.merchants.sessions import new_link
from integration.clock import Clock
from integration.database.engine import Database
from tests.benchmarks.crowd import BUSY, CUSTOMERS, ENTRIES, NOW, Crowd, email_of, fill, name_of
from tests.benchmarks.figures import console, show
from tests.servers import postgres_binaries, private_postgres

LIMIT_MS = 150.0
TIMES = 40  # each page is asked for
WARM = 3
HERE = "http://localhost:8000"

Dice = random.Random
# Every page of a merchant that can be looked at, by an address that lands on something; a new page is one line here.
PAGES: tuple[tuple[str, Callable[[Dice, Crowd], str]], ...] = (
    ("home", lambda dice, crowd: "/app"),
    ("programme", lambda dice, crowd: "/app/programme"),
    ("programme, history", lambda dice, crowd: "/app/programme/history"),
    ("programme, undoing", lambda dice, crowd: "/app/programme/restore/1"),
    ("programme, what if", lambda dice, crowd: "/app/programme/what-if"),
    ("messages", lambda dice, crowd: "/app/messages"),
    ("messages, queue", lambda dice, crowd: "/app/messages/queue"),
    ("messages, queue of one kind", lambda dice, crowd: "/app/messages/queue?kind=thank_you&state=scheduled"),
    ("messages, pausing", lambda dice, crowd: "/app/messages/pause"),
    ("messages, not delivered", lambda dice, crowd: "/app/messages/undelivered"),
    ("messages, words", lambda dice, crowd: "/app/messages/words/thank_you"),
    ("connections", lambda dice, crowd: "/app/connections"),
    ("connections, Stripe", lambda dice, crowd: "/app/connections/stripe"),
    ("connections, data", lambda dice, crowd: "/app/connections/data"),
    ("activity", lambda dice, crowd: "/app/activity"),
    ("activity, amiss", lambda dice, crowd: "/app/activity?state=amiss"),
    ("activity, of a rare kind", lambda dice, crowd: "/app/activity?state=unhandled"),
    ("activity, by order", lambda dice, crowd: f"/app/activity?q=%23{crowd.sales - dice.randint(1, 10**5)}"),
    ("activity, by nothing", lambda dice, crowd: f"/app/activity?q=zz{dice.randint(1, 10**6)}"),
    ("activity, one event", lambda dice, crowd: f"/app/activity/events/{dice.randint(1, 10**5)}"),
    ("activity, replaying all", lambda dice, crowd: "/app/activity/replay"),
    ("activity, recovered", lambda dice, crowd: "/app/activity/recovered"),
    ("activity, duplicates", lambda dice, crowd: "/app/activity/duplicates"),
    ("activity, changes", lambda dice, crowd: "/app/activity/changes"),
    ("activity, looks", lambda dice, crowd: "/app/activity/looks"),
    ("requests", lambda dice, crowd: "/app/requests"),
    ("customers, latest", lambda dice, crowd: "/app/customers"),
    ("customers, by first name", lambda dice, crowd: f"/app/customers?q={somebody(dice, crowd)[0]}"),
    ("customers, by surname", lambda dice, crowd: f"/app/customers?q={somebody(dice, crowd)[1][:4]}"),
    ("customers, by one letter", lambda dice, crowd: f"/app/customers?q={dice.choice('abcdefghijklm')}"),
    ("customers, by address", lambda dice, crowd: f"/app/customers?q={email_of(dice.randint(1, crowd.customers))}"),
    ("customers, by order", lambda dice, crowd: f"/app/customers?q=%23{dice.randint(1, crowd.sales)}"),
    ("customers, nobody", lambda dice, crowd: f"/app/customers?q=zz{dice.randint(1, 10**6)}"),
    ("one customer", lambda dice, crowd: f"/app/customers/{dice.randint(2, crowd.customers)}"),
    ("one with 5,000 items", lambda dice, crowd: f"/app/customers/{BUSY}"),
    ("one with 5,000, halfway", lambda dice, crowd: f"/app/customers/{BUSY}?before={NOW - NOW // 110}.points.0"),
    (
        "one, adjusting",
        lambda dice, crowd: f"/app/customers/{dice.randint(2, crowd.customers)}/adjust?points=5&reason=x",
    ),
    ("one, forgetting", lambda dice, crowd: f"/app/customers/{dice.randint(2, crowd.customers)}/forget"),
    ("one, handing over", lambda dice, crowd: f"/app/customers/{BUSY}/export"),
)


def somebody(dice: Dice, crowd: Crowd) -> tuple[str, str]:
    """Pick a person's names."""
    return name_of(dice.randint(1, crowd.customers))


def measure(customers: int = CUSTOMERS, entries: int = ENTRIES) -> bool:
    """Measure and print; tells whether every page's p95 stayed within the limit on both engines."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for engine in ("SQLite", "PostgreSQL"):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regulars-bench-")))
            url = f"sqlite:///{folder / 'regulars.db'}"
            binaries = postgres_binaries()
            if engine == "PostgreSQL":
                if binaries is None:
                    console.print("PostgreSQL is left out: there are no server binaries.")
                    continue
                url = stack.enter_context(private_postgres(binaries, fsync=False))
            upgrade(url)
            crowd = asyncio.run(_filled(url, folder, customers, entries))
            found[engine] = asyncio.run(look(url, folder, crowd))
    return told(found)


def told(found: dict[str, dict[str, tuple[float, float]]]) -> bool:
    """Print the figures by page; tells whether all are within the limit."""
    rows = [
        (page, *(f"{found[engine][page][n]:.0f}" if page in found[engine] else "–" for engine in found for n in (0, 1)))
        for page, _ in PAGES
    ]
    heads = [f"{engine} {what}" for engine in found for what in ("p50 ms", "p95 ms")]
    show("A merchant's pages, server's time", ("page", *heads), rows)
    return all(slow <= LIMIT_MS for pages in found.values() for _, slow in pages.values())


async def _filled(url: str, folder: Path, customers: int, entries: int) -> Crowd:
    database = await Database.open(url, folder)
    try:
        return await fill(database, customers, entries)
    finally:
        await database.close()


async def look(url: str, folder: Path, crowd: Crowd) -> dict[str, tuple[float, float]]:
    """Open each page some times as a signed-in merchant; returns median and p95 in milliseconds, by page."""
    settings = Settings(data_dir=folder, database_url=url, secret_key="0123456789abcdef" * 2, public_url=HERE)
    clock = Clock(NOW - time.time_ns() // 1000)
    dice = random.Random(7)
    found = {}
    async with opened(settings, clock=clock) as context, _browser(context) as browser:
        await _sign_in(context, browser, crowd.merchant_id)
        for name, address in PAGES:
            times = []
            for turn in range(WARM + TIMES):
                path = address(dice, crowd)
                began = time.perf_counter()
                answer = await browser.get(path)
                times.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200:
                    console.print(f"  {name}: {path} answers {answer.status_code}, and is left out")
                    break
                if turn < WARM:
                    times.clear()
            else:
                times.sort()
                found[name] = (times[len(times) // 2], times[int(len(times) * 0.95)])
    return found


def _browser(context: Context) -> httpx.AsyncClient:
    transport: Any = httpx.ASGITransport(app=build(context))
    return httpx.AsyncClient(transport=transport, base_url=HERE, timeout=60)


async def _sign_in(context: Context, browser: httpx.AsyncClient, merchant_id: int) -> None:
    now = context.clock.now()
    token = await context.database.run(lambda: new_link(merchant_id, "link:owner", context.vault, now))
    answer = await browser.post(f"/app/sign-in/{token}")
    if answer.status_code != 303:
        raise SystemExit(f"Signing in was answered with {answer.status_code}.")
