"""Adds the ledgers up by month, for those merchants whose ledger has grown."""

import time

from handlers.context import Context
from handlers.liability import store

SECONDS = 45.0  # of one run; the next one goes on
MOST_ROUNDS = 100_000


async def count(context: Context) -> int:
    """Bring every merchant's months up to date; returns how many entries were added up. Twice at once is as once."""
    until, after, done = time.monotonic() + SECONDS, 0, 0
    for _ in range(MOST_ROUNDS):
        merchants = await context.database.read(lambda: store.behind(after))  # noqa: B023
        for merchant_id, timezone in merchants:
            for _ in range(MOST_ROUNDS):
                if time.monotonic() > until:
                    return done
                added = await context.database.run(lambda m=merchant_id, z=timezone: store.add_up(m, z))  # type: ignore[misc]
                done += added
                if not added:
                    break
            after = merchant_id
        if len(merchants) < store.MOST_MERCHANTS:
            break
    return done
