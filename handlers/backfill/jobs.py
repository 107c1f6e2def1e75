"""Runs a backfill to its end: has a shop's history listed, foresees what it brings, takes it in, takes it back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from handlers.backfill import store
from handlers.backfill.rules import Totals, as_if_on
from handlers.backfill.settle import Batch, Rehearsed, foresee, rehearse, settle_taken_back, take, take_back
from handlers.backfill.store import Run
from handlers.context import Context
from handlers.inbox.keys import Key
from handlers.inbox.rules import Connection, Elsewhere, Told, suspicion
from handlers.inbox.rules import Run as Covering
from handlers.merchants.books import shops
from handlers.merchants.rules import Refused, Shop
from integration.clock import SECOND
from integration.database.steps import ask, plain
from integration.errors import Rejected, Revoked, Suspect, Unavailable, Unreadable
from integration.facts import Envelope, Order, OrderSeen, Reading
from integration.faults import point
from integration.shopify.admin import Admin, Token
from integration.shopify.bulk import Bulk, Step, collect_file
from integration.shopify.bulk_order import Assembled, assemble
from integration.shopify.bulk_shelf import Shelf, Shelved
from integration.stripe.listing import OBJECTS, Listed, Listing

BATCH = 500  # orders of one transaction
LOOKS_AT_ONCE = 4  # orders asked for alone, whose refunds are not sure by their sums
KINDS = ("charge", "dispute")  # of Stripe's objects, in this order

# What PostgreSQL knows of these tables was learnt when they were small.
GROWN = ("sales", "sale_identities", "customers", "customer_identities", "ledger_entries", "accounts")
_SUPPOSED_RUN = 1
MOST_TURNS = 10_000  # before the sales of a page are all settled
TURN_SECONDS = 0.02

Progress = Callable[[str, int, int | None], None]
"""Called as (phase, done, of): `export`, `download`, `orders`, `charges`, `disputes`, `undo`; of None = unknown."""


class Plan(NamedTuple):
    """Which history: of whom, sold since when, and whether from a file of the merchant's own."""

    merchant_id: int
    since: int | None
    file: Path | None
    folder: Path  # where lines are kept until all of an order's are there


class Foreseen(NamedTuple):
    """What a dry run found; `seconds` is how long taking it in will last, by what the first of it took."""

    totals: Totals
    seconds: float | None
    is_off: bool
    notes: tuple[str, ...]


class Done(NamedTuple):
    """A run that was carried out."""

    run: Run
    notes: tuple[str, ...]


class _Sources(NamedTuple):
    """Whom to ask; a connection without a key is asked nothing."""

    shop: Shop
    shopify: Connection | None
    bulk: Bulk | None
    admin: Admin | None  # for orders asked for alone
    stripe: Listing | None
    stripe_account: str
    token: Token
    notes: tuple[str, ...]


async def preview(context: Context, plan: Plan, progress: Progress) -> Foreseen:
    """Read the whole history and say what it would bring; nothing is kept.

    Raises Refused where there is nobody to ask, and the outside's errors as they come.
    """
    # Orders whose refunds are known in sums only are not asked for alone: that is for the run, and takes a while.
    sources = (await _sources(context, plan))._replace(admin=None)
    now = context.clock.now()
    shop, version = as_if_on(sources.shop, now)
    covering = Covering(_SUPPOSED_RUN, version)
    totals, seconds = Totals(), None
    async with _shelf(plan, "preview", keep=False) as shelf:
        if sources.shopify is not None:
            async for step in _shelved(context, plan, sources, shelf, None):
                progress(step.phase, step.done, step.of)
            async for batch in _orders(context, plan, sources, shelf, covering, 0):
                if seconds is None and batch.told:
                    seconds = await _rehearsed(context, batch) / len(batch.told)
                shelf.add_buyers(_buyers(batch))
                totals = totals.plus(await _foreseen(context, shop, covering, batch, now))
                progress("orders", totals.orders, shelf.orders)
            totals.customers = shelf.count_buyers()
        async for kind, batch in _charges(context, plan, sources, covering, now, None):
            totals = totals.plus(await _foreseen(context, shop, covering, batch, now))
            progress(f"{kind}s", totals.charges if kind == "charge" else totals.disputes, None)
    found = totals.orders + totals.charges
    return Foreseen(totals, None if seconds is None else seconds * found, shop is not sources.shop, sources.notes)


