"""The whole program as it is installed: `regulars serve` in a process of its own, with a Shopify and a mail server.

with Installed(database_url, folder) as it:
    shop = it.shop("nora.myshopify.com")          # has not installed the app yet
    it.tells(shop.place(ada, [(tea, 1)])[1])      # signed webhooks, as the shop would send them
    it.letter_to("ada@home.example")
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import httpx
import uvicorn

from integration.sandbox.delivery import Delivery
from integration.sandbox.session_tokens import session_token
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_api import PretendShopify
from integration.shopify.scopes import REQUIRED
from tests import mailbox as mail
from tests.servers import dies_with_parent, free_port

KEY, SECRET = "0123456789abcdef0123456789abcdef", "a secret that Shopify and we share"
PATIENCE_S = 60
LOOK_S = 0.02


class Installed:
    """The program, running for as long as it is entered."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.mailbox = mail.Mailbox()
        self._pretend = PretendShopify({}, KEY, SECRET)
        self._shopify_port, port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "program.log"
        self._environment = {
            **os.environ, "DATABASE_URL": database_url, "DATA_DIR": str(folder), "PORT": str(port),
            "PUBLIC_URL": self.url, "SECRET_KEY": "the-secret-key-of-the-journey-in-the-browser",
            "SHOPIFY_API_KEY": KEY, "SHOPIFY_API_SECRET": SECRET, "MAIL_FROM": "hello@regulars.example",
            "FAULT_FILE": str(folder / "no-fault"),
            "FAULT_SHOPIFY": f"http://127.0.0.1:{self._shopify_port}/{{shop}}",
        }  # fmt: skip

    def __enter__(self) -> Self:
        self._ends = contextlib.ExitStack()
        try:
            self._ends.enter_context(self._shopify())
            controller = mail.serve(self.mailbox)
            self._ends.callback(controller.stop)
            self._ends.enter_context(self._program())
            self._http = self._ends.enter_context(httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE_S))
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def shop(self, domain: str, name: str) -> Shop:
        """Open a tea shop in Paris, which has not installed the app yet."""
        shop = Shop(
            domain, secret=SECRET, clock=_now, seed=len(self._pretend.shops), name=name, email=f"owner@{domain}",
            currency="EUR", timezone="Europe/Paris", country_code="FR",
        )  # fmt: skip
        shop.scopes = REQUIRED
        self._pretend.shops[domain] = shop
        return shop

    def token(self, shop: Shop) -> str:
        """Sign a session token, as a shop's admin does for whoever looks at it now."""
        return session_token(shop.domain, KEY, SECRET, _now())

    def is_open_to(self, shop: Shop) -> bool:
        """Tell whether a shop's admin is let in at this moment."""
        return self._http.get("/app", headers={"Authorization": f"Bearer {self.token(shop)}"}).status_code == 200

    def tells(self, deliveries: list[Delivery]) -> None:
        """Deliver webhooks; each is answered with 200."""
        for each in deliveries:
            answer = self._http.post(each.path, content=each.body, headers=each.headers)
            assert answer.status_code == 200, answer.text

    def until(self, came: Callable[[], object], what: str) -> None:
        """Wait for what the program does by itself; AssertionError with its log where it takes too long."""
        end = time.monotonic() + PATIENCE_S
        while not came():
            assert time.monotonic() < end, f"{what}: {self._log.read_text()[-2000:]}"
            time.sleep(LOOK_S)

    def letter_to(self, address: str) -> str:
        """Wait until somebody got a letter; returns its plain text."""
        self.until(lambda: self.mailbox.to(address), f"nothing came to {address}")
        part = self.mailbox.to(address)[0].get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    @contextlib.contextmanager
    def _shopify(self) -> Iterator[None]:
        config = uvicorn.Config(self._pretend.app, port=self._shopify_port, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        _until(lambda: server.started, "the pretend Shopify")
        yield
        server.should_exit = True
        thread.join(PATIENCE_S)

    @contextlib.contextmanager
    def _program(self) -> Iterator[None]:
        environment = {**self._environment, "SMTP_URL": self.mailbox.url}
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.program", "serve"],
                env=environment, stdout=log, stderr=log, preexec_fn=dies_with_parent(signal.SIGKILL),
            )  # fmt: skip
        try:
            _until(self._is_up, "the program", process, self._log)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_S)

    def _is_up(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        return False


def _until(
    ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    end = time.monotonic() + PATIENCE_S
    while not ready():
        has_ended = process is not None and process.poll() is not None
        if has_ended or time.monotonic() > end:
            raise RuntimeError(f"{what} did not start: {log.read_text()[-2000:] if log else ''}")
        time.sleep(LOOK_S)


def _now() -> int:
    return time.time_ns() // 1000
