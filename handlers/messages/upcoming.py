"""What will go to whom and when: a merchant's unsent messages, page by page, the next one first."""

from typing import NamedTuple

import msgspec

from handlers.merchants.rules import Program
from handlers.messages.kinds import Kind
from handlers.messages.rules import Place, permitted_at
from handlers.messages.zones import zone, zone_of
from integration.database.steps import Row, Steps, ask, plain

PAGE = 25
MOST_SCANNED = 20_000  # messages looked through for one page, where a filter fits few of them
MOST_COUNTED = 1_000
MOST_SENDING = 100  # shown of what is being sent at this moment
STATES = ("scheduled", "waiting")

Place_ = tuple[int, str]
"""Where a page begins: behind the message of this next attempt and key."""


class Upcoming(NamedTuple):
    """One message that has not gone out yet."""

    key: str
    kind: str
    state: str  # scheduled, waiting, sending
    next_at: int  # when it is looked at next
    reason: str | None  # why it waits, in words
    test: bool
    attempts: int
    customer: int | None  # the person's number
    name: str
    email: str | None
    order: str | None  # what the shop calls what it is about
    place: Place
    country: str | None
    region: str | None

    def expected_at(self, program: Program, timezone: str, now: int) -> int:
        """Say when it goes out as far as can be told: when it is looked at, within the send window where they are."""
        here = self.place if self.place.country else Place(self.country, self.region)
        where = zone_of(here.country, here.region) or zone(timezone)
        return permitted_at(max(self.next_at, now), program.messages.window, where)


class Page(NamedTuple):
    """One page; `after` is where the next one begins, None = this was the last."""

    messages: list[Upcoming]
    after: Place_ | None


def upcoming(
    merchant_id: int, after: Place_ | None, kind: str | None = None, state: str | None = None, limit: int = PAGE
) -> Steps[Page]:
    """List messages that are still to go out, of one kind or state or of all, by when they are looked at next.

    A page may hold fewer than `limit` although there are more: then `after` says where to look on.
    """
    begin = after or (0, "")
    if kind is None and state is None:
        rows = yield from ask(_PAGE, (merchant_id, *begin, limit + 1))
    else:
        rows = yield from ask(_FILTERED, (merchant_id, *begin, kind, state, limit + 1))
    messages = [_upcoming(row) for row in rows[:limit]]
    if len(rows) > limit:
        last = messages[-1]
        return Page(messages, (last.next_at, last.key))
    if kind is None and state is None:
        return Page(messages, None)
    end = yield from ask(_SCANNED, (merchant_id, *begin))
    return Page(messages, (end[0][0], end[0][1]) if end else None)


def being_sent(merchant_id: int) -> Steps[list[Upcoming]]:
    """List what is being handed over at this moment."""
    return [_upcoming(row) for row in (yield from ask(_SENDING, (merchant_id, MOST_SENDING)))]


def one_upcoming(merchant_id: int, key: str) -> Steps[Upcoming | None]:
    """Return one message, whatever became of it; None where there is none."""
    rows = yield from ask(_ONE, (merchant_id, key))
    return _upcoming(rows[0]) if rows else None


def count_upcoming(merchant_id: int) -> Steps[int]:
    """Count what is still to go out, up to MOST_COUNTED."""
    return int((yield from ask(_COUNT, (merchant_id, MOST_COUNTED)))[0][0])


def count_overdue(merchant_id: int, now: int) -> Steps[int]:
    """Count what would have been looked at by now if it were not for a pause, up to MOST_COUNTED."""
    return int((yield from ask(_OVERDUE, (merchant_id, now, MOST_COUNTED)))[0][0])


def why(message: Upcoming, kind: Kind | None, program: Program, *, paused: bool) -> str:
    """Say in words why a message has not gone out yet, or that it will not."""
    if message.state == "sending":
        return "It is being sent at this moment."
    if kind is None:
        return "Messages of this kind do not exist any more: it will not go out."
    if off := kind.off(program):
        return f"It will not go out: {off}."
    if paused:
        return "All messages are paused. It goes out after you resume."
    if message.reason:
        # When it goes out stands beside it, by the shop's clocks.
        return sentence(message.reason.partition(": it goes out at ")[0])
    return "Its time has not come yet."


