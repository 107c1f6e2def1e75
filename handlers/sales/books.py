"""Sales as rows: find, load and write a batch of them with one statement a table."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from handlers.sales.rules import Identity, SaleFacts, Worth
from integration.clock import HOUR
from integration.database.shares import Want, due_by_merchant, take
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain
from integration.facts import Home

PUT_OFF = HOUR  # of the failures of a sale that cannot be valued at all
MOST_BROUGHT_FORWARD = 100_000  # sales at once; more than these wait for their instant

_FACTS = msgspec.json.Decoder(SaleFacts)

_COLUMNS = (
    "s.merchant_id, s.number, s.facts, s.revision, s.customer, s.absorbed, s.paired_with, s.created_at, s.merged_into,"
    " s.tier"
)
_FIND = keyed(
    "SELECT i.merchant_id, i.platform, i.kind, i.value, i.sale"
    " FROM {keys} k CROSS JOIN sale_identities i"
    " WHERE i.merchant_id = k.merchant_id AND i.platform = k.platform AND i.kind = k.kind AND i.value = k.value",
    merchant_id=BIG,
    platform=TEXT,
    kind=TEXT,
    value=TEXT,
)
_LOAD = keyed(
    f"SELECT {_COLUMNS} FROM {{keys}} k CROSS JOIN sales s WHERE s.merchant_id = k.merchant_id AND s.number = k.number",
    merchant_id=BIG,
    number=BIG,
)
_SAVE_COLUMNS = {
    "facts": TEXT,
    "revision": BIG,
    "customer": BIG,
    "platform": TEXT,
    "platform_id": TEXT,
    "name": TEXT,
    "email": TEXT,
    "currency": TEXT,
    "total_minor": BIG,
    "sold_at": BIG,
    "standing": TEXT,
    "test": BIG,
    "program_version": BIG,
    "eligible_minor": BIG,
    "merged_into": BIG,
    "absorbed": TEXT,
    "paired_with": BIG,
    "settle_at": BIG,
    "backfill": BIG,
    "tier": TEXT,
}
_SAVE = insert(
    "sales",
    "ON CONFLICT (merchant_id, number) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _SAVE_COLUMNS),
    merchant_id=BIG,
    number=BIG,
    created_at=BIG,
    **_SAVE_COLUMNS,
)
_NAME = insert(
    "sale_identities",
    "ON CONFLICT (merchant_id, platform, kind, value) DO UPDATE SET sale = excluded.sale",
    merchant_id=BIG,
    platform=TEXT,
    kind=TEXT,
    value=TEXT,
    sale=BIG,
)
_RENAME = keyed(
    "UPDATE sale_identities SET sale = k.survivor FROM {keys} k"
    " WHERE sale_identities.merchant_id = k.merchant_id AND sale_identities.sale = k.number",
    merchant_id=BIG,
    number=BIG,
    survivor=BIG,
)
_DUE = due_by_merchant(
    "sales", "settle_at", "number", "t.settle_at IS NOT NULL", ("t.number", "t.merchant_id AS owner")
)
_BEHIND = due_by_merchant(
    "settlements", "retry_at", "sale", "t.retry_at IS NOT NULL", ("t.sale AS number", "t.merchant_id AS owner")
)
_STIR_SOLD_SINCE = plain(
    "UPDATE sales SET settle_at = ?3 WHERE merchant_id = ?1 AND sold_at IS NOT NULL AND sold_at >= ?2"
    " AND merged_into IS NULL AND (settle_at IS NULL OR settle_at > ?3)"
)
_STIR_SOLD = keyed(
    "UPDATE sales SET settle_at = k.at FROM {keys} k WHERE sales.merchant_id = k.merchant_id"
    " AND sales.number = k.number AND (sales.settle_at IS NULL OR sales.settle_at > k.at)",
    merchant_id=BIG,
    number=BIG,
    at=BIG,
)
_NEVER = 1 << 62
_OLD_ONES_FIRST = plain(
    "SELECT sold_at, number, customer, standing, test FROM sales"
    " WHERE merchant_id = ?1 AND sold_at IS NOT NULL AND merged_into IS NULL"
    " AND (sold_at, number) > (?2, ?3) AND sold_at < ?4 ORDER BY sold_at, number LIMIT ?5"
)
_HOW_MANY = plain(
    "SELECT COUNT(*) FROM (SELECT 1 FROM sales WHERE merchant_id = ?1 AND sold_at IS NOT NULL"
    " AND merged_into IS NULL AND sold_at >= ?2 AND sold_at < ?3 LIMIT ?4) AS found"
)
_NEW_ONES_FIRST = plain(
    "SELECT number FROM sales WHERE merchant_id = ?1 AND sold_at IS NOT NULL AND merged_into IS NULL"
    " ORDER BY sold_at DESC, number DESC LIMIT ?2"
)
_BRING_FORWARD = plain(
    "UPDATE sales SET settle_at = ?1 WHERE (merchant_id, number) IN (SELECT s.merchant_id, s.number FROM sales s"
    " WHERE s.settle_at IS NOT NULL AND s.settle_at > ?1 AND s.settle_at <= ?2 LIMIT ?3)"
)
_TRY_AT_ONCE = plain("UPDATE settlements SET retry_at = ?1 WHERE retry_at > ?1 AND retry_at <= ?2")
_STIR = keyed(
    "UPDATE sales SET settle_at = k.at FROM {keys} k"
    " WHERE sales.merchant_id = k.merchant_id AND sales.customer = k.customer AND sales.merged_into IS NULL",
    merchant_id=BIG,
    customer=BIG,
    at=BIG,
)


# The plus keeps SQLite from reading all sales of the merchant.
_OF_CUSTOMERS = keyed(
    "SELECT s.merchant_id, s.customer, s.number, s.revision, s.tier, s.paired_with FROM {keys} k CROSS JOIN sales s"
    " WHERE s.customer = k.customer AND s.merchant_id = k.merchant_id"
    " AND +s.sold_at IS NOT NULL AND s.merged_into IS NULL AND s.test = 0",
    merchant_id=BIG,
    customer=BIG,
)
_PUT_OFF = keyed(
    "UPDATE sales SET settle_at = NULL FROM {keys} k"
    " WHERE sales.merchant_id = k.merchant_id AND sales.number = k.number",
    merchant_id=BIG,
    number=BIG,
)
_PUT_OFF_BEHIND = keyed(
    "UPDATE settlements SET retry_at = k.at FROM {keys} k"
    " WHERE settlements.merchant_id = k.merchant_id AND settlements.sale = k.sale AND settlements.retry_at < k.at",
    merchant_id=BIG,
    sale=BIG,
    at=BIG,
)


@dataclass(slots=True)
class LoadedSale:
    """One sale while a batch works on it: its row, and what the batch makes of it."""

    merchant_id: int
    number: int
    facts: SaleFacts
    created_at: int
    revision: int = 0
    customer: int | None = None
    absorbed: tuple[int, ...] = ()
    twin: int | None = None
    merged_into: int | None = None
    changed: bool = False
    due: bool = False  # loaded because the clock says so
    worth: Worth = field(default_factory=lambda: Worth(standing="waiting_for_order"))
    version: int | None = None
    email: str | None = None
    settle_at: int | None = None
    trace: str | None = None  # of the event that last told of it, within a batch
    home: Home | None = None  # where it goes, as an event told within a batch; it is not written down
    tier: str | None = None  # its customer's when it was made, as far as that is known
    new_names: list[Identity] = field(default_factory=list)


def find_sales(
    names: Iterable[tuple[int, Identity]],
) -> Steps[tuple[dict[tuple[int, Identity], LoadedSale], list[LoadedSale]]]:
    """Find the sales these identities name, by (merchant, identity); each sale is one object."""
    rows = yield from ask(_FIND, [(merchant_id, *identity) for merchant_id, identity in sorted(names)])
    loaded = yield from load_sales({(row[0], row[4]) for row in rows})
    by_number = {(sale.merchant_id, sale.number): sale for sale in loaded}
    return {(m, Identity(p, k, v)): by_number[m, number] for m, p, k, v, number in rows}, loaded


def load_sales(numbers: Iterable[tuple[int, int]], *, due: bool = False) -> Steps[list[LoadedSale]]:
    """Load sales by (merchant, number), in that order."""
    rows = yield from ask(_LOAD, sorted(numbers))
    return [
        LoadedSale(
            merchant_id=merchant_id,
            number=number,
            facts=_FACTS.decode(facts),
            created_at=created_at,
            revision=revision,
            customer=customer,
            absorbed=tuple(json.loads(absorbed)) if absorbed != "[]" else (),
            twin=twin,
            merged_into=merged_into,
            due=due,
            tier=tier,
        )
        for merchant_id, number, facts, revision, customer, absorbed, twin, created_at, merged_into, tier in rows
    ]


def save_sales(sales: Iterable[LoadedSale]) -> Steps[None]:
    """Write sales and what newly names them, in ascending order of their keys."""
    ordered = sorted(sales, key=lambda sale: (sale.merchant_id, sale.number))
    yield from ask(_SAVE, [_row(sale) for sale in ordered])
    gone = [(s.merchant_id, s.number, s.merged_into) for s in ordered if s.merged_into is not None]
    yield from ask(_RENAME, gone)
    # A sale that was made and merged away within the batch hands its names to the survivor.
    names = {(s.merchant_id, *i): s.merged_into or s.number for s in ordered for i in s.new_names}
    yield from ask(_NAME, [(*name, number) for name, number in sorted(names.items())])


def _row(sale: LoadedSale) -> tuple[object, ...]:
    worth, facts = sale.worth, sale.facts
    alive = sale.merged_into is None
    platform, platform_id = origin(facts)
    return (
        sale.merchant_id,
        sale.number,
        sale.created_at,
        msgspec.json.encode(facts).decode() if alive else "{}",
        sale.revision,
        sale.customer if alive else None,
        platform if alive else None,
        platform_id,
        facts.order.name if facts.order is not None else None,
        sale.email if alive else None,
        worth.currency,
        worth.paid_minor,
        worth.sold_at,
        worth.standing if alive else "merged",
        int(worth.test),
        sale.version,
        worth.eligible_minor,
        sale.merged_into,
        json.dumps(sale.absorbed) if sale.absorbed else "[]",
        sale.twin if alive else None,
        sale.settle_at if alive else None,
        facts.imported.run or None if alive and facts.imported is not None else None,
        sale.tier if alive else None,
    )


def origin(facts: SaleFacts) -> tuple[str | None, str | None]:
    """Say which platform has told of a sale's money (`both` when both have), and its id there."""
    paid = facts.charges or facts.payments
    if facts.order is not None:
        return ("both" if paid else "shopify"), facts.order.id
    if not paid:
        return None, None
    return "stripe", min(facts.payments or {c.payment_id or c.id for c in facts.charges.values()})


