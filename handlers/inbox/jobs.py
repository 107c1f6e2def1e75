"""What the clock asks of the inbox: adopting what slipped in beside a new connection, and pruning."""

from handlers.context import Context
from handlers.inbox.prune import prune_all
from handlers.inbox.record import adopt_known
from handlers.inbox.work import BELL


async def adopt_stragglers(context: Context) -> None:
    """Hand events of connections known by now to their merchants, and ring if there were any."""
    now = context.clock.now()
    if await context.database.run(lambda: adopt_known(now)):
        context.queue.ring(BELL)


async def prune(context: Context) -> None:
    """Delete what has been kept long enough."""
    await prune_all(context.database, context.clock.now())
