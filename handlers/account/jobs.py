"""Clears away links to customers' pages that open nothing any more."""

from handlers.account import store
from handlers.context import Context

MOST_ROUNDS = 100


async def prune(context: Context) -> int:
    """Delete links and sessions that are over; returns how many."""
    now, deleted = context.clock.now(), 0
    for _ in range(MOST_ROUNDS):
        some = await context.database.run(lambda: store.prune(now))
        deleted += some
        if not some:
            break
    return deleted
