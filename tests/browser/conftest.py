"""A Chromium for the browser tests, and a running program with Nora's and Otto's shops in it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.admin import PATIENCE_MS
from tests.browser.shop import RunningShop
from tests.conftest import missing
from tests.eventful import make_eventful

CHROMIUM = "/usr/bin/chromium"
# A page of Shopify's admin, which the tests stand in for, must be able to frame a page of this machine.
QUIET = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessForNavigations"


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser without a window, from which every window goes after the test: what stays open takes others' time."""
    yield chromium
    for context in chromium.contexts:
        context.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One Chromium for all tests, which asks nobody but the servers of the tests."""
    path = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
    if path is None:
        missing("a Chromium (Debian: apt-get install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                f"--disable-features={QUIET}",
            ],
        )


@pytest.fixture(scope="module")
def eventful_shop(
    sqlite_database: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningShop]:
    """Run the program with something on every page of Nora's, and nothing in Otto's shop, for the tests of a file."""
    folder = tmp_path_factory.mktemp("eventful")
    running = RunningShop(sqlite_database(folder), folder)
    running.start()
    try:
        running.links = running.run(make_eventful(running.house))
        yield running
    finally:
        running.stop()


@pytest.fixture
def shop(sqlite_database: Callable[[Path], str], data_dir: Path) -> Iterator[RunningShop]:
    """Run the program with Nora's and Otto's shops for one test."""
    running = RunningShop(sqlite_database(data_dir), data_dir)
    running.start()
    try:
        yield running
    finally:
        running.stop()
