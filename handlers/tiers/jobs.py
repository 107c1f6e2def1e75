"""What the clock does about tiers: looks at whose time has come, and at everybody when the programme changed."""

import time
from collections.abc import Sequence

from handlers.context import Context
from handlers.customers.persons import persons
from handlers.customers.rounds import everybody
from handlers.merchants.books import shops
from handlers.sales.books import Stamp, stamps_of
from handlers.tiers import store
from handlers.tiers.rules import replaces
from handlers.tiers.settle import Ahead, Bought, look, read_ahead
from integration.clock import MINUTE
from integration.database.shares import Limit, each_due, numbers_due
from integration.database.steps import Steps

BATCH = 100  # people placed in one transaction
PAGE = 250  # sales of one person read at once, with nobody waiting for them
MOST_PEOPLE = 100_000  # of one run; the next one goes on
RUN_SECONDS = 45.0  # beyond which no other batch is begun

_DUE = numbers_due("standings")


async def look_due(context: Context) -> int:
    """Place anew whose tier, or warning, the clock changes by now, and everybody under a programme that is new.

    Returns how many were looked at. Fair between merchants; twice at once, or cut off, it comes to the same.
    """
    now, begun, done = context.clock.now(), time.monotonic(), 0
    # Where new terms reach very many, others' time comes, too.
    limit = Limit(BATCH, MOST_PEOPLE, begun + RUN_SECONDS / 2)
    async for merchant_id, people in everybody(context.database, store.MARKS, replaces, now, limit):
        await _look(context, merchant_id, people, now)
        done += len(people)
    limit = Limit(BATCH, MOST_PEOPLE - done, begun + RUN_SECONDS)
    async for merchant_id, people in each_due(context.database, _DUE, now, limit):
        await _look(context, merchant_id, people, now)
        done += len(people)
    return done


async def _look(context: Context, merchant_id: int, people: Sequence[int], now: int) -> None:
    """Place people; whoever bought very much has their sales read first, while nobody waits for the books."""
    for customer in sorted(await context.database.run(lambda: look(merchant_id, people, now, heard=context.rises))):
        await _look_ahead(context, merchant_id, customer, now)


async def _look_ahead(context: Context, merchant_id: int, customer: int, now: int) -> None:
    ahead = await all_ahead(context, merchant_id, customer)
    if await context.database.run(lambda: look(merchant_id, [customer], now, ahead, context.rises)):
        # They buy faster than we read, or the programme has just changed.
        await context.database.run(lambda: store.call([(merchant_id, customer)], now + MINUTE))


async def all_ahead(context: Context, merchant_id: int, customer: int) -> Ahead:
    """Read all of somebody's sales, a page at a time, while nobody waits for the merchant's books."""
    read = context.database.read
    shop = (await read(lambda: shops([merchant_id])))[merchant_id]
    stamps = await read(lambda: _stamps(merchant_id, customer))
    sales: dict[int, tuple[Stamp, Bought]] = {}
    for start in range(0, len(stamps), PAGE):
        sales |= await read(lambda part=stamps[start : start + PAGE]: read_ahead(shop, part))  # type: ignore[misc]
    return Ahead(shop, sales)


def _stamps(merchant_id: int, customer: int) -> Steps[list[Stamp]]:
    everybody = yield from persons([(merchant_id, customer)])
    return (yield from stamps_of((m, number) for (m, _), numbers in everybody.items() for number in numbers))