def due_sales(now: int, limit: int, after: int = 0) -> Steps[tuple[list[tuple[int, int]], bool, int]]:
    """List some `limit` sales to settle again by the clock, and as many whose capability is behind.

    Fair between merchants, those behind `after` first; says whether more may be due, and behind whom to go on.
    """
    want = Want(limit, limit)
    due = yield from take(_DUE, now, want, after)
    behind = yield from take(_BEHIND, now, want)
    found = {(merchant_id, number) for one in (due, behind) for number, merchant_id in one.each_in_turn}
    return sorted(found), due.more or behind.more, due.after


def bring_forward(now: int, ahead: int) -> Steps[None]:
    """Make due now what is due up to an instant ahead: a clock that was set back may have marked it `settle at once`.

    Whatever is only due then is settled for nothing, and says its instant again.
    """
    yield from ask(_BRING_FORWARD, (now, ahead, MOST_BROUGHT_FORWARD))
    yield from ask(_TRY_AT_ONCE, (now, ahead))


def stir_some_sold_since(
    merchant_id: int, after: tuple[int, int], limit: int, now: int
) -> Steps[tuple[int, int] | None]:
    """Have some sales of a merchant behind (sold at, number) settled again; returns behind which to go on."""
    sold = yield from sold_between(merchant_id, after, _NEVER, limit)
    yield from ask(_STIR_SOLD, [(merchant_id, one.number, now) for one in sorted(sold, key=lambda one: one.number)])
    return (sold[-1].sold_at, sold[-1].number) if len(sold) == limit else None


