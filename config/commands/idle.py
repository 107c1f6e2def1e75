"""`regulars idle`: waits until what came in has been worked."""

import asyncio
import time
from typing import Annotated

import typer

from config.commands import Json, Refused, execute, show
from handlers.context import Context
from handlers.inbox.idle import busy

IDLE_LOOK_SECONDS = 0.05


def idle(
    seconds: Annotated[float, typer.Option("--timeout", min=0, help="Give up after so many seconds.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Wait until no event, sale or message is left to be worked; exit 1 when that takes too long."""

    async def wait(context: Context) -> dict[str, int]:
        deadline = time.monotonic() + seconds
        while True:
            left = await context.database.read(lambda: busy(context.clock.now()))
            # What was made due between telling the time and looking shows at a second look.
            left = left or await context.database.read(lambda: busy(context.clock.now()))
            if not left or time.monotonic() >= deadline:
                return left
            await asyncio.sleep(IDLE_LOOK_SECONDS)

    left = execute(wait)
    if left:
        words = ", ".join(f"{count} {what}" for what, count in left.items())
        raise Refused(f"Still at work after {seconds:g} seconds: {words}.")
    show({"idle": True}, as_json, ["Nothing is left to do."])
