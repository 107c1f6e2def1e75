"""Is the process alive, and are its engines and workers there: for health checks, and for who looks at a browser."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from handlers.context import Context
from handlers.watch.rules import SILENT_AFTER
from handlers.watch.store import signs
from integration.database.engine import lacks_tables
from integration.database.steps import ask, plain
from integration.errors import Unavailable

T = TypeVar("T")

PING_SECONDS = 3
_TABLES = plain("SELECT 1 FROM events LIMIT 1")
WITHOUT_QUEUE = "Deliveries are stored and worked all the same; recurring jobs wait."


log = structlog.get_logger()


async def alive(request: Request) -> Response:
    """Answer as long as the process does."""
    return PlainTextResponse("ok")


async def ready(request: Request) -> Response:
    """Ask every engine, and name the ones that are down; 503 only without the database.

    Without Redis or a worker deliveries are still stored: a machine taken out of rotation for it would lose them.
    """
    context: Context = request.app.state.context
    problems = await down(context)
    is_ready = "database" not in problems
    if "queue" in problems:
        problems["queue"] += f" {WITHOUT_QUEUE}"
    told = {"ready": is_ready, "down": problems, "workers": await _workers(context) if is_ready else None}
    return JSONResponse(told, status_code=200 if is_ready else 503)


async def down(context: Context) -> dict[str, str]:
    """Return the engines that do not answer now, each with a sentence."""
    asked = {
        "database": await _asked(lambda: context.database.read(lambda: ask(_TABLES, ()))),
        "queue": await _asked(context.queue.ping),
    }
    return {name: trouble for name, (_, trouble) in asked.items() if trouble is not None}


async def _workers(context: Context) -> int | None:
    """Count the workers heard of lately; None where that cannot be told now."""
    now = context.clock.now()
    heard, _ = await _asked(lambda: context.database.read(lambda: signs("process")))
    return None if heard is None else sum(now - sign.at < SILENT_AFTER for sign in heard)


async def _asked(question: Callable[[], Awaitable[T]]) -> tuple[T | None, str | None]:
    """Return the answer, or in a sentence why there is none: a page about health must not break of what it finds."""
    try:
        async with asyncio.timeout(PING_SECONDS):
            return await question(), None
    except Unavailable as error:
        return None, str(error)
    except TimeoutError:
        return None, f"No answer within {PING_SECONDS} seconds."
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told and logged
        if lacks_tables(error):
            return None, "It is not set up yet, or not up to date: run `regulars migrate`."
        log.warning("health_not_told", error=type(error).__name__)
        return None, f"It failed ({type(error).__name__})."
