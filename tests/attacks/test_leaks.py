"""Nothing personal and no secret gets out of the program: planted ones are looked for in everything it says.

The program runs as it would for a merchant, under debug logs, and everything goes wrong that can be made to: readers
that break on a body, forged and unreadable deliveries, a mail server that quotes addresses, a database and a Redis that
go away, pages that break, commands that fail.
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import stripe

from tests.collector import Collector, collecting
from tests.conftest import apart
from tests.mailbox import Mailbox
from tests.properties.shopify_stories import Buyer, Line, PretendOrder
from tests.properties.tape import SHOP_DOMAIN, Tape
from tests.servers import private_valkey

# What must not be found. Each is a word that occurs nowhere else.
PERSON = {
    "mail address": "zenobia.kwerk@vexley.example",
    "first name": "Zenobiaq",
    "last name": "Kwerkovitz",
    "street": "Plumtrellis Lane",
    "phone": "+4915735999777",
    "note": "the-blue-gate-behind-the-orchard",
}
SECRETS = {
    "database password": "dbpass-jyxoquo",
    "mail password": "mailpass-wovvex",
    "SECRET_KEY": "secretkey-brillig-brillig-brillig-brillig",
    "app secret": "shpss_slithytoves",
    "endpoint secret": "whsec_mimsyborogoves",
    "restricted key": "rk_test_momeraths",
    "Shopify token": "shpat_outgrabe",
    "metrics token": "frumious-bandersnatch",
    "collector key": "tumtum-tree",
    "secret key pasted by mistake": "sk_live_callooh",
    "endpoint secret pasted by mistake": "whsec_callay",
}
HEADERS = {"forged signature": "jabberwock-signature", "page token": "tulgey-wood-token", "cookie": "uffish-cookie"}
CANARIES = PERSON | SECRETS | HEADERS

# The program, with three faults in it that no test of ours would otherwise reach from outside.
PROGRAM = """
import sys; sys.argv[0] = 'regulars'
from config import topics

def poisoned(body, envelope):
    words, order = body.decode(), __import__('json').loads(body)
    raise ValueError(f"cannot make sense of {words}") from KeyError(order['email'])

topics.TOPICS['shopify']['orders/edited'] = poisoned
from config.cli import main
from starlette.routing import Route
from config import routes

async def broken(request):
    name = request.query_params['name']
    raise RuntimeError(f"{name} is not known, {dict(request.headers)}")

async def later(request):
    import asyncio, threading
    async def lost(name):
        raise RuntimeError(f"lost {name}")
    asyncio.get_running_loop().create_task(lost(request.query_params['name']))
    def ended(name):
        raise RuntimeError(f"ended {name}")
    thread = threading.Thread(target=ended, args=(request.query_params['name'],)); thread.start(); thread.join()
    import gc; await asyncio.sleep(0); gc.collect()
    raise KeyError(request.query_params['name'])

