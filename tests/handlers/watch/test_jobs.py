"""A worker says that it lives, and every merchant's books are looked at in turn."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from handlers.watch import jobs
from handlers.watch.store import signs
from integration.clock import DAY, HOUR
from integration.database.steps import ask, plain
from integration.errors import Unavailable
from tests.handlers.inbox.conftest import Desk, StoppedClock, desk_on
from tests.handlers.points.books import open_books, post

ADA = [("program:issued", "customer:1:pending", 30_000_000), ("customer:1:pending", "customer:1:available", 10_000_000)]


async def words(desk: Desk, kind: str) -> list[tuple[str, int, int, Any]]:
    return [(one.name, one.at, one.counted, one.told) for one in await desk.context.database.read(lambda: signs(kind))]


async def test_a_worker_is_heard_of_until_it_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again while it lives; nothing is left of one that was stopped in order."""
    monkeypatch.setattr(jobs, "BEAT_SECONDS", 0.01)
    stop = asyncio.Event()
    beating = asyncio.create_task(jobs.beat_for_ever(desk.context, stop))
    began = desk.clock.now()
    desk.clock.at += HOUR
    async with asyncio.timeout(60):
        while [at for _, at, _, _ in await words(desk, "process")] != [began + HOUR]:
            await asyncio.sleep(0)
    assert (await words(desk, "process"))[0][3]["since"] <= began + HOUR
    stop.set()
    await beating
    assert await words(desk, "process") == []


async def test_a_beat_the_database_misses_is_made_up_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker lives on while its database is away."""
    monkeypatch.setattr(jobs, "BEAT_SECONDS", 0.01)
    missed = asyncio.Event()

    def away(*_: Any, **__: Any) -> Any:
        missed.set()
        monkeypatch.undo()
        raise Unavailable("It restarts.")

    monkeypatch.setattr(jobs, "tell", away)
    stop = asyncio.Event()
    beating = asyncio.create_task(jobs.beat_for_ever(desk.context, stop))
    async with asyncio.timeout(60):
        await missed.wait()
        stop.set()
        await beating
    assert beating.exception() is None


async def test_books_are_audited_once_a_day_and_drift_is_kept(database: Any) -> None:
    """What the clock finds is there for whoever looks, until an audit finds it mended."""
    desk = desk_on(database)
    hats, gloves = await open_books(database, "Hats"), await open_books(database, "Gloves")
    for merchant in (hats, gloves):
        await post(database, merchant, ADA)
    await database.run(
        lambda: ask(plain("UPDATE accounts SET micropoints = micropoints + 1 WHERE merchant_id = ?1"), (hats,))
    )
    assert await jobs.audit_in_turn(desk.context) == 2
    found = {name: counted for name, _, counted, _ in await words(desk, "audit")}
    assert found[str(hats)] > 0 and found[str(gloves)] == 0
    assert await jobs.audit_in_turn(desk.context) == 0
    await database.run(
        lambda: ask(plain("UPDATE accounts SET micropoints = micropoints - 1 WHERE merchant_id = ?1"), (hats,))
    )
    desk.clock.at += DAY
    assert await jobs.audit_in_turn(desk.context) == 2
    assert {counted for _, _, counted, _ in await words(desk, "audit")} == {0}


async def test_large_books_are_added_up_at_least(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit of millions of entries is for a quiet hour; a sum that is not zero shows at once."""
    monkeypatch.setattr(jobs, "MOST_ENTRIES", 1)
    desk = desk_on(database)
    hats = await open_books(database, "Hats")
    await post(database, hats, ADA)
    await jobs.audit_in_turn(desk.context)
    assert [(counted, told) for _, _, counted, told in await words(desk, "audit")] == [(0, {"whole": False})]
    await database.run(lambda: ask(plain("UPDATE accounts SET micropoints = micropoints + 1"), ()))
    desk.clock.at += DAY
    await jobs.audit_in_turn(desk.context)
    assert [counted for _, _, counted, _ in await words(desk, "audit")] == [1]


async def test_a_run_that_took_long_leaves_the_rest_for_the_next(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest unaudited comes first, so nobody is left out for ever."""
    desk = desk_on(database)
    for name in ("Hats", "Gloves", "Scarves"):
        await open_books(database, name)
    seconds = iter(range(0, 1000, 40))
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    assert await jobs.audit_in_turn(desk.context) == 1
    assert await jobs.audit_in_turn(desk.context) == 1
    assert {name for name, _, _, _ in await words(desk, "audit")} == {"1", "2"}


async def test_a_process_nobody_hears_of_is_forgotten_after_a_day(database: Any) -> None:
    """A killed worker is worth knowing of for a while, not for ever."""
    desk = desk_on(database)
    assert isinstance(desk.clock, StoppedClock)
    await database.run(lambda: jobs.tell("process", "till:1", desk.clock.at))
    desk.clock.at += DAY - HOUR
    await jobs.audit_in_turn(desk.context)
    assert len(await words(desk, "process")) == 1
    desk.clock.at += 2 * HOUR
    await jobs.audit_in_turn(desk.context)
    assert await words(desk, "process") == []
