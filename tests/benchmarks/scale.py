"""The program as many machines run it: `regulars web` and `regulars worker` on one PostgreSQL and one Valkey."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import asyncpg
from redis import Redis

from config.migrate import upgrade
from config.settings import Settings
from handlers.inbox.work import BELL
from integration.queue import BELL_PREFIX
from tests.benchmarks.machines import process, regulars
from tests.servers import free_port, postgres_binaries, private_postgres, private_valkey

T = TypeVar("T")

SECRET = "hush-hush-hush-hush-hush-hush-hush"
TUNED = {"shared_buffers": "1GB", "min_wal_size": "2GB", "max_wal_size": "4GB"}  # as for a machine of its own
# What has been given up is nobody's to work, until it is due again: so a backlog is there all at once.
SET_ASIDE = "UPDATE events SET failed_at = 1"
QUEUE = "UPDATE events SET failed_at = NULL WHERE failed_at = 1"
RINGS = 10
RING_SECONDS = 0.005
MOST_IDLE_SECONDS = 120


@dataclass(frozen=True)
class Installation:
    """Engines that run, and the environment that names them."""

    folder: Path
    server: str  # address of PostgreSQL without a database
    redis_url: str

    def url(self, database: str) -> str:
        """Name one of the server's databases."""
        return f"{self.server}/{database}"

    def settings(self, database: str) -> Settings:
        """Return the program's settings for this process."""
        return Settings(
            data_dir=self.folder,
            database_url=self.url(database),
            redis_url=self.redis_url,
            secret_key="0123456789abcdef" * 2,
        )

    def environment(self, database: str) -> dict[str, str]:
        """Return the program's settings for a process of its own."""
        return {
            "DATABASE_URL": self.url(database),
            "REDIS_URL": self.redis_url,
            "DATA_DIR": str(self.folder),
            "SHOPIFY_API_KEY": "bench",
            "SHOPIFY_API_SECRET": SECRET,
            "SECRET_KEY": "0123456789abcdef" * 2,
            "LOG_LEVEL": "WARNING",
        }

    def create(self, database: str, template: str = "template0") -> None:
        """Make a database: an empty one brought up to date, or a copy of another nobody is connected to."""
        self.execute("postgres", f"CREATE DATABASE {database} TEMPLATE {template}")
        if template == "template0":
            upgrade(self.url(database))

    def drop(self, database: str) -> None:
        """Delete a database, and write what the disk still owes, so that it is not the next measurement's."""
        self.execute("postgres", f"DROP DATABASE {database} WITH (FORCE)", "CHECKPOINT")

    def execute(self, database: str, *statements: str) -> None:
        """Run statements, each committed by itself."""

        async def run(connection: Any) -> None:
            for statement in statements:
                await connection.execute(statement)

        self.ask(database, run)

    def fetch(self, database: str, statement: str, *arguments: object) -> list[Any]:
        """Run one query and return its rows."""
        return self.ask(database, lambda connection: connection.fetch(statement, *arguments))

    def ask(self, database: str, what: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with a connection of its own."""

        async def run() -> T:
            connection = await asyncpg.connect(self.url(database))
            try:
                return await what(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def ring(self) -> None:
        """Wake every worker, as receivers do."""
        with Redis.from_url(self.redis_url) as redis:
            for _ in range(RINGS):
                redis.lpush(BELL_PREFIX + BELL, b"1")
                time.sleep(RING_SECONDS)

    @contextmanager
    def web(self, database: str) -> Iterator[tuple[int, int]]:
        """Run `regulars web`; yields its port and its process id."""
        port = free_port()
        with process(regulars("web"), {**self.environment(database), "PORT": str(port)}, port) as running:
            yield port, running.pid

    @contextmanager
    def worker(self, database: str) -> Iterator[int]:
        """Run `regulars worker`; yields its process id."""
        port = free_port()
        with process(regulars("worker"), {**self.environment(database), "METRICS_PORT": str(port)}, port) as running:
            yield running.pid

    def audit(self, database: str) -> Mapping[str, Any]:
        """Wait until nothing is left to do, then have the books audited; SystemExit where they do not agree."""
        environment = {**os.environ, **self.environment(database)}
        waited = subprocess.run(
            regulars("idle", "--timeout", str(MOST_IDLE_SECONDS)), env=environment, capture_output=True, text=True
        )
        if waited.returncode:
            raise SystemExit(f"The work did not end: {waited.stderr}")
        audited = subprocess.run(regulars("audit", "--json"), env=environment, capture_output=True, text=True)
        if audited.returncode:
            raise SystemExit(f"The books do not agree: {audited.stdout[-2000:]}{audited.stderr}")
        report: dict[str, Any] = json.loads(audited.stdout)
        return report


@contextmanager
def installed() -> Iterator[Installation]:
    """Run a PostgreSQL that syncs every commit and a Valkey, for as long as they are needed."""
    binaries = postgres_binaries()
    if binaries is None:
        raise SystemExit("This benchmark needs PostgreSQL (Debian: apt-get install postgresql).")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="regulars-bench-")))
        url = stack.enter_context(private_postgres(binaries, fsync=True, tuned=TUNED))
        yield Installation(folder, url.rpartition("/")[0], stack.enter_context(private_valkey()))