async def commit(context: Context, plan: Plan, progress: Progress) -> Done:
    """Take the history in, from where an unfinished run of the same history was; returns the run with its totals.

    Raises Refused where earning is off or there is nobody to ask, and the outside's errors as they come; the same
    call goes on from there.
    """
    sources = await _sources(context, plan)
    run = await context.database.run(
        lambda: store.open_run(plan.merchant_id, plan.since, plan.file.name if plan.file else None, context.clock.now())
    )
    covering = Covering(run.number, run.version)
    async with _shelf(plan, str(run.number), keep=True) as shelf:
        if sources.shopify is not None and run.orders_after != _ALL:
            async for step in _shelved(context, plan, sources, shelf, run):
                progress(step.phase, step.done, step.of)
            after = int(run.orders_after or 0)
            async for batch in _orders(context, plan, sources, shelf, covering, after):
                run = await _taken(context, run, "orders_after", batch)
                progress("orders", run.totals.orders, shelf.orders)
            run = await _taken(context, run, "orders_after", Batch([], _ALL, Totals()))
        async for kind, batch in _charges(context, plan, sources, covering, run.started_at, run.charges_after):
            run = await _taken(context, run, "charges_after", batch)
            progress(f"{kind}s", run.totals.charges if kind == "charge" else run.totals.disputes, None)
        await _analyse(context)
        done = run
        run = await context.database.run(lambda: store.finish(done, context.clock.now()))
        shelf.discard()
    return Done(run, sources.notes)


async def undo(context: Context, plan: Plan, number: int, progress: Progress) -> Run:
    """Take a run of the plan's merchant back, finished or not, sale by sale; called again it goes on where it was.

    Raises Refused where there is no such run, or it was taken back already.
    """
    run = await context.database.run(lambda: store.begin_undoing(plan.merchant_id, number))
    async with _shelf(plan, str(number), keep=False):
        pass  # What an unfinished run left there is not needed any more.
    totals, done = run.totals, 0
    of = totals.orders + totals.charges
    while True:
        numbers, held = await context.database.run(lambda: take_back(run, context.clock.now()))
        if not numbers:
            break
        totals.taken_back += held - await _settled(context, run, numbers)
        done += len(numbers)
        progress("undo", done, max(of, done))
    # What was taken back before a kill, and not settled.
    await _settled(context, run, [])
    return await context.database.run(lambda: store.finish_undoing(run, totals, context.clock.now()))


async def _settled(context: Context, run: Run, numbers: list[int]) -> int:
    """Settle sales a run was taken back from; returns what they have posted then. A worker may help."""
    for _ in range(MOST_TURNS):
        is_all, held = await context.database.run(
            lambda: settle_taken_back(run, numbers, context.resettle, context.clock.now())
        )
        if is_all:
            return held
        await asyncio.sleep(TURN_SECONDS)
    raise Unavailable("the sales of the run are not settled")


# --- Taking in ----------------------------------------------------------------------------------

_ALL = "all"  # a cursor that stands behind the last order


async def _taken(context: Context, run: Run, column: str, batch: Batch) -> Run:
    now = context.clock.now()
    stands = await context.database.run(lambda: take(run, column, batch, context.apply, now))
    point("backfill.kept")
    return stands


async def _foreseen(context: Context, shop: Shop, covering: Covering, batch: Batch, now: int) -> Totals:
    return await context.database.read(lambda: foresee(shop, covering, batch, now))


async def _rehearsed(context: Context, batch: Batch) -> float:
    """Return how many seconds it takes to take a batch in, without leaving anything of it."""
    began = time.perf_counter()
    with suppress(Rehearsed):
        await context.database.run(lambda: rehearse(batch, context.apply, context.clock.now()))
    return time.perf_counter() - began


async def _analyse(context: Context) -> None:
    if context.database.dialect == "postgresql":
        for table in GROWN:
            await context.database.run(lambda table=table: ask(plain(f"ANALYZE {table}"), ()))  # type: ignore[misc]


