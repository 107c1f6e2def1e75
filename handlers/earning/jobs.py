"""What the clock does about occasions: looks at whose time has come, and at everybody where days begin to count."""

import time

from handlers.context import Context
from handlers.customers.persons import customers_after
from handlers.earning import store
from handlers.earning.settle import look, names_in
from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from integration.database.shares import Limit, each_due, numbers_due
from integration.database.steps import Steps

BATCH = 100  # people settled in one transaction
MOST_PEOPLE = 100_000  # of one run; the next one goes on
MOST_MERCHANTS = 500  # whose programme changed, of one run
RUN_SECONDS = 45.0  # beyond which no other batch is begun

_DUE = numbers_due("earners")
_BIRTHDAYS = numbers_due("customers", "birthday_due_at", "number")


async def look_due(context: Context) -> int:
    """Settle whoever bought, joined, entered a birthday or has a day today, and everybody where days begin to count.

    Returns how many were looked at. Fair between merchants; twice at once, or cut off, it comes to the same.
    """
    now, ends = context.clock.now(), time.monotonic() + RUN_SECONDS
    done = await _programmes(context, now, ends)
    for statement in (_BIRTHDAYS, _DUE):
        async for merchant_id, people in each_due(
            context.database, statement, now, Limit(BATCH, MOST_PEOPLE - done, ends)
        ):
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


async def _programmes(context: Context, now: int, ends: float) -> int:
    """Look at everybody of merchants under whose programme days begin to bring points, page by page."""
    for merchant_id, version in await context.database.read(lambda: store.changed(now, MOST_MERCHANTS)):
        shop = (await context.database.read(lambda m=merchant_id: shops([m])))[merchant_id]  # type: ignore[misc]
        before = await context.database.read(lambda m=merchant_id: store.marked(m))  # type: ignore[misc]
        after = 0 if _begins(shop, before, version) else None
        await context.database.run(lambda m=merchant_id, v=version, a=after: store.mark(m, v, a))  # type: ignore[misc]
    done = 0
    for merchant_id, version, last in await context.database.read(lambda: store.unfinished(MOST_MERCHANTS)):
        after = last
        while after is not None and done < MOST_PEOPLE and time.monotonic() < ends:
            page = await context.database.read(
                lambda m=merchant_id, a=after: customers_after(m, a, BATCH)  # type: ignore[misc]
            )
            done += await _settle(context, merchant_id, page, now)
            after = page[-1] if len(page) == BATCH else None
            await context.database.run(lambda m=merchant_id, v=version, a=after: store.mark(m, v, a))  # type: ignore[misc]
    return done


def _begins(shop: Shop, before: int, now: int) -> bool:
    """Tell whether days bring points under a version that they did not bring under the last one people were seen by."""
    ways = [version.program.ways for version in shop.versions if before <= version.number <= now]
    had = ways[0] if before else None
    return any(
        (each.birthday and (had is None or not had.birthday))
        or (each.anniversary and (had is None or not had.anniversary))
        for each in ways
    )
