"""Settlers, senders and merchants at once on two connections of PostgreSQL: what one of them decides is never lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from handlers.messages import outbox, sending, stopping
from handlers.messages.outbox import Later, claim
from integration.clock import DAY, HOUR, MINUTE
from integration.database.engine import Database
from integration.database.steps import Sql, Steps
from integration.facts import OrderSeen
from tests.handlers.messages.stage import Stage

REQUEST = "review_request:sale:1"


@pytest.fixture
async def nora(postgres_database: str, data_dir: Path) -> AsyncIterator[Stage]:
    """Nora's shop on PostgreSQL, where two transactions really run at once."""
    database = await Database.open(postgres_database, data_dir)
    try:
        yield await Stage(database).open()
    finally:
        await database.close()


async def interrupted(database: Database, steps: Steps[Any], at: Sql, meanwhile: Callable[[], Awaitable[None]]) -> None:
    """Run steps in one transaction on a connection of their own; just before `at`, something else happens."""
    connection = await asyncpg.connect(database.url)
    rows: list[tuple[Any, ...]] | None = None
    try:
        async with connection.transaction():
            while True:
                try:
                    request = steps.send(rows)  # type: ignore[arg-type]
                except StopIteration:
                    return
                if request.sql is at:
                    await meanwhile()
                arguments = request.rows if request.sql.kind == "plain" else zip(*request.rows, strict=True)
                if request.sql.returns:
                    rows = [tuple(row) for row in await connection.fetch(request.sql.postgres, *arguments)]
                else:
                    status = await connection.execute(request.sql.postgres, *arguments)
                    rows = [(int(last) if (last := status.rsplit(" ", 1)[-1]).isdigit() else 0,)]
    finally:
        await connection.close()


async def test_a_cancellation_told_while_a_sender_claims_is_not_lost(nora: Stage) -> None:
    """The sender's first attempt fails; the request for an order cancelled meanwhile must not go out at the second.

    Nothing but the settler's word stops this one: the letter itself does not look at when an order was cancelled.
    """
    await nora.set({"thanks": {"enabled": False}}, at=0)
    seen = nora.order()
    await nora.hears(seen, nora.parcel(seen.order.id))
    nora.clock.instant += 14 * DAY
    cancelled = OrderSeen(
        msgspec.structs.replace(
            seen.order,
            updated_at=nora.clock.now(),
            cancelled_at=seen.order.processed_at + HOUR,  # type: ignore[operator]
        )
    )
    claimed: list[outbox.Due] = []

    async def sender() -> None:
        now = nora.clock.now()
        claimed.extend((await nora.database.run(lambda: claim("sender", now, 10))).due)

    told = nora.told(cancelled)
    await interrupted(nora.database, nora.context.apply(told, nora.clock.now()), outbox._WISH, sender)
    request = next(message for message in claimed if message.key == REQUEST)
    later = Later(nora.clock.now() + MINUTE, "greylisted", True)
    await nora.database.run(lambda: outbox.settle([(request, later)], "sender", nora.clock.now()))
    nora.clock.instant += MINUTE
    await nora.settles()
    await nora.sends()
    assert (await nora.messages("review_request"))[REQUEST] == (
        "cancelled",
        "the order was cancelled before it arrived",
    )
    assert not nora.mails


async def test_resuming_waits_for_a_sender_that_is_putting_messages_off(nora: Stage) -> None:
    """A sender that saw the pause writes down that a message waits; whoever resumes meanwhile wakes it all the same."""
    await nora.hears(nora.order())
    await nora.database.run(lambda: stopping.pause(1, nora.clock.now()))
    nora.clock.instant += HOUR
    now = nora.clock.now()
    due = (await nora.database.run(lambda: claim("sender", now, 10))).due
    resuming: list[asyncio.Task[bool]] = []

    async def merchant() -> None:
        resuming.append(asyncio.create_task(nora.database.run(lambda: stopping.resume(1))))
        done, _ = await asyncio.wait(resuming, timeout=0.3)
        assert not done

    await interrupted(nora.database, sending._look(nora.context, due, "sender", now), outbox._DEFER, merchant)
    assert await resuming[0]
    assert await nora.database.run(lambda: stopping.wake(1, now)) == 1
    await nora.sends()
    assert len(nora.mails) == 1