def _buyers(batch: Batch) -> list[str]:
    """Name who bought, as well as the orders themselves say it."""
    orders = [fact.order for one in batch.told for fact in one.reading.facts if isinstance(fact, OrderSeen)]
    return [name for order in orders if (name := order.buyer.platform_id or order.buyer.email)]


# --- Whom to ask --------------------------------------------------------------------------------


async def _sources(context: Context, plan: Plan) -> _Sources:
    database = context.database
    shop = (await database.read(lambda: shops([plan.merchant_id])))[plan.merchant_id]
    connections = await database.read(lambda: store.open_connections(plan.merchant_id))
    shopify, stripe = connections.get("shopify"), connections.get("stripe")
    keys = {
        platform: Key(context, one.id)
        for platform, one in connections.items()
        if one.token is not None and one.revoked_at is None
    }
    notes: list[str] = []
    bulk = admin = listing = None
    if shopify is not None and "shopify" in keys:
        admin = context.shopify.at_leisure()
        bulk = Bulk(context.shopify, shopify.account, keys["shopify"])
    if plan.file is not None:
        if shopify is None:
            raise Refused(f"{shop.name} has no Shopify shop the file could be of.")
    elif bulk is None and "stripe" not in keys:
        raise Refused(
            f"{shop.name} has neither a Shopify token nor a Stripe key here, so there is nobody to ask: set one with"
            f" `regulars merchant shopify {shop.name!r} --token …`, or give a bulk operation's result with --file."
        )
    else:
        if stripe is not None and "stripe" in keys:
            listing = Listing(context.stripe, await keys["stripe"]())
        if bulk is None and shopify is not None:
            notes.append(f"{shopify.account} was not asked for its orders: there is no token of it here.")
            shopify = None
        elif stripe is not None and listing is None:
            notes.append("Stripe was not asked for its charges: there is no key of it here.")
        if bulk is not None and not await bulk.sees_all_orders():
            notes.append("Shopify shows this token orders of the last 60 days only: it lacks read_all_orders.")
    account = stripe.account if stripe is not None else ""
    return _Sources(shop, shopify, bulk, admin, listing, account, keys.get("shopify", ""), tuple(notes))


# --- The shop's orders --------------------------------------------------------------------------


@asynccontextmanager
async def _shelf(plan: Plan, name: str, *, keep: bool) -> AsyncIterator[Shelf]:
    shelf = Shelf(plan.folder / f"backfill-{plan.merchant_id}-{name}.lines")
    try:
        yield shelf
    finally:
        shelf.close()
        if not keep:
            shelf.discard()


async def _shelved(
    context: Context, plan: Plan, sources: _Sources, shelf: Shelf, run: Run | None
) -> AsyncIterator[Step]:
    """Put all orders on the shelf, as far as they are not there already; a run remembers its export."""
    if plan.file is not None:
        async for step in collect_file(shelf, plan.file):
            yield step
    elif sources.bulk is not None:
        operation = run.operation if run is not None else None
        async for step in sources.bulk.collect(shelf, plan.since, operation):
            if run is not None and step.operation != operation:
                operation = step.operation
                await context.database.run(lambda named=operation: store.keep_operation(run, named))  # type: ignore[misc]
            yield step


async def _orders(
    context: Context, plan: Plan, sources: _Sources, shelf: Shelf, covering: Covering, after: int
) -> AsyncIterator[Batch]:
    """Read the shelf's orders, those behind an id, in batches."""
    totals = Totals()
    if after == 0:
        many, named = shelf.unread()
        for line, why in named:
            totals.skip(f"line {line}", why)
        if many > len(named):
            totals.skip(None, "further lines that cannot be read", many - len(named))
    while shelved := shelf.after(after, BATCH):
        after = shelved[-1].number
        found = [order for one in shelved if (order := _assembled(plan, sources, one, totals)) is not None]
        orders = await _made_sure(sources, found, totals)
        totals.orders = len(orders)
        yield Batch(_told(context, sources, orders, covering), str(after), totals)
        totals = Totals()
    if totals.skipped:
        yield Batch([], str(after or ""), totals)


