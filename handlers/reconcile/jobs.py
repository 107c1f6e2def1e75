"""Looks at what the platforms hold and takes in what they did not tell: by the clock, or because somebody asked."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

import structlog

from handlers.context import Context
from handlers.inbox.keys import Key
from handlers.inbox.work import BELL
from handlers.messages.restored import restored_at
from handlers.reconcile import feeds, store
from handlers.reconcile.feeds import Batch, Run
from handlers.reconcile.ledger import Sum, add_up, keep, missing, unsummed
from handlers.reconcile.ledger import prune as drop_old
from handlers.reconcile.rules import (
    GRACE,
    LONGEST_PUT_OFF,
    PUT_OFF,
    REFUSED_AGAIN,
    Silence,
    again,
    begins,
    next_look,
    silence,
)
from handlers.reconcile.store import Connected, LostRun, Mark
from integration.database.steps import Steps
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.faults import point
from integration.vault import Unsealable

MOST_STARTED = 200  # looks a minute: enough for 3,000 connections
MOST_SUMMED = 200  # looks added up a minute
PRUNED_AT_ONCE = 500
MOST_PRUNINGS = 1_000  # the next run goes on
RUN_SECONDS = 90.0  # of a look by the clock; the next one goes on from there
SUM_LOOK_SECONDS = 0.1

log = structlog.get_logger()


class Report(NamedTuple):
    """How a look ended; `state` is ok, busy, no_key, revoked, away or refused, with words for all but ok."""

    one: Connected
    state: str
    reason: str | None
    mark: Mark | None = None
    run: Run | None = None
    unfinished: bool = False


async def start_due(context: Context) -> None:
    """Ask for a look at each connection whose time has come, and add up what earlier looks recovered."""
    now = context.clock.now()
    for number in await context.database.read(lambda: store.due(now, MOST_STARTED)):
        await context.queue.enqueue("reconcile.one", number, job_id=f"reconcile:{number}")
    for look in await context.database.read(lambda: unsummed(now, MOST_SUMMED)):
        await context.database.run(lambda at=look: add_up(*at))  # type: ignore[misc]


async def reconcile_one(context: Context, connection: int) -> None:
    """Look at one connection by the clock; later where its own webhooks still wait to be worked."""
    now = context.clock.now()
    one = await context.database.read(lambda: store.connection(connection))
    if one is None:
        return
    mark = await context.database.read(lambda: store.mark_of(one))
    looked_at = (mark.checked_at if mark else None) or one.connected_at
    if now - looked_at < LONGEST_PUT_OFF and await context.database.read(lambda: store.waiting(one, now)):
        await context.database.run(lambda: store.put_off(one, now + PUT_OFF))
        return
    await reconcile(context, one, by_clock=True)


async def prune(context: Context) -> None:
    """Delete the records of looks that are long past."""
    now = context.clock.now()
    for _ in range(MOST_PRUNINGS):
        if not await context.database.run(lambda: drop_old(now, PRUNED_AT_ONCE)):
            break


async def reconcile(
    context: Context,
    one: Connected,
    *,
    since: int | None = None,
    dry: bool = False,
    by_clock: bool = False,
    told: Callable[[Run], None] | None = None,
) -> Report:
    """Look at a connection from where the last look came to (or `since`), and take in what was missed.

    A dry run takes nothing in and fetches nothing whole. `told` is called after every batch. What the platform
    answers is in the report; only what is our own failure is raised.
    """
    started_at = context.clock.now()
    try:
        key = _opened(context, one)
    except _Shut as shut:
        return Report(one, shut.state, str(shut), await context.database.read(lambda: store.mark_of(one)))
    token = secrets.token_hex(8)
    if dry:
        mark = await context.database.read(lambda: store.mark_of(one)) or _new(started_at)
    else:
        claimed = await context.database.run(lambda: store.claim(one, token, started_at))
        if claimed is None:
            return Report(one, "busy", "another run is looking at it; try again in a minute or two")
        mark = claimed
    usual = begins(one.platform, mark.reached_at, one.connected_at)
    begin = usual if since is None else since
    # Who begins later leaves something out, and the next look must not.
    run = Run(context, one, key, token, started_at, begin, mark, dry, by_clock, moves=begin <= usual)
    failure: OutsideError | None = None
    unfinished = False
    if not dry:
        await context.database.run(lambda: store.open_look(one, started_at, begin))
    try:
        unfinished = await _through(run, told)
    except LostRun as lost:
        log.warning("reconcile_lost", connection=one.id, reason=str(lost))
        return Report(one, "busy", str(lost), run=run)
    except Revoked as error:
        gone = dry or await key.give_up(error)
        failure = error if gone else Unavailable("the key was replaced while we asked with it", retry_after=1)
    except (Unavailable, Rejected) as error:
        failure = error
    stands = await _ended(run, failure, unfinished)
    return Report(one, stands.state, stands.reason, stands, run, unfinished)


async def summed(context: Context, run: Run, seconds: float) -> Sum | None:
    """Wait until what a run recovered has been worked and add it up; None where that takes longer."""
    if not run.recovered:
        return Sum(0, 0)
    end = time.monotonic() + seconds
    while True:
        total = await context.database.run(lambda: add_up(run.one.merchant_id, run.one.id, run.started_at))
        if total is not None or time.monotonic() > end:
            return total
        await asyncio.sleep(SUM_LOOK_SECONDS)


# --- Going through --------------------------------------------------------------------------------


class _Shut(Exception):
    """A connection that cannot be asked, and why."""

    def __init__(self, state: str, words: str) -> None:
        super().__init__(words)
        self.state = state


def _opened(context: Context, one: Connected) -> Key:
    way = (
        f'regulars merchant shopify "{one.merchant}" --token shpat_…, or have the merchant open the app in Shopify'
        if one.platform == "shopify"
        else f'regulars merchant stripe "{one.merchant}" --webhook-secret whsec_… --api-key rk_…'
    )
    if one.token is None:
        raise _Shut("no_key", f"we have no key to ask with; set one with: {way}")
    if one.revoked_at is not None:
        raise _Shut("revoked", f"our access was taken away; give a new key with: {way}")
    try:
        context.vault.open(one.token, table="connections", merchant=one.merchant_id, column="token")
    except Unsealable:
        raise _Shut("no_key", f"no key in SECRET_KEY opens the one we hold; set it anew with: {way}") from None
    return Key(context, one.id)


async def _through(run: Run, told: Callable[[Run], None] | None) -> bool:
    """Keep batch after batch; tells whether time ran out before the end."""
    begun = time.monotonic()
    source = feeds.shop(run) if run.one.platform == "shopify" else feeds.account(run)
    async with aclosing(source):
        async for batch in source:
            await _take(run, batch)
            if told is not None:
                told(run)
            if run.by_clock and time.monotonic() - begun > RUN_SECONDS:
                return True
    return False


async def _take(run: Run, batch: Batch) -> None:
    database, now = run.context.database, run.context.clock.now()
    reached_at = batch.reached_at if run.moves else None
    if run.dry:
        fresh = len(await database.read(lambda: missing(batch.found)))
    else:
        found, compared = batch.found, batch.compared
        fresh = await database.run(lambda: keep(run.one, run.token, run.started_at, found, compared, reached_at))
        point("reconcile.kept")
    run.compared += batch.compared
    run.recovered += fresh
    if fresh and not run.dry:
        # What changed just now may still be told.
        missed = [one.changed_at for one in batch.found if one.changed_at < now - GRACE]
        run.missed_at = max([run.missed_at or 0, *missed])
        run.context.queue.ring(BELL)


async def _ended(run: Run, failure: OutsideError | None, unfinished: bool) -> Mark:
    """Write how a run ended and how its connection stands, and say so where somebody should know."""
    context, one = run.context, run.one
    now = context.clock.now()
    reason = str(failure) if failure else "more is left" if unfinished else None
    if failure is None and run.skipped:
        reason = f"{run.skipped} orders could not be read"

    def end() -> Steps[Mark]:
        heard_at = _later(run.mark.heard_at, (yield from store.heard(one)))
        missed_at = _later(run.mark.missed_at, run.missed_at)
        before = None
        if run.mark.quiet_since is not None:
            before = Silence(run.mark.quiet_since, run.mark.quiet_why or "")
        # What came in a time that a restore has lost is no silence.
        begun_at = max(one.connected_at, (yield from restored_at()) or 0)
        quiet = silence(heard_at, begun_at, missed_at, before, run.recovered)
        stands = _stands(run, failure, unfinished, now)._replace(
            heard_at=heard_at,
            missed_at=missed_at,
            quiet_since=quiet.since if quiet else None,
            quiet_why=quiet.why if quiet else None,
        )
        if not run.dry:
            yield from store.close_look(one, run.started_at, now, run.calls, run.skipped, reason)
            yield from store.release(one, run.token, stands)
        return stands

    stands = await (context.database.read if run.dry else context.database.run)(end)
    told = {"merchant": one.merchant_id, "connection": one.id, "platform": one.platform}
    if failure is not None:
        log.warning("reconcile_failed", **told, state=stands.state, reason=reason)
    elif not run.dry:
        log.info("reconciled", **told, compared=run.compared, recovered=run.recovered, calls=run.calls)
    if stands.quiet_since is not None and not run.dry:
        log.warning("webhooks_quiet", **told, since=stands.quiet_since, why=stands.quiet_why)
    return stands


def _stands(run: Run, failure: OutsideError | None, unfinished: bool, now: int) -> Mark:
    mark, number = run.mark, run.one.id
    if failure is None:
        following = now if unfinished else next_look(number, now)
        checked_at = mark.checked_at if unfinished else now
        return mark._replace(next_at=following, failures=0, state="ok", reason=None, checked_at=checked_at)
    failures = mark.failures + 1
    following, state = now + REFUSED_AGAIN, "refused"
    if isinstance(failure, Unavailable):
        following, state = again(failures, now, failure.retry_after), "away"
    elif isinstance(failure, Revoked):
        state = "revoked"
    return mark._replace(next_at=following, failures=failures, state=state, reason=str(failure))


def _new(now: int) -> Mark:
    return Mark(None, now, None, None, 0, "new", None, None, None, None, None, None)


def _later(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
