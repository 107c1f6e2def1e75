"""The merchant's page of what people asked for by law: what, when, by when it is due, and what became of it."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.merchants.door import Visit
from handlers.merchants.frame import show
from handlers.privacy import store
from handlers.privacy.rules import AGAIN, DATA, REDACT, SHOP
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"
MOST_SHOWN = 100  # the newest

WORDS = {
    REDACT: "Forget a customer",
    DATA: "Hand over a customer’s data",
    SHOP: "Forget the whole shop",
    AGAIN: "Forget again, after a backup was put back",
}


async def requests_page(request: Request, visit: Visit) -> Response:
    """List a merchant's newest requests; people stand in it by our own number alone."""
    context: Context = request.app.state.context

    def look() -> Steps[tuple[list[store.Request], frozenset[int]]]:
        newest = yield from store.newest(visit.merchant_id, MOST_SHOWN)
        return newest, (yield from store.ready(visit.merchant_id))

    found, ready = await context.database.read(look)
    return show(visit, "requests.html", TEMPLATES, requests=found, ready=ready, words=WORDS, data=DATA)
