"""The home page of a merchant: how far the set-up is, what happened, and what needs them."""

from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.insights.rules import DAYS, Figures, date_of, day_of, picture, summed
from handlers.insights.store import State, days, state
from handlers.merchants.door import Visit
from handlers.merchants.frame import show
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"
_PLATFORMS = {"shopify": "Shopify", "stripe": "Stripe"}


class Step(NamedTuple):
    """One step of the set-up."""

    title: str
    words: str
    done: bool
    action: str
    href: str


class Need(NamedTuple):
    """Something that waits for the merchant, and where it is dealt with."""

    tone: str
    title: str
    words: str
    action: str
    href: str


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
        needs=needs(standing),
        today=each[-1],
        total=summed(each),
        days=DAYS,
        picture=picture(each, last),
        weeks=[(date_of(last - DAYS + 1 + place), summed(each[place : place + 7])) for place in range(0, DAYS, 7)][
            ::-1
        ],
    )


def set_up(standing: State, visit: Visit) -> list[Step]:
    """Say of each step whether it is done, and where it is taken."""
    program = standing.program
    on = [
        name
        for name, section in (
            ("points", program.earning),
            ("thank-you notes", program.thanks),
            ("review requests", program.reviews),
        )
        if section.enabled
    ]
    connected = [one for one in standing.connected if one.revoked_at is None]
    told = ", ".join(dict.fromkeys(_PLATFORMS.get(one.platform, one.platform) for one in connected))
    return [
        Step(
            "Connect your shop",
            f"{told} tells us of every order." if connected else "So that we hear of every order and payment.",
            bool(connected),
            "Connect",
            "/app/connections",
        ),
        Step(
            "Look at what your customers would get",
            "What an order would earn, and how the notes look. Nobody is written to while you look.",
            standing.previewed or bool(on),
            "Preview",
            "/app/programme",
        ),
        Step(
            "Switch on",
            f"On: {', '.join(on)}."
            if on
            else "Points, thank-you notes and review requests, one by one. Each can be switched off again.",
            bool(on),
            "Choose what to switch on",
            "/app/programme",
        ),
    ]


def needs(standing: State) -> list[Need]:
    """List what waits for the merchant, the most urgent first."""
    found = []
    for one in standing.connected:
        if one.revoked_at is not None:
            platform = _PLATFORMS.get(one.platform, one.platform)
            again = "Open Regulars from your Shopify admin" if one.platform == "shopify" else "Give us a new key"
            found.append(
                Need(
                    "critical",
                    f"{platform} does not let us in any more",
                    f"New orders are still counted, but what they do not say cannot be looked up. {again}, and it goes"
                    " on by itself.",
                    "See the connection",
                    "/app/connections",
                )
            )
    if standing.failed:
        found.append(
            Need(
                "critical",
                _many(standing.failed, "message from your shop could", "messages from your shop could")
                + " not be read",
                "What they tell of earns nothing until they are read. They are kept; look at why, then try them again.",
                "See them",
                "/app/activity?state=failed",
            )
        )
    if standing.given_up:
        found.append(
            Need(
                "critical",
                _many(standing.given_up, "order could", "orders could") + " not be settled",
                "Points or notes of theirs are missing. Trying the order's messages again settles it afresh.",
                "See them",
                "/app/activity",
            )
        )
    if standing.suspect:
        found.append(
            Need(
                "warning",
                _many(standing.suspect, "message does", "messages do") + " not fit your shop",
                "They were signed, but what they hold is another shop's or of another kind. They had no effect.",
                "See them",
                "/app/activity?state=suspect",
            )
        )
    if standing.twins:
        found.append(
            Need(
                "info",
                _many(standing.twins, "purchase was", "purchases were") + " told twice, by Shopify and by Stripe",
                "Same buyer, same amount, same time: each earned once, in the last 30 days. If two of them were two"
                " purchases after all, give the missing points by hand on the customer's page.",
                "See them",
                "/app/activity/duplicates",
            )
        )
    return found


def _many(count: int, one: str, more: str) -> str:
    return f"1 {one}" if count == 1 else f"{'More than ' if count >= 1_000 else ''}{count} {more}"
