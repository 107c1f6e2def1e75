"""What runs of a backfill keep of persons: where they stand in a list of orders, and orders they skipped."""

import re

from handlers.holders import Holder, Sections, Subject, deleting
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain

_RUNS = plain("SELECT number, orders_after, charges_after, totals FROM backfills WHERE merchant_id = ?1")
_WRITE = keyed(
    "UPDATE backfills SET orders_after = k.orders_after, charges_after = k.charges_after, totals = k.totals"
    " FROM {keys} k WHERE backfills.merchant_id = k.merchant_id AND backfills.number = k.number",
    merchant_id=BIG,
    number=BIG,
    orders_after=TEXT,
    charges_after=TEXT,
    totals=TEXT,
)


def export(subject: Subject) -> Steps[Sections]:
    """Show nothing: it names sales, which are shown with everything that names them."""
    return {}
    yield  # A step function, though it asks for nothing.


def forget(subject: Subject, now: int) -> Steps[int]:
    """Take what names sales out of runs; one that stands at such a sale begins its list again, to no effect."""
    gone = {value for kind, value in subject.names if ":" in kind}
    if not gone:
        return 0
    named = re.compile("|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for value in sorted(gone)))
    rows = []
    for number, *before in (yield from ask(_RUNS, (subject.merchant_id,))):
        orders_after, charges_after, totals = before
        after = [
            None if orders_after in gone else orders_after,
            None if charges_after in gone else charges_after,
            named.sub("…", totals),
        ]
        if after != before:
            rows.append((subject.merchant_id, number, *after))
    touched = yield from ask(_WRITE, rows)
    return touched[0][0] if touched else 0


HOLDER = Holder("backfill", export, forget, deleting("backfills"))
