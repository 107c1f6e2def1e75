"""The web application: webhooks first, then the table of pages; `uvicorn --factory config.asgi:app` serves it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from config import logs, settings
from config.routes import HEALTH, ROUTES
from config.wiring import opened
from handlers.context import Context
from handlers.inbox.pages import App, Receive, Receiver, Scope, Send
from handlers.merchants.pages import refused
from integration.database.wall import visiting


def build(context: Context, metrics_token: str | None = None) -> Receiver:
    """Return the application on an opened context; who knows the token may read its metrics."""
    starlette = Starlette(routes=ROUTES, exception_handlers={HTTPException: refused})
    starlette.state.context = context
    starlette.state.metrics_token = metrics_token

    async def visited(scope: Scope, receive: Receive, send: Send) -> None:
        with visiting():
            await starlette(scope, receive, send)

    return Receiver(visited, context)


def build_aside(context: Context) -> Starlette:
    """Return what answers on METRICS_PORT: health and metrics alone, to everybody who reaches that port."""
    starlette = Starlette(routes=HEALTH)
    starlette.state.context = context
    starlette.state.aside = True
    return starlette


def app() -> App:
    """Return an application that opens and closes its own context, for any ASGI server."""
    loaded = settings.load()
    logs.configure(loaded.log_level, loaded.log_format)
    logs.catch_all()
    receiver: Receiver | None = None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal receiver
        async with opened(loaded, serving=True) as context:
            receiver = build(context, loaded.metrics_token)
            yield
            await receiver.drained()

    outer = Starlette(lifespan=lifespan)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (outer if receiver is None or scope["type"] == "lifespan" else receiver)(scope, receive, send)

    return answer
