"""The home page of a merchant: how far the set-up is, what happened, and what needs them."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.insights.rules import DAYS, Figures, date_of, day_of, picture, summed
from handlers.insights.store import State, days, state
from handlers.insights.views import needs, set_up
from handlers.merchants.door import Visit
from handlers.merchants.frame import show
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"


async def home_page(request: Request, visit: Visit) -> Response:
    """Show where the merchant stands, today's figures and those of the last ninety days."""
    context: Context = request.app.state.context
    now = context.clock.now()

    def look() -> Steps[tuple[State, list[Figures]]]:
        standing = yield from state(visit.merchant_id, context.counts, now)
        each = yield from days(visit.merchant_id, visit.timezone, context.counts, now)
        return standing, each

    standing, each = await context.database.read(look)
    steps = set_up(standing, visit)
    last = day_of(now, visit.timezone)
    return show(
        visit,
        "home.html",
        TEMPLATES,
        steps=steps,
        is_set_up=all(step.done for step in steps),
        needs=needs(standing, paused=visit.paused_at is not None),
        today=each[-1],
        total=summed(each),
        days=DAYS,
        picture=picture(each, last),
        weeks=[(date_of(last - DAYS + 1 + place), summed(each[place : place + 7])) for place in range(0, DAYS, 7)][
            ::-1
        ],
    )
