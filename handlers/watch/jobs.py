"""Signs of life: each worker says that it is there, and the clock has merchants' books audited in turn."""

import asyncio
import os
import socket
import time

import structlog

from handlers.context import Context
from handlers.points.audit import audit_books
from handlers.watch.store import forget, forget_before, longest_unaudited, sum_of_accounts, tell
from integration.clock import DAY, HOUR
from integration.errors import Unavailable

BEAT_SECONDS = 10.0
FORGET_AFTER = DAY

AUDIT_EVERY = 20 * HOUR  # of one merchant: once a day, at whatever hour its turn comes
AUDITS_A_RUN = 500
AUDIT_SECONDS = 60.0  # of one run, beyond which no other merchant is begun
MOST_ENTRIES = 100_000  # audited in whole by the clock, in some seconds; of larger books only the sum

log = structlog.get_logger()


async def beat_for_ever(context: Context, stop: asyncio.Event) -> None:
    """Say every BEAT_SECONDS that this worker lives, and take it back when it ends in order."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    since = context.clock.now()
    while not stop.is_set():
        now = context.clock.now()
        try:
            await context.database.run(lambda at=now: tell("process", name, at, since=since))  # type: ignore[misc]
        except Unavailable as error:
            log.warning("beat_missed", reason=str(error))
        try:
            await asyncio.wait_for(stop.wait(), BEAT_SECONDS)
        except TimeoutError:
            continue
    try:
        await context.database.run(lambda: forget("process", name))
    except Unavailable as error:
        log.warning("beat_missed", reason=str(error))


async def audit_in_turn(context: Context) -> int:
    """Audit the merchants whose last audit is longest ago, within AUDIT_SECONDS; return how many were.

    Books of more than MOST_ENTRIES entries are only added up here: `regulars audit` looks at all of them, and its
    findings are kept the same way.
    """
    now = context.clock.now()
    await context.database.run(lambda: forget_before("process", now - FORGET_AFTER))
    due = await context.database.read(lambda: longest_unaudited(now - AUDIT_EVERY, AUDITS_A_RUN))
    ends, done = time.monotonic() + AUDIT_SECONDS, 0
    for merchant_id, entries in due:
        if time.monotonic() >= ends:
            break
        await _audit(context, merchant_id, whole=entries <= MOST_ENTRIES)
        done += 1
    return done


async def _audit(context: Context, merchant_id: int, *, whole: bool) -> None:
    now = context.clock.now()
    if whole:
        findings = await context.database.read(lambda: audit_books(merchant_id, now, context.auditors))
        drifts = len(findings.drifts) + findings.unnamed
    else:
        drifts = int(await context.database.read(lambda: sum_of_accounts(merchant_id)) != 0)
    if drifts:
        log.error("audit_drift", merchant=merchant_id, drifts=drifts)
    await context.database.run(lambda: tell("audit", str(merchant_id), now, drifts, whole=whole))
