"""A journey by the command line alone: a shop joins, sells, is killed at work, and starts again."""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from tests.properties.shopify_stories import Buyer, Line, PretendOrder
from tests.properties.stripe_stories import PretendPayment
from tests.properties.tape import SHOP_DOMAIN, STRIPE_TOKEN, Tape
from tests.servers import free_port

APP_SECRET = "shpss_of-the-command-line-journey"
ENDPOINT_SECRET = "whsec_of-the-command-line-journey"
REGULARS = Path(sys.executable).parent / "regulars"
START_SECONDS = 60.0
LOOK_SECONDS = 0.05
ORDERS = 40


class Shell:
    """A folder of data, and the commands and server that work on it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "SECRET_KEY": "the-secret-key-of-the-command-line-journey",
            "SHOPIFY_API_SECRET": APP_SECRET,
            "LOG_LEVEL": "warning",
        }
        self.folder = folder
        self.http = httpx.Client(base_url=self.environment["PUBLIC_URL"], timeout=60, trust_env=False)
        self.server: subprocess.Popen[bytes] | None = None

    def regulars(self, *words: str) -> Any:
        """Run a command with --json and return what it printed; its exit code must be 0."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command with --json, from another folder than the source's."""
        command = [REGULARS, *words, "--json"]
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )

    def serve(self) -> None:
        """Start the server and wait until it answers."""
        self.server = subprocess.Popen([REGULARS, "serve"], env=self.environment, cwd=self.folder)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                if self.http.get("/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                assert self.server.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(LOOK_SECONDS)

    def kill(self, how: signal.Signals) -> None:
        """End the server."""
        if self.server is not None:
            self.server.send_signal(how)
            self.server.wait(20)
            self.server = None

    def shopify(self, topic: str, body: Any, delivery_id: str) -> int:
        """Deliver a signed Shopify webhook; 0 where there is no answer."""
        raw = json.dumps(body).encode()
        signature = base64.b64encode(hmac.new(APP_SECRET.encode(), raw, hashlib.sha256).digest()).decode()
        headers = {
            "X-Shopify-Hmac-Sha256": signature,
            "X-Shopify-Topic": topic,
            "X-Shopify-Shop-Domain": SHOP_DOMAIN,
            "X-Shopify-Webhook-Id": delivery_id,
        }
        return self._post("/webhooks/shopify", raw, headers)

    def stripe(self, path: str, body: Any) -> int:
        """Deliver a signed Stripe event."""
        raw = json.dumps(body)
        signature = stripe.WebhookSignature.generate_signature_header(raw, ENDPOINT_SECRET, int(time.time()))
        return self._post(path, raw.encode(), {"Stripe-Signature": signature})

    def _post(self, path: str, raw: bytes, headers: dict[str, str]) -> int:
        try:
            return self.http.post(path, content=raw, headers=headers).status_code
        except httpx.TransportError:
            return 0


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """An empty folder, and no server yet."""
    if not REGULARS.exists():
        pytest.fail("the regulars command is not installed beside this Python: run `make setup`")
    shell = Shell(tmp_path)
    yield shell
    shell.kill(signal.SIGKILL)
    shell.http.close()


def test_a_shop_joins_sells_is_killed_at_work_and_loses_nothing(shell: Shell) -> None:
    """Added while the server runs, paid on both platforms, killed in the middle of forty orders, served again."""
    shell.serve()
    shell.regulars(
        "merchant", "add", "Corner", "--shopify", SHOP_DOMAIN, "--currency", "USD", "--timezone", "Europe/Paris"
    )
    path = shell.regulars("merchant", "stripe", "Corner", "--webhook-secret", ENDPOINT_SECRET)["webhook_path"]
    settings = ("earning.enabled=true", "earning.points_per_unit=2", "earning.hold_days=14", "thanks.enabled=true")
    words = [word for setting in settings for word in ("--set", setting)]
    programme = shell.regulars("merchant", "program", "Corner", *words)
    assert programme["earning"]["points_per_unit"] == 2

    tape = Tape()
    sold_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    PretendOrder(tape, sold_at, [Line(4000)], Buyer(5001, "ana@home.example")).place()
    PretendPayment(tape, sold_at, 1550, email="bo@home.example").pay()
    for delivery in tape.deliveries:
        for _ in range(2):
            if delivery.platform == "shopify":
                assert shell.shopify(delivery.topic, delivery.body, delivery.delivery_id) == 200
            else:
                assert delivery.connection == STRIPE_TOKEN
                assert shell.stripe(path, delivery.body) == 200
    shell.regulars("idle", "--timeout", "60")
    ana = shell.regulars("customer", "show", "ana@home.example", "--merchant", "Corner")
    assert ana["points"] == {"available": 0, "pending": 80, "held": 0, "lifetime": 0}
    assert [m["kind"] for m in ana["messages"]] == ["thank_you"]
    assert ana["sales"][0]["why"]
    bo = shell.regulars("customer", "show", "bo@home.example", "--merchant", "Corner")
    assert bo["points"]["pending"] == 31

    first = len(tape.deliveries)
    for _ in range(ORDERS):
        PretendOrder(tape, sold_at, [Line(100)], Buyer(5001, "ana@home.example")).place()
    later, answered = tape.deliveries[first:], []
    for position, delivery in enumerate(later):
        if position == len(later) // 2:
            shell.kill(signal.SIGKILL)
        answered.append(shell.shopify(delivery.topic, delivery.body, delivery.delivery_id))
    assert answered[0] == 200 and answered[-1] == 0
    shell.serve()
    for delivery, status in zip(later, answered, strict=True):
        if status != 200:
            assert shell.shopify(delivery.topic, delivery.body, delivery.delivery_id) == 200
    shell.regulars("idle", "--timeout", "60")
    ana = shell.regulars("customer", "show", "ana@home.example", "--merchant", "Corner")
    assert ana["points"]["pending"] == 80 + 2 * ORDERS
    assert len(ana["sales"]) == 1 + ORDERS
    assert shell.regulars("audit")["drifts"] == 0

    shell.kill(signal.SIGTERM)
    people = shell.run("customer", "list", "--merchant", "Corner")
    assert {json.loads(line)["email"] for line in people.stdout.splitlines()} == {"ana@home.example", "bo@home.example"}
