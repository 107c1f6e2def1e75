"""The command line and the processes it starts, as an operator meets them."""

import asyncio
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
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.commands import NOT_SET_UP
from integration.queue.embedded import find
from tests.config.beside import SHOP, delivered, rows
from tests.conftest import apart

COMMAND = "import sys; sys.argv[0] = 'regulars'; from config.cli import main; main()"
SECRET = "a-secret-of-the-app"
START_SECONDS = 60


class Shop:
    """A data directory, a database, and the command to run on them from some other directory."""

    def __init__(self, data_dir: Path, database_url: str, elsewhere: Path) -> None:
        self.data_dir, self.database_url, self.elsewhere = data_dir, database_url, elsewhere
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "DATA_DIR": str(data_dir),
            "DATABASE_URL": database_url,
            "SHOPIFY_API_SECRET": SECRET,
            "PORT": "0",
            "LOG_FORMAT": "json",
        }

    def regulars(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-c", COMMAND, *words],
            env=self.environment, cwd=self.elsewhere, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def start(self, *words: str) -> tuple[subprocess.Popen[str], str]:
        """Start a process that listens; returns it and its address."""
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words, "--json"],
            env=self.environment, cwd=self.elsewhere, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())["url"]


@pytest.fixture
def shop(data_dir: Path, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    yield Shop(data_dir, database_url, elsewhere)


def headers(body: bytes, number: int) -> dict[str, str]:
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    return {
        "x-shopify-topic": "orders/paid",
        "x-shopify-shop-domain": SHOP,
        "x-shopify-webhook-id": f"w{number}",
        "x-shopify-hmac-sha256": signature,
    }


def post(client: httpx.Client, url: str, number: int) -> int:
    body = json.dumps({"id": number}).encode()
    return client.post(f"{url}/webhooks/shopify", content=body, headers=headers(body, number)).status_code


def test_serve_receives_tells_its_health_and_ends_within_ten_seconds(shop: Shop) -> None:
    """One command runs everything; a deploy's SIGTERM ends it cleanly, the embedded Valkey with it."""
    process, url = shop.start("serve")
    with httpx.Client() as client:
        assert [post(client, url, n) for n in range(3)] == [200, 200, 200]
        assert client.post(f"{url}/webhooks/shopify", content=b"{}").status_code == 401
        assert client.get(f"{url}/healthz").status_code == 200
        ready = client.get(f"{url}/readyz").json()
        assert (ready["ready"], ready["down"]) == (True, {})
        metrics = client.get(f"{url}/metrics").text
        assert 'regulars_delivery_seconds_count{source="shopify",status="200"} 3.0' in metrics
        assert 'regulars_delivery_seconds_count{source="shopify",status="401"} 1.0' in metrics
        for path in ("nowhere", "docs", "openapi.json", "debug", ".env", "%2e%2e/etc/passwd"):
            answer = client.get(f"{url}/{path}")
            assert (answer.status_code, answer.text) == (404, "Not Found")
            assert "server" not in answer.headers, "nobody is told what to look for weaknesses of"
    assert find(shop.data_dir) is not None
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert time.monotonic() - started < 10
    assert find(shop.data_dir) is None
    assert rows(shop.database_url, "SELECT count(*) FROM events") == [(3,)]


def test_what_was_answered_with_200_survives_a_kill(shop: Shop) -> None:
    """Every acknowledged delivery is there, once, and the resend of the rest is taken."""
    process, url = shop.start("serve")
    acknowledged: set[int] = set()

    async def flood() -> None:
        async with httpx.AsyncClient() as client:

            async def one(number: int) -> None:
                body = json.dumps({"id": number}).encode()
                answer = await client.post(f"{url}/webhooks/shopify", content=body, headers=headers(body, number))
                if answer.status_code == 200:
                    acknowledged.add(number)
                if len(acknowledged) == 60:
                    process.kill()

            await asyncio.gather(*(one(n) for n in range(200)), return_exceptions=True)

    apart(flood())
    process.wait(10)
    stored = [int(name[1:]) for (name,) in rows(shop.database_url, "SELECT delivery_id FROM events")]
    assert len(stored) == len(set(stored)) and acknowledged <= set(stored)
    assert 60 <= len(acknowledged) < 200
    process, url = shop.start("serve")
    with httpx.Client() as client:
        assert {post(client, url, n) for n in range(200)} == {200}
    process.terminate()
    assert process.wait(15) == 0
    assert rows(shop.database_url, "SELECT count(*) FROM events") == [(200,)]


def test_web_and_worker_share_one_machine(shop: Shop) -> None:
    """Two processes, one data directory: the worker is rung through the Valkey the other one started."""
    delivered(shop.database_url)
    web, url = shop.start("web")
    worker = subprocess.Popen([sys.executable, "-c", COMMAND, "worker"], env=shop.environment, cwd=shop.elsewhere)
    with httpx.Client() as client:
        assert post(client, url, 1) == 200
    done = shop.regulars("idle", "--timeout", "60", "--json")
    assert (done.returncode, done.stdout) == (0, '{"idle": true}\n')
    for process in (worker, web):
        process.terminate()
        assert process.wait(15) == 0
    assert rows(shop.database_url, "SELECT worked_at IS NOT NULL OR failed_at IS NOT NULL FROM events")[0][0]


@pytest.mark.parametrize("command", ["web", "worker"])
def test_a_process_on_a_database_that_was_never_set_up_says_what_to_do(shop: Shop, command: str) -> None:
    """One sentence at the start, rather than a failure at the first delivery."""
    if shop.database_url.startswith("sqlite"):
        (shop.data_dir / "regulars.db").unlink()
    else:
        rows(shop.database_url, "DROP SCHEMA public CASCADE")
        rows(shop.database_url, "CREATE SCHEMA public")
    refused = shop.regulars(command)
    assert refused.returncode == 1
    assert refused.stderr == f"{NOT_SET_UP}\n"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [(("events", "show", "7"), 1, "There is no event 7.\n"), (("dance",), 2, "Usage:")],
)
def test_an_error_is_a_sentence_and_the_process_status(
    sqlite_database: Any, data_dir: Path, tmp_path: Path, words: tuple[str, ...], status: int, sentence: str
) -> None:
    """Exit 1 for what cannot be done, 2 for wrong usage; nothing on stdout."""
    done = Shop(data_dir, sqlite_database(data_dir), tmp_path).regulars(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(sentence)


def test_a_database_of_an_older_release_is_one_sentence(shop: Shop) -> None:
    """A command beside a release that has not been migrated yet says what to do."""
    rows(shop.database_url, "ALTER TABLE events RENAME COLUMN reason TO older")
    done = shop.regulars("events", "list")
    assert done.returncode == 1 and "regulars migrate" in done.stderr and done.stderr.count("\n") == 1


def test_a_wrong_environment_is_one_sentence(tmp_path: Path) -> None:
    """Without the value: it may be a secret."""
    shop = Shop(tmp_path, "mysql://ada:secret@db/shop", tmp_path)
    done = shop.regulars("events", "list")
    assert done.returncode == 1 and "DATABASE_URL" in done.stderr
    assert "secret" not in done.stderr and done.stderr.count("\n") == 1


def test_a_place_for_files_that_is_none_is_named(tmp_path: Path) -> None:
    """The sentence holds the path, so that the operator sees which variable it came from."""
    taken = tmp_path / "file"
    taken.touch()
    done = Shop(taken, "", tmp_path).regulars("migrate")
    assert done.returncode == 1 and str(taken) in done.stderr and done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_sentence(sqlite_database: Any, data_dir: Path, tmp_path: Path) -> None:
    """And everything that was started before is ended again."""
    import socket

    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = Shop(data_dir, sqlite_database(data_dir), tmp_path).regulars("serve", "--port", port)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Port {port} of HOST 0.0.0.0 cannot be listened on."
    assert find(data_dir) is None


def test_the_doctor_says_what_is_missing(sqlite_database: Any, data_dir: Path, tmp_path: Path) -> None:
    """Advice alone is exit 0; an engine that is away is exit 1."""
    shop = Shop(data_dir, sqlite_database(data_dir), tmp_path)
    done = shop.regulars("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["well"] is True
    assert {"SMTP_URL", "MAIL_FROM", "PUBLIC_URL", "SECRET_KEY"} <= set(report["advice"])
    shop.environment["REDIS_URL"] = "redis://127.0.0.1:1"
    sick = shop.regulars("doctor", "--json")
    assert sick.returncode == 1 and set(json.loads(sick.stdout)["problems"]) == {"queue"}
