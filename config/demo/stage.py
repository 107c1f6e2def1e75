"""Opening the demo: play the story once, or serve its page until Ctrl-C."""

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import uvloop
from rich.console import Console

from config import logs
from config.demo.house import LOOPBACK, listener, serve
from config.demo.page import Page, words
from config.demo.story import Account, play
from config.demo.world import open_world


def show_demo(*, once: bool, port: int, data_dir: Path | None, browser: bool, as_json: bool) -> None:
    """Play the story and end (`once`), or serve the page at `port` until Ctrl-C.

    Files are kept in `data_dir`, or in a folder that is deleted. Exits with 1 where the story did not hold.
    """
    logs.configure("warning", "console")
    with _folder(data_dir) as folder:
        if once:
            _tell(uvloop.run(_play(folder)), as_json)
        else:
            uvloop.run(_open(folder, port, as_json, browser))


async def _play(folder: Path) -> Account:
    started = time.perf_counter()
    async with open_world(folder, history=False) as world:
        account = await play(world)
    account.seconds = round(time.perf_counter() - started, 1)
    return account


def _tell(account: Account, as_json: bool) -> None:
    """Print the account; exit 1 with the sentence of what differed, where something did."""
    if as_json:
        print(json.dumps(account.as_json(), ensure_ascii=False, indent=2))
    else:
        account.print(Console())
    if account.differed is not None:
        print(account.differed, file=sys.stderr)
        raise typer.Exit(1)


async def _open(folder: Path, port: int, as_json: bool, browser: bool) -> None:
    """Serve the page until Ctrl-C, then end everything in order."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if not as_json:
        print("Opening the shop…", flush=True)
    opening = asyncio.create_task(_keep_open(folder, port, as_json, browser, stop))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await opening
    if not as_json:
        print("\nThe shop is closed.")


async def _keep_open(folder: Path, port: int, as_json: bool, browser: bool, stop: asyncio.Event) -> None:
    with listener(port) as taken:
        url = f"http://{LOOPBACK}:{taken.getsockname()[1]}"
        async with open_world(folder) as world, serve(Page(world).app, taken):
            _announce({"url": url, "app": world.house.url}, as_json)
            if browser:
                await asyncio.to_thread(_show, url)
            await stop.wait()


def _announce(where: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(where), flush=True)
    else:
        print(f"{words()}\n\n    {where['url']}\n\nEnd it with Ctrl-C; nothing is kept.", flush=True)


def _show(url: str) -> None:
    """Open a browser where there is a screen; elsewhere the printed address has to do."""
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return
    # A browser of exactly this kind writes into the terminal, which is ours.
    if type(found) is not webbrowser.GenericBrowser:
        found.open(url)


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """The folder for the files: the one given, which stays, or a temporary one, which goes."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="regulars-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)
