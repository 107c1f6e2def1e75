"""How long what came in is kept, and its deletion in small steps."""

from collections.abc import Sequence

from handlers.inbox.record import DELETE_BODIES, DELETE_EVENTS, prune_unknown
from integration.clock import DAY
from integration.database.engine import Database
from integration.database.steps import Row, Steps, ask, plain

PRUNE_BATCH = 500
MOST_STEPS = 200  # of one run; the next run goes on
KEEP_UNHANDLED = 3 * DAY  # rows and bodies of events nothing reads
KEEP_BODIES = 30 * DAY  # of worked events
KEEP_FAILED_BODIES = 90 * DAY  # of dead letters, which may still be replayed
# Rows of events that were read stay: the delivery id is what makes a repeat harmless, however late it comes.


async def prune_all(database: Database, now: int) -> int:
    """Delete what has been kept long enough, a small transaction at a time; returns how many rows went."""
    deleted = 0
    # Looking for unhandled events reads the whole table: once a run, beside the writers.
    unhandled = await database.read(lambda: ask(_UNHANDLED, (now - KEEP_UNHANDLED, MOST_STEPS * PRUNE_BATCH)))
    for start in range(0, len(unhandled), PRUNE_BATCH):
        batch = unhandled[start : start + PRUNE_BATCH]
        deleted += await database.run(lambda ids=batch: _delete_events(ids))  # type: ignore[misc]
    for _ in range(MOST_STEPS):
        gone = await database.run(lambda: _prune_step(now))
        deleted += gone
        if not gone:
            break
    return deleted


def _delete_events(ids: Sequence[Row]) -> Steps[int]:
    yield from ask(DELETE_BODIES, ids)
    yield from ask(DELETE_EVENTS, ids)
    return len(ids)


def _prune_step(now: int) -> Steps[int]:
    worked_before, failed_before = now - KEEP_BODIES, now - KEEP_FAILED_BODIES
    # Bodies come in the order of their arrival, so what is due stands first.
    oldest = yield from ask(_OLDEST_BODIES, (PRUNE_BATCH, failed_before))
    ids = [(number,) for number, worked_at, failed_at in oldest if failed_at or (worked_at or now) < worked_before]
    yield from ask(DELETE_BODIES, ids)
    return len(ids) + (yield from prune_unknown(now, PRUNE_BATCH))


_UNHANDLED = plain("SELECT id FROM events WHERE outcome = 'unhandled' AND worked_at < ?1 ORDER BY id LIMIT ?2")

_OLDEST_BODIES = plain(
    "SELECT b.event_id, e.worked_at, e.failed_at FROM event_bodies b JOIN events e ON e.id = b.event_id"
    " WHERE (e.failed_at IS NULL OR e.failed_at < ?2)"
    # What people or the platform ask of us by law is kept until it has been carried out.
    " AND NOT (e.source = 'shopify' AND e.outcome = 'waiting'"
    " AND e.topic IN ('customers/data_request', 'customers/redact', 'shop/redact'))"
    " ORDER BY b.event_id LIMIT ?1"
)