def _assembled(plan: Plan, sources: _Sources, shelved: Shelved, totals: Totals) -> Assembled | None:
    """Put an order together; None where it is not to be taken in, counted with its reason."""
    assert sources.shopify is not None
    name = f"order {shelved.number}"
    if shelved.head is None:
        totals.skip(name, "only parts of it are in the result, not the order itself")
        return None
    try:
        found = assemble(shelved.head, shelved.children)
    except Unreadable as error:
        totals.skip(name, f"unreadable: {error}")
        return None
    hosts = (found.host,) if found.host else ()
    if suspicion(sources.shopify, Reading((), found.shop_id, hosts), Elsewhere()) is not None:
        totals.skip(name, "it is another shop's")
        return None
    sold_at = found.order.processed_at or found.order.created_at
    if plan.since is not None and sold_at is not None and sold_at < plan.since:
        totals.skip(None, "sold before the day asked for")
        return None
    return found


async def _made_sure(sources: _Sources, orders: list[Assembled], totals: Totals) -> list[Order]:
    """Ask for those orders alone whose refunds are not sure by their sums; without a token the sums must do."""
    unsure = [number for number, one in enumerate(orders) if not one.is_sure]
    known = [one.order for one in orders]
    turn = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def ask_for(number: int) -> bool:
        if sources.admin is None or sources.shopify is None:
            return False
        async with turn:
            try:
                known[number] = await sources.admin.order(sources.shopify.account, sources.token, known[number].id)
            except Rejected:
                return False  # It is gone by now; what the export told of it stands.
        return True

    asked = await asyncio.gather(*(ask_for(number) for number in unsure))
    totals.by_sums = asked.count(False)
    return known


def _told(context: Context, sources: _Sources, orders: list[Order], covering: Covering) -> list[Told]:
    assert sources.shopify is not None
    account, now = sources.shopify.account, context.clock.now()
    return [
        Told(
            number,
            sources.shop.id,
            account,
            Envelope("shopify", "orders/backfill", order.id, None, now),
            Reading((OrderSeen(order),)),
            covering,
        )
        for number, order in enumerate(orders)
    ]


# --- Stripe's charges ---------------------------------------------------------------------------


async def _charges(
    context: Context, plan: Plan, sources: _Sources, covering: Covering, until: int, after: str | None
) -> AsyncIterator[tuple[str, Batch]]:
    """Read charges and disputes, the newest first, in batches; `after` is a batch's own, to go on behind it."""
    if sources.stripe is None:
        return
    begun_with, at, last = (after or "::").split(":", 2)
    for kind in KINDS[KINDS.index(begun_with) if begun_with else 0 :]:
        # Of the last second some were taken in and some not: it is read again, and those before the last are dropped.
        before = int(at) + SECOND if kind == begun_with else until
        try:
            async for page in sources.stripe.objects(kind, plan.since or 0, before, context.clock.now()):
                seen = [one.id for one in page] if kind == begun_with else []
                if page := page[seen.index(last) + 1 :] if last in seen else page:
                    yield kind, _charge_batch(context, sources, covering, kind, page)
        except (Rejected, Revoked) as error:
            if kind == "charge":
                raise
            totals = Totals()
            totals.skip("disputes", f"they cannot be listed: {error}")
            yield kind, Batch([], f"{kind}:0:", totals)


def _charge_batch(context: Context, sources: _Sources, covering: Covering, kind: str, page: list[Listed]) -> Batch:
    totals, told = Totals(), []
    reader = context.topics["stripe"][OBJECTS[kind]]
    now = context.clock.now()
    for number, one in enumerate(page):
        envelope = Envelope("stripe", one.topic, one.id, one.created_at, now)
        try:
            reading = reader(one.body, envelope)
        except (Unreadable, Suspect) as error:
            totals.skip(f"{kind} {one.id}", f"unreadable: {error}")
            continue
        told.append(Told(number, sources.shop.id, sources.stripe_account, envelope, reading, covering))
    if kind == "charge":
        totals.charges = len(told)
    else:
        totals.disputes = len(told)
    return Batch(told, f"{kind}:{page[-1].created_at}:{page[-1].id}", totals)
