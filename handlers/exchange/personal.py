"""What lines of imported files tell of persons: addresses and names, until the lines are pruned."""

from handlers.customers.rules import normalise
from handlers.exchange.rules import FORGOTTEN
from handlers.exchange.store import leave_out
from handlers.holders import Holder, Sections, Subject, deleting
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

MOST_AT_ONCE = 5_000  # lines; a file may repeat an address on each

_BY_ADDRESS = {"merchant_id": BIG, "email": TEXT}
_SHOW = keyed(
    "SELECT l.number, l.line, l.email, l.first_name, l.last_name, l.micropoints FROM {keys} k CROSS JOIN import_lines l"
    " WHERE l.email = k.email AND l.merchant_id = k.merchant_id ORDER BY l.number, l.line",
    **_BY_ADDRESS,
)
_LINES = keyed(
    "SELECT l.merchant_id, l.number, l.line, l.micropoints, l.problem, l.customer FROM {keys} k"
    f" CROSS JOIN import_lines l WHERE l.email = k.email AND l.merchant_id = k.merchant_id LIMIT {MOST_AT_ONCE}",
    **_BY_ADDRESS,
)
_FORGET = keyed(
    "UPDATE import_lines SET email = NULL, first_name = NULL, last_name = NULL, problem = CASE WHEN problem IS NULL"
    f" AND customer IS NULL THEN '{FORGOTTEN}' ELSE problem END FROM {{keys}} k"
    " WHERE import_lines.merchant_id = k.merchant_id AND import_lines.number = k.number AND import_lines.line = k.line",
    merchant_id=BIG,
    number=BIG,
    line=BIG,
)
_RENAME = keyed(
    "UPDATE imports SET file = 'import-' || imports.number || '.csv' FROM {keys} k"
    " WHERE imports.merchant_id = k.merchant_id AND imports.number = k.number",
    merchant_id=BIG,
    number=BIG,
)


def export(subject: Subject) -> Steps[Sections]:
    """Show the lines a person came in by."""
    columns = ("import", "line", "email", "first_name", "last_name", "micropoints")
    rows = yield from ask(_SHOW, _addresses(subject))
    return {"imported": [dict(zip(columns, row, strict=True)) for row in rows]}


def forget(subject: Subject, now: int) -> Steps[int]:
    """Blank lines a person came in by, MOST_AT_ONCE in one go; what they brought stays, under our own number.

    What these files were called goes too: it may be the person's name.
    """
    lines = yield from ask(_LINES, _addresses(subject))
    yield from ask(_RENAME, sorted({line[:2] for line in lines}))
    touched = yield from ask(_FORGET, sorted(line[:3] for line in lines))
    # What was looked at and is still to be brought in comes without them.
    still: dict[int, list[int]] = {}
    for _, number, _, micropoints, problem, customer in lines:
        if problem is None and customer is None:
            still.setdefault(number, []).append(micropoints)
    for number, amounts in sorted(still.items()):
        yield from leave_out(subject.merchant_id, number, len(amounts), sum(amounts))
    return touched[0][0] if touched else 0


def _addresses(subject: Subject) -> list[tuple[int, str]]:
    return sorted({(subject.merchant_id, normalise(value)) for kind, value in subject.names if kind == "email"})


HOLDER = Holder("exchange", export, forget, deleting("import_lines", "imports"))
