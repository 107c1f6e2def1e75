"""The clock's side of the outbox: a loop that sends what is due."""

import asyncio

import structlog

from handlers.context import Context
from handlers.messages.sending import Turn, send_due
from integration.errors import Unavailable

BELL = "messages"
LOOK_SECONDS = 0.5  # how long a message that is due at once may lie
AWAY_SECONDS = 2.0

log = structlog.get_logger()


async def send_for_ever(context: Context, stop: asyncio.Event) -> None:
    """Send messages as they fall due until `stop` is set; the attempt in hand is finished."""
    turn = Turn()
    while not stop.is_set():
        try:
            busy = await send_due(context, turn=turn)
        except Unavailable as error:
            log.warning("sending_paused", reason=str(error))
            await asyncio.sleep(AWAY_SECONDS)
            continue
        if not busy:
            await context.queue.wait(BELL, LOOK_SECONDS)
