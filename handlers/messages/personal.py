"""What messages tell of persons: where they went, what the server said, and what they are written from."""

from handlers.holders import Holder, Sections, Subject, deleting
from integration.clock import to_iso
from integration.database.steps import BIG, Sql, Steps, ask, keyed

FORGOTTEN = "the person was forgotten"

_KEY = {"merchant_id": BIG, "number": BIG}


def _show(by: str) -> Sql:
    return keyed(
        "SELECT m.key, m.kind, m.channel, m.state, m.due_at, m.sent_at, m.address, m.reason, m.receipt, m.details,"
        " m.content"
        f" FROM {{keys}} k CROSS JOIN messages m WHERE m.merchant_id = k.merchant_id AND m.{by} = k.number",
        **_KEY,
    )


def _forget(by: str) -> Sql:
    """Blank messages and stop those that have not gone out; one that is going out keeps its lease."""
    return keyed(
        "UPDATE messages SET address = NULL, receipt = NULL, details = '{}', trace = NULL,"
        " content = NULL,"
        f" reason = CASE WHEN state IN ('scheduled', 'waiting', 'cancelled', 'failed') THEN '{FORGOTTEN}' END,"
        " closed_at = CASE WHEN state IN ('scheduled', 'waiting') THEN k.at ELSE closed_at END,"
        " state = CASE WHEN state IN ('scheduled', 'waiting') THEN 'cancelled' ELSE state END"
        f" FROM {{keys}} k WHERE messages.merchant_id = k.merchant_id AND messages.{by} = k.number"
        " AND (address IS NOT NULL OR receipt IS NOT NULL OR details <> '{}' OR trace IS NOT NULL"
        " OR content IS NOT NULL OR state IN ('scheduled', 'waiting')"
        f" OR (reason IS NOT NULL AND reason <> '{FORGOTTEN}'))",
        **_KEY,
        at=BIG,
    )


_SHOW_OF_CUSTOMER, _SHOW_OF_SALE = _show("customer"), _show("sale")
_OF_CUSTOMER, _OF_SALE = _forget("customer"), _forget("sale")
_ON_THEIR_WAY = keyed(
    "SELECT m.key FROM {keys} k CROSS JOIN messages m WHERE m.merchant_id = k.merchant_id AND m.customer = k.number"
    " AND m.state = 'sending' AND m.claimed_until > {clock}",
    **_KEY,
)


def on_their_way(merchant_id: int, numbers: tuple[int, ...]) -> Steps[bool]:
    """Tell whether a message to one of these customers is being sent: its address will be written down."""
    return bool((yield from ask(_ON_THEIR_WAY, [(merchant_id, number) for number in sorted(numbers)])))


def export(subject: Subject) -> Steps[Sections]:
    """Show what was, or is to be, written to the person."""
    rows = set((yield from ask(_SHOW_OF_CUSTOMER, [(subject.merchant_id, n) for n in subject.numbers])))
    rows |= set((yield from ask(_SHOW_OF_SALE, [(subject.merchant_id, n) for n in subject.sales])))
    columns = (
        "kind",
        "channel",
        "state",
        "due_at",
        "sent_at",
        "address",
        "reason",
        "server_said",
        "details",
        "content",
    )
    shown = [dict(zip(columns, row[1:], strict=True)) for row in sorted(rows, key=lambda row: (row[4], row[0]))]
    return {"messages": [m | {"due_at": to_iso(m["due_at"]), "sent_at": to_iso(m["sent_at"])} for m in shown]}


def forget(subject: Subject, now: int) -> Steps[int]:
    """Leave of messages what kind they were and when they went, and send nothing more."""
    count = 0
    for statement, numbers in ((_OF_CUSTOMER, subject.numbers), (_OF_SALE, subject.sales)):
        touched = yield from ask(statement, [(subject.merchant_id, number, now) for number in sorted(numbers)])
        count += touched[0][0] if touched else 0
    return count


HOLDER = Holder("messages", export, forget, deleting("messages"))
