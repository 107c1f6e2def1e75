"""What the clock does about occasions: looks at whose time has come, and at everybody where days begin to count."""

import time

from handlers.context import Context
from handlers.customers.rounds import everybody
from handlers.earning import store
from handlers.earning.rules import days_begin
from handlers.earning.settle import look, names_in
from handlers.merchants.books import shops
from integration.database.shares import Limit, each_due, numbers_due
from integration.database.steps import Steps

BATCH = 100  # people settled in one transaction
MOST_PEOPLE = 100_000  # of one run; the next one goes on
RUN_SECONDS = 45.0  # beyond which no other batch is begun

_DUE = numbers_due("earners")
_BIRTHDAYS = numbers_due("customers", "birthday_due_at", "number")


async def look_due(context: Context) -> int:
    """Settle whoever bought, joined, entered a birthday or has a day today, and everybody where days begin to count.

    Returns how many were looked at. Fair between merchants; twice at once, or cut off, it comes to the same.
    """
    now, begun, done = context.clock.now(), time.monotonic(), 0
    # Where days begin to count for very many, others' time comes, too.
    limit = Limit(BATCH, MOST_PEOPLE, begun + RUN_SECONDS / 2)
    async for merchant_id, people in everybody(context.database, store.MARKS, days_begin, now, limit):
        done += await _settle(context, merchant_id, people, now)
    for statement in (_BIRTHDAYS, _DUE):
        limit = Limit(BATCH, MOST_PEOPLE - done, begun + RUN_SECONDS)
        async for merchant_id, people in each_due(context.database, statement, now, limit):
            done += await _settle(context, merchant_id, people, now)
    return done


async def _settle(context: Context, merchant_id: int, people: list[int], now: int) -> int:
    def steps() -> Steps[int]:
        forgotten: dict[int, int] = {}
        if context.privacy is not None:
            shop = (yield from shops([merchant_id]))[merchant_id]
            names = yield from names_in(shop, people)
            forgotten = yield from context.privacy.forgotten_at(merchant_id, names)
        return (yield from look(merchant_id, people, forgotten, now))

    return await context.database.run(steps)
