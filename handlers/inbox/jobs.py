"""What the clock asks of the inbox: adopting what slipped in beside a new connection, and pruning."""

from handlers.context import Context
from handlers.inbox.prune import prune_all
from handlers.inbox.record import adopt_known, received_ahead
from handlers.inbox.work import BELL


async def adopt_stragglers(context: Context) -> None:
    """Hand events of connections known by now to their merchants, make due what a wrong clock put off, and ring."""
    now = context.clock.now()
    adopted = await context.database.run(lambda: adopt_known(now))
    if await context.database.run(lambda: received_ahead(now)) or adopted:
        context.queue.ring(BELL)


async def prune(context: Context) -> None:
    """Delete what has been kept long enough."""
    await prune_all(context.database, context.clock.now())
