"""What the clock does about points that lapse: finds who has any, and settles whoever's time has come."""

import time

from handlers.context import Context
from handlers.merchants.books import shops
from handlers.merchants.connections import merchants_after
from handlers.points.expiry import enrol, look
from integration.database.shares import Limit, each_due, numbers_due

BATCH = 100  # people settled in one transaction
MOST_PEOPLE = 100_000  # of one run; the next one goes on
RUN_SECONDS = 45.0  # beyond which no other batch is begun
MERCHANTS_PAGE = 500
MOST_MERCHANTS = 100_000
ACCOUNTS_PAGE = 2_000
MOST_PAGES = 10_000  # of one merchant's accounts

_DUE = numbers_due("expiries")


async def expire_due(context: Context) -> int:
    """Settle people whose points lapse, or who are to be told that they will, by now; return how many were looked at.

    Fair between merchants. Two of these at once, or one that is cut off, post nothing twice: what lapses is posted
    as the difference to what is posted, with the merchant's books locked.
    """
    now, done = context.clock.now(), 0
    limit = Limit(BATCH, MOST_PEOPLE, time.monotonic() + RUN_SECONDS)
    async for merchant_id, people in each_due(context.database, _DUE, now, limit):
        await context.database.run(lambda m=merchant_id, p=people: look(m, p, now))  # type: ignore[misc]
        done += len(people)
    return done


async def enrol_holders(context: Context) -> int:
    """Find who holds points in shops where points lapse; return how many pages of accounts that took.

    Once a day is enough: no point lapses sooner than a month after it could be spent.
    """
    now, pages, last = context.clock.now(), 0, 0
    for _ in range(MOST_MERCHANTS // MERCHANTS_PAGE):
        page = await context.database.read(lambda last=last: merchants_after(last, MERCHANTS_PAGE))  # type: ignore[misc]
        known = await context.database.read(lambda ids=[m.id for m in page]: shops(ids))  # type: ignore[misc]
        for shop in known.values():
            if shop.current.expiry.enabled:
                pages += await _enrol(context, shop.id, now)
        if len(page) < MERCHANTS_PAGE:
            break
        last = page[-1].id
    return pages


async def _enrol(context: Context, merchant_id: int, now: int) -> int:
    after: str | None = ""
    for page in range(MOST_PAGES):
        if after is None:
            return page
        after = await context.database.run(lambda name=after: enrol(merchant_id, name, ACCOUNTS_PAGE, now))  # type: ignore[misc]
    return MOST_PAGES
