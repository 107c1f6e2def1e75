"""What lines of imported files tell of persons: addresses and names, until the lines are pruned."""

from handlers.customers.rules import normalise
from handlers.holders import Holder, Sections, Subject, deleting
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

_BY_ADDRESS = {"merchant_id": BIG, "email": TEXT}
_SHOW = keyed(
    "SELECT l.number, l.line, l.email, l.first_name, l.last_name, l.micropoints FROM {keys} k CROSS JOIN import_lines l"
    " WHERE l.email = k.email AND l.merchant_id = k.merchant_id ORDER BY l.number, l.line",
    **_BY_ADDRESS,
)
_FORGET = keyed(
    "UPDATE import_lines SET email = NULL, first_name = NULL, last_name = NULL FROM {keys} k"
    " WHERE import_lines.email = k.email AND import_lines.merchant_id = k.merchant_id",
    **_BY_ADDRESS,
)


def export(subject: Subject) -> Steps[Sections]:
    """Show the lines a person came in by."""
    columns = ("import", "line", "email", "first_name", "last_name", "micropoints")
    rows = yield from ask(_SHOW, _addresses(subject))
    return {"imported": [dict(zip(columns, row, strict=True)) for row in rows]}


def forget(subject: Subject, now: int) -> Steps[int]:
    """Blank the lines a person came in by; what they brought stays, under our own number."""
    touched = yield from ask(_FORGET, _addresses(subject))
    return touched[0][0] if touched else 0


def _addresses(subject: Subject) -> list[tuple[int, str]]:
    return sorted({(subject.merchant_id, normalise(value)) for kind, value in subject.names if kind == "email"})


HOLDER = Holder("exchange", export, forget, deleting("import_lines", "imports"))
