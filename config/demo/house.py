"""The real program inside the demo: its web and worker as `serve` runs them, told where the pretend world is."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from config import migrate
from config.asgi import build
from config.settings import Settings
from config.wiring import opened
from config.worker import work
from handlers.context import Context
from handlers.inbox.idle import busy
from handlers.inbox.work import BELL as INBOX
from handlers.merchants.rules import Refused
from handlers.messages.jobs import BELL as MESSAGES
from handlers.points.audit import Findings, audit_books
from handlers.points.statement import find_customer, statement
from integration.clock import Clock
from integration.database.engine import address
from integration.shopify.admin import Admin
from integration.stripe.api import StripeApi

LOOPBACK = "127.0.0.1"
GRACEFUL_SECONDS = 2
COMMAND_SECONDS = 30
LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class House:
    """The running program: where it listens, and its books as its own commands read them."""

    context: Context
    url: str
    settings: Settings

    async def left(self) -> dict[str, int]:
        """What `regulars idle` waits for, counted by kind; empty when the program has come to rest."""
        return await self.context.database.read(lambda: busy(self.context.clock.now()))

    def ring(self) -> None:
        """Wake the loops, as after the clock was moved."""
        for bell in (INBOX, MESSAGES):
            self.context.queue.ring(bell)

    async def customer(self, merchant: int, email: str) -> dict[str, Any]:
        """What `regulars customer show` shows; nothing while the person is unknown."""
        database, now = self.context.database, self.context.clock.now()
        try:
            number = await database.read(lambda: find_customer(merchant, email))
        except Refused:
            return {}
        return await database.read(lambda: statement(merchant, number, now))

    async def audit(self, merchant: int) -> Findings:
        """What `regulars audit` finds, at the shop's own time."""
        context = self.context
        return await context.database.read(lambda: audit_books(merchant, context.clock.now(), context.auditors))

    async def command(self, *words: str) -> dict[str, Any]:
        """Run one of the program's commands on these books as a process of its own, and read its JSON.

        Raises RuntimeError with what it wrote to stderr where it failed.
        """
        place = self.settings.data_dir
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from config.cli import main; main()", *words, "--json"),
            # Nothing but this, so that a real installation's environment is not read instead.
            env={"DATA_DIR": str(place), "DATABASE_URL": address(None, place)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(COMMAND_SECONDS):
            out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"regulars {' '.join(words)}: {err.decode().strip()}")
        read: dict[str, Any] = json.loads(out)
        return read


@asynccontextmanager
async def open_house(
    data_dir: Path,
    *,
    smtp_url: str,
    shopify_key: str,
    shopify_secret: str,
    shopify_base: str,
    stripe_base: str,
    clock: Clock,
) -> AsyncIterator[House]:
    """Run web and worker in this process until the block ends, on a free port of this machine."""
    with listener() as taken:
        url = f"http://{LOOPBACK}:{taken.getsockname()[1]}"
        # Everything is named, so that nothing of a real installation's environment gets in.
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            database_url=None,
            redis_url=None,
            data_dir=data_dir,
            host=LOOPBACK,
            port=taken.getsockname()[1],
            public_url=url,
            secret_key="",  # one of its own making, kept in the folder
            shopify_api_key=shopify_key,
            shopify_api_secret=shopify_secret,
            shopify_old_api_secret=None,
            smtp_url=smtp_url,
            mail_from="regulars@demo.example",
        )
        await asyncio.to_thread(migrate.upgrade, address(None, data_dir))
        shopify, stripe = Admin(base=shopify_base, clock=clock), StripeApi(base=stripe_base, clock=clock)
        async with opened(settings, serving=True, clock=clock, shopify=shopify, stripe=stripe) as context:
            stop = asyncio.Event()
            working = asyncio.create_task(work(context, stop), name="worker")
            receiver = build(context)
            try:
                async with serve(receiver, taken):
                    yield House(context, url, settings)
                await receiver.drained()
            finally:
                stop.set()
                await working


@contextlib.contextmanager
def listener(port: int = 0) -> Iterator[socket.socket]:
    """Take a port of this machine: the one asked for, or any free one where it is 0 or taken."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            taken.bind((LOOPBACK, port))
        except OSError:
            taken.bind((LOOPBACK, 0))
        yield taken
    finally:
        taken.close()


@asynccontextmanager
async def serve(app: Any, taken: socket.socket) -> AsyncIterator[None]:
    """Serve an ASGI application on a port already taken, until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
    )
    # Signals are the command's: several servers run here, and they end in order.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    running = asyncio.create_task(server.serve(sockets=[taken]))
    while not server.started and not running.done():  # noqa: ASYNC110 - uvicorn tells it in no other way
        await asyncio.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        server.should_exit = True
        await running
