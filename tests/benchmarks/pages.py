"""How long a merchant's pages take beside 100,000 customers and a million entries, each page's slowest in twenty."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from rich.progress import track

from config import logs
from config.asgi import build
from config.commands.run import COLLECT_AFTER
from config.settings import Settings
from config.wiring import opened
from handlers.context import Context
from integration.channels.console import ConsoleChannel
from integration.clock import Clock
from integration.database.engine import Database
from tests.benchmarks import addresses, customers
from tests.benchmarks.addresses import Shot, Visit
from tests.benchmarks.crowd import CUSTOMERS, ENTRIES, NOW, Crowd, fill
from tests.benchmarks.figures import console, show
from tests.benchmarks.machines import new_database

ENGINES = ("SQLite", "PostgreSQL")
SHOTS = (*customers.SHOTS, *addresses.SHOTS, *customers.LAST)
UNMEASURED = {**addresses.UNMEASURED, **customers.UNMEASURED}
LIMIT_MS = 150.0
TIMES = 40  # each page is asked for
WARM = 3
HERE = "http://localhost:8000"


class Slow(NamedTuple):
    """How long a page takes, in milliseconds: in the middle, and all but one of twenty."""

    usual: float
    slow: float


class Odd(Exception):
    """A page did not answer as it should; the message says which, and how."""


def measure(people: int = CUSTOMERS, entries: int = ENTRIES, engines: tuple[str, ...] = ENGINES) -> bool:
    """Measure and print; tells whether all pages answered as they should and kept the limit, on each engine."""
    logs.configure("warning", "console")
    found: dict[str, dict[str, Slow | str]] = {}
    for engine in engines:
        with new_database(engine) as (url, folder):
            crowd = asyncio.run(filled(url, folder, people, entries))
            # As the program does before it serves.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)
            found[engine] = asyncio.run(look(url, folder, crowd))
    return told(found)


def told(found: Mapping[str, Mapping[str, Slow | str]]) -> bool:
    """Print the figures by page, and what did not answer as it should; tells whether all is well."""
    rows, well = [], True
    for name in dict.fromkeys(name for pages in found.values() for name in pages):
        cells, is_well = [], True
        for pages in found.values():
            each = pages.get(name, "not opened")
            is_well &= not isinstance(each, str) and each.slow <= LIMIT_MS
            cells += ["–", "–"] if isinstance(each, str) else [f"{each.usual:.0f}", f"{each.slow:.0f}"]
        well &= is_well
        rows.append((name if is_well else f"[bold red]{name}[/]", *cells))
    heads = [f"{engine} {what}" for engine in found for what in ("p50 ms", "p95 ms")]
    show(f"A merchant's pages, server's time; at most {LIMIT_MS:.0f} ms for 95 % of each", ("page", *heads), rows)
    for engine, pages in found.items():
        for name, each in pages.items():
            if isinstance(each, str):
                console.print(f"[bold red]{engine}: {name}:[/] {each}", highlight=False)
    return well


async def filled(url: str, folder: Path, people: int, entries: int) -> Crowd:
    """Write a large merchant into an empty database."""
    database = await Database.open(url, folder)
    try:
        return await fill(database, people, entries)
    finally:
        await database.close()


async def look(
    url: str, folder: Path, crowd: Crowd, warm: int = WARM, times: int = TIMES, shots: Sequence[Shot] = SHOTS
) -> dict[str, Slow | str]:
    """Open each page some times as a signed-in merchant; returns how slow each is, or what is wrong with it."""
    settings = Settings(
        data_dir=folder, database_url=url, secret_key="0123456789abcdef" * 2, public_url=HERE,
        shopify_api_key="a key", shopify_api_secret=customers.SECRET, mail_from="hello@large.example",
    )  # fmt: skip
    clock = Clock(NOW - time.time_ns() // 1000)
    channels = {"email": ConsoleChannel(stream=None)}
    found: dict[str, Slow | str] = {}
    async with opened(settings, clock=clock, channels=channels) as context, _browser(context) as browser:
        visit = Visit(context, browser, crowd)
        await visit.signs_in()
        for shot in track(shots, "Opening pages", console=console, transient=True, disable=not console.is_terminal):
            try:
                found[shot.name] = await _timed(visit, shot, warm, times)
            except (Odd, LookupError) as error:
                found[shot.name] = str(error)
    return found


async def _timed(visit: Visit, shot: Shot, warm: int, times: int) -> Slow:
    taken = []
    for turn in range(warm + times):
        visit.turn = turn
        path = await _come(shot.at(visit))
        data: dict[str, str] = {}
        if shot.method == "POST" and not shot.bare:
            on = path if shot.on is None else await _come(shot.on(visit))
            data = {**await visit.fields(on, shot.form or path), **shot.typed(visit)}
        files = shot.files(visit) if shot.files is not None else None
        began = time.perf_counter()
        answer = await visit.browser.request(shot.method, path, data=data or None, files=files)
        if turn >= warm:
            taken.append((time.perf_counter() - began) * 1000)
        if answer.status_code != shot.answer:
            raise Odd(f"{shot.method} {path} answers {answer.status_code}, not {shot.answer}")
    taken.sort()
    return Slow(taken[len(taken) // 2], taken[int(len(taken) * 0.95)])


async def _come(address: str | Awaitable[str]) -> str:
    return address if isinstance(address, str) else await address


def _browser(context: Context) -> httpx.AsyncClient:
    transport: Any = httpx.ASGITransport(app=build(context))
    return httpx.AsyncClient(transport=transport, base_url=HERE, timeout=60)