routes.ROUTES += (Route('/broken', broken), Route('/later', later))
import config.asgi
config.asgi.ROUTES = routes.ROUTES
main()
"""


class House:
    """The running program, and everything it ever said."""

    def __init__(self, folder: Path, url: str, redis: str, mailbox: Mailbox, collector: Collector) -> None:
        self.said: list[str] = []
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(folder),
            "DATA_DIR": str(folder), "PORT": "0", "LOG_LEVEL": "debug", "LOG_FORMAT": "json",
            "DATABASE_URL": url.replace("regulars@", f"regulars:{SECRETS['database password']}@"),
            "REDIS_URL": redis, "SMTP_URL": mailbox.url, "MAIL_FROM": "hello@regulars.example",
            "SECRET_KEY": SECRETS["SECRET_KEY"], "SHOPIFY_API_SECRET": SECRETS["app secret"],
            "METRICS_TOKEN": SECRETS["metrics token"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"key={SECRETS['collector key']}",
        }  # fmt: skip
        self.database = url
        self.collector = collector
        self.process: subprocess.Popen[str] | None = None

    def regulars(self, *words: str, **over: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and keep what it said."""
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words], env=self.environment | over, cwd=self.folder,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        self.said += [done.stdout, done.stderr]
        return done

    def serve(self) -> httpx.Client:
        """Start the program; its log is read as it comes."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "serve", "--json"], env=self.environment, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None and self.process.stderr is not None
        threading.Thread(target=self.said.extend, args=(self.process.stderr,), daemon=True).start()
        return httpx.Client(base_url=json.loads(self.process.stdout.readline())["url"], timeout=20, trust_env=False)

    def logged(self) -> list[dict[str, Any]]:
        """Everything of the log so far; a line that is no JSON object shows here as well."""
        return [json.loads(line) for text in self.said for line in text.splitlines() if line.startswith('{"')]

    def until(self, *events: str) -> None:
        """Wait until the log has told of these."""
        end = time.monotonic() + 60
        while missing := set(events) - {line.get("event") for line in self.logged()}:
            assert time.monotonic() < end, f"{missing} not in {sorted({str(x.get('event')) for x in self.logged()})}"
            time.sleep(0.05)


@pytest.fixture
def house(postgres_database: str, data_dir: Path, mailbox: Mailbox) -> Iterator[tuple[House, Callable[[], None]]]:
    """The program on PostgreSQL and a Redis of its own, which the second value stops."""
    with ExitStack() as stack:
        redis = ExitStack()
        stack.enter_context(redis)
        collector = stack.enter_context(collecting())
        house = House(data_dir, postgres_database, redis.enter_context(private_valkey()), mailbox, collector)
        yield house, redis.close
        if house.process is not None and house.process.poll() is None:
            house.process.kill()
            house.process.wait()


def order(number: int) -> bytes:
    """An order of somebody whose every word is a canary."""
    placed = PretendOrder(Tape(), datetime.now(UTC), [Line(4000)], Buyer(5001, PERSON["mail address"]))
    placed.id += number
    body = placed.body()
    address = {"first_name": PERSON["first name"], "last_name": PERSON["last name"], "address1": PERSON["street"],
               "phone": PERSON["phone"], "country_code": "US"}  # fmt: skip
    body |= {"shipping_address": address, "billing_address": address, "phone": PERSON["phone"], "note": PERSON["note"]}
    body["customer"] = (body.get("customer") or {}) | {**address, "default_address": address}
    return json.dumps(body).encode()


def deliver(http: httpx.Client, body: bytes, topic: str, number: int, **over: str) -> int:
    signature = base64.b64encode(hmac.new(SECRETS["app secret"].encode(), body, hashlib.sha256).digest()).decode()
    headers = {"X-Shopify-Topic": topic, "X-Shopify-Shop-Domain": SHOP_DOMAIN, "X-Shopify-Webhook-Id": f"w{number}",
               "X-Shopify-Hmac-Sha256": signature, **over}  # fmt: skip
    return http.post("/webhooks/shopify", content=body, headers=headers).status_code


async def closed_to_all(url: str, closed: bool) -> None:
    """Shut the database to new connections and end those there are, or open it again."""
    connection = await asyncpg.connect(url.rpartition("/")[0] + "/postgres")
    name = url.rpartition("/")[2]
    await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not closed}")
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    await connection.close()


def test_no_planted_word_gets_out(house: Any, mailbox: Mailbox) -> None:
    """Logs, metrics, traces, health, error pages and commands hold none of them, whatever goes wrong."""
    home, stop_redis = house
    mailbox.answers += [f"550 5.1.1 <{PERSON['mail address']}> {PERSON['last name']} does not live here"] * 2
    _joins(home)
    http = home.serve()
    pages = _journeys(home, http)
    _engines_go(home, http, stop_redis)
    pages += [http.get(path).text for path in ("/readyz", "/healthz")]
    home.process.terminate()
    assert home.process.wait(30) == 0
    _commands(home)
    told = [body.decode(errors="replace") for body in home.collector.bodies]
    found = {
        what: line[:300] for what, word in CANARIES.items() for text in [*home.said, *pages, *told]
        for line in text.splitlines() if word in line
    }  # fmt: skip
    assert found == {}
    events = {line.get("event") for line in home.logged()}
    assert {"reader_failed", "message_failed", "delivery_not_stored", "bell_away", "thread_crashed"} <= events
    traced = {(span.name, span.is_error) for span in home.collector.spans}
    assert traced >= {("receive", False), ("receive", True), ("work", False), ("work", True), ("send", True)}
    failed = [line for line in home.logged() if line.get("event") == "reader_failed"]
    assert failed[0]["error"] == "ValueError" and failed[0]["event_id"] and failed[0]["merchant"] == 1
    loose = [line for text in home.said[-1:] for line in text.splitlines() if "Traceback" in line]
    assert loose == []


def _joins(home: House) -> None:
    """A merchant with both platforms and every secret there is; what is shown to the operator is not looked at."""
    quiet = home.said
    home.said = []
    for words in (
        ("migrate",),
        ("merchant", "add", "Corner", "--shopify", SHOP_DOMAIN, "--currency", "USD", "--timezone", "America/New_York",
         "--shopify-token", SECRETS["Shopify token"]),
        ("merchant", "stripe", "Corner", "--webhook-secret", SECRETS["endpoint secret"], "--api-key",
         SECRETS["restricted key"]),
        ("merchant", "program", "Corner", "--set", "earning.enabled=true", "--set", "thanks.enabled=true", "--set",
         "thanks.when=every", "--set", "thanks.delay_minutes=0", "--set", "messages.window=always", "--set",
         "messages.cap_hours=0"),
    ):  # fmt: skip
        done = home.regulars(*words)
        assert done.returncode == 0, done.stderr
    home.said = quiet


def _journeys(home: House, http: httpx.Client) -> list[str]:
    """Orders that work, and every way in which one does not; returns the pages that were shown."""
    assert deliver(http, order(1), "orders/paid", 1) == 200
    home.until("message_failed")
    assert deliver(http, order(2), "orders/edited", 2) == 200
    home.until("reader_failed")
    assert deliver(http, order(3)[:-20], "orders/paid", 3) == 200
    assert deliver(http, order(4), "orders/paid\x1b[2J", 4) == 400
    forged = {"X-Shopify-Hmac-Sha256": HEADERS["forged signature"], "Cookie": HEADERS["cookie"]}
    assert deliver(http, order(5), "orders/paid", 5, **forged) == 401
    at = int(time.time())
    event = json.dumps({"id": "evt_1", "object": "event", "type": "charge.succeeded\r\n\x1b[31m", "created": at,
                        "data": {"object": {"billing_details": {"name": PERSON["first name"]}}}})  # fmt: skip
    signature = stripe.WebhookSignature._compute_signature(f"{at}.{event}", SECRETS["endpoint secret"])
    token = json.loads(home.regulars("merchant", "list", "--json").stdout)[0]["webhook_path"]
    assert http.post(token, content=event, headers={"Stripe-Signature": f"t={at},v1={signature}"}).status_code == 200
    assert http.post(f"/webhooks/stripe/{HEADERS['page token']}", content=event).status_code == 404
    # A page that broke takes its connection with it.
    own = {"Connection": "close", "Cookie": HEADERS["cookie"], "Authorization": f"Bearer {SECRETS['mail password']}"}
    shown = [
        http.get(path, headers=own).text
        for path in (f"/c/review/{HEADERS['page token']}", f"/c/unsubscribe/{HEADERS['page token']}", "/metrics",
                     f"/broken?name={PERSON['first name']}", f"/later?name={PERSON['last name']}",
                     f"/{PERSON['street']}", f"/app?id_token={HEADERS['page token']}", "/app/customers",
                     f"/app/customers/file/{HEADERS['page token']}", f"/app/sign-in/{HEADERS['page token']}")
    ]  # fmt: skip
    home.until("thread_crashed")
    known = http.get("/metrics", headers={"Authorization": f"Bearer {SECRETS['metrics token']}"})
    assert known.status_code == 200 and 'status="401"} 1.0' in known.text
    return [*shown, known.text]


def _engines_go(home: House, http: httpx.Client, stop_redis: Callable[[], None]) -> None:
    """Redis, then the database go away under the program; the database comes back."""
    stop_redis()
    home.until("bell_away")
    apart(closed_to_all(home.database, True))
    assert deliver(http, order(6), "orders/paid", 6) == 503
    home.until("delivery_not_stored")
    assert http.get("/readyz").status_code == 503
    apart(closed_to_all(home.database, False))
    end = time.monotonic() + 60
    while deliver(http, order(6), "orders/paid", 6) != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


def _commands(home: House) -> None:
    """Commands as somebody runs them who looks for the fault, with a mail server and settings that are wrong."""
    away = {"SMTP_URL": f"smtp://ada:{SECRETS['mail password']}@127.0.0.1:1"}
    assert home.regulars("doctor", **away).returncode == 1
    nowhere = home.environment["DATABASE_URL"].rpartition("/")[0] + "/nowhere"
    for words in (("doctor",), ("events", "list"), ("serve",), ("audit",), ("backup", str(home.folder / "copy"))):
        assert home.regulars(*words, DATABASE_URL=nowhere).returncode == 1
    assert home.regulars("events", "list", "--json").returncode == 0
    for mistaken in (SECRETS["secret key pasted by mistake"], SECRETS["endpoint secret pasted by mistake"]):
        assert home.regulars("merchant", "stripe", "Corner", "--api-key", mistaken).returncode == 1
    wrong = {"SECRET_KEY": "short-" + SECRETS["metrics token"], "SMTP_URL": f"smtp://{SECRETS['mail password']}:x:y"}
    assert home.regulars("doctor", **wrong).returncode == 1
