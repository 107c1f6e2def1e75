"""The merchant's page of friends: who brought whom, what it brought, and what waits for a decision."""

from pathlib import Path
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.customers.persons import shown_names
from handlers.customers.timeline import Badge
from handlers.merchants.door import Visit
from handlers.merchants.frame import moved, show
from handlers.merchants.journal import is_looking, looked, note
from handlers.merchants.rules import Refused
from handlers.points.rules import MICRO
from handlers.referrals import codes, store
from handlers.referrals.settle import decide
from handlers.referrals.store import Referral
from handlers.referrals.views import REASONS, STATES, called
from integration.clock import DAY
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"
HERE = "/app/friends"
PAGE = 50
LAST = 2**62
TROUBLED = DAY  # since when codes that could not be made are told of


class Shown(NamedTuple):
    """One referral as the page shows it."""

    row: Referral
    referrer: str
    friend: str
    badge: Badge
    why: str
    points: int

    @property
    def can_allow(self) -> bool:
        """Whether the merchant is asked."""
        return self.row.state == "held"

    @property
    def can_refuse(self) -> bool:
        """Whether points can be taken back, or not be given."""
        return self.row.state in ("held", "pending", "given")


async def friends_page(request: Request, visit: Visit) -> Response:
    """List orders made with a friend's code, or those that wait for a decision, the newest first."""
    context: Context = request.app.state.context
    before, waiting = _number(request.query_params.get("before")) or LAST, "waiting" in request.query_params

    since = context.clock.now() - TROUBLED

    def rows() -> Steps[tuple[list[Shown], str | None]]:
        found = yield from store.page(visit.merchant_id, before, PAGE + 1, waiting=waiting)
        trouble = yield from codes.why_waits(visit.merchant_id, since)
        return (yield from _shown(visit.merchant_id, found)), trouble

    found, trouble = await context.database.read(rows)
    if found:
        await _note_look(context, visit)
    only = "waiting=1&" if waiting else ""
    older = f"{HERE}?{only}before={found[PAGE - 1].row.sale}" if len(found) > PAGE else ""
    return show(visit, "friends.html", TEMPLATES, rows=found[:PAGE], older=older, trouble=trouble, waiting=waiting)


async def friend_page(request: Request, visit: Visit) -> Response:
    """Show one referral, and ask what is to be done about it."""
    context: Context = request.app.state.context
    sale = _number(request.path_params["number"]) or 0

    def one() -> Steps[list[Shown]]:
        row = yield from store.one(visit.merchant_id, sale)
        return (yield from _shown(visit.merchant_id, [row])) if row is not None else []

    found = await context.database.read(one)
    if not found:
        raise HTTPException(404)
    await _note_look(context, visit)
    return show(visit, "friend_of.html", TEMPLATES, each=found[0])


async def friend_act(request: Request, visit: Visit) -> Response:
    """Let a friend count, or not; who said so is journaled in the same transaction."""
    context: Context = request.app.state.context
    sale, now = _number(request.path_params["number"]) or 0, context.clock.now()
    decision = {"allow": "allowed", "refuse": "refused"}.get(str((await request.form()).get("do")))
    if await context.database.read(lambda: store.one(visit.merchant_id, sale)) is None:
        raise HTTPException(404)

    def act() -> Steps[None]:
        if decision is None:
            raise Refused("Choose what is to be done.")
        row = yield from decide(visit.merchant_id, sale, decision, now)
        did = "let a friend count" if decision == "allowed" else "refused points for a friend"
        yield from note(visit.merchant_id, visit.who, did, f"customer:{row.referrer}", {"order": sale}, now)

    try:
        await context.database.run(act)
    except Refused as refused:
        return moved(request, visit, HERE, str(refused), "critical")
    return moved(request, visit, HERE, "Noted. It takes effect within a minute.")


def _shown(merchant_id: int, rows: list[Referral]) -> Steps[list[Shown]]:
    names = yield from shown_names(merchant_id, {n for row in rows for n in (row.referrer, row.friend) if n})
    return [
        Shown(
            row,
            called(row.referrer, names),
            called(row.friend, names),
            STATES[row.state],
            REASONS.get(row.why, ""),
            (row.pending + row.available) // MICRO,
        )
        for row in rows
    ]


async def _note_look(context: Context, visit: Visit) -> None:
    now = context.clock.now()
    of = (visit.merchant_id, visit.who, "who brought whom", None)

    def steps() -> Steps[None]:
        if not (yield from is_looking(*of, now)):
            yield from looked(*of, now)

    await context.database.run(steps)


def _number(text: str | None) -> int | None:
    is_one = text is not None and text.isascii() and text.isdigit() and len(text) < 18
    return int(text) if is_one and text else None
