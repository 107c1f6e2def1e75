"""The merchant's hand on the brake: one message is stopped, all are paused, and they go on again."""

from collections.abc import Iterable
from typing import Literal

from integration.clock import HOUR
from integration.database.steps import BIG, Steps, ask, keyed, plain

# A message that falls due in a pause is looked at again so much later. Resuming does not wait for that; it is for
# what a process that was killed while resuming has left.
PAUSED_LOOK = 6 * HOUR
PAUSED = "all messages are paused: it goes out after they are resumed"
STOPPED = "it was stopped by hand"
WOKEN_AT_ONCE = 1_000
MOST_WAKINGS = 1_000  # in one resuming

Stopped = Literal["stopped", "sending", "over", "unknown"]


def stop(merchant_id: int, key: str, now: int) -> Steps[Stopped]:
    """Cancel one unsent message for good; no sale brings it back. Tells what it found.

    `sending`: somebody is handing it over at this moment, so it cannot be stopped any more (unless that attempt
    fails). `over`: it had gone out, or was given up, before.
    """
    touched = yield from ask(_STOP, (merchant_id, key, now, STOPPED))
    if touched[0][0]:
        return "stopped"
    rows = yield from ask(_STATE, (merchant_id, key))
    if not rows:
        return "unknown"
    return "sending" if rows[0][0] == "sending" else "over"


def pause(merchant_id: int, now: int) -> Steps[bool]:
    """Hold back all messages of a merchant from now on; False = they were held back already.

    Nothing is dropped: what falls due waits. A letter whose conversation with the mail server has begun goes out.
    """
    touched = yield from ask(_PAUSE, (merchant_id, now))
    return bool(touched[0][0])


def resume(merchant_id: int) -> Steps[bool]:
    """Let a merchant's messages go out again; False = they were not held back. Then `wake` what has waited."""
    touched = yield from ask(_RESUME, (merchant_id,))
    return bool(touched[0][0])


def wake(merchant_id: int, now: int, limit: int = WOKEN_AT_ONCE) -> Steps[int]:
    """Have at most `limit` messages that waited for the end of a pause looked at now; returns how many.

    Looked at, not sent: the send window and the caps hold for them as for any other.
    """
    touched = yield from ask(_WAKE, (merchant_id, now, PAUSED, limit))
    return int(touched[0][0])


def silent_among(merchant_ids: Iterable[int]) -> Steps[frozenset[int]]:
    """Return those of the merchants of whom nothing goes out: they hold messages back, or have left."""
    rows = yield from ask(_SILENT, [(merchant_id,) for merchant_id in sorted(merchant_ids)])
    return frozenset(row[0] for row in rows)


def held_back(merchant_ids: Iterable[int]) -> Steps[frozenset[int]]:
    """Return those of the merchants who hold messages back, and let none resume before this transaction ends.

    Whoever resumes afterwards finds what this transaction put off, and wakes it.
    """
    rows = yield from ask(_HELD_BACK, [(merchant_id,) for merchant_id in sorted(merchant_ids)])
    return frozenset(row[0] for row in rows)


# What a sender has claimed is his until the claim runs out.
_STOP = plain(
    "UPDATE messages SET state = 'cancelled', closed_at = ?3, reason = ?4, claim = NULL, claimed_until = NULL"
    " WHERE merchant_id = ?1 AND key = ?2 AND (state IN ('scheduled', 'waiting')"
    " OR (state = 'sending' AND claimed_until <= {clock}))"
)
_STATE = plain("SELECT state FROM messages WHERE merchant_id = ?1 AND key = ?2")
_PAUSE = plain("UPDATE merchants SET messages_paused_at = ?2 WHERE id = ?1 AND messages_paused_at IS NULL")
_RESUME = plain("UPDATE merchants SET messages_paused_at = NULL WHERE id = ?1 AND messages_paused_at IS NOT NULL")
# Woken ones stand at `now`, so that the next step does not meet them again.
_WAKE = plain(
    "UPDATE messages SET next_attempt_at = ?2, reason = NULL WHERE merchant_id = ?1 AND state = 'waiting'"
    " AND key IN (SELECT w.key FROM messages w WHERE w.merchant_id = ?1 AND w.state IN ('scheduled', 'waiting')"
    " AND w.state = 'waiting' AND w.next_attempt_at > ?2 AND w.reason = ?3 ORDER BY w.next_attempt_at LIMIT ?4)"
)
_SILENT = keyed(
    "SELECT m.id FROM {keys} k CROSS JOIN merchants m WHERE m.id = k.id"
    " AND (m.messages_paused_at IS NOT NULL OR m.closed_at IS NOT NULL)",
    id=BIG,
)
_HELD_BACK = keyed(
    "SELECT m.id FROM {keys} k CROSS JOIN merchants m WHERE m.id = k.id AND m.messages_paused_at IS NOT NULL"
    " ORDER BY m.id",
    postgres_suffix=" FOR SHARE OF m",
    id=BIG,
)
