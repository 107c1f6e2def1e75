"""The running program and a mailbox, and the ways a journey is played: once, twice, shuffled, lost, and all again."""

import asyncio
import contextlib
import functools
import inspect
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import text

from config.asgi import build
from config.settings import Settings
from config.wiring import opened
from config.worker import work
from handlers.context import Context
from handlers.earning import jobs as earning
from handlers.inbox.idle import busy
from handlers.inbox.prune import KEEP_FAILED, prune_all
from handlers.inbox.work import Worker
from handlers.points.audit import audit_books
from handlers.referrals import jobs as referrals
from integration.clock import DAY, Clock
from tests.journeys.town import SHOPIFY_SECRET, Town
from tests.mailbox import Mailbox
from tests.servers import free_port

IDLE_SECONDS = 60.0
LOOK_SECONDS = 0.002
STYLES = ("once", "twice", "shuffled", "lost", "again")
SEED = 20261006
MOST_LOST = 60  # deliveries of one journey

Journey = Callable[[Town], Coroutine[Any, Any, None]]


class Street:
    """The running program: receiver, worker, database, queue and mail; every journey is another shop in it."""

    def __init__(self, context: Context, clock: Clock, http: httpx.AsyncClient, mailbox: Mailbox) -> None:
        self.context, self.clock, self.http, self.mailbox = context, clock, http, mailbox
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """A number no other shop of this street has."""
        return next(self._numbers)

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, folder: Path, mailbox: Mailbox) -> AsyncIterator["Street"]:
        """Run web and worker as `regulars serve` does, on a free port."""
        port = free_port()
        settings = Settings(
            _env_file=None,
            database_url=url,
            data_dir=folder,
            secret_key="the-secret-key-of-the-journeys-is-long",
            public_url=f"http://127.0.0.1:{port}",
            shopify_api_secret=SHOPIFY_SECRET,
            smtp_url=mailbox.url,
            mail_from="hello@regulars.example",
        )
        clock, stop = Clock(), asyncio.Event()
        async with opened(settings, serving=True, clock=clock) as context:
            config = uvicorn.Config(build(context), port=port, log_config=None, lifespan="off", access_log=False)
            server = _Server(config)
            tasks = [asyncio.create_task(server.serve()), asyncio.create_task(work(context, stop))]
            while not server.started:
                await asyncio.sleep(LOOK_SECONDS)
            async with httpx.AsyncClient(base_url=settings.own_url, timeout=60, trust_env=False) as http:
                yield cls(context, clock, http, mailbox)
            server.should_exit = True
            stop.set()
            await asyncio.gather(*tasks)

    async def idle(self) -> None:
        """Wait as `regulars idle` does: until no event, sale or message is left to be worked."""
        deadline = time.monotonic() + IDLE_SECONDS
        while left := await self.context.database.read(lambda: busy(self.clock.now())):
            assert time.monotonic() < deadline, f"still at work: {left}"
            if set(left) == {"sales"}:
                # The running worker looks at the clock once a second; a second worker need not wait for that.
                await Worker(self.context).resettle(at_once=True)
            if set(left) <= {"occasions", "referrals"}:
                # What the clock has looked at once a minute, where it has a queue.
                await earning.look_due(self.context)
                await referrals.look_due(self.context)
            self.context.queue.ring_all()
            await asyncio.sleep(LOOK_SECONDS)

    async def play(self, journey: Journey, style: str) -> None:
        """Play a journey in one style: `lost` once for each of its deliveries, `again` with all of them sent later."""
        if style != "lost":
            await self._play(journey, Town(self, self.number(), style, None))
            return
        # Every delivery in turn on SQLite; the same code runs on PostgreSQL, where every third has to do.
        stride = 1 if self.context.database.dialect == "sqlite" else 3
        for withheld in range(0, MOST_LOST, stride):
            town = Town(self, self.number(), style, withheld)
            await self._play(journey, town)
            if withheld + stride >= len(town.tape.deliveries):
                return
        pytest.fail(f"the journey has more than {MOST_LOST} deliveries")

    async def _play(self, journey: Journey, town: Town) -> None:
        await town.open()
        try:
            await journey(town)
            await town.told()
            if town.style == "again":
                await self._again(town)
            findings = await self.context.database.read(
                lambda: audit_books(town.merchant, self.clock.now(), self.context.auditors)
            )
            assert not findings.drifts, findings.drifts
        finally:
            await self.close(town.merchant)

    async def _again(self, town: Town) -> None:
        """Send everything once more when nothing is left of it, as it was and captured: nothing comes of that."""
        await town.passes(days=KEEP_FAILED // DAY + 1)
        await prune_all(self.context.database, self.clock.now())
        assert await town.rows("SELECT delivery_id FROM events") == []
        before = await town.books()
        assert await town.send_again() == len(await town.rows("SELECT id FROM events"))
        assert await town.books() == before
        await town.passes(days=KEEP_FAILED // DAY + 1)
        assert await town.books() == before
        # The next journey begins long ago: nothing of this one is to lie before it.
        await prune_all(self.context.database, self.clock.now())

    async def close(self, merchant: int) -> None:
        """Let nothing of a journey fall due in the next one, and free its shop's name."""
        async with self.context.database.begin() as connection:
            for statement in (
                "UPDATE connections SET account = account || '-' || id, shop_id = NULL, hosts = '[]', closed_at = 1"
                " WHERE merchant_id = :m",
                "UPDATE messages SET state = 'cancelled' WHERE merchant_id = :m AND state <> 'sent'",
                "UPDATE sales SET settle_at = NULL WHERE merchant_id = :m",
                "UPDATE referrals SET due_at = NULL WHERE merchant_id = :m",
            ):
                await connection.execute(text(statement), {"m": merchant})


class _Server(uvicorn.Server):
    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        # pytest keeps its own signals.
        return contextlib.nullcontext()


def journey(*styles: str) -> Callable[[Journey], Callable[..., None]]:
    """Make a test of a journey, played in every style or only in those named."""

    def make(told: Journey) -> Callable[..., None]:
        @pytest.mark.parametrize("style", styles or STYLES)
        @functools.wraps(told)
        def test(street: Street, runner: asyncio.Runner, style: str) -> None:
            runner.run(street.play(told, style))

        # pytest reads the parameters from the signature, which `wraps` would give as the journey's own.
        test.__signature__ = inspect.signature(test, follow_wrapped=False)  # type: ignore[attr-defined]
        del test.__wrapped__
        return test

    return make
