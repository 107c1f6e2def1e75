"""The doorbell: wakes whoever works, in this process at once and in others through Redis, and hands on jobs.

Nothing here is needed for correctness: the database holds the truth and a sweep looks by itself, so every
method puts up with Redis being away.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, cast

import structlog
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool, UnixDomainSocketConnection
from redis.exceptions import RedisError

from integration import meters
from integration.errors import Unavailable

QUEUE_NAME = "regulars:jobs"
BELL_PREFIX = "regulars:bell:"
MOST_RINGS = 8  # kept for workers that are busy
RING_PAUSE_SECONDS = 0.005
RING_PAUSE_UNHEARD_SECONDS = 0.05
LISTEN_SECONDS = 5
AWAY_PAUSE_SECONDS = 1.0
CONNECT_SECONDS = 2
ANSWER_SECONDS = LISTEN_SECONDS + 5
MOST_CONNECTIONS = 50
CANCEL_SECONDS = 0.2
MOST_CANCELS = 20

AWAY = (RedisError, OSError, TimeoutError)

log = structlog.get_logger()


def write(value: dict[str, Any]) -> bytes:
    """Write a job as JSON; arq's pickles would run whatever somebody puts into Redis."""
    return json.dumps(value).encode()


def read(raw: bytes) -> dict[str, Any]:
    """Read a job written by `write`."""
    value: dict[str, Any] = json.loads(raw)
    return value


