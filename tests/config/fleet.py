"""Processes of their own on one PostgreSQL and one Valkey: as many webs and workers as a test wants."""

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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import asyncpg
import httpx

from config.migrate import upgrade
from tests.config.beside import SHOP, rows
from tests.conftest import REPOSITORY
from tests.servers import Postgres, free_port

COMMAND = "import sys; sys.argv[0] = 'regulars'; from config.cli import main; main()"
SECRET = "a-secret-of-the-app"
START_SECONDS = 180


class Answer(NamedTuple):
    """What became of one delivery: its status (0 = no answer), when it was sent, and how long that took."""

    number: int
    status: int
    sent_at: float
    seconds: float


class Fleet:
    """The engines and the processes on them; `send` is the platform."""

    def __init__(self, postgres: Postgres, redis_url: str, folder: Path) -> None:
        self.postgres, self.folder = postgres, folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "DATA_DIR": str(folder),
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis_url,
            "SECRET_KEY": "0123456789abcdef" * 2,
            "SHOPIFY_API_SECRET": SECRET,
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "warning",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `regulars` with these words."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *words],
                env=self.environment | environment, cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    async def web(self, port: int) -> subprocess.Popen[bytes]:
        """Start a web process and wait until it answers."""
        process = self.start("web", "--port", str(port))
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient() as client:
            while time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    if (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200:
                        return process
                assert process.poll() is None, (self.folder / "log").read_text()[-2000:]
                await asyncio.sleep(0.02)
        raise AssertionError("the web process does not answer")

    def stop(self) -> None:
        """End every process."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    async def rows(self, sql: str) -> list[asyncpg.Record]:
        """Run one statement on the database."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()

    async def send(self, ports: list[int], numbers: range, per_second: float) -> list[Answer]:
        """Send deliveries evenly, to each port in turn, whatever becomes of the ones before."""
        answers: list[Answer] = []
        async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
            begun = time.monotonic()
            for place, number in enumerate(numbers):
                await asyncio.sleep(max(0.0, begun + place / per_second - time.monotonic()))
                group.create_task(_deliver(client, ports[place % len(ports)], number, answers))
        return sorted(answers)

    async def worked(self, within: float = 60) -> None:
        """Wait until no event is left to be worked."""
        deadline = time.monotonic() + within
        while (await self.rows("SELECT count(*) FROM events WHERE worked_at IS NULL AND failed_at IS NULL"))[0][0]:
            assert time.monotonic() < deadline, "events are left"
            await asyncio.sleep(0.05)


async def _deliver(client: httpx.AsyncClient, port: int, number: int, answers: list[Answer]) -> None:
    body = json.dumps({"id": number, "filler": "x" * 2_000}).encode()
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    headers = {
        "x-shopify-topic": "carts/create",
        "x-shopify-shop-domain": SHOP,
        "x-shopify-webhook-id": f"w{number}",
        "x-shopify-hmac-sha256": signature,
    }
    sent_at = time.monotonic()
    status = 0
    with suppress(httpx.TransportError):
        url = f"http://127.0.0.1:{port}/webhooks/shopify"
        status = (await client.post(url, content=body, headers=headers)).status_code
    answers.append(Answer(number, status, sent_at, time.monotonic() - sent_at))


CONNECT = (
    "INSERT INTO connections (merchant_id, platform, account, created_at, connected_at)"
    f" VALUES (1, 'shopify', '{SHOP}', 0, 0)"
)


def set_up(binaries: Path, folder: Path) -> Path:
    """Make the data of a PostgreSQL with the shop Lavender connected, for fleets to begin with; returns where."""
    home = _home(folder)
    postgres = Postgres(binaries, home)
    postgres.start()
    try:
        upgrade(postgres.url)
        rows(postgres.url, CONNECT)
    finally:
        postgres.stop()
    return home


@contextmanager
def fleet(binaries: Path, redis_url: str, folder: Path, like: Path) -> Iterator[Fleet]:
    """Run a PostgreSQL of the fleet's own, with the data `set_up` made; ends every process."""
    postgres = Postgres(binaries, _home(folder), like=like)
    postgres.start()
    one = Fleet(postgres, redis_url, folder)
    try:
        yield one
    finally:
        one.stop()
        postgres.stop()


def _home(folder: Path) -> Path:
    """Make a place for PostgreSQL's files, which its own account can reach."""
    home = folder / "postgres"
    home.mkdir()
    folder.chmod(0o755)
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    return home


def ports(number: int) -> list[int]:
    """Return so many free ports."""
    return [free_port() for _ in range(number)]
