"""A shop that left is forgotten whole; so is what a shop sent whom nobody knows."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog

from handlers.context import Context
from handlers.holders import Subject
from handlers.inbox.keys import Key
from handlers.inbox.personal import clear_source, clear_stranger
from handlers.inbox.replay import replay
from handlers.privacy import personal, store
from handlers.privacy.rules import SHOP, digest
from handlers.privacy.store import EVERYBODY, Request
from handlers.sales.personal import names_of
from integration.clock import MINUTE
from integration.database.packing import unpack
from integration.database.steps import TEXT, Row, Steps, ask, keyed, plain
from integration.errors import OutsideError, Revoked
from integration.facts import Envelope
from integration.shopify.grants import NotInstalled

if TYPE_CHECKING:
    from handlers.privacy.jobs import Work

ROWS_AT_ONCE = 500
CUSTOMERS_AT_ONCE = 50
SALES_AT_ONCE = 200
STRANGERS_AT_ONCE = 100
SHOPS_AT_ONCE = 1_000  # nobody knows, compared with tombstones
MOST_PARTS = 1_000_000

log = structlog.get_logger()

_CONNECTIONS = plain(
    "SELECT id, platform, account, token, revoked_at, connected_at, closed_at FROM connections WHERE merchant_id = ?1"
    " ORDER BY id"
)
_DISCONNECT = plain("DELETE FROM connections WHERE id = ?1 AND merchant_id = ?2")
_KNOWN_TO_SHOPIFY = plain(
    "SELECT DISTINCT customer FROM customer_identities WHERE merchant_id = ?1 AND kind = 'shopify'"
    " ORDER BY customer LIMIT ?2"
)
_SOLD_BY_SHOPIFY = plain(
    "SELECT number FROM sales WHERE merchant_id = ?1 AND platform IN ('shopify', 'both') AND forgotten_at IS NULL"
    " ORDER BY number LIMIT ?2"
)
_ASKED_BY_STRANGERS = plain(
    "SELECT e.id, e.connection, e.delivery_id, e.triggered_at, e.received_at, b.body, b.size FROM events e"
    " JOIN event_bodies b ON b.event_id = e.id WHERE e.merchant_id IS NULL AND e.source = 'shopify'"
    " AND e.topic = 'shop/redact' LIMIT ?1"
)
_STRANGERS = plain("SELECT connection FROM unknown_shops ORDER BY connection LIMIT ?1")
_NEWEST_OF = keyed(
    "SELECT e.connection, max(coalesce(e.triggered_at, e.received_at)) FROM {keys} k CROSS JOIN events e"
    " WHERE e.source = 'shopify' AND e.connection = k.connection AND e.merchant_id IS NULL GROUP BY e.connection",
    connection=TEXT,
)
# Requests a release before this one kept without being able to carry them out.
_WAITING = plain(
    "SELECT id FROM events WHERE outcome = 'waiting'"
    " AND topic IN ('customers/data_request', 'customers/redact', 'shop/redact') LIMIT ?1"
)


# --- A shop that left ---------------------------------------------------------------------------


async def leave(work: "Work", one: Request) -> Request:
    """Forget a shop, unless it is back: all of it, or what came of Shopify where it goes on without.

    Whether it is back, the shop itself says where there is a key to ask with; else somebody has to.
    """
    context = work.context
    named = await context.database.read(lambda: store.names(one.merchant_id, one.id))
    account = next((value for kind, value in named if kind == "shop"), "")
    rows = await context.database.read(lambda: ask(_CONNECTIONS, (one.merchant_id,)))
    # A request that is done once more after a restore does not name its shop any more; the shop's tombstone does.
    account = account or await context.database.read(lambda: _buried(context, rows))
    mine = _of_shop(rows, account)
    if mine is not None and mine.closed_at is None and one.stage != "confirmed":
        verdict = await _asked(context, one, mine)
        if verdict is not None:
            return await work.part(partial(_settled, one, verdict))
    for _ in range(MOST_PARTS):
        one = await work.part(partial(_leave_some, work, one, account, mine))
        if one.done_at is not None or one.next_at > context.clock.now() or work.is_late:
            break
    return one


class _Connection(NamedTuple):
    id: int
    platform: str
    account: str
    token: str | None
    revoked_at: int | None
    connected_at: int | None
    closed_at: int | None


def _of_shop(rows: Sequence[Row], account: str) -> _Connection | None:
    return next((_Connection(*row) for row in rows if row[1:3] == ("shopify", account)), None)


class _Verdict(NamedTuple):
    stage: str  # void, held, later
    reason: str


async def _asked(context: Context, one: Request, mine: _Connection) -> _Verdict | None:
    """Ask a shop that is still connected here whether it is; None = it has left."""
    if mine.revoked_at is not None:
        return None
    if mine.token is None:
        words = f"the shop is still connected here: `regulars privacy confirm {one.id}` forgets it all the same"
        return _Verdict("held", words)
    try:
        # Two days on, the token itself has ended: what renews it tells whether the shop is still there.
        await context.shopify.ping(mine.account, Key(context, mine.id))
    except (Revoked, NotInstalled):
        return None
    except OutsideError as error:
        return _Verdict("later", f"the shop could not be asked whether it is back: {error}")
    return _Verdict("void", "the shop is connected again")


def _settled(one: Request, verdict: _Verdict, now: int) -> Steps[Request]:
    one = one._replace(waits_until=None)
    if verdict.stage == "void":
        return (yield from store.finish(one, "void", now, verdict.reason))
    if verdict.stage == "held":
        return (yield from store.write(one._replace(stage="held", reason=verdict.reason)))
    return (yield from store.write(one._replace(next_at=now + 10 * MINUTE, reason=verdict.reason)))


def _is_as_before(before: _Connection | None, now: _Connection) -> bool:
    return before is not None and before.closed_at is None and before.connected_at == now.connected_at


def _leave_some(work: "Work", one: Request, account: str, before: _Connection | None, now: int) -> Steps[Request]:
    """Forget the next of a shop, as it stands by now: it may be back since it was asked, or go on with Stripe."""
    rows = yield from ask(_CONNECTIONS, (one.merchant_id,))
    mine = _of_shop(rows, account)
    if mine is not None and mine.closed_at is None and not _is_as_before(before, mine):
        reason = "the shop was connected while it was being forgotten, and is asked once more"
        return (yield from store.write(one._replace(stage="find", next_at=now + MINUTE, reason=reason)))
    waiting = yield from personal.put_off(one, None, now)
    if waiting is not None:
        return waiting
    one = one._replace(reason=None, waits_until=None)
    others = [row for row in rows if (mine is None or row[0] != mine.id) and row[6] is None]
    part = _leave_in_part if others else _leave_whole
    return (yield from part(work, one, account, mine, now))


def _leave_whole(work: "Work", one: Request, account: str, mine: _Connection | None, now: int) -> Steps[Request]:
    """Take every person out of some of a shop's rows; at last who the shop was."""
    for holder in work.context.holders:
        changed = yield from holder.clear(one.merchant_id, ROWS_AT_ONCE, now)
        if changed:
            return (yield from store.write(store.counted(one, holder.name, changed)))
    one = store.counted(one, "files", delete_shelves(work.context, one.merchant_id))
    yield from _bury_shop(work.context, account, now)
    yield from store.forget_key(one.merchant_id)
    return (yield from store.finish(one, "done", now))


