"""How a shop comes in by itself: its first visit makes the merchant, later ones give back access that was lost."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog

from handlers.context import Context
from handlers.inbox.keys import app_of, sealed
from handlers.inbox.record import adopt
from handlers.inbox.work import BELL
from handlers.merchants.connections import MOST_NAME
from handlers.merchants.programs import first_version
from handlers.merchants.sessions import end_sessions
from integration.clock import timezones
from integration.database.steps import BIG, Steps, ask, insert, plain
from integration.errors import Forged, OutsideError, Rejected, Unavailable
from integration.facts import ShopSeen
from integration.shopify.grants import Grant, exchange, redeem
from integration.shopify.session_tokens import SessionToken

GRANT_SECONDS = 15.0  # for a new shop, which waits for its first page
AGAIN_SECONDS = 5.0  # for a shop we know, whose page can also be shown without; and before it is tried once more
MOST_CROSSINGS = 4  # of two processes that take the same shop in
MOST_HOSTS = 20

Grants = Callable[[], Awaitable[Grant]]

log = structlog.get_logger()


@dataclass(eq=False)
class _Gate:
    """Where one shop's visits to this process take turns; what failed for the first is not tried by each behind it."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    failed_at: float = float("-inf")  # by the monotonic clock


_gates: WeakValueDictionary[str, _Gate] = WeakValueDictionary()


class Arrival(NamedTuple):
    """Whose shop it is, and whether this visit took it in (or took it in again)."""

    merchant_id: int
    is_new: bool


class _Known(NamedTuple):
    """What we have of a shop."""

    id: int
    merchant_id: int
    shop_id: str | None
    hosts: str
    renews: str | None  # the sealed refresh token
    renews_until: int | None
    revoked_at: int | None
    problem: str | None
    closed_at: int | None

    def stands(self, now: int) -> bool:
        """Tell whether we may ask the shop as things are, without anybody's help."""
        is_open = self.closed_at is None and self.revoked_at is None and self.problem is None
        return is_open and self.renews is not None and (self.renews_until is None or now < self.renews_until)


class _Crossed(Exception):
    """Another process took the shop in at the same moment: look again."""


async def arrive(context: Context, session: SessionToken, raw: str) -> Arrival:
    """Return whose shop a verified session token is of (`raw` is its text), taking in a shop that is new or back.

    For a shop in order this is one look into the database. Where our access was lost it is asked for again; a
    shop we know is let in even if that fails. Raises Forged where Shopify wants a newer session token (answer as
    for a forged one), Unavailable or Rejected where a new shop cannot be taken in.
    """

    async def grants() -> Grant:
        asked_at = context.clock.now()
        return await exchange(context.shopify, app_of(context), session.shop, raw, asked_at)

    return await _arrived(context, session.shop, session.issued_at, grants)


async def return_with_code(context: Context, shop: str, code: str, issued_at: int) -> Arrival:
    """Take in a shop that comes back from Shopify's own page of consent with a code, written at an instant.

    Raises Revoked for a code that was used or is too old, and as `arrive` does.
    """

    async def grants() -> Grant:
        return await redeem(context.shopify, app_of(context), shop, code, context.clock.now())

    async with _gate(shop).turn:
        return await _taken_in(context, shop, issued_at, grants)


async def _arrived(context: Context, shop: str, issued_at: int, grants: Grants) -> Arrival:
    known = await context.database.read(lambda: _known(shop))
    if known is not None and known.stands(context.clock.now()):
        return Arrival(known.merchant_id, False)
    # Tabs and reloads of one process take turns; those of another cross in the database.
    gate = _gate(shop)
    async with gate.turn:
        known = await context.database.read(lambda: _known(shop))
        if known is not None and known.stands(context.clock.now()):
            return Arrival(known.merchant_id, False)
        is_stranger = known is None or known.closed_at is not None
        try:
            if time.monotonic() - gate.failed_at < AGAIN_SECONDS:
                raise Unavailable(f"{shop} did not let us in a moment ago")
            async with asyncio.timeout(GRANT_SECONDS if is_stranger else AGAIN_SECONDS):
                return await _taken_in(context, shop, issued_at, grants)
        except (OutsideError, TimeoutError) as error:
            if not isinstance(error, Forged):  # which is about this token alone
                gate.failed_at = time.monotonic()
            if is_stranger or known is None:
                if isinstance(error, TimeoutError):
                    raise Unavailable(f"{shop} took longer than {GRANT_SECONDS:g} s to let us in") from None
                raise
            log.warning("access_not_given_back", shop=shop, error=type(error).__name__, reason=str(error))
    return Arrival(known.merchant_id, False)


def _gate(shop: str) -> _Gate:
    gate = _gates.get(shop)
    if gate is None:
        gate = _gates[shop] = _Gate()
    return gate


async def _taken_in(context: Context, shop: str, issued_at: int, grants: Grants) -> Arrival:
    """Get access and the shop's own record, and keep both in one transaction; then have the rest looked up.

    `issued_at` is by Shopify's clock, as is the instant of an uninstall: so the two tell which came later.
    """
    grant = await grants()
    record = await context.shopify.ping(shop, grant.token)
    if record.domain not in (None, shop):
        raise Rejected(f"{shop} says it is another shop")
    now = context.clock.now()
    for _ in range(MOST_CROSSINGS):
        try:
            number, arrival = await context.database.run(lambda: _settled(context, shop, issued_at, grant, record, now))
        except _Crossed:
            continue
        log.info("shop_taken_in", shop=shop, merchant=arrival.merchant_id, is_new=arrival.is_new)
        # Doorbells: without them the clock's own rounds come to it a little later.
        await context.queue.enqueue("merchants.describe", number, job_id=f"describe:{number}")
        await context.queue.enqueue("reconcile.one", number, job_id=f"reconcile:{number}")
        context.queue.ring(BELL)
        return arrival
    raise Unavailable(f"{shop} is being taken in by another process", retry_after=1)


