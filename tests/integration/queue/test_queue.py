"""Bells wake who waits, in this process and in others, and put up with a Redis that is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from integration.errors import Unavailable
from integration.queue import QUEUE_NAME, Queue, connect, read


@pytest.fixture
async def queues(redis_url: str) -> AsyncIterator[tuple[Queue, Queue]]:
    """Yield two processes' queues on one Valkey."""
    pair = Queue(connect(redis_url)), Queue(connect(redis_url))
    yield pair
    for queue in pair:
        await queue.close()


@pytest.fixture
async def lonely() -> AsyncIterator[Queue]:
    """Yield a queue whose Redis is not there."""
    queue = Queue(connect("redis://127.0.0.1:1"))
    yield queue
    await queue.close()


async def test_a_bell_wakes_who_waits_in_the_same_process() -> None:
    """Without any Redis."""
    queue = Queue()
    waiting = asyncio.create_task(queue.wait("inbox", 10))
    await asyncio.sleep(0)
    queue.ring("inbox")
    assert await waiting is True
    await queue.close()


async def test_a_ring_before_the_wait_is_not_lost() -> None:
    """Between looking and waiting something may come."""
    queue = Queue()
    assert await queue.wait("inbox", 0) is False
    queue.ring("inbox")
    assert await queue.wait("inbox", 10) is True
    assert await queue.wait("inbox", 0) is False
    await queue.close()


async def test_a_bell_wakes_another_process(queues: tuple[Queue, Queue]) -> None:
    """Web and worker are two processes on many machines."""
    web, worker = queues
    waiting = asyncio.create_task(worker.wait("inbox", 10))
    web.ring("inbox")
    assert await waiting is True


async def test_rings_without_anybody_do_not_pile_up(queues: tuple[Queue, Queue]) -> None:
    """A thousand rings while the worker is away are a handful when it comes, even on a full list."""
    web, _ = queues
    assert web.redis is not None
    await web.redis.lpush("regulars:bell:inbox", *[b"1"] * 100)  # type: ignore[misc]
    for _ in range(1000):
        web.ring("inbox")
        await asyncio.sleep(0)
    while web._pushes:
        await asyncio.sleep(0.001)
    assert 1 <= await web.redis.llen("regulars:bell:inbox") <= 8  # type: ignore[misc]


async def test_a_job_is_json_and_waits_once_under_its_name(queues: tuple[Queue, Queue]) -> None:
    """arq's own format would run what somebody put into Redis."""
    web, _ = queues
    assert web.redis is not None
    assert await web.enqueue("messages.send", 7, job_id="send:7") is True
    assert await web.enqueue("messages.send", 7, job_id="send:7") is False
    assert await web.redis.zcard(QUEUE_NAME) == 1
    raw = await web.redis.get("arq:job:send:7")
    assert raw is not None and read(raw)["f"] == "messages.send" and read(raw)["a"] == [7]


async def test_without_redis_nothing_hangs_and_nothing_raises(lonely: Queue) -> None:
    """The sweep does the work; only the readiness check says what is missing."""
    async with asyncio.timeout(30):
        lonely.ring("inbox")
        assert await lonely.enqueue("messages.send", 7) is False
        assert await lonely.wait("inbox", 0.05) is False
        with pytest.raises(Unavailable):
            await lonely.ping()
        with pytest.raises(Unavailable, match="REDIS_URL"):
            await Queue().ping()


def test_another_kind_of_address_is_refused() -> None:
    """Said at the start, not at the first job."""
    with pytest.raises(ValueError):
        connect("amqp://queue")