def _leave_in_part(work: "Work", one: Request, account: str, mine: _Connection | None, now: int) -> Steps[Request]:
    """Forget some of those whom Shopify told of, then what it told, then the connection; the rest goes on."""
    merchant_id = one.merchant_id
    known = yield from ask(_KNOWN_TO_SHOPIFY, (merchant_id, CUSTOMERS_AT_ONCE))
    if known:
        return (yield from store.write((yield from _forget_people(work, one, [row[0] for row in known], now))))
    sold = tuple(row[0] for row in (yield from ask(_SOLD_BY_SHOPIFY, (merchant_id, SALES_AT_ONCE))))
    if sold:
        one = yield from _forget_sales(work, one, sold, now)
        behind = yield from personal.left_behind(merchant_id, sold)
        return (yield from store.write((yield from _forget_people(work, one, sorted(behind), now))))
    events = yield from clear_source(merchant_id, "shopify", account, ROWS_AT_ONCE)
    if events:
        return (yield from store.write(store.counted(one, "events", events)))
    if mine is not None:
        yield from ask(_DISCONNECT, (mine.id, merchant_id))
    yield from _bury_shop(work.context, account, now)
    return (yield from store.finish(one, "done", now))


def _forget_people(work: "Work", one: Request, numbers: Sequence[int], now: int) -> Steps[Request]:
    """Forget some of the sales of customers, or, where none is left, the customers."""
    if not numbers:
        return one
    merchant_id = one.merchant_id
    found = yield from personal.find(merchant_id, (), numbers)
    sales = yield from personal.sales_of(merchant_id, found, SALES_AT_ONCE)
    if sales.own:
        return (yield from _forget_sales(work, one, sales.own, now))
    key = yield from store.key_of(merchant_id, work.context.vault)
    notes = yield from personal.notes(merchant_id, found)
    yield from store.bury(merchant_id, key, {name: notes.get(name) for name in found.names}, now)
    return (yield from work.forget(one, Subject(merchant_id, found.numbers, found.names), now))