def sentence(reason: str) -> str:
    """Write a reason the way sentences are written."""
    return f"{reason[:1].upper()}{reason[1:].rstrip('.')}." if reason else ""


def _upcoming(row: Row) -> Upcoming:
    key, kind, state, next_at, reason, test, attempts, details, customer, first, last, email, *rest = row
    country, region, order = rest
    name = " ".join(part for part in (first, last) if part)
    place = msgspec.json.decode(details, type=Place)
    return Upcoming(
        key, kind, state, next_at, reason, bool(test), attempts, customer, name, email, order, place, country, region
    )


# Persons and orders as they are called now, whatever they were when the message was wished for.
_SHOWN = (
    "SELECT m.key, m.kind, m.state, m.next_attempt_at, m.reason, m.test, m.attempts, m.details,"
    " p.number, p.first_name, p.last_name, p.email, p.country, p.region, o.name"
)
_NAMED = (
    " LEFT JOIN customers c ON c.merchant_id = m.merchant_id AND c.number = m.customer"
    " LEFT JOIN customers p ON p.merchant_id = m.merchant_id AND p.number = coalesce(c.merged_into, c.number)"
    " LEFT JOIN sales s ON s.merchant_id = m.merchant_id AND s.number = m.sale"
    " LEFT JOIN sales o ON o.merchant_id = m.merchant_id AND o.number = coalesce(s.merged_into, s.number)"
)
# In the order of the index of what is unsent, from behind the last message of the page before.
_ROWS = (
    "FROM messages m WHERE m.merchant_id = ?1 AND m.state IN ('scheduled', 'waiting')"
    " AND (m.next_attempt_at, m.key) > (?2, ?3) ORDER BY m.next_attempt_at, m.key"
)
_PAGE = plain(f"{_SHOWN} FROM (SELECT m.* {_ROWS} LIMIT ?4) m{_NAMED} ORDER BY m.next_attempt_at, m.key")
_FILTERED_SQL = (
    f"{_SHOWN} FROM (SELECT n.* FROM (SELECT m.* {_ROWS} LIMIT {MOST_SCANNED}) n"
    " WHERE (?4 IS NULL OR n.kind = ?4) AND (?5 IS NULL OR n.state = ?5)"
    f" ORDER BY n.next_attempt_at, n.key LIMIT ?6) m{_NAMED} ORDER BY m.next_attempt_at, m.key"
)
_FILTERED = plain(_FILTERED_SQL, postgres=_FILTERED_SQL.replace("?4", "?4::text").replace("?5", "?5::text"))
_SCANNED = plain(f"SELECT m.next_attempt_at, m.key {_ROWS} LIMIT 1 OFFSET {MOST_SCANNED - 1}")
# The plus keeps to the index of what is being sent: a merchant's messages are many.
_SENDING = plain(
    f"{_SHOWN} FROM messages m{_NAMED} WHERE m.state = 'sending' AND +m.merchant_id = ?1"
    " ORDER BY m.claimed_until, m.key LIMIT ?2"
)
_ONE = plain(f"{_SHOWN} FROM messages m{_NAMED} WHERE m.merchant_id = ?1 AND m.key = ?2")
_UNSENT = "SELECT m.due_at FROM messages m WHERE m.merchant_id = ?1 AND m.state IN ('scheduled', 'waiting')"
_COUNT = plain(f"SELECT count(*) FROM ({_UNSENT} LIMIT ?2) u")
_OVERDUE = plain(
    f"SELECT count(*) FROM (SELECT u.due_at FROM ({_UNSENT} ORDER BY m.next_attempt_at DESC LIMIT {MOST_SCANNED}) u"
    " WHERE u.due_at <= ?2 LIMIT ?3) d"
)
