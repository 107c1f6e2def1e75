"""Write postings to the ledger and keep the balances, in the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from handlers.merchants.books import Counters
from handlers.points.seal import linked
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed

_SUM = keyed(
    "SELECT e.merchant_id, e.sale, e.source, e.destination, CAST(SUM(e.micropoints) AS BIGINT), COUNT(*)"
    " FROM {keys} k CROSS JOIN ledger_entries e WHERE e.merchant_id = k.merchant_id AND e.sale = k.sale"
    " GROUP BY e.merchant_id, e.sale, e.source, e.destination",
    merchant_id=BIG,
    sale=BIG,
)
_POST = insert(
    "ledger_entries",
    merchant_id=BIG,
    number=BIG,
    key=TEXT,
    sale=BIG,
    source=TEXT,
    destination=TEXT,
    micropoints=BIG,
    reason=TEXT,
    detail=TEXT,
    at=BIG,
)
_BALANCE = insert(
    "accounts",
    "ON CONFLICT (merchant_id, account) DO UPDATE SET micropoints = accounts.micropoints + excluded.micropoints",
    merchant_id=BIG,
    account=TEXT,
    micropoints=BIG,
)


class Posting(NamedTuple):
    """One entry to write: `micropoints` > 0 from one account to another."""

    merchant_id: int
    key: str  # unique for the merchant, from stable ids
    source: str
    destination: str
    micropoints: int
    reason: str
    sale: int | None = None
    detail: str | None = None


class Posted(NamedTuple):
    """What a sale has posted so far."""

    balances: Mapping[str, int]  # account -> net micropoints
    entries: int


def posted_of(sales: Iterable[tuple[int, int]]) -> Steps[dict[tuple[int, int], Posted]]:
    """Sum the postings of sales by (merchant, sale); those without any are left out."""
    rows = yield from ask(_SUM, sorted(sales))
    found: dict[tuple[int, int], tuple[dict[str, int], int]] = {}
    for merchant_id, sale, source, destination, amount, entries in rows:
        balances, count = found.get((merchant_id, sale), ({}, 0))
        balances[source] = balances.get(source, 0) - amount
        balances[destination] = balances.get(destination, 0) + amount
        found[merchant_id, sale] = (balances, count + entries)
    return {key: Posted(*value) for key, value in found.items()}


def post(postings: Sequence[Posting], counters: Mapping[int, Counters], now: int) -> Steps[None]:
    """Write entries and move balances; the merchants' books must be locked, and saved afterwards.

    Raises the database's unique violation for a key that is already posted: the caller's sums were stale.
    """
    changes: dict[tuple[int, str], int] = {}
    rows = []
    for p in postings:
        books = counters[p.merchant_id]
        entry = (books.take_entry(), p.key, p.sale, p.source, p.destination, p.micropoints, p.reason, p.detail, now)
        books.head = linked(books.head, entry)
        rows.append((p.merchant_id, *entry))
        for name, amount in ((p.source, -p.micropoints), (p.destination, p.micropoints)):
            changes[p.merchant_id, name] = changes.get((p.merchant_id, name), 0) + amount
    yield from ask(_POST, rows)
    # In the order of their keys, in which the programme's own busy accounts come after the customers'.
    yield from ask(_BALANCE, [(m, name, amount) for (m, name), amount in sorted(changes.items()) if amount])
