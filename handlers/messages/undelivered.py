"""What should have gone out and did not: messages that are late, those tried in vain, and those given up."""

from typing import NamedTuple

from handlers.messages.upcoming import MOST_COUNTED
from integration.clock import DAY, HOUR, MINUTE
from integration.database.steps import Steps, ask, plain

LATE = 15 * MINUTE  # a healthy worker looks at what is due within seconds
TRIED = 5  # failed attempts; with their pauses a quarter of an hour, so that a busy mailbox is not told of
LONGEST_WAIT = 6 * HOUR  # until what failed is tried again
FAILED_IN = 7 * DAY
PAGE = 25

Place_ = tuple[int, str]
"""Where a page begins: behind the message that was given up at this instant under this key."""


class Held(NamedTuple):
    """What keeps messages from going out; each count ends at MOST_COUNTED."""

    late: int  # due, and nobody looks at them
    in_vain: int  # tried again and again
    failed: int  # given up lately


class Undelivered(NamedTuple):
    """One message that was given up."""

    key: str
    kind: str
    at: int
    reason: str | None  # in words
    test: bool
    customer: int | None  # the person's number
    name: str
    email: str | None
    order: str | None  # what the shop calls what it is about


def held(merchant_id: int, now: int) -> Steps[Held]:
    """Count what should have gone out by now, among the next MOST_COUNTED, and what was given up lately."""
    ((late, in_vain),) = yield from ask(_OPEN, (merchant_id, now - LATE, now + LONGEST_WAIT, MOST_COUNTED))
    ((failed,),) = yield from ask(_FAILED, (merchant_id, now - FAILED_IN, MOST_COUNTED))
    return Held(int(late), int(in_vain), failed)


def undelivered(merchant_id: int, before: Place_ | None, limit: int = PAGE) -> Steps[list[Undelivered]]:
    """List what was given up, the newest first, from behind a place on; one more than `limit` says there are more."""
    rows = yield from ask(_PAGE, (merchant_id, *(before or (2**62, "")), limit + 1))
    return [
        Undelivered(key, kind, at, reason, bool(test), customer, " ".join(filter(None, (first, last))), email, order)
        for key, kind, at, reason, test, customer, first, last, email, order in rows
    ]


# In the order of the index of what is unsent: what is due comes first.
_OPEN = plain(
    "SELECT coalesce(sum(CASE WHEN n.next_attempt_at <= ?2 THEN 1 ELSE 0 END), 0),"
    f" coalesce(sum(CASE WHEN n.state = 'waiting' AND n.attempts >= {TRIED} THEN 1 ELSE 0 END), 0)"
    " FROM (SELECT m.next_attempt_at, m.state, m.attempts FROM messages m"
    " WHERE m.merchant_id = ?1 AND m.state IN ('scheduled', 'waiting') AND m.next_attempt_at <= ?3"
    " ORDER BY m.next_attempt_at, m.key LIMIT ?4) n"
)
_GIVEN_UP = "FROM messages m WHERE m.merchant_id = ?1 AND m.state = 'failed'"
_FAILED = plain(f"SELECT count(*) FROM (SELECT 1 {_GIVEN_UP} AND m.closed_at >= ?2 AND m.test = 0 LIMIT ?3) f")
# Persons and orders as they are called now.
_PAGE = plain(
    "SELECT m.key, m.kind, m.closed_at, m.reason, m.test, p.number, p.first_name, p.last_name, p.email, o.name FROM"
    f" (SELECT m.* {_GIVEN_UP} AND (m.closed_at, m.key) < (?2, ?3) ORDER BY m.closed_at DESC, m.key DESC LIMIT ?4) m"
    " LEFT JOIN customers c ON c.merchant_id = m.merchant_id AND c.number = m.customer"
    " LEFT JOIN customers p ON p.merchant_id = m.merchant_id AND p.number = coalesce(c.merged_into, c.number)"
    " LEFT JOIN sales s ON s.merchant_id = m.merchant_id AND s.number = m.sale"
    " LEFT JOIN sales o ON o.merchant_id = m.merchant_id AND o.number = coalesce(s.merged_into, s.number)"
    " ORDER BY m.closed_at DESC, m.key DESC"
)
