"""Is the process alive, and are its engines and workers there: for health checks, and for who looks at a browser."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from handlers.context import Context
from handlers.watch.rules import SILENT_AFTER
from handlers.watch.store import signs
from integration.database.engine import lacks_tables
from integration.database.steps import ask, plain
from integration.errors import Unavailable

PING_SECONDS = 3
_TABLES = plain("SELECT 1 FROM events LIMIT 1")
WITHOUT_QUEUE = "Deliveries are stored and worked all the same; recurring jobs wait."


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
    problems = {}
    for name, ping in (("database", context.database.ping), ("queue", context.queue.ping)):
        try:
            async with asyncio.timeout(PING_SECONDS):
                await ping()
        except Unavailable as error:
            problems[name] = str(error)
        except TimeoutError:
            problems[name] = f"No answer within {PING_SECONDS} seconds."
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the page must not break of it
            problems[name] = f"It failed ({type(error).__name__})."
    if "database" not in problems and (lacking := await _without_tables(context)):
        problems["database"] = lacking
    return problems


async def _without_tables(context: Context) -> str | None:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await context.database.read(lambda: ask(_TABLES, ()))
    except Unavailable as error:
        return str(error)
    except TimeoutError:
        return f"No answer within {PING_SECONDS} seconds."
    except Exception as error:
        if not lacks_tables(error):
            raise
        return "It is not set up yet, or not up to date: run `regulars migrate`."
    return None


async def _workers(context: Context) -> int | None:
    """Count the workers heard of lately; None where that cannot be told now."""
    now = context.clock.now()
    try:
        async with asyncio.timeout(PING_SECONDS):
            heard = await context.database.read(lambda: signs("process"))
    except Exception:  # noqa: BLE001 - a table may be missing while a release is rolled out; the engine answers
        return None
    return sum(now - sign.at < SILENT_AFTER for sign in heard)
