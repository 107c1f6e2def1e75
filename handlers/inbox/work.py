"""The work loop: claims events in batches, reads them, has them applied, and settles what came due."""

import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import structlog
from structlog.contextvars import bound_contextvars

from handlers.context import Context
from handlers.inbox.claim import (
    Claim,
    Claimed,
    Ending,
    LostClaim,
    claim,
    finish,
    postpone,
    put_back,
)
from handlers.inbox.look import NoTurn, Turns, look, must_look
from handlers.inbox.origin import suspects
from handlers.inbox.record import AHEAD, received_ahead
from handlers.inbox.rules import Apply, Outcome, Told
from integration import meters, tracing
from integration.clock import SECOND
from integration.database.shares import SHARE
from integration.database.steps import Steps
from integration.errors import Suspect, Unavailable, Unreadable
from integration.faults import point
from integration.stripe.webhooks import UNREADABLE

BELL = "inbox"
BATCH = 200
RESETTLE_BATCH = 200
SWEEP_SECONDS = 1.0  # how long a ring may be lost before the sweep looks by itself
RESETTLE_EVERY = SECOND
COMPANY_SECONDS = 10.0  # how long a merchant alone leaves room for others after somebody else had something, too
LOST_EVERY_SECONDS = 1.0  # between two looks for what workers left behind
MOST_LOOKS = 32  # events asking a platform at once
LOOK_LATER = 10 * SECOND
AWAY_PAUSE_SECONDS = (0.1, 0.5, 1.0, 2.0)

log = structlog.get_logger()


async def work_for_ever(context: Context, stop: asyncio.Event) -> None:
    """Work events as they come until `stop` is set, then finish what is in hand."""
    worker = Worker(context)
    failures = 0
    while not stop.is_set():
        try:
            busy = await worker.turns(stop)
            busy = await worker.resettle() or busy
            failures = 0
        except Unavailable as error:
            log.warning("work_paused", reason=str(error))
            await asyncio.sleep(AWAY_PAUSE_SECONDS[min(failures, len(AWAY_PAUSE_SECONDS) - 1)])
            failures += 1
            continue
        if not busy:
            await context.queue.wait(BELL, SWEEP_SECONDS)
    await worker.looked()


async def drain(context: Context, batch: int = BATCH) -> int:
    """Work until nothing is due, by event or by clock; returns how many events ended."""
    worker = Worker(context, batch)
    while True:
        busy = await worker.turns()
        busy = await worker.looked() or busy
        busy = await worker.resettle(at_once=True) or busy
        if not busy:
            return worker.ended


@dataclass(slots=True)
class _Batch:
    """A claim, sorted by what is to be done with each event."""

    claim: Claim
    told: list[Told] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)  # decided without applying
    failed: list[tuple[Claimed, str]] = field(default_factory=list)  # a reader broke
    looks: list[tuple[Claimed, Told]] = field(default_factory=list)

    def apart(self) -> "list[_Batch]":
        """Split off those who told little beside others who filled their share.

        Theirs is committed first: it neither waits until another worker lets go of a busy merchant's books, nor
        until these many events have been worked.
        """
        told = Counter(one.merchant_id for one in self.told)
        quiet = {merchant_id for merchant_id, events in told.items() if events < SHARE}
        if not quiet or len(quiet) == len(told):
            return [self]
        return [
            _Batch(self.claim, [one for one in self.told if one.merchant_id in quiet]),
            replace(self, told=[one for one in self.told if one.merchant_id not in quiet]),
        ]


