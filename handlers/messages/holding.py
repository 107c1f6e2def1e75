"""Holds the messages to one person back for the merchant, and lets them go again."""

from handlers.customers.timeline import SELF
from integration.clock import DAY, HOUR
from integration.database.steps import Steps, ask, plain

HELD = "messages to this person are held back: it goes out after they are let go"
HELD_LOOK = HOUR  # how often a held message is looked at; letting go does not wait for it
HELD_PATIENCE = 30 * DAY  # after its time; what is held longer is not worth sending any more

_HOLD = plain("UPDATE customers SET held_at = ?3 WHERE merchant_id = ?1 AND number = ?2 AND held_at IS NULL")
_LET_GO = plain(
    f"UPDATE customers SET held_at = NULL WHERE merchant_id = ?1 AND held_at IS NOT NULL AND number IN ({SELF})"
)
_WAKE = plain(
    "UPDATE messages SET next_attempt_at = ?3, reason = NULL WHERE merchant_id = ?1 AND state = 'waiting'"
    f" AND reason = ?4 AND customer IN ({SELF})"
)


def hold(merchant_id: int, customer: int, now: int) -> Steps[bool]:
    """Send a person nothing more, whatever the kind, until they are let go; False = they were held already.

    What waits keeps its place. A letter whose conversation with the mail server has begun goes out.
    """
    touched = yield from ask(_HOLD, (merchant_id, customer, now))
    return bool(touched[0][0])


def let_go(merchant_id: int, customer: int, now: int) -> Steps[bool]:
    """Let a person's messages go out again, the send window and the caps permitting; False = they were not held."""
    touched = yield from ask(_LET_GO, (merchant_id, customer))
    yield from ask(_WAKE, (merchant_id, customer, now, HELD))
    return bool(touched[0][0])