def _forget_sales(work: "Work", one: Request, sales: tuple[int, ...], now: int) -> Steps[Request]:
    key = yield from store.key_of(one.merchant_id, work.context.vault)
    names = tuple((yield from names_of(one.merchant_id, sales)))
    yield from store.bury(one.merchant_id, key, dict.fromkeys(names), now)
    return (yield from work.forget(one, Subject(one.merchant_id, names=names, sales=sales), now))


def _buried(context: Context, connections: Sequence[Row]) -> Steps[str]:
    """Return the shop among a merchant's connections that was forgotten before; empty for none."""
    keys = yield from store.keys_of([EVERYBODY], context.vault)
    shops = [row[2] for row in connections if row[1] == "shopify"] if keys else []
    marks = {(EVERYBODY, digest(keys[EVERYBODY], ("shop", shop))): shop for shop in shops}
    return next((marks[mark] for mark in (yield from store.tombstones_of(marks))), "")


def _bury_shop(context: Context, account: str, now: int) -> Steps[None]:
    key = yield from store.key_of(EVERYBODY, context.vault)
    yield from store.bury(EVERYBODY, key, {("shop", account): None}, now)


def delete_shelves(context: Context, merchant_id: int) -> int:
    """Delete what unfinished backfills of a merchant left on this machine; a run fetches its list again."""
    gone = 0
    for path in context.data_dir.glob(f"backfill-{merchant_id}-*.lines*") if context.data_dir is not None else ():
        path.unlink(missing_ok=True)
        gone += 1
    return gone


# --- What comes without being asked for by a merchant we know -------------------------------------


async def take_up(context: Context) -> None:
    """Carry out what shops ask whom nobody knows, drop what comes late of forgotten ones, take up what waited."""
    database = context.database
    waiting = await database.read(lambda: ask(_WAITING, (STRANGERS_AT_ONCE,)))
    if waiting:
        await database.run(lambda: replay([row[0] for row in waiting], context.clock.now()))
    for row in await database.read(lambda: ask(_ASKED_BY_STRANGERS, (STRANGERS_AT_ONCE,))):
        if _speaks_for_itself(context, row):
            await _forget_stranger(context, row[1])
    await _drop_late(context)


def _speaks_for_itself(context: Context, row: Row) -> bool:
    """Tell whether a request names, in its signed body, the shop it came under."""
    _, connection, delivery_id, triggered_at, received_at, body, size = row
    reader = context.topics["shopify"][SHOP]
    try:
        envelope = Envelope("shopify", SHOP, delivery_id, triggered_at, received_at)
        return connection in reader(unpack(body, size), envelope).hosts
    except (OutsideError, ValueError):
        return False


async def _forget_stranger(context: Context, connection: str) -> None:
    """Delete whatever a shop sent whom nobody knows, and leave a receipt that does not name it."""
    gone = 0
    for _ in range(MOST_PARTS):
        some = await context.database.run(lambda: clear_stranger("shopify", connection, ROWS_AT_ONCE))
        gone += some
        if some < ROWS_AT_ONCE:
            break

    def receipt() -> Steps[None]:
        now = context.clock.now()
        yield from _bury_shop(context, connection, now)
        number = yield from store.open_request(EVERYBODY, SHOP, "shopify", (), now)
        asked = None if number is None else (yield from store.request(number))
        if asked is not None:
            yield from store.finish(store.counted(asked, "events", gone), "done", now)

    await context.database.run(receipt)
    log.info("unknown_shop_forgotten", events=gone)


async def _drop_late(context: Context) -> None:
    """Delete what unknown shops sent before they were forgotten here; what a shop sends since is of a new beginning."""

    def late() -> Steps[list[str]]:
        keys = yield from store.keys_of([EVERYBODY], context.vault)
        if not keys:
            return []
        shops = [row[0] for row in (yield from ask(_STRANGERS, (SHOPS_AT_ONCE,)))]
        marks = {(EVERYBODY, digest(keys[EVERYBODY], ("shop", shop))): shop for shop in shops}
        gone = {marks[mark]: stone for mark, stone in (yield from store.tombstones_of(marks)).items()}
        newest = yield from ask(_NEWEST_OF, [(shop,) for shop in sorted(gone)])
        return [shop for shop, at in newest if at <= gone[shop].forgotten_at]

    for shop in await context.database.read(late):
        await context.database.run(lambda shop=shop: clear_stranger("shopify", shop, ROWS_AT_ONCE))  # type: ignore[misc]