class Worker:
    """One worker: the claim in hand, the events whose platform is being asked, and the clock's last turn."""

    def __init__(self, context: Context, batch: int = BATCH) -> None:
        self._context = context
        self._batch = batch
        self._looks: set[asyncio.Task[None]] = set()
        self._turns = Turns()
        self._resettled_at = 0
        self._after = 0
        self._settled_after = 0
        self._company_until = float("-inf")
        self._look_for_lost_at = float("-inf")
        self._clock_seen = sys.maxsize
        self.ended = 0

    async def turns(self, stop: asyncio.Event | None = None) -> bool:
        """Work batch after batch until nothing is due, or `stop`; tells whether there was anything."""
        limit = self._batch
        held = await self._claim(limit)
        busy = bool(held.events)
        while held.events:
            if stop is not None and stop.is_set():
                limit = 0
            *first, rest = self._sort(held).apart()
            for part in first:
                await self._patiently(part, 0)
            held = await self._patiently(rest, limit)
            if self._clock_is_due():
                await self.resettle()
        return busy

    async def resettle(self, at_once: bool = False) -> bool:
        """Settle what the clock made due, once a second; tells whether more is left."""
        if not at_once and not self._clock_is_due():
            return False
        context = self._context
        now = context.clock.now()
        ahead = None
        if now < self._clock_seen:
            # The clock was set back, or may have been before we began.
            await context.database.run(lambda: received_ahead(now))
            ahead = None if self._clock_seen == sys.maxsize else self._clock_seen + AHEAD
        self._clock_seen = now
        self._resettled_at = now
        limit = SHARE if time.monotonic() < self._company_until else RESETTLE_BATCH
        after = self._settled_after
        settled = await context.database.run(lambda: context.resettle(limit, now, after, ahead))
        self._settled_after = settled.after
        if settled.more:
            self._resettled_at = 0
        return settled.sales > 0 if at_once else settled.more

    async def looked(self) -> bool:
        """Wait for the platforms that are being asked; tells whether there were any."""
        asked = bool(self._looks)
        while self._looks:
            await asyncio.wait(self._looks)
        return asked

    def _clock_is_due(self) -> bool:
        # The clock may have been set back: then at once.
        return not 0 <= self._context.clock.now() - self._resettled_at < RESETTLE_EVERY

    async def _claim(self, limit: int) -> Claim:
        steps = self._claiming(self._context.clock.now(), limit)
        return self._claimed(await self._context.database.run(steps))

    def _claiming(self, now: int, limit: int) -> Callable[[], Steps[Claim]]:
        """Say what to claim next, as steps: all that one merchant has only while nobody else has anything."""
        token, after, instant = _fencing_token(), self._after, time.monotonic()
        alone = min(limit, SHARE) if instant < self._company_until else limit
        lost = limit > 0 and instant >= self._look_for_lost_at
        if lost:
            self._look_for_lost_at = instant + LOST_EVERY_SECONDS
        return lambda: claim(token, now, limit, after=after, alone=alone, lost=lost)

    def _claimed(self, held: Claim) -> Claim:
        self._after = held.after
        if held.merchants > 1:
            self._company_until = time.monotonic() + COMPANY_SECONDS
        if held.lost:
            self._look_for_lost_at = float("-inf")
        return held._replace(at=self._context.clock.now())

    async def _patiently(self, batch: _Batch, limit: int) -> Claim:
        """Work a batch although the database may go away for a while: its lease holds."""
        for pause in AWAY_PAUSE_SECONDS:
            try:
                return await self._work(batch, limit)
            except Unavailable as error:
                log.warning("work_paused", reason=str(error))
                await asyncio.sleep(pause)
        return await self._work(batch, limit)

    async def _work(self, batch: _Batch, limit: int) -> Claim:
        """Apply a batch, mark it worked and claim the next, all in one transaction."""
        context = self._context
        now = context.clock.now()
        claiming = self._claiming(now, limit)
        point("work.claimed")

        def turn() -> Steps[Claim]:
            yield from _apply(context.apply, batch.claim, batch.told, batch.endings, now)
            following = yield from claiming()
            point("work.before_commit")
            return following

        try:
            following = self._claimed(await context.database.run(turn))
        except Unavailable:
            raise
        except LostClaim as lost:
            log.warning("claim_lost", reason=str(lost))
            return await self._claim(limit)
        except Exception as error:  # noqa: BLE001 - each event alone shows whose it is
            log.warning("batch_failed", events=len(batch.told), error=type(error).__name__)
            await self._each_alone(batch)
            following = await self._claim(limit)
        else:
            point("work.committed")
            self._count(batch.claim, {one.event_id for one in batch.told} | {one.event_id for one in batch.endings})
        for event, reason in batch.failed:
            await self._put_back(batch.claim, event, reason)
        for event, told in batch.looks:
            await self._start_look(batch.claim, event, told)
        return following

    async def _each_alone(self, batch: _Batch) -> None:
        """Work the events of a batch that failed one by one, so that only the one at fault is put back."""
        events = {event.id: event for event in batch.claim.events}
        for told in batch.told:
            await self._alone(batch.claim, events[told.event_id], told, None)
        now = self._context.clock.now()
        if batch.endings:
            await self._while_held(lambda: finish(batch.claim.token, batch.endings, now))
            self._count(batch.claim, {ending.event_id for ending in batch.endings})

    async def _alone(self, held: Claim, event: Claimed, told: Told, outcome: Outcome | None) -> None:
        with _named(event):
            await self._apply_one(held, event, told, outcome)

    async def _apply_one(self, held: Claim, event: Claimed, told: Told, outcome: Outcome | None) -> None:
        context = self._context
        now = context.clock.now()
        try:
            await context.database.run(lambda: _apply(context.apply, held, [told], [], now, outcome))
        except (LostClaim, Unavailable) as error:
            log.warning("event_left", reason=str(error))
        except Exception as error:
            meters.EVENT_FAILURES.labels("apply").inc()
            log.exception("event_failed", claims=event.claims)
            await self._put_back(held, event, _in_words(error))
        else:
            self._count(held, {event.id})

    async def _put_back(self, held: Claim, event: Claimed, reason: str) -> None:
        now = self._context.clock.now()
        await self._while_held(lambda: put_back(held.token, event, reason, now))
        _trace(held, event, now, "put_back")

    async def _while_held(self, make: Callable[[], Steps[None]]) -> None:
        """Run steps on events in hand; what cannot be written comes back by itself at the lease's end."""
        try:
            await self._context.database.run(make)
        except (LostClaim, Unavailable) as error:
            log.warning("event_left", reason=str(error))

    def _count(self, held: Claim, ended: set[int]) -> None:
        self.ended += len(ended)
        now = self._context.clock.now()
        for event in held.events:
            if event.id in ended:
                meters.worked(event.envelope.source, event.envelope.received_at, now)
                _trace(held, event, now, None)

    # --- Reading ---------------------------------------------------------------------------------

    def _sort(self, held: Claim) -> _Batch:
        """Read every event of a claim and decide what is to be done with it."""
        batch = _Batch(held)
        for event in held.events:
            connection = held.connections.get((event.envelope.source, event.connection))
            reader = self._context.topics.get(event.envelope.source, {}).get(event.envelope.topic)
            if connection is None:
                batch.endings.append(Ending(event.id, "unhandled", "its connection is gone"))
            elif event.body is None:
                batch.endings.append(Ending(event.id, None, "its body is gone or damaged"))
            elif event.envelope.topic == UNREADABLE and reader is None:
                batch.endings.append(Ending(event.id, None, "unreadable: not an event"))
            elif reader is None:
                reason = f"nothing reads {event.envelope.source} {event.envelope.topic}"
                batch.endings.append(Ending(event.id, "unhandled", reason))
            else:
                try:
                    reading = reader(event.body, event.envelope)
                except Unreadable as error:
                    batch.endings.append(Ending(event.id, None, f"unreadable: {error}"))
                except Suspect as error:
                    batch.endings.append(Ending(event.id, "suspect", str(error)))
                except RecursionError:
                    batch.endings.append(Ending(event.id, None, "unreadable: nested too deeply"))
                except Exception as error:
                    meters.EVENT_FAILURES.labels("read").inc()
                    with _named(event):
                        log.exception("reader_failed", claims=event.claims)
                    batch.failed.append((event, _in_words(error)))
                else:
                    _, place = _places(held, event)
                    told = Told(event.id, event.merchant_id, event.connection, event.envelope, reading, trace=place)
                    if must_look(connection, reading):
                        batch.looks.append((event, told))
                    else:
                        batch.told.append(told)
        return batch

    # --- Asking platforms ------------------------------------------------------------------------

    async def _start_look(self, held: Claim, event: Claimed, told: Told) -> None:
        if len(self._looks) >= MOST_LOOKS:
            await self._look_later(held, event, "many events wait for their platform to be asked")
            return
        task = asyncio.create_task(self._look(held, event, told))
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _look_later(self, held: Claim, event: Claimed, reason: str) -> None:
        until = self._context.clock.now() + LOOK_LATER
        await self._while_held(lambda: postpone(held.token, event, until, reason))

    async def _look(self, held: Claim, event: Claimed, told: Told) -> None:
        """Ask the platform, then apply what it told; whatever fails puts the event back."""
        with _named(event):
            await self._look_for_one(held, event, told)

    async def _look_for_one(self, held: Claim, event: Claimed, told: Told) -> None:
        connection = held.connections[event.envelope.source, event.connection]
        try:
            async with self._turns.turn(connection):
                reading, outcome = await look(self._context, connection, told.reading)
            point("look.answered")
            await self._alone(held, event, told._replace(reading=reading), outcome)
        except NoTurn as error:
            await self._look_later(held, event, str(error))
        except Unavailable as error:
            meters.EVENT_FAILURES.labels("look").inc()
            await self._put_back(held, event, str(error))
        except Exception as error:
            meters.EVENT_FAILURES.labels("look").inc()
            log.exception("look_failed", claims=event.claims)
            await self._put_back(held, event, _in_words(error))


