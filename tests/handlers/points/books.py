"""Merchants whose ledger is written by hand, for tests of what guards the ledger."""

from collections.abc import Sequence
from typing import Any

from handlers.merchants.books import lock_books, save_books
from handlers.merchants.connections import Wish, add_merchant
from handlers.points.seal import linked
from integration.database.steps import BIG, TEXT, Steps, ask, insert
from integration.vault import Vault

NOW = 1_790_000_000_000_000
VAULT = Vault(["hats-are-sold-here-by-ada-and-bob-since-1999"])

_ENTRIES = insert(
    "ledger_entries",
    merchant_id=BIG,
    number=BIG,
    key=TEXT,
    source=TEXT,
    destination=TEXT,
    micropoints=BIG,
    reason=TEXT,
    at=BIG,
)
_BALANCES = insert(
    "accounts",
    "ON CONFLICT (merchant_id, account) DO UPDATE SET micropoints = accounts.micropoints + excluded.micropoints",
    merchant_id=BIG,
    account=TEXT,
    micropoints=BIG,
)

Posting = tuple[str, str, int]  # from, to, micropoints


async def open_books(database: Any, name: str) -> int:
    """Add a merchant without any platform; return their id."""
    wish = Wish(name=name, shop=None, currency="EUR", timezone="Europe/Paris")
    merchant = await database.run(lambda: add_merchant(wish, VAULT, NOW))
    return int(merchant.id)


async def post(database: Any, merchant: int, postings: Sequence[Posting]) -> None:
    """Write adjustments as the ledger does: numbered entries, and balances beside them."""

    def steps() -> Steps[None]:
        books = (yield from lock_books([merchant]))[merchant]
        rows, totals = [], dict[str, int]()
        for source, destination, amount in postings:
            number = books.take_entry()
            key, reason = f"adjust:{number}", "adjustment"
            books.head = linked(books.head, (number, key, None, source, destination, amount, reason, None, NOW))
            rows.append((merchant, number, key, source, destination, amount, reason, NOW))
            totals[source] = totals.get(source, 0) - amount
            totals[destination] = totals.get(destination, 0) + amount
        yield from ask(_ENTRIES, rows)
        yield from ask(_BALANCES, [(merchant, name, total) for name, total in sorted(totals.items())])
        yield from save_books([books])

    await database.run(steps)
