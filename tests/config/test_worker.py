"""The schedule runs: loops are kept up, jobs run by name, ticks by the clock, and Redis may come and go."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq import Retry

from config import worker
from config.schedule import JOBS, LOOPS, TICKS, Job, Loop, Tick
from config.worker import times
from integration.errors import Unavailable
from integration.queue import Queue, connect
from tests.conftest import REPOSITORY


class House:
    """A stand-in for the context: the worker itself needs only the queue."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    queue = Queue(connect(redis_url))
    yield House(queue)
    await queue.close()


def scheduled(monkeypatch: pytest.MonkeyPatch, *, loops: Any = (), jobs: Any = JOBS, ticks: Any = ()) -> None:
    monkeypatch.setattr(worker, "LOOPS", loops)
    monkeypatch.setattr(worker, "JOBS", jobs)
    monkeypatch.setattr(worker, "TICKS", ticks)


def test_every_name_of_the_schedule_is_there_once() -> None:
    """A tick asks for a job by name; two jobs of one name would be one to the queue."""
    names = [job.name for job in JOBS]
    assert len(set(names)) == len(names) and len({loop.name for loop in LOOPS}) == len(LOOPS)
    assert {tick.job for tick in TICKS} <= set(names)
    for tick in TICKS:
        times(tick.every)


@pytest.mark.parametrize(
    ("every", "fields"),
    [
        (20, {"second": {0, 20, 40}}),
        (60, {"second": {0}}),
        (15 * 60, {"second": {0}, "minute": {0, 15, 30, 45}}),
        (3600, {"second": {0}, "minute": {0}}),
        (12 * 3600, {"second": {0}, "minute": {0}, "hour": {0, 12}}),
        (86400, {"second": {0}, "minute": {0}, "hour": {0}}),
    ],
)
def test_a_period_is_written_as_the_clock_reads_it(every: int, fields: dict[str, set[int]]) -> None:
    """arq takes seconds, minutes and hours of a day."""
    assert times(every) == fields


@pytest.mark.parametrize("every", [7, 61, 5000, 90_000])
def test_a_period_that_does_not_fit_the_clock_is_refused(every: int) -> None:
    """It would run at uneven times without a word."""
    with pytest.raises(ValueError, match="divisor"):
        times(every)


async def test_jobs_run_by_name_and_ticks_by_the_clock(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for gets its ids; what the clock asks for gets none."""
    calls: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    async def note(context: House, *ids: int) -> None:
        calls.put_nowait((context is house, *ids))

    scheduled(monkeypatch, jobs=(Job("note", note),), ticks=(Tick("note", every=1),))
    stop = asyncio.Event()
    running = asyncio.create_task(worker.work(house, stop))  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        seen = {await calls.get()}
        assert await house.queue.enqueue("note", 7, 8)
        while (True, 7, 8) not in seen or (True,) not in seen:
            seen.add(await calls.get())
        stop.set()
        await running


async def test_jobs_come_back_after_redis_was_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """arq's worker ends when a call fails; another takes its place."""
    done = asyncio.Event()

    async def note(context: House) -> None:
        done.set()

    scheduled(monkeypatch, jobs=(Job("note", note),))
    monkeypatch.setattr(worker, "AGAIN_SECONDS", (0.01,))
    redis: Any = house.queue.redis
    original, failures = redis.zrangebyscore, 3

    async def flaky(*arguments: Any, **options: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("Redis restarts")
        return await original(*arguments, **options)

    monkeypatch.setattr(redis, "zrangebyscore", flaky)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.work(house, stop))  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        assert await house.queue.enqueue("note")
        await done.wait()
        stop.set()
        await running
    assert failures == 0


async def test_a_loop_that_fails_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad turn must not end all work until somebody looks."""
    starts = 0

    async def fragile(context: Any, stop: asyncio.Event) -> None:
        nonlocal starts
        starts += 1
        if starts < 3:
            raise ZeroDivisionError
        stop.set()

    scheduled(monkeypatch, loops=(Loop("fragile", fragile),))
    monkeypatch.setattr(worker, "AGAIN_SECONDS", (0.01,))
    async with asyncio.timeout(60):
        await worker.work(House(Queue()), asyncio_event := asyncio.Event())  # type: ignore[arg-type]
    assert starts == 3 and asyncio_event.is_set()


async def test_a_loop_that_will_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy waits ten seconds and no longer."""

    async def deaf(context: Any, stop: asyncio.Event) -> None:
        stop.set()
        await asyncio.Event().wait()

    scheduled(monkeypatch, loops=(Loop("deaf", deaf),))
    monkeypatch.setattr(worker, "DRAIN_SECONDS", 0.05)
    async with asyncio.timeout(60):
        await worker.work(House(Queue()), asyncio.Event())  # type: ignore[arg-type]


async def test_a_job_whose_outside_is_away_is_tried_again_later() -> None:
    """arq tries again only what asks for it; the other side may name the time."""

    async def away(context: Any) -> None:
        raise Unavailable("Shopify is slow", retry_after=7)

    with pytest.raises(Retry) as caught:
        await worker._coroutine(Job("away", away))({"context": None, "job_try": 1})
    assert caught.value.defer_score == 7000


STANDS_STILL = """
import asyncio
from config import worker

async def read_for_ever():
    while True:
        pass

async def main():
    worker.STUCK_SECONDS = 1
    watching = asyncio.create_task(worker.watched())
    await asyncio.sleep(0)
    await read_for_ever()

asyncio.run(main())
"""


def test_a_process_that_stands_still_ends_and_says_where() -> None:
    """An event that is never done reading would hold its worker for ever; a crash is counted and ends."""
    ended = subprocess.run(
        [sys.executable, "-c", STANDS_STILL], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "read_for_ever" in ended.stderr
