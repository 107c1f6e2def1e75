"""The web application: webhooks first, then the table of pages; `uvicorn --factory config.asgi:app` serves it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from config import logs, settings
from config.routes import ROUTES
from config.wiring import opened
from handlers.context import Context
from handlers.inbox.pages import App, Receive, Receiver, Scope, Send


def build(context: Context) -> Receiver:
    """Return the application on an opened context."""
    starlette = Starlette(routes=ROUTES)
    starlette.state.context = context
    return Receiver(starlette, context)


def app() -> App:
    """Return an application that opens and closes its own context, for any ASGI server."""
    loaded = settings.load()
    logs.configure(loaded.log_level, loaded.log_format)
    receiver: Receiver | None = None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal receiver
        async with opened(loaded, serving=True) as context:
            receiver = build(context)
            yield
            await receiver.drained()

    outer = Starlette(lifespan=lifespan)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (outer if receiver is None or scope["type"] == "lifespan" else receiver)(scope, receive, send)

    return answer