def connect(url: str) -> ArqRedis:
    """Return arq's client for `redis://`, `rediss://` or `unix://path`; nothing is contacted yet.

    Raises ValueError for a URL of another kind.
    """
    options: dict[str, Any] = {
        "max_connections": MOST_CONNECTIONS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "health_check_interval": 30,
    }
    if url.startswith("unix://"):
        del options["socket_connect_timeout"]
        pool = ConnectionPool(connection_class=UnixDomainSocketConnection, path=url.removeprefix("unix://"), **options)
    else:
        pool = ConnectionPool.from_url(url, **options)
    return ArqRedis(pool, job_serializer=write, job_deserializer=read, default_queue_name=QUEUE_NAME)


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks that talk to Redis, and wait for their end.

    Up to Python 3.12 a cancellation that falls together with one of the client's own timeouts is swallowed, so
    it is repeated until it takes.
    """
    pending = {task for task in tasks if not task.done()}
    for _ in range(MOST_CANCELS):
        if not pending:
            return
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=CANCEL_SECONDS)
        for task in ended:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.info("task_ended", error=type(error).__name__)
    log.warning("tasks_left_behind", tasks=len(pending))


class Lengths(NamedTuple):
    """What waits in Redis: jobs (those of a later time among them), and rings nobody has heard yet."""

    jobs: int
    rings: dict[str, int]


class Queue:
    """Bells and jobs; without a client (None) only bells inside this process ring."""

    def __init__(self, redis: ArqRedis | None = None) -> None:
        self.redis = redis
        self._bells: dict[str, asyncio.Event] = {}
        self._listeners: dict[str, asyncio.Task[None]] = {}
        self._pushes: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()

    def ring(self, bell: str) -> None:
        """Wake who waits for a bell; at most one ring is under way to other processes at a time."""
        event = self._bells.get(bell)
        if event is not None:
            event.set()
        elif self.redis is not None:
            if bell in self._pushes:
                self._again.add(bell)
            else:
                self._push(bell)

    def ring_all(self) -> None:
        """Wake everybody who waits in this process (it is about to stop)."""
        for event in self._bells.values():
            event.set()

    async def wait(self, bell: str, seconds: float) -> bool:
        """Wait for a bell, at most so many seconds; tells whether it rang."""
        event = self._bells.get(bell)
        if event is None:
            event = self._bells[bell] = asyncio.Event()
            if self.redis is not None:
                self._listeners[bell] = asyncio.create_task(self._listen(bell, self.redis))
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        event.clear()
        return True

    async def enqueue(
        self, job: str, *ids: str | int, defer_by: float | None = None, job_id: str | None = None
    ) -> bool:
        """Ask for a job by its name in the schedule, `defer_by` seconds from now.

        Tells whether it was taken: not when one of the same `job_id` waits already, nor when Redis is away.
        """
        if self.redis is None:
            return False
        delay = None if defer_by is None else timedelta(seconds=defer_by)
        try:
            return await self.redis.enqueue_job(job, *ids, _job_id=job_id, _defer_by=delay) is not None
        except AWAY as error:
            meters.QUEUE_AWAY.inc()
            log.warning("queue_away", job=job, error=type(error).__name__)
            return False

    async def ping(self) -> None:
        """Raise Unavailable unless Redis answers."""
        if self.redis is None:
            raise Unavailable("There is no Redis: set REDIS_URL.")
        try:
            await self.redis.ping()
        except AWAY as error:
            raise Unavailable(f"Redis cannot be reached ({type(error).__name__}).") from error

    async def lengths(self, bells: Sequence[str]) -> Lengths:
        """Count what waits in Redis. Raises Unavailable unless it answers."""
        if self.redis is None:
            raise Unavailable("There is no Redis: set REDIS_URL.")
        try:
            async with self.redis.pipeline(transaction=False) as pipeline:
                pipeline.zcard(QUEUE_NAME)
                for bell in bells:
                    pipeline.llen(BELL_PREFIX + bell)
                jobs, *rings = await pipeline.execute()
        except AWAY as error:
            raise Unavailable(f"Redis cannot be reached ({type(error).__name__}).") from error
        return Lengths(int(jobs), dict(zip(bells, map(int, rings), strict=True)))

    async def close(self) -> None:
        """Let go of every connection; pushes under way are finished first."""
        if self._pushes:
            await asyncio.wait(self._pushes.values(), timeout=CONNECT_SECONDS)
        await cancel(*self._listeners.values(), *self._pushes.values())
        if self.redis is not None:
            await self.redis.aclose(close_connection_pool=True)

    def _push(self, bell: str) -> None:
        assert self.redis is not None
        task = asyncio.create_task(_push(self.redis, bell))
        self._pushes[bell] = task
        task.add_done_callback(self._pushed(bell))

    def _pushed(self, bell: str) -> Callable[["asyncio.Task[None]"], None]:
        def done(task: "asyncio.Task[None]") -> None:
            del self._pushes[bell]
            if bell in self._again and not task.cancelled():
                self._again.discard(bell)
                self._push(bell)

        return done

    async def _listen(self, bell: str, redis: ArqRedis) -> None:
        """Pass on what other processes ring, for as long as this one lives."""
        while True:
            try:
                rung = await cast(Any, redis.blpop([BELL_PREFIX + bell], timeout=LISTEN_SECONDS))
            except AWAY as error:
                meters.QUEUE_AWAY.inc()
                log.warning("bell_away", bell=bell, error=type(error).__name__)
                await asyncio.sleep(AWAY_PAUSE_SECONDS)
                continue
            if rung is not None:
                self._bells[bell].set()


async def _push(redis: ArqRedis, bell: str) -> None:
    key = BELL_PREFIX + bell
    try:
        waiting = await cast(Any, redis.lpush(key, b"1"))
        if waiting > MOST_RINGS:
            # Nobody comes for them: a few are enough for whoever does.
            await cast(Any, redis.ltrim(key, 0, MOST_RINGS - 1))
        # Who rings meanwhile is heard right after: under load a ring for every commit would cost more than the
        # commits, above all while the ring before still waits for somebody to have time.
        await asyncio.sleep(RING_PAUSE_SECONDS if waiting <= 1 else RING_PAUSE_UNHEARD_SECONDS)
    except AWAY as error:
        meters.QUEUE_AWAY.inc()
        log.warning("bell_away", bell=bell, error=type(error).__name__)
