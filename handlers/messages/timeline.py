"""What the outbox adds to a person's timeline: each message, how it stands and why."""

from collections.abc import Sequence

from handlers.customers.timeline import SELF, Badge, Bound, Item, Whose
from handlers.merchants.naming import named
from integration.database.steps import Row, Steps, ask, plain

_AT = "COALESCE(m.sent_at, m.closed_at, m.due_at)"
_MESSAGES_SQL = (
    f"SELECT m.key, {_AT}, m.kind, m.state, m.reason, m.address, m.sale, m.test FROM messages m"
    f" WHERE m.merchant_id = ?1 AND m.customer IN ({SELF}) AND ({_AT}, m.key{{c}}) < (?3, ?4)"
    f" ORDER BY {_AT} DESC, m.key{{c}} DESC LIMIT ?5"
)
# Compared by bytes on both engines, whatever the database's language.
_MESSAGES = plain(_MESSAGES_SQL.format(c=""), postgres=_MESSAGES_SQL.format(c=' COLLATE "C"'))

STATES = {
    "scheduled": Badge("Scheduled", "info"),
    "waiting": Badge("Waiting", "info"),
    "sending": Badge("Being sent", "info"),
    "sent": Badge("Sent", "success"),
    "cancelled": Badge("Not sent"),
    "failed": Badge("Failed", "critical"),
}


class Letters:
    """The source `messages`: what went out when it did, the rest when it is due or was given up."""

    name = "messages"

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List messages of every state."""
        rows = yield from ask(_MESSAGES, (whose.shop.id, whose.number, before.at, before.key, limit))
        return [_message(row) for row in rows]


def _message(row: Row) -> Item:
    key, at, kind, state, reason, address, sale, test = row
    details = []
    if state == "sent" and address:
        details.append(f"To {address}")
    if reason:
        details.append(f"{reason[0].upper()}{reason[1:]}.".replace("..", "."))
    return Item(
        at=at,
        key=key,
        what="message",
        title=named(kind).title,
        badge=STATES.get(state),
        details=tuple(details),
        sale=sale,
        letter=key,
        test=bool(test),
    )
