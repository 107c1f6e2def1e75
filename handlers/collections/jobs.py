"""Reads the collections that campaigns name, as often as they need it, and has concerned sales settled again."""

import secrets
import time
from collections.abc import Sequence

import structlog

from handlers.collections import store
from handlers.collections.feeds import read
from handlers.collections.rules import Read, Unread
from handlers.context import Context
from handlers.inbox.keys import Key
from handlers.inbox.work import BELL
from handlers.merchants.books import lock_books
from handlers.sales.books import stir_some_sold_since
from integration.clock import MINUTE
from integration.database.shares import Limit, each_due
from integration.database.steps import Steps
from integration.errors import Rejected, Revoked, Unavailable
from integration.shopify.admin import Admin
from integration.vault import Unsealable

BATCH = 50  # collections taken in one go
MOST_COLLECTIONS = 5_000  # of one run; the next one goes on
RUN_SECONDS = 90.0  # beyond which no other is begun
LEASE = 5 * MINUTE
STIR_PAGE = 1_000  # sales in one transaction

log = structlog.get_logger()


async def look(context: Context) -> int:
    """Read the collections that are due; returns how many were looked at.

    Fair between merchants; twice at once, cut off or begun anew, it comes to the same.
    """
    ends, done = time.monotonic() + RUN_SECONDS, 0
    limit = Limit(BATCH, MOST_COLLECTIONS, ends)
    async for merchant_id, named in each_due(context.database, store.DUE, context.clock.now(), limit):
        done += await _look(context, merchant_id, [str(each) for each in named], ends)
    return done


async def _look(context: Context, merchant_id: int, named: Sequence[str], ends: float) -> int:
    """Read collections of one merchant."""
    connection = await context.database.read(lambda: store.connection_of(merchant_id))
    if connection is None:
        await context.database.run(lambda: store.put_off(merchant_id, named, context.clock.now()))
        return 0
    admin, key, done = context.shopify.at_leisure(), Key(context, connection[0]), 0
    for collection in named:
        token, now = secrets.token_hex(8), context.clock.now()
        if time.monotonic() > ends or not await context.database.run(
            lambda c=collection, t=token, at=now: store.claim(merchant_id, c, t, at, at + LEASE)  # type: ignore[misc]
        ):
            continue
        told = await _read(admin, connection[1], key, merchant_id, collection)
        now = context.clock.now()
        if await context.database.run(
            lambda c=collection, t=token, told=told, at=now: store.keep(merchant_id, c, t, told, at)  # type: ignore[misc]
        ):
            await _stir(context, merchant_id, collection)
        done += 1
    return done


async def _read(admin: Admin, shop: str, key: Key, merchant_id: int, collection: str) -> Read | Unread:
    """Read a collection; whatever goes wrong at the shop is an answer, too."""
    try:
        return await read(admin, shop, key, collection)
    except Revoked as error:
        await key.give_up(error)
        return Unread("unconnected")
    except (Rejected, Unsealable) as error:
        log.warning("collection_refused", merchant=merchant_id, collection=collection, reason=str(error))
        return Unread("refused")
    except Unavailable as error:
        log.info("collection_waits", merchant=merchant_id, collection=collection, reason=str(error))
        return Unread("away")


async def _stir(context: Context, merchant_id: int, collection: str) -> None:
    """Have sales settled again that were made before a collection was known, page by page."""
    since = await context.database.read(lambda: store.to_stir(merchant_id, collection))
    after = None if since is None else (since, 0)
    while after is not None:
        after = await context.database.run(lambda a=after: _stir_some(context, merchant_id, a))  # type: ignore[misc]
    if since is not None:
        await context.database.run(lambda: store.stirred(merchant_id, collection))
    context.queue.ring(BELL)


def _stir_some(context: Context, merchant_id: int, after: tuple[int, int]) -> Steps[tuple[int, int] | None]:
    yield from lock_books([merchant_id])
    return (yield from stir_some_sold_since(merchant_id, after, STIR_PAGE, context.clock.now()))
