"""What the platforms hold, batch by batch, oldest first: what no webhook told of it, as events for the same door."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from handlers.context import Context
from handlers.inbox.keys import Key
from handlers.inbox.record import Delivery
from handlers.reconcile.ledger import Found
from handlers.reconcile.rules import (
    DISPUTES_BACK,
    EVENTS_MARGIN,
    EVENTS_SLICE,
    GRACE,
    OBJECTS_SLICE,
    OVERLAP,
    is_news,
    slices,
)
from handlers.reconcile.store import Connected, Mark
from handlers.sales.books import find_sales
from handlers.sales.rules import SALE_FACTS, Identity, naming, remember
from integration.clock import SECOND
from integration.database.steps import Steps
from integration.errors import Rejected, Suspect, Unreadable
from integration.facts import Envelope, Order, Reading
from integration.shopify.listing import Listed
from integration.shopify.listing import Listing as ShopListing
from integration.shopify.payloads.recovered import TOPIC
from integration.stripe.listing import EVENTS_REACH, OBJECTS
from integration.stripe.listing import Listed as Event
from integration.stripe.listing import Listing as AccountListing
from integration.stripe.webhooks import envelope

FETCHED_AT_ONCE = 20  # orders fetched before they are kept
MOST_SKIPPED = 20  # orders of one look that cannot be read; more of them is a fault of another kind

log = structlog.get_logger()


class Batch(NamedTuple):
    """A part of what a look found; `reached_at` is what is held once it is kept, None for no further than before."""

    compared: int
    found: list[Found]
    reached_at: int | None = None


@dataclass(slots=True)
class Run:
    """One look at one connection, and what it has come to so far."""

    context: Context
    one: Connected
    key: Key  # the connection's, to be asked for before every question
    token: str  # fences the run's lease
    started_at: int
    since: int
    mark: Mark
    dry: bool
    by_clock: bool
    moves: bool = True  # whether what it reaches is where the next look begins
    compared: int = 0
    recovered: int = 0
    calls: int = 0
    skipped: int = 0
    missed_at: int | None = None

    @property
    def fresh_from(self) -> int | None:
        """What changed from here on is too fresh to be missed; nothing is for somebody who asks."""
        return self.started_at - GRACE if self.by_clock else None


# --- Shopify --------------------------------------------------------------------------------------


async def shop(run: Run) -> AsyncGenerator[Batch, None]:
    """Orders by their last change, then disputes by their beginning."""
    listing = ShopListing(run.context.shopify, run.one.account, run.key)
    try:
        async for page in listing.orders(run.since):
            ripe = [one for one in page if run.fresh_from is None or one.updated_at < run.fresh_from]
            async for batch in _orders(run, listing, ripe):
                run.calls = listing.calls
                yield batch
            if len(ripe) < len(page):
                break
        async for batch in _disputes(run, listing):
            run.calls = listing.calls
            yield batch
    finally:
        run.calls = listing.calls


async def _orders(run: Run, listing: ShopListing, page: list[Listed]) -> AsyncIterator[Batch]:
    """Compare a page with what is known, and fetch what is news, so many at a time."""
    known = await run.context.database.read(lambda: _known_orders(run.one.merchant_id, page))
    gone = await _gone(run, page)
    found: list[Found] = []
    compared = 0
    for listed in page:
        compared += 1
        if listed.id not in gone and is_news(known.get(listed.id), *listed[1:]):
            fetched = await _fetched(run, listing, listed)
            found += [fetched] if fetched else []
        if len(found) >= FETCHED_AT_ONCE:
            yield Batch(compared, found, listed.updated_at)
            found, compared = [], 0
    if page:
        yield Batch(compared, found, page[-1].updated_at)


async def _gone(run: Run, page: list[Listed]) -> set[str]:
    """Name the orders whose buyers were forgotten: nothing is fetched of them again."""
    privacy = run.context.privacy
    if privacy is None:
        return set()
    names = [("shopify:order", listed.id) for listed in page]
    return {value for _, value in await run.context.database.read(lambda: privacy.gone(run.one.merchant_id, names))}


async def _fetched(run: Run, listing: ShopListing, listed: Listed) -> Found | None:
    """Fetch an order whole; None for one that cannot be read, as long as there are few of them."""
    now = run.context.clock.now()
    number, body = f"recovered-{listed.id}-{listed.updated_at // SECOND}", b""
    if not run.dry:
        try:
            whole = await listing.whole(listed.id)
        except Rejected as error:
            run.skipped += 1
            log.warning("order_not_recovered", connection=run.one.id, order=listed.id, reason=str(error))
            if run.skipped > MOST_SKIPPED:
                raise
            return None
        # The same state has the same id whenever it is fetched; another one, be it of the same second, its own.
        number = f"recovered-{listed.id}-{whole.order.updated_at // SECOND}-{whole.order.digest[:16]}"
        body = whole.body
    # What changed before we were connected was not missed: nobody could have told us.
    how = 1 if listed.updated_at >= run.one.connected_at else 2
    delivery = Delivery("shopify", run.one.account, number, TOPIC, now, now, body, how)
    return Found(delivery, Identity("shopify", "order", listed.id), listed.updated_at)


def _known_orders(merchant_id: int, page: list[Listed]) -> Steps[dict[str, Order]]:
    names = {(merchant_id, Identity("shopify", "order", listed.id)) for listed in page}
    found, _ = yield from find_sales(names)
    known = {name.value: sale.facts.order for (_, name), sale in found.items()}
    return {number: order for number, order in known.items() if order is not None}


async def _disputes(run: Run, listing: ShopListing) -> AsyncIterator[Batch]:
    """Disputes that have begun since the shop was connected, in their state of now."""
    now = run.context.clock.now()
    begun = max(run.one.connected_at - OVERLAP["shopify"], now - DISPUTES_BACK)
    try:
        async for page in listing.disputes(begun):
            told = [
                Delivery(
                    source="shopify",
                    connection=run.one.account,
                    delivery_id=f"recovered-dispute-{one.id}-{one.status}",
                    topic="disputes/recovered",
                    triggered_at=None,
                    received_at=now,
                    body=one.body,
                    recovered=1,
                )
                for one in page
            ]
            # When it changed is not told, only when it began.
            yield Batch(len(page), await _changes(run, [(one, 0) for one in told]))
    except Rejected as error:
        # Not every app may read disputes, nor does every shop have Shopify Payments; their webhooks still count.
        log.debug("disputes_not_listed", connection=run.one.id, reason=str(error))


# --- Stripe ---------------------------------------------------------------------------------------


async def account(run: Run) -> AsyncGenerator[Batch, None]:
    """Events as far back as Stripe lists them, and before that the objects themselves; the oldest first."""
    listing = AccountListing(run.context.stripe, await run.key())
    now = run.started_at
    horizon = now - EVENTS_REACH + EVENTS_MARGIN
    try:
        if run.since < horizon:
            for part in slices(run.since, horizon, OBJECTS_SLICE, open_ended=False):
                assert part.until is not None
                for kind in OBJECTS:
                    async for page in listing.objects(kind, part.since, part.until, now):
                        yield await _objects(run, page)
                run.calls = listing.calls
        for part in slices(max(run.since, horizon), now, EVENTS_SLICE, open_ended=True):
            reached_at: int | None = None
            async for page in listing.events(*part):
                batch, newest = _events(run, page)
                reached_at = max(reached_at or 0, newest) if newest is not None else reached_at
                yield batch
            # The newest come first: only a whole slice is held.
            run.calls = listing.calls
            yield Batch(0, [], reached_at)
    finally:
        run.calls = listing.calls


def _events(run: Run, page: list[Event]) -> tuple[Batch, int | None]:
    ripe = [one for one in page if run.fresh_from is None or one.created_at < run.fresh_from]
    found = [_found(run, _delivery(run, one), one.created_at) for one in ripe]
    return Batch(len(page), found), max((one.created_at for one in ripe), default=None)


async def _objects(run: Run, page: list[Event]) -> Batch:
    return Batch(len(page), await _changes(run, [(_delivery(run, one), one.created_at) for one in page]))


def _delivery(run: Run, one: Event) -> Delivery:
    now = run.context.clock.now()
    told, _ = envelope(one.body, now)
    return Delivery("stripe", run.one.account, told.delivery_id, told.topic, told.triggered_at, now, one.body, 1)


# --- What a body would change ---------------------------------------------------------------------


async def _changes(run: Run, told: list[tuple[Delivery, int]]) -> list[Found]:
    """Keep of (body, when it changed) those that would change a sale we know, or are of one we do not."""
    found = []
    for delivery, changed_at in told:
        reading = _read(run, delivery)
        if reading is not None and await run.context.database.read(
            lambda reading=reading: _would_change(run.one.merchant_id, reading)  # type: ignore[misc]
        ):
            found.append(_found(run, delivery, changed_at))
    return found


def _would_change(merchant_id: int, reading: Reading) -> Steps[bool]:
    facts = [fact for fact in reading.facts if isinstance(fact, SALE_FACTS)]
    names = {(merchant_id, name) for fact in facts for name in naming(fact).strong}
    known, _ = yield from find_sales(names)
    for fact in facts:
        sale = next((known[merchant_id, name] for name in naming(fact).strong if (merchant_id, name) in known), None)
        # What was loaded to compare with is not written back.
        if sale is None or remember(sale.facts, fact):
            return True
    return False


def _found(run: Run, delivery: Delivery, changed_at: int) -> Found:
    reading = _read(run, delivery)
    facts = [fact for fact in reading.facts if isinstance(fact, SALE_FACTS)] if reading else []
    names = naming(facts[0]).strong if facts else ()
    return Found(delivery, names[0] if names else None, changed_at)


def _read(run: Run, delivery: Delivery) -> Reading | None:
    """Read a body as the worker will; None for what it will not be able to read, which is then kept as that."""
    reader = run.context.topics[delivery.source].get(delivery.topic)
    if reader is None:
        return None
    surrounding = Envelope(
        delivery.source, delivery.topic, delivery.delivery_id, delivery.triggered_at, delivery.received_at
    )
    try:
        return reader(delivery.body, surrounding)
    except (Unreadable, Suspect):
        return None
