"""How long what came in is kept, and its deletion in small steps."""

from collections.abc import Callable

from handlers.inbox.record import DELETE_BODIES, DELETE_EVENTS, prune_unknown
from integration.clock import DAY
from integration.database.engine import Database
from integration.database.steps import Steps, ask, plain

PRUNE_BATCH = 500
MOST_STEPS = 200  # of one kind in one run; the next run goes on
KEEP_UNHANDLED = 3 * DAY  # rows and bodies of events nothing reads
KEEP_BODIES = 30 * DAY  # of worked events
KEEP_FAILED_BODIES = 90 * DAY  # of dead letters, which may still be replayed
# A row makes a repeated delivery one event, and no platform repeats one for so long. What is sent again later, by
# whomever, is worked again and changes nothing: facts are merged, sales settled to a target, messages have keys.
KEEP_EVENTS = 90 * DAY  # rows of worked events
KEEP_FAILED = 180 * DAY  # rows of dead letters


async def prune_all(database: Database, now: int) -> int:
    """Delete what has been kept long enough, a small transaction at a time; returns how many rows went."""
    deleted = 0
    for step in (_prune_unhandled, _prune_bodies, prune_unknown):
        deleted += await _until_done(database, lambda step=step: step(now, PRUNE_BATCH))  # type: ignore[misc]
    return deleted + await _prune_events(database, now)


async def _until_done(database: Database, step: Callable[[], Steps[int]]) -> int:
    deleted = 0
    for _ in range(MOST_STEPS):
        gone = await database.run(step)
        deleted += gone
        if not gone:
            break
    return deleted


async def _prune_events(database: Database, now: int) -> int:
    """Go through the oldest events by their numbers, which grow with time, up to the first that are too young."""
    deleted, after = 0, 0
    for _ in range(MOST_STEPS):
        gone, last = await database.run(lambda after=after: _prune_page(after, now))  # type: ignore[misc]
        deleted += gone
        if last is None:
            break
        after = last
    return deleted


def _prune_page(after: int, now: int) -> Steps[tuple[int, int | None]]:
    """Delete what is old enough of the next events; returns how many, and behind which to go on (None = done)."""
    ((last, oldest),) = yield from ask(_PAGE, (after, PRUNE_BATCH))
    if last is None or oldest >= now - KEEP_EVENTS:
        return 0, None
    gone = yield from ask(_DELETE_WORKED, (after, last, now - KEEP_EVENTS, now - KEEP_FAILED))
    yield from ask(_DELETE_LEFT_BODIES, (after, last))
    return int(gone[0][0]), last


def _prune_unhandled(now: int, limit: int) -> Steps[int]:
    ids = yield from ask(_UNHANDLED, (now - KEEP_UNHANDLED, limit))
    yield from ask(DELETE_BODIES, ids)
    yield from ask(DELETE_EVENTS, ids)
    return len(ids)


def _prune_bodies(now: int, limit: int) -> Steps[int]:
    worked_before, failed_before = now - KEEP_BODIES, now - KEEP_FAILED_BODIES
    # Bodies come in the order of their arrival, so what is due stands first.
    oldest = yield from ask(_OLDEST_BODIES, (limit, failed_before))
    ids = [(number,) for number, worked_at, failed_at in oldest if failed_at or (worked_at or now) < worked_before]
    yield from ask(DELETE_BODIES, ids)
    return len(ids)


# What people or the platform ask of us by law is kept until it has been carried out, read or not.
_STILL_ASKED = (
    "(source = 'shopify' AND coalesce(outcome, 'waiting') = 'waiting'"
    " AND topic IN ('customers/data_request', 'customers/redact', 'shop/redact'))"
)

# By an index that holds nothing else.
_UNHANDLED = plain("SELECT id FROM events WHERE outcome = 'unhandled' AND worked_at < ?1 ORDER BY worked_at LIMIT ?2")

_OLDEST_BODIES = plain(
    "SELECT b.event_id, e.worked_at, e.failed_at FROM event_bodies b JOIN events e ON e.id = b.event_id"
    f" WHERE (e.failed_at IS NULL OR e.failed_at < ?2) AND NOT {_STILL_ASKED}"
    " ORDER BY b.event_id LIMIT ?1"
)

_PAGE = plain(
    "SELECT max(p.id), min(p.received_at) FROM (SELECT id, received_at FROM events WHERE id > ?1"
    " ORDER BY id LIMIT ?2) p"
)
# Judged and deleted by one statement: somebody may have an event worked again meanwhile.
_DELETE_WORKED = plain(
    f"DELETE FROM events WHERE id > ?1 AND id <= ?2 AND (worked_at < ?3 OR failed_at < ?4) AND NOT {_STILL_ASKED}"
)
_DELETE_LEFT_BODIES = plain(
    "DELETE FROM event_bodies WHERE event_id > ?1 AND event_id <= ?2"
    " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = event_bodies.event_id)"
)
