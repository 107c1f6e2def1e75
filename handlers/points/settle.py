"""Settle points: post what a sale should be worth minus what is posted already."""

from collections.abc import Mapping, Sequence
from itertools import chain

from handlers.customers.identify import Moved
from handlers.merchants.books import lock_books, save_books
from handlers.messages.falls import points_fell
from handlers.points.expiry import settle_lapsed, stir
from handlers.points.posting import Posted, Posting, post, posted_of
from handlers.points.rules import BUCKETS, Move, Target, account, moves, target
from handlers.sales.rules import Sale
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

_NOTHING = Posted({}, 0)
_FALLS = frozenset({"reversal", "dispute_hold"})

_OWN_ENTRIES = keyed(
    "SELECT e.source, e.destination, CAST(SUM(e.micropoints) AS BIGINT)"
    " FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.sale IS NULL AND (e.source = k.account OR e.destination = k.account)"
    " GROUP BY e.source, e.destination",
    merchant_id=BIG,
    account=TEXT,
)


class PointsSettler:
    """Posts the difference between a sale's target and its postings, under keys no second run can repeat."""

    name = "points"

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]:
        """Post what is missing or too much for each sale; return when a hold ends, by (merchant, sale)."""
        aims = {(sale.shop.id, sale.number): target(sale, now) for sale in sales}
        posted = yield from _posted(sales)
        postings: list[Posting] = []
        fallen: dict[tuple[int, int], str | None] = {}
        for sale in sales:
            key = (sale.shop.id, sale.number)
            have = posted[key]
            made = moves(have.balances, aims[key])
            postings += [_posting(sale, move, have.entries + n) for n, move in enumerate(made)]
            fallen |= dict.fromkeys(_whose_points_fell(sale, made), sale.trace)
        if postings:
            counters = yield from lock_books({p.merchant_id for p in postings})
            if fallen:
                # Before the balances move: the notice compares with what there was.
                yield from points_fell(fallen, now)
            yield from post(postings, counters, now)
            yield from save_books(counters.values())
        touched = chain(
            ((merchant_id, name) for (merchant_id, _), one in posted.items() for name in one.balances),
            ((p.merchant_id, name) for p in postings for name in (p.source, p.destination)),
        )
        yield from settle_lapsed(sales, touched, now)
        return {key: aim.settle_at for key, aim in aims.items() if aim.settle_at is not None}


def _posted(sales: Sequence[Sale]) -> Steps[dict[tuple[int, int], Posted]]:
    """What each sale and those merged into it have posted, together."""
    survivors = {(sale.shop.id, number): sale.number for sale in sales for number in (sale.number, *sale.absorbed)}
    found = yield from posted_of(survivors)
    result = {(sale.shop.id, sale.number): _NOTHING for sale in sales}
    for (merchant_id, number), one in found.items():
        key = (merchant_id, survivors[merchant_id, number])
        result[key] = _add(result[key], one)
    return result


def _add(one: Posted, other: Posted) -> Posted:
    if one is _NOTHING:
        return other
    names = {*one.balances, *other.balances}
    return Posted(
        {name: one.balances.get(name, 0) + other.balances.get(name, 0) for name in names},
        one.entries + other.entries,
    )


def _posting(sale: Sale, move: Move, n: int) -> Posting:
    return Posting(
        merchant_id=sale.shop.id,
        key=f"sale:{sale.number}:{n}",
        source=move.source,
        destination=move.destination,
        micropoints=move.micropoints,
        reason=move.reason,
        sale=sale.number,
    )


def _whose_points_fell(sale: Sale, made: Sequence[Move]) -> set[tuple[int, int]]:
    """Customers whose available points a settlement lowers and who are to be told."""
    version = sale.version
    if sale.worth.test or version is None or not version.program.earning.notify_reductions:
        return set()
    fallen = {
        (sale.shop.id, int(owner.removeprefix("customer:")))
        for move in made
        if move.reason in _FALLS and move.source.endswith(":available")
        for owner in (move.source.rpartition(":")[0],)
        if owner.startswith("customer:")
    }
    if fallen and (sale.quiet or (sale.worth.sold_at is not None and sale.shop.is_history(sale.worth.sold_at))):
        # What only a backfill awards, it also takes back without a word.
        return set()
    return fallen


def follow(moved: Sequence[Moved], now: int) -> Steps[None]:
    """Move what hangs on a customer and on no sale (grants, forgiven debts) to whom the number now means.

    Points of sales are not moved here: their sales are settled again, to their owner of today.
    """
    postings: list[Posting] = []
    counters = yield from lock_books({one.merchant_id for one in moved})
    for one in moved:
        for bucket in BUCKETS:
            source, destination = account(one.number, bucket), account(one.into, bucket)
            amount = yield from _held_apart_from_sales(one.merchant_id, source)
            if amount < 0:
                source, destination = destination, source
            if amount:
                n = counters[one.merchant_id].next_entry + len(postings)
                postings.append(
                    Posting(
                        merchant_id=one.merchant_id,
                        key=f"merge:{one.number}:{one.into}:{bucket}:{n}",
                        source=source,
                        destination=destination,
                        micropoints=abs(amount),
                        reason="merge",
                        detail=f"customer {one.number} is customer {one.into}",
                    )
                )
    if postings:
        yield from post(postings, counters, now)
        yield from save_books(counters.values())
    yield from stir({(one.merchant_id, number) for one in moved for number in (one.number, one.into)}, now)


def _held_apart_from_sales(merchant_id: int, name: str) -> Steps[int]:
    rows = yield from ask(_OWN_ENTRIES, [(merchant_id, name)])
    return sum(amount if destination == name else -amount for _, destination, amount in rows)


def targets(sales: Sequence[Sale], now: int) -> Mapping[tuple[int, int], Target]:
    """Say what sales should have posted by now, by (merchant, sale); for the audit."""
    return {(sale.shop.id, sale.number): target(sale, now) for sale in sales}
