"""What is not sent again after a backup was put back: it may have gone out in the time the books have lost."""

from handlers.merchants.rules import Messages
from handlers.messages.outbox import Due
from handlers.messages.rules import permitted_at
from handlers.messages.zones import zone
from integration.database.steps import Steps, ask, plain

IN_DOUBT = "it may have gone out before the backup was put back"


def note_restore(now: int) -> Steps[int]:
    """Close every message that would have gone out between the backup and now; returns how many.

    To be called in the transaction that puts the backup back: a worker may look at the messages right after.
    """
    yield from ask(_NOTE, (now,))
    closed = yield from ask(_CLOSE, (now, IN_DOUBT))
    return int(closed[0][0])


def restored_at() -> Steps[int | None]:
    """Return when a backup was last put back; None for never."""
    rows = yield from ask(_LAST, ())
    return rows[0][0] if rows else None


def is_in_doubt(message: Due, restored: int | None, settings: Messages, timezone: str) -> bool:
    """Tell whether a message made after a restore, for what was sold before it, would have gone out before it."""
    if restored is None or message.created_at < restored:
        return False
    return permitted_at(message.due_at, settings.window, zone(timezone)) <= restored


_NOTE = plain("INSERT INTO restores (restored_at) VALUES (?1) ON CONFLICT (restored_at) DO NOTHING")
_LAST = plain("SELECT restored_at FROM restores ORDER BY restored_at DESC LIMIT 1")
_CLOSE = plain(
    "UPDATE messages SET state = 'cancelled', claim = NULL, claimed_until = NULL, closed_at = ?1, reason = ?2"
    " WHERE state IN ('scheduled', 'waiting', 'sending') AND (next_attempt_at <= ?1 OR state = 'sending')"
)
