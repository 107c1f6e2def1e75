"""The running program as browser tests need it: pages alone and in a stand-in for Shopify's admin, and axe.

page, complaints = shop.alone(browser, PHONE)       # signed in as Nora, by a one-time link
page, app, complaints = shop.in_admin(browser)      # `app` is the frame with our page
page.goto(shop.url + "/app/programme")
assert violations(page) == [] and complaints == []
"""

import asyncio
import os
import re
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, Frame, Page, expect

from handlers.merchants.sessions import new_link
from integration.clock import Clock
from integration.database.engine import Database
from tests.browser.admin import DESKTOP, in_admin, window
from tests.visits import KEY, NORA, SHOPS, House

_AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
# It is not in the letters' frames, which run no scripts, and would wait for an answer from there.
_RUN_AXE = """axe.run(document, { resultTypes: ["violations"], iframes: false }).then((result) => result.violations)"""
_BUSY = re.compile(r"<html[^>]* aria-busy=")
_SECONDS = 60


class RunningShop:
    """The web application on a port of this machine, its loop in a thread of its own."""

    def __init__(self, database_url: str, data_dir: Path) -> None:
        self._database_url, self._data_dir = database_url, data_dir
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.house: House
        self.links: dict[str, str] = {}  # that letters led to, where a test had some sent
        self._loop = asyncio.new_event_loop()
        self._beside: list[tuple[uvicorn.Server, Future[None]]] = []
        self._ready, self._failure = threading.Event(), ""
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()
        assert self._ready.wait(_SECONDS) and not self._failure, self._failure

    def stop(self) -> None:
        """Answer what is under way and close the database."""
        for server, ended in self._beside:
            server.should_exit = True
            ended.result(_SECONDS)
        self._server.should_exit = True
        self._thread.join(_SECONDS)
        self._socket.close()

    def beside(self, app: Any) -> str:
        """Serve something else on a port of its own until `stop`, such as the shop's own address; returns where."""
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
        server.capture_signals = _nothing  # type: ignore[method-assign, assignment]
        serving = asyncio.run_coroutine_threadsafe(server.serve(sockets=[listening]), self._loop)
        self._beside.append((server, serving))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine where the program runs: `shop.run(shop.house.rows("SELECT …"))`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    def link(self, merchant: int = NORA) -> str:
        """Make a one-time link, as the command does."""
        house = self.house
        token = self.run(
            house.database.run(lambda: new_link(merchant, "link:nora", house.context.vault, house.clock.now()))
        )
        return f"{self.url}/app/sign-in/{token}"

    def alone(
        self, browser: Browser, size: dict[str, int] = DESKTOP, merchant: int = NORA, **more: Any
    ) -> tuple[Page, list[str]]:
        """A browser that followed a merchant's link, and a list that fills with whatever its pages complain of."""
        page, complaints = window(browser, size, self.url, **more)
        page.goto(self.link(merchant))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/app")
        return page, complaints

    def in_admin(
        self, browser: Browser, size: dict[str, int] = DESKTOP, shop: str = SHOPS[NORA], path: str = "/app"
    ) -> tuple[Page, Frame, list[str]]:
        """The page in a frame of a stand-in for Shopify's admin, with a stand-in for App Bridge."""
        page, complaints = window(browser, size, self.url)
        frame = in_admin(page, self.url, shop, lambda: self.house.token(shop), path)
        return page, frame, complaints

    async def _serve(self) -> None:
        try:
            database = await Database.open(self._database_url, self._data_dir)
            over = {"public_url": self.url, "shopify_key": KEY}
            self.house = await House(database, clock=Clock(), over=over).open()  # type: ignore[arg-type]
            self._server = uvicorn.Server(uvicorn.Config(self.house.app, lifespan="off", log_level="warning"))
            self._server.capture_signals = _nothing  # type: ignore[method-assign, assignment]
            self._ready.set()
            await self._server.serve(sockets=[self._socket])
            await database.close()
        except Exception as error:
            self._failure = repr(error)
            self._ready.set()
            raise


def arrived(page: Page | Frame) -> None:
    """Wait until a page that Turbo fetches is there; a function to wait for would be an eval, which pages forbid."""
    expect(page.locator("html:not([aria-busy])")).to_have_count(1)


def violations(page: Page | Frame) -> list[str]:
    """Run axe on a page once it has arrived; returns each violation with the elements that have it."""
    arrived(page)
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
    found = page.evaluate(_RUN_AXE)
    # A page that fetches itself again while axe runs: Turbo marks the document for as long as that takes.
    found = [each for each in found if not all(_BUSY.match(node["html"]) for node in each["nodes"])]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes']]}: "
        f"{[node['failureSummary'] for node in each['nodes']][:1]}"
        for each in found
    ]


def too_wide(page: Page | Frame) -> bool:
    """Tell whether a page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def painted(page: Page | Frame) -> tuple[float, float]:
    """Return when the largest part was painted, in milliseconds, and how much the layout shifted meanwhile."""
    largest, shift = page.evaluate(
        """() => new Promise((done) => {
          const found = { "largest-contentful-paint": [], "layout-shift": [] };
          for (const type of Object.keys(found))
            new PerformanceObserver((list) => found[type].push(...list.getEntries())).observe({ type, buffered: true });
          const paints = found["largest-contentful-paint"];
          const told = (left) => paints.length === 0 && left > 0 ? setTimeout(told, 100, left - 1) : done([
            Math.max(0, ...paints.map((entry) => entry.startTime)),
            found["layout-shift"].reduce((sum, entry) => sum + entry.value, 0),
          ]);
          setTimeout(told, 100, 600);
        })"""
    )
    return largest, shift


def pictured(page: Page, name: str) -> None:
    """Keep a screenshot for people to look at, in the folder SCREENSHOTS names."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()
