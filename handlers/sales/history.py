"""Sales a backfill tells of: what they earn under, who is not mailed about them, and taking a run back."""

import msgspec

from handlers.inbox.rules import Run
from handlers.merchants.books import lock_books
from handlers.merchants.rules import Shop
from handlers.sales.books import load_sales
from handlers.sales.rules import Imported, SaleFacts, Worth
from integration.clock import DAY
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain

FRESH = DAY  # a delivery so long after the sale is news of it; later it is news of an old sale

_COVERED = plain(
    "SELECT number FROM sales WHERE merchant_id = ?1 AND backfill = ?2 AND backfill IS NOT NULL"
    " ORDER BY number LIMIT ?3"
)
_WITHDRAW = keyed(
    "UPDATE sales SET backfill = NULL, facts = k.facts, settle_at = k.at, revision = revision + 1 FROM {keys} k"
    " WHERE sales.merchant_id = k.merchant_id AND sales.number = k.number",
    merchant_id=BIG,
    number=BIG,
    facts=TEXT,
    at=BIG,
)


def mark(facts: SaleFacts, run: Run | None, is_new: bool, received_at: int) -> bool:
    """Note in a sale who told of it: a run, or (None) a delivery received at an instant; tell whether that is news.

    The notes are the same in whatever order runs and deliveries come, but for one: a run that comes first makes the
    sale the run's own until a delivery tells of it.
    """
    before = facts.imported
    if run is not None:
        first, told_at = (is_new, None) if before is None else (before.first, before.told_at)
        facts.imported = Imported(run.number, run.version, first, told_at)
    elif before is not None and before.first:
        told_at = received_at if before.told_at is None else min(received_at, before.told_at)
        facts.imported = msgspec.structs.replace(before, told_at=told_at)
    return facts.imported != before


def withdraw(merchant_id: int, run: int, limit: int, now: int) -> Steps[list[int]]:
    """Take a run back from at most `limit` of its sales, and have them settled at once by the clock.

    Returns their numbers; the books stay locked until the transaction ends.
    """
    yield from lock_books([merchant_id])
    numbers = yield from ask(_COVERED, (merchant_id, run, limit))
    sales = yield from load_sales((merchant_id, row[0]) for row in numbers)
    rows = []
    for sale in sales:
        if sale.facts.imported is not None:
            sale.facts.imported = msgspec.structs.replace(sale.facts.imported, run=0)
        rows.append((merchant_id, sale.number, msgspec.json.encode(sale.facts).decode(), now))
    yield from ask(_WITHDRAW, rows)
    return [sale.number for sale in sales]


def is_undone(facts: SaleFacts) -> bool:
    """Tell whether nobody but a run that was taken back told of a sale: it is worth nothing then."""
    imported = facts.imported
    return imported is not None and not imported.run and imported.first and imported.told_at is None


def undone(value: Worth) -> Worth:
    """Make a sale that only an undone run told of worth nothing."""
    return msgspec.structs.replace(
        value,
        standing="undone",
        net_minor=0,
        eligible_minor=0,
        disputed_minor=0,
        lost_minor=0,
        bonuses=(),
        why=(*value.why, "Only a backfill told of it, and that was undone."),
    )


def earning_version(shop: Shop, facts: SaleFacts, sold_at: int) -> int | None:
    """Return the number of the programme version a sale earns under; None = there was none.

    The version in force when it was sold; what was sold before earning was first switched on earns under the
    version of the run that covers it.
    """
    if facts.imported is not None and facts.imported.run and shop.is_history(sold_at):
        return facts.imported.version
    version = shop.version_at(sold_at)
    return None if version is None else version.number


def is_quiet(facts: SaleFacts, sold_at: int | None) -> bool:
    """Tell whether nobody is mailed about a sale: its buyer was forgotten, or a backfill told of it first.

    First is before any delivery, or any timely one.
    """
    if facts.forgotten:
        return True
    imported = facts.imported
    if imported is None or not imported.first:
        return False
    return imported.told_at is None or sold_at is None or imported.told_at > sold_at + FRESH
