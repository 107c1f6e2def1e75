"""Is the process alive, are its engines there, and what has it counted: for health checks and Prometheus."""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import CounterMetricFamily
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from handlers.context import Context
from integration.errors import Unavailable

PING_SECONDS = 3


async def alive(request: Request) -> Response:
    """Answer as long as the process does."""
    return PlainTextResponse("ok")


async def ready(request: Request) -> Response:
    """Ask every engine, and name the ones that are down; 503 only without the database.

    Without Redis deliveries are still stored and worked: a machine taken out of rotation for it would lose them.
    """
    problems = await down(request.app.state.context)
    is_ready = "database" not in problems
    return JSONResponse({"ready": is_ready, "down": problems}, status_code=200 if is_ready else 503)


async def metrics(request: Request) -> Response:
    """Tell what was counted, for Prometheus."""
    context: Context = request.app.state.context
    lines = generate_latest(_Counts(context)) + generate_latest(REGISTRY)
    return Response(lines, media_type=CONTENT_TYPE_LATEST)


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
    return problems


class _Counts:
    """The context's counters, as prometheus-client reads a registry."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> list[CounterMetricFamily]:
        return [
            CounterMetricFamily(f"regulars_{name}", name.replace("_", " "), value=value)
            for name, value in sorted(self._context.counters.items())
        ]
