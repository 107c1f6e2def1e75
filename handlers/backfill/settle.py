"""Taking listed orders and charges in as sales, foreseeing what that would bring, and taking a run back."""

from collections.abc import Sequence
from typing import NamedTuple

from handlers.backfill.rules import Totals
from handlers.backfill.store import Run, advance
from handlers.inbox.rules import Apply, Resettle, Told
from handlers.inbox.rules import Run as Covering
from handlers.merchants.books import lock_books
from handlers.merchants.rules import Shop
from handlers.points.forecast import why_nothing
from handlers.points.posting import posted_of
from handlers.points.rules import ISSUED, target
from handlers.sales.apply import view
from handlers.sales.books import LoadedSale, find_sales
from handlers.sales.goods import with_stays_of
from handlers.sales.history import mark, withdraw
from handlers.sales.rules import SALE_FACTS, SaleFacts, naming, remember
from handlers.sales.worth import valued
from integration.database.steps import BIG, Steps, ask, keyed, plain
from integration.faults import point

PAGE = 500  # sales taken back in one transaction

_ISSUED = plain(f"SELECT micropoints FROM accounts WHERE merchant_id = ?1 AND account = '{ISSUED}'")
_STILL_DUE = keyed(
    "SELECT s.number FROM {keys} k CROSS JOIN sales s"
    " WHERE s.merchant_id = k.merchant_id AND s.number = k.number AND s.settle_at <= k.at",
    merchant_id=BIG,
    number=BIG,
    at=BIG,
)


class Batch(NamedTuple):
    """Some objects of a listing: what they tell, where the listing stands after them, and what was left out."""

    told: list[Told]
    after: str
    totals: Totals


class Rehearsed(Exception):
    """Ends a transaction that only shows how long it takes."""


def take(run: Run, column: str, batch: Batch, apply: Apply, now: int) -> Steps[Run]:
    """Take a batch in, and note in the same transaction how far the run has come; returns the run as it stands.

    `column` is the cursor that moves. Raises Refused where another process has moved it: nothing is taken in twice.
    """
    merchant_id = run.merchant_id
    before = (yield from lock_books([merchant_id]))[merchant_id]
    issued = yield from _issued(merchant_id)
    yield from apply(batch.told, now)
    after = (yield from lock_books([merchant_id]))[merchant_id]
    totals = run.totals.plus(batch.totals)
    totals.sales += after.next_sale - before.next_sale
    totals.customers += after.next_customer - before.next_customer
    totals.micropoints += (yield from _issued(merchant_id)) - issued
    point("backfill.taken")
    return (yield from advance(run, column, batch.after, totals))


def rehearse(batch: Batch, apply: Apply, now: int) -> Steps[None]:
    """Take a batch in and end with `Rehearsed`, so that nothing of it stays."""
    yield from apply(batch.told, now)
    raise Rehearsed


def foresee(shop: Shop, covering: Covering, batch: Batch, now: int) -> Steps[Totals]:
    """Say what taking a batch in would bring, by reading alone.

    Each object is looked at by itself: that two of them are the same sale, or the same person, shows only once they
    are taken in.
    """
    totals = batch.totals.plus(Totals())
    facts = [(one, fact) for one in batch.told for fact in one.reading.facts if isinstance(fact, SALE_FACTS)]
    names = {(shop.id, identity) for _, fact in facts for identity in naming(fact).strong}
    by_name, loaded = yield from find_sales(names)
    posted = yield from posted_of((sale.merchant_id, sale.number) for sale in loaded)
    concerned: dict[int, tuple[LoadedSale, bool]] = {}
    for one, fact in facts:
        known = [by_name[shop.id, i] for i in naming(fact).strong if (shop.id, i) in by_name]
        sale = known[0] if known else LoadedSale(shop.id, 0, SaleFacts(), now)
        remember(sale.facts, fact)
        mark(sale.facts, covering, not known, one.envelope.received_at)
        concerned[id(sale)] = (sale, bool(known))
    shop = yield from with_stays_of(shop, [sale for sale, _ in concerned.values()])
    for sale, is_known in concerned.values():
        sale.worth, sale.version = valued(shop, sale.facts, sale.tier)
        totals.sales += not is_known
        totals.tests += sale.worth.test
        seen = view(shop, sale)
        whole = sum(target(seen, now).balances.values())
        have = posted.get((shop.id, sale.number))
        held = sum(n for name, n in have.balances.items() if not name.endswith(ISSUED)) if have else 0
        if not whole:
            why = why_nothing(seen)
            totals.earning_nothing[why] = totals.earning_nothing.get(why, 0) + 1
        if not sale.worth.test:
            totals.micropoints += whole - held
    return totals


def take_back(run: Run, now: int) -> Steps[tuple[list[int], int]]:
    """Take a run back from the next of its sales, to be settled at once; returns them, and what they have posted."""
    numbers = yield from withdraw(run.merchant_id, run.number, PAGE, now)
    return numbers, (yield from _held(run.merchant_id, numbers))


def settle_taken_back(run: Run, numbers: Sequence[int], resettle: Resettle, now: int) -> Steps[tuple[bool, int]]:
    """Settle what came due; tells whether all of these sales are settled by now, and what they have posted."""
    yield from resettle(PAGE, now, run.merchant_id - 1)
    due = yield from ask(_STILL_DUE, [(run.merchant_id, number, now) for number in numbers])
    return not due, (yield from _held(run.merchant_id, numbers))


def _held(merchant_id: int, numbers: Sequence[int]) -> Steps[int]:
    """Micropoints sales have posted to people, tests apart."""
    posted = yield from posted_of((merchant_id, number) for number in numbers)
    return sum(
        amount
        for one in posted.values()
        for name, amount in one.balances.items()
        if not name.startswith("test:") and not name.endswith(ISSUED)
    )


def _issued(merchant_id: int) -> Steps[int]:
    """Micropoints issued and not taken back so far."""
    rows = yield from ask(_ISSUED, (merchant_id,))
    return -int(rows[0][0]) if rows else 0