def _apply(
    apply: Apply,
    held: Claim,
    told: Sequence[Told],
    endings: Sequence[Ending],
    now: int,
    outcome: Outcome | None = None,
) -> Steps[None]:
    """Apply told events and write how all of them ended; `outcome` is what a look already decided."""
    reasons = (yield from suspects(told, held.connections)) if told else {}
    sound = [event for event in told if event.event_id not in reasons and event.reading.facts]
    outcomes = (yield from apply(sound, now)) if sound else {}
    point("work.applied")
    ended = list(endings)
    for event in told:
        number = event.event_id
        if number in reasons:
            ended.append(Ending(number, "suspect", reasons[number]))
        elif outcome is not None:
            told_of = outcomes[number].sale if number in outcomes else None
            ended.append(Ending(number, *outcome._replace(sale=told_of)))
        elif not event.reading.facts:
            ended.append(Ending(number, "unhandled", "it tells nothing we use"))
        elif number not in outcomes:
            ended.append(Ending(number, "unhandled", "its merchant is gone"))
        else:
            ended.append(Ending(number, *outcomes[number]))
    yield from finish(held.token, ended, now)


def _named(event: Claimed) -> AbstractContextManager[None]:
    """Have every log line within say which event it is about, and whose."""
    envelope = event.envelope
    return bound_contextvars(
        event_id=event.id, merchant=event.merchant_id, source=envelope.source, topic=envelope.topic
    )


def _places(held: Claim, event: Claimed) -> tuple[str | None, str | None]:
    """Return where in its trace an event was received, and where the work under this claim stands."""
    envelope = event.envelope
    receipt = tracing.receipt(envelope.source, event.connection, envelope.delivery_id, envelope.received_at)
    return receipt, tracing.step(receipt, "work", held.token)


def _trace(held: Claim, event: Claimed, now: int, error: str | None) -> None:
    """Tell of an attempt at an event that is over; one that somebody else took over tells for itself."""
    if tracing.is_on():
        receipt, place = _places(held, event)
        envelope = event.envelope
        tracing.record(
            "work",
            place,
            receipt,
            held.at,
            now,
            error=error,
            event=event.id,
            merchant=event.merchant_id,
            source=envelope.source,
            topic=envelope.topic,
            attempt=event.claims,
        )


def _fencing_token() -> str:
    return secrets.token_hex(8)


def _in_words(error: Exception) -> str:
    """Say what failed without what it failed on: messages of drivers and parsers may quote personal data."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_name}:{place.tb_lineno}" if place is not None else ""
    return f"{type(error).__name__}{where}"
