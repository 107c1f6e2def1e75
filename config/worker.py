"""Running loops, jobs and the clock's ticks: the only file that knows arq's worker."""

import asyncio
import faulthandler
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from arq import Retry, Worker, cron, func
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.worker import Function
from structlog.contextvars import bind_contextvars, bound_contextvars

from config.schedule import DAY, HOUR, JOBS, LOOPS, MINUTE, TICKS, Job, Loop, Tick
from handlers.context import Context
from integration import meters
from integration.errors import Unavailable
from integration.queue import QUEUE_NAME, cancel, read, write

MOST_JOBS_AT_ONCE = 100
POLL_SECONDS = 0.05
DRAIN_SECONDS = 8.0
STUCK_SECONDS = 30  # of the event loop without a turn: as long as a lease
WATCH_SECONDS = 1.0
AGAIN_SECONDS = (0.5, 1.0, 2.0, 5.0)  # before a loop that failed is started again
RETRY_SECONDS = 10.0  # before a job whose outside is away is tried again, times the attempt

log = structlog.get_logger()


async def work(context: Context, stop: asyncio.Event) -> None:
    """Run everything of the schedule until `stop` is set, then finish what is in hand within DRAIN_SECONDS."""
    meters.expect((job.name for job in JOBS), (loop.name for loop in LOOPS))
    tasks = [asyncio.create_task(_kept_up(context, loop, stop), name=loop.name) for loop in LOOPS]
    if context.queue.redis is not None:
        tasks.append(asyncio.create_task(_jobs(context, stop), name="jobs"))
    await stop.wait()
    context.queue.ring_all()
    _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
    for task in late:
        log.warning("loop_cut_off", loop=task.get_name())
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def watched() -> None:
    """End the process, with a word on where it was, when its event loop stands still; for who owns the process.

    An event whose reading never ends would hold its worker for ever. So it counts as a crash of the worker, is
    worked alone when its lease is over, and given up after so many claims.
    """
    try:
        while True:
            faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True, file=sys.__stderr__ or 2)
            await asyncio.sleep(WATCH_SECONDS)
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _kept_up(context: Context, loop: Loop, stop: asyncio.Event) -> None:
    """Run a loop, and run it again when it fails."""
    failures = 0
    bind_contextvars(loop=loop.name)
    while not stop.is_set():
        try:
            await loop.run(context, stop)
        except Exception:
            meters.LOOP_FAILURES.labels(loop.name).inc()
            log.exception("loop_failed")
            await _pause(stop, failures)
            failures += 1


async def _jobs(context: Context, stop: asyncio.Event) -> None:
    """Run arq's worker, and another one when Redis went away and came back."""
    failures = 0
    while not stop.is_set():
        worker = _arq(context)
        running = asyncio.create_task(worker.async_run())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                log.warning("jobs_away", error=type(running.exception()).__name__)
                await _pause(stop, failures)
                failures += 1
            else:
                failures = 0
                worker.allow_pick_jobs = False
                if worker.tasks:
                    await asyncio.wait(worker.tasks.values(), timeout=DRAIN_SECONDS / 2)
        finally:
            stopping.cancel()
            await _closed(worker, running)


async def _closed(worker: Worker, running: "asyncio.Task[None]") -> None:
    # The pool is the queue's own and stays open; a job cut off here is asked for again by whoever needs it.
    await cancel(running, *worker.tasks.values())


def _arq(context: Context) -> Worker:
    return Worker(
        functions=[_function(job) for job in JOBS],
        cron_jobs=[_cron(tick) for tick in TICKS],
        redis_pool=context.queue.redis,
        queue_name=QUEUE_NAME,
        ctx={"context": context},
        handle_signals=False,
        max_jobs=MOST_JOBS_AT_ONCE,
        poll_delay=POLL_SECONDS,
        keep_result=0,
        job_timeout=max(job.timeout for job in JOBS),
        job_serializer=write,
        job_deserializer=read,
        log_results=False,
    )


def _function(job: Job) -> Function:
    # arq would name functions by their qualified name, in which two capabilities' `send` are one.
    coroutine = cast(WorkerCoroutine, _coroutine(job))
    return func(coroutine, name=job.name, timeout=job.timeout, max_tries=job.tries, keep_result=0)


def _coroutine(job: Job) -> Callable[..., Awaitable[None]]:
    async def run(ctx: dict[str, Any], *ids: str | int) -> None:
        with bound_contextvars(job=job.name, job_id=ctx.get("job_id")):
            await attempt(ctx, *ids)

    async def attempt(ctx: dict[str, Any], *ids: str | int) -> None:
        try:
            await job.run(ctx["context"], *ids)
        except Unavailable as error:
            meters.JOBS.labels(job.name, "put_off").inc()
            log.warning("job_put_off", reason=str(error))
            attempt = int(ctx.get("job_try", 1))
            raise Retry(defer=error.retry_after or RETRY_SECONDS * attempt) from error
        except Exception:
            meters.JOBS.labels(job.name, "failed").inc()
            log.exception("job_failed")
            raise
        else:
            meters.JOBS.labels(job.name, "ok").inc()

    return run


def _cron(tick: Tick) -> CronJob:
    job = next(job for job in JOBS if job.name == tick.job)
    return cron(
        cast(WorkerCoroutine, _coroutine(job)),
        name=f"tick:{tick.job}",
        timeout=job.timeout,
        keep_result=0,
        unique=True,
        **times(tick.every),  # type: ignore[arg-type]
    )


def times(every: int) -> dict[str, set[int]]:
    """Write a period of seconds as cron fields; raises ValueError unless it divides its next larger unit."""
    for unit, larger, field, finer in (
        (1, MINUTE, "second", ()),
        (MINUTE, HOUR, "minute", ("second",)),
        (HOUR, DAY, "hour", ("minute", "second")),
    ):
        if every <= larger and every % unit == 0 and larger % every == 0:
            fields = {name: {0} for name in finer}
            return {**fields, field: set(range(0, larger // unit, every // unit))}
    raise ValueError(f"{every} s is no divisor of a minute, an hour or a day")


async def _pause(stop: asyncio.Event, failures: int) -> None:
    try:
        async with asyncio.timeout(AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)]):
            await stop.wait()
    except TimeoutError:
        return