# --- Steps --------------------------------------------------------------------------------------


def _known(shop: str) -> Steps[_Known | None]:
    rows = yield from ask(_LOOK, (shop,))
    return _Known(*rows[0]) if rows else None


def _settled(
    context: Context, shop: str, connected_at: int, grant: Grant, record: ShopSeen, now: int
) -> Steps[tuple[int, Arrival]]:
    """Keep what a shop gave us: on the connection it has, whoever added that, or with a new merchant."""
    rows = yield from ask(_LOCK, (shop,))
    if not rows:
        number, merchant_id = yield from _joined(context, shop, connected_at, grant, record, now)
        return number, Arrival(merchant_id, True)
    known = _Known(*rows[0])
    hosts = _hosts(record, json.loads(known.hosts) if known.shop_id in (None, record.shop_id) else [])
    kept = (*sealed(context, known.merchant_id, grant), json.dumps(sorted(grant.scopes)))
    yield from ask(_GIVE, (known.id, *kept, record.shop_id, hosts, connected_at, now))
    yield from ask(_FILL, (known.merchant_id, record.country, record.email))
    if known.closed_at is not None:
        # It had left, and finds everything as it was; but it may have another owner by now, so that those whom a link
        # let in before are out, and links go to the address the shop has today.
        yield from ask(_RETURN, (known.merchant_id, record.email))
        yield from end_sessions(known.merchant_id, now)
        yield from adopt("shopify", shop, known.merchant_id, now)
        for follow in context.on_return:
            yield from follow(known.merchant_id, known.closed_at, now)
    return known.id, Arrival(known.merchant_id, known.closed_at is not None)


def _joined(
    context: Context, shop: str, connected_at: int, grant: Grant, record: ShopSeen, now: int
) -> Steps[tuple[int, int]]:
    """Make a merchant of a shop's own record, with everything off; returns connection and merchant."""
    plain_name = " ".join("".join(c for c in record.name or "" if c.isprintable()).split())[:MOST_NAME]
    timezone = record.timezone if record.timezone in timezones() else "UTC"
    merchant_id: int | None = None
    for name in (plain_name or shop, f"{plain_name[: MOST_NAME - len(shop) - 3]} ({shop})"):
        values = (name, record.currency or "USD", timezone, record.country, record.email, now)
        rows = yield from ask(_ADD, values)
        if rows:
            merchant_id = rows[0][0]
            break
    if merchant_id is None:
        raise _Crossed
    kept = (*sealed(context, merchant_id, grant), json.dumps(sorted(grant.scopes)))
    rows = yield from ask(_CONNECT, (merchant_id, shop, *kept, record.shop_id, _hosts(record, []), connected_at, now))
    if not rows:
        raise _Crossed
    yield from ask(_BOOKS, [(merchant_id,)])
    yield from first_version(merchant_id, now)
    yield from adopt("shopify", shop, merchant_id, now)
    return rows[0][0], merchant_id


def _hosts(record: ShopSeen, before: list[str]) -> str:
    return json.dumps(list(dict.fromkeys((*before, *record.hosts)))[:MOST_HOSTS])


_COLUMNS = (
    "SELECT id, merchant_id, shop_id, hosts, refresh_token, refresh_expires_at, revoked_at, refresh_problem, closed_at"
    " FROM connections WHERE platform = 'shopify' AND account = ?1 AND mode = 'live'"
)
_LOOK = plain(_COLUMNS)
_LOCK = plain(_COLUMNS, postgres=f"{_COLUMNS} FOR UPDATE")
# Of two grants the one that was given later stands. Whoever was renewing the old one has lost their claim.
_GIVE = plain(
    "UPDATE connections SET token = ?2, token_expires_at = ?3, refresh_token = ?4, refresh_expires_at = ?5,"
    " scopes = ?6, shop_id = ?7, hosts = ?8, connected_at = ?9, refreshed_at = ?10, refresh_claim = NULL,"
    " refresh_after = NULL, refresh_problem = NULL, revoked_at = NULL, revoked_why = NULL, closed_at = NULL"
    " WHERE id = ?1 AND (refreshed_at IS NULL OR refreshed_at <= ?10)"
)
_FILL = plain(
    "UPDATE merchants SET country = coalesce(country, ?2), email = coalesce(email, ?3),"
    " shop_email = coalesce(shop_email, ?3) WHERE id = ?1"
)
_RETURN = plain(
    "UPDATE merchants SET closed_at = NULL, email = coalesce(?2, email), shop_email = coalesce(?2, shop_email)"
    " WHERE id = ?1"
)
_ADD = plain(
    "INSERT INTO merchants (name, currency, timezone, country, email, shop_email, created_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6) ON CONFLICT (name) DO NOTHING RETURNING id"
)
_CONNECT = plain(
    "INSERT INTO connections (merchant_id, platform, account, mode, token, token_expires_at, refresh_token,"
    " refresh_expires_at, scopes, shop_id, hosts, created_at, connected_at, refreshed_at)"
    " VALUES (?1, 'shopify', ?2, 'live', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?11, ?10, ?11)"
    " ON CONFLICT (platform, account, mode) DO NOTHING RETURNING id"
)
_BOOKS = insert("books", merchant_id=BIG)
