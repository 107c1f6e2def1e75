"""What the ledger's size costs a reader: a balance and a timeline beside ten thousand entries and ten million."""

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from config.migrate import upgrade
from handlers.merchants.connections import Wish, add_merchant
from handlers.points.statement import balances, statement
from integration.database.engine import Database
from integration.database.steps import Sql, Steps, ask
from integration.vault import Vault
from tests.benchmarks.figures import console, show
from tests.servers import postgres_binaries, private_postgres

SIZES = (10_000, 10_000_000)
ENTRIES_EACH = 20
READS = 400
AT_ONCE = 250_000  # entries in one transaction
NOW = 1_800_000_000_000_000
TIMES_SLOWER = 3.0  # at the median, from the least to the greatest size: the trees grow by a level or two


def measure(sizes: tuple[int, ...] = SIZES) -> bool:
    """Measure and print; tells whether reading was about as fast beside the greatest ledger as beside the least."""
    rows, held = [], True
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
            found = asyncio.run(_grown(url, folder, sizes))
        for what in ("balance", "customer show"):
            figures = [by_name[what] for by_name in found]
            held &= figures[-1][0] <= TIMES_SLOWER * max(figures[0][0], 0.2)
            for size, (middle, slow) in zip(sizes, figures, strict=True):
                rows.append((f"{engine}, {what}", f"{size:,}", f"{middle:.2f}", f"{slow:.2f}"))
    show("Reading beside a ledger of so many entries", ("", "entries", "p50 ms", "p99 ms"), rows)
    return held


async def _grown(url: str, folder: Path, sizes: tuple[int, ...]) -> list[dict[str, tuple[float, float]]]:
    database = await Database.open(url, folder)
    found: list[dict[str, tuple[float, float]]] = []
    try:
        wish = Wish(name="Large", shop="large.myshopify.com", currency="USD", timezone="UTC")
        vault = Vault(["0123456789abcdef" * 2])
        merchant = (await database.run(lambda: add_merchant(wish, vault, NOW))).id
        done = 0
        for size in sizes:
            began = time.perf_counter()
            while done < size:
                upto = min(size, done + AT_ONCE)
                await database.run(lambda first=done, last=upto: _fill(merchant, first, last))  # type: ignore[misc]
                done = upto
            if database.dialect == "postgresql":
                for table in ("customers", "accounts", "ledger_entries"):
                    await database.run(lambda t=table: ask(Sql("", f"ANALYZE {t}", "plain", False), ()))  # type: ignore[misc]
            console.print(f"  {database.dialect}: {size:,} entries in {time.perf_counter() - began:,.0f} s")
            found.append(await _read(database, merchant, size // ENTRIES_EACH))
    finally:
        await database.close()
    return found


def _fill(merchant: int, first: int, last: int) -> Steps[None]:
    """Add entries `first` to `last`, with their customers and balances, as a settlement would have."""
    for table, columns, values, step in (
        ("customers", "merchant_id, number, email, created_at", "?1, n, 'buyer' || n || '@shop.example', 0", True),
        ("customer_identities", "merchant_id, kind, value, customer",
         "?1, 'email', 'buyer' || n || '@shop.example', n", True),
        ("accounts", "merchant_id, account, micropoints",
         f"?1, 'customer:' || n || ':available', {ENTRIES_EACH}", True),
        ("ledger_entries", "merchant_id, number, key, source, destination, micropoints, reason, at",
         "?1, n, 'sale:' || n || ':0', 'program:issued',"
         f" 'customer:' || (1 + (n - 1) % (({{last}} - {{first}}) / {ENTRIES_EACH}) + {{first}} / {ENTRIES_EACH})"
         " || ':available', 1, 'earned', n", False),
    ):  # fmt: skip
        low, high = (first // ENTRIES_EACH, last // ENTRIES_EACH) if step else (first, last)
        select = values.format(first=first, last=last)
        head = f"INSERT INTO {table} ({columns}) "
        sqlite = (
            f"{head}WITH RECURSIVE s(n) AS (SELECT {low + 1} UNION ALL SELECT n + 1 FROM s WHERE n < {high})"
            f" SELECT {select} FROM s"
        )
        postgres = f"{head}SELECT {select} FROM generate_series({low + 1}, {high}) n".replace("?1", "$1::bigint")
        yield from ask(Sql(sqlite, postgres, "plain", False), (merchant,))


async def _read(database: Database, merchant: int, customers: int) -> dict[str, tuple[float, float]]:
    dice = random.Random(7)
    whom = [dice.randint(1, customers) for _ in range(READS)]
    reads: dict[str, Callable[[int], Callable[[], Steps[Any]]]] = {
        "balance": lambda number: lambda: balances(merchant, [number]),
        "customer show": lambda number: lambda: statement(merchant, number, NOW),
    }
    found = {}
    for name, read in reads.items():
        times = []
        for number in (*whom[:20], *whom):
            began = time.perf_counter()
            answer = await database.read(read(number))
            times.append((time.perf_counter() - began) * 1000)
        assert name == "balance" or len(answer["entries"]) == ENTRIES_EACH
        times = sorted(times[20:])
        found[name] = (times[len(times) // 2], times[int(len(times) * 0.99)])
    return found
