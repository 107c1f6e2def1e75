"""One webhook is one trace, from its receipt by the running program to the mail its customer gets."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from integration.database.engine import Database
from integration.database.steps import Row, ask, plain
from tests.collector import Collector, Span, collecting
from tests.conftest import apart
from tests.mailbox import Mailbox
from tests.properties.shopify_stories import Buyer, Line, PretendOrder
from tests.properties.tape import SHOP_DOMAIN, Tape

SECRET = "shpss_the-app-secret-of-the-traces"
BUYER = "ana@home.example"
SERVER, CLIENT, CONSUMER = 2, 3, 5  # kinds of spans, as OTLP numbers them
PROGRAMME = ("earning.enabled=true", "thanks.enabled=true", "thanks.when=every", "thanks.delay_minutes=0",
             "messages.window=always", "messages.cap_hours=0")  # fmt: skip
# The program, which says at its end what it has loaded.
PROGRAM = """
import atexit, sys; sys.argv[0] = 'regulars'
loaded = lambda: [name for name in sys.modules if name.startswith('opentelemetry')]
atexit.register(lambda: print(f'opentelemetry={bool(loaded())}', file=sys.stderr))
from config.cli import main
main()
"""


class Corner:
    """A shop that thanks everybody at once, and the program that runs for it."""

    def __init__(self, database: str, folder: Path, mailbox: Mailbox, collector: Collector) -> None:
        self.database, self.folder, self.mailbox, self.collector = database, folder, mailbox, collector
        self.environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(folder),
            "DATA_DIR": str(folder), "PORT": "0", "LOG_FORMAT": "json", "DATABASE_URL": database,
            "SMTP_URL": mailbox.url, "SHOPIFY_API_SECRET": SECRET,
        }  # fmt: skip
        self._regulars("merchant", "add", "Corner", "--shopify", SHOP_DOMAIN, "--currency", "USD", "--timezone", "UTC")
        self._regulars("merchant", "program", "Corner", *(word for key in PROGRAMME for word in ("--set", key)))

    def _regulars(self, *words: str) -> None:
        subprocess.run([sys.executable, "-c", PROGRAM, *words], env=self.environment, cwd=self.folder, check=True,
                       capture_output=True, timeout=60)  # fmt: skip

    def serves_an_order(self, seen: Callable[[], object] = lambda: None, **environment: str) -> str:
        """Run the program for one order, until its letter and what is waited for are here; returns what it logged."""
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "serve", "--json"], env=self.environment | environment, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            assert [_deliver(url), _deliver(url)] == [200, 200]
            apart(self.mailbox.holds(1, within_s=60))
            seen()
        finally:
            process.terminate()
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        return said

    def asks(self, sql: str) -> list[Row]:
        """Ask the database."""

        async def work() -> list[Row]:
            database = await Database.open(self.database, self.folder)
            try:
                return await database.run(lambda: ask(plain(sql), ()))
            finally:
                await database.close()

        return apart(work())


@pytest.fixture
def corner(database_url: str, data_dir: Path, mailbox: Mailbox) -> Iterator[Corner]:
    """The shop, on each engine, and a collector that it may be told of."""
    with ExitStack() as stack:
        yield Corner(database_url, data_dir, mailbox, stack.enter_context(collecting()))


def _deliver(url: str) -> int:
    """Post the same order under the same id."""
    placed = PretendOrder(Tape(), datetime.now(UTC), [Line(4000)], Buyer(5001, BUYER))
    body = json.dumps(placed.body()).encode()
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    headers = {"X-Shopify-Topic": "orders/paid", "X-Shopify-Shop-Domain": SHOP_DOMAIN, "X-Shopify-Webhook-Id": "w-1",
               "X-Shopify-Hmac-Sha256": signature}  # fmt: skip
    return httpx.post(f"{url}/webhooks/shopify", content=body, headers=headers, timeout=60).status_code


def test_an_order_is_one_trace_from_its_webhook_to_the_letter(corner: Corner) -> None:
    """Receipt, work and mail hang together over the database; the repeated delivery stands beside them."""
    spans: list[Span] = []
    corner.serves_an_order(
        lambda: spans.extend(corner.collector.until("receive", "receive", "work", "send")),
        OTEL_EXPORTER_OTLP_ENDPOINT=corner.collector.url,
        OTEL_BSP_SCHEDULE_DELAY="50",
    )
    work, send = (next(span for span in spans if span.name == name) for name in ("work", "send"))
    receive = next(span for span in spans if span.id == work.parent)
    again = next(span for span in spans if span.name == "receive" and span.id != receive.id)
    assert (receive.name, receive.parent, again.parent, send.parent) == ("receive", "", "", work.id)
    assert {span.trace for span in spans} == {receive.trace}
    assert [receive.kind, work.kind, send.kind] == [SERVER, CONSUMER, CLIENT]
    assert receive.began <= work.began <= work.ended and work.began <= send.began <= send.ended
    assert not any(span.is_error for span in spans) and {span.service for span in spans} == {"regulars"}
    about = {"regulars.source": "shopify", "regulars.topic": "orders/paid"}
    assert receive.attributes == about | {"regulars.delivery": "w-1"}
    assert work.attributes == about | {"regulars.event": 1, "regulars.merchant": 1, "regulars.attempt": 1}
    assert send.attributes == {
        "regulars.merchant": 1, "regulars.message": "thank_you:sale:1", "regulars.kind": "thank_you",
        "regulars.channel": "email", "regulars.attempt": 1, "regulars.outcome": "sent",
    }  # fmt: skip
    assert corner.asks("SELECT trace FROM messages") == [(f"00-{work.trace}-{work.id}-01",)]


def test_nothing_of_it_is_there_unless_asked_for(corner: Corner) -> None:
    """No package is loaded and no message marked, though a collector is there and could be told."""
    said = corner.serves_an_order(OTEL_EXPORTER_OTLP_ENDPOINT=corner.collector.url, OTEL_TRACES_EXPORTER="none")
    assert "opentelemetry=False" in said
    assert corner.collector.spans == [] and corner.asks("SELECT trace FROM messages") == [(None,)]


def test_the_program_runs_without_the_extra_and_says_how_to_get_it(corner: Corner) -> None:
    """A platform may set the variables for everything that runs on it."""
    hidden = corner.folder / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError(name='opentelemetry')\n")
    paths = f"{hidden.parent}{os.pathsep}{corner.environment['PYTHONPATH']}"
    said = corner.serves_an_order(OTEL_TRACES_EXPORTER="otlp", PYTHONPATH=paths)
    warned = [json.loads(line) for line in said.splitlines() if '"traces_not_installed"' in line]
    assert [line["install"] for line in warned] == ["regulars[tracing]"]
