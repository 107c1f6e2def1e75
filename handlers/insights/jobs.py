"""Adds up what happened each day, for those merchants whose ledger has grown or whose figures are old."""

import time

from handlers.context import Context
from handlers.insights.store import add_up, behind, count_day

SECONDS = 90.0  # of one run; the next one goes on
MOST_ROUNDS = 100_000


async def count(context: Context) -> int:
    """Bring merchants' figures up to date; returns how many merchants were looked at.

    What a run leaves undone, the next one does: the figures of a day are added up once or counted afresh.
    """
    until, after, looked_at = time.monotonic() + SECONDS, 0, 0
    for _ in range(MOST_ROUNDS):
        merchants = await context.database.read(lambda: behind(after, context.clock.now()))  # noqa: B023
        if not merchants:
            break
        for merchant_id, timezone in merchants:
            if time.monotonic() > until:
                return looked_at
            await _count(context, merchant_id, timezone, until)
            after, looked_at = merchant_id, looked_at + 1
    return looked_at


async def _count(context: Context, merchant_id: int, timezone: str, until: float) -> None:
    database, now = context.database, context.clock.now()
    for _ in range(MOST_ROUNDS):
        if not await database.run(lambda: add_up(merchant_id, timezone, now)) or time.monotonic() > until:
            break
    for _ in range(MOST_ROUNDS):
        more = await database.run(lambda: count_day(merchant_id, timezone, context.counts, now))
        if not more or time.monotonic() > until:
            break