def stir_sold_since(merchant_id: int, instant: int, now: int) -> Steps[None]:
    """Have all sales of a merchant that were sold since an instant settled again: the shop has left."""
    yield from ask(_STIR_SOLD_SINCE, (merchant_id, instant, now))


class Sold(NamedTuple):
    """A sale by when it was sold, and what its row says of whether it counts."""

    sold_at: int
    number: int
    customer: int | None
    standing: str
    test: int


def sold_between(merchant_id: int, after: tuple[int, int], until: int, limit: int) -> Steps[list[Sold]]:
    """List a merchant's sales behind (sold at, number) and before an instant, the oldest first."""
    rows = yield from ask(_OLD_ONES_FIRST, (merchant_id, *after, until, limit))
    return [Sold(*row) for row in rows]


def count_sold(merchant_id: int, since: int, until: int, limit: int) -> Steps[int]:
    """Count a merchant's sales of a time, up to a limit."""
    rows = yield from ask(_HOW_MANY, (merchant_id, since, until, limit))
    return int(rows[0][0])


def latest_sold(merchant_id: int, limit: int) -> Steps[list[int]]:
    """List the numbers of a merchant's latest sales, the newest first."""
    rows = yield from ask(_NEW_ONES_FIRST, (merchant_id, limit))
    return [row[0] for row in rows]


def sales_of(numbers: Iterable[tuple[int, int]]) -> Steps[list[tuple[int, int, int]]]:
    """List the real sales of customers, as (merchant, customer, sale)."""
    return [(one.merchant_id, one.customer, one.number) for one in (yield from stamps_of(numbers))]


class Stamp(NamedTuple):
    """A sale of a customer's, with what changes whenever it comes to mean something else under the same programme."""

    merchant_id: int
    customer: int
    number: int
    revision: int
    tier: str | None
    twin: int | None


def stamps_of(numbers: Iterable[tuple[int, int]]) -> Steps[list[Stamp]]:
    """List the real sales of customers without what was told of them."""
    return [Stamp(*row) for row in (yield from ask(_OF_CUSTOMERS, sorted(numbers)))]


def put_off(key: tuple[int, int], now: int) -> Steps[None]:
    """Take a (merchant, sale) that cannot be settled off the clock; its failure says when it is tried again."""
    yield from ask(_PUT_OFF, [key])
    yield from ask(_PUT_OFF_BEHIND, [(*key, now + PUT_OFF)])


def stir_sales(owners: Iterable[tuple[int, int]], now: int) -> Steps[None]:
    """Have all sales of these (merchant, customer) settled again: who is who has changed around them."""
    yield from ask(_STIR, [(merchant_id, customer, now) for merchant_id, customer in sorted(owners)])
