"""What moved in each month, added up aside from a ledger that is numbered without gaps: entry by entry, from a mark."""

from collections.abc import Iterable

from sqlalchemy import Column, Table

from handlers.liability.rules import Moved, added, month_of, moved
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, Row, Steps, ask, insert, plain

MOST_ENTRIES = 5_000  # added up in one transaction
MOST_MERCHANTS = 1_000

ledger_months = Table(
    "ledger_months",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("month", Number, primary_key=True, autoincrement=False),  # year * 12 + month - 1, of the shop's calendar
    Column("issued", Number, nullable=False),  # micropoints, all of them
    Column("clawed_back", Number, nullable=False),
    Column("adjusted", Number, nullable=False),
    Column("redeemed", Number, nullable=False),
    Column("expired", Number, nullable=False),
)

# How far a merchant's ledger has been added up.
ledger_month_marks = Table(
    "ledger_month_marks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("entry", Number, nullable=False),
    Column("at", Instant, nullable=False),  # of that entry
)

_BEHIND = plain(
    "SELECT m.id, m.timezone FROM merchants m JOIN books b ON b.merchant_id = m.id"
    " LEFT JOIN ledger_month_marks k ON k.merchant_id = m.id"
    " WHERE m.id > ?1 AND b.next_entry - 1 > coalesce(k.entry, 0) ORDER BY m.id LIMIT ?2"
)
_MARK = plain("SELECT entry FROM ledger_month_marks WHERE merchant_id = ?1")
_FIRST = plain(
    "INSERT INTO ledger_month_marks (merchant_id, entry, at) VALUES (?1, 0, 0) ON CONFLICT (merchant_id) DO NOTHING"
)
# Of two that add up at once, the one whose entries the mark has passed already adds nothing.
_ADVANCE = plain("UPDATE ledger_month_marks SET entry = ?3, at = ?4 WHERE merchant_id = ?1 AND entry = ?2")
_ENTRIES = plain(
    "SELECT number, at, source, destination, micropoints, reason, sale FROM ledger_entries"
    " WHERE merchant_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3"
)
_ADD = insert(
    "ledger_months",
    "ON CONFLICT (merchant_id, month) DO UPDATE SET "
    + ", ".join(f"{name} = ledger_months.{name} + excluded.{name}" for name in Moved._fields),
    merchant_id=BIG,
    month=BIG,
    **dict.fromkeys(Moved._fields, BIG),
)
_MONTHS = plain(f"SELECT month, {', '.join(Moved._fields)} FROM ledger_months WHERE merchant_id = ?1")
_OUTSTANDING = plain(
    "SELECT CAST(-coalesce(sum(micropoints), 0) AS bigint) FROM accounts WHERE merchant_id = ?1"
    " AND account >= 'program:' AND account < 'program;'"
)


def behind(after: int) -> Steps[list[tuple[int, str]]]:
    """List merchants, and their time zones, whose ledger has grown; by id, from `after` on."""
    rows = yield from ask(_BEHIND, (after, MOST_MERCHANTS))
    return [(row[0], row[1]) for row in rows]


def add_up(merchant_id: int, timezone: str) -> Steps[int]:
    """Add the next entries of a merchant's ledger to their months; returns how many there were."""
    yield from ask(_FIRST, (merchant_id,))
    entry = (yield from ask(_MARK, (merchant_id,)))[0][0]
    entries = yield from ask(_ENTRIES, (merchant_id, entry, MOST_ENTRIES))
    if not entries:
        return 0
    last = entries[-1]
    if not (yield from ask(_ADVANCE, (merchant_id, entry, last[0], last[1])))[0][0]:
        return 0
    sums = by_month(entries, timezone)
    yield from ask(_ADD, [(merchant_id, month, *one) for month, one in sorted(sums.items())])
    return len(entries)


def months_of(merchant_id: int, timezone: str) -> Steps[tuple[dict[int, Moved], bool]]:
    """Return what moved in each month, the newest entries among it, and whether that is all of the ledger."""
    found = {row[0]: Moved(*row[1:]) for row in (yield from ask(_MONTHS, (merchant_id,)))}
    mark = yield from ask(_MARK, (merchant_id,))
    tail = yield from ask(_ENTRIES, (merchant_id, mark[0][0] if mark else 0, MOST_ENTRIES))
    for month, one in by_month(tail, timezone).items():
        found[month] = added(found.get(month, Moved()), one)
    return found, len(tail) < MOST_ENTRIES


def outstanding(merchant_id: int) -> Steps[int]:
    """Return the micropoints people have by the balances: what has left the programme's own accounts."""
    return int((yield from ask(_OUTSTANDING, (merchant_id,)))[0][0])


def by_month(entries: Iterable[Row], timezone: str) -> dict[int, Moved]:
    """Sort entries by month of the shop's calendar."""
    found: dict[int, Moved] = {}
    for _, at, source, destination, amount, reason, sale in entries:
        one = moved(source, destination, amount, reason, sale)
        if one is not None:
            month = month_of(at, timezone)
            found[month] = added(found.get(month, Moved()), one)
    return found
