"""The merchant's pages of messages: what goes out, what waits, what failed, stopping one, pausing all and going on."""

from pathlib import Path
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.merchants import journal
from handlers.merchants.books import shops
from handlers.merchants.door import Visit
from handlers.merchants.frame import moved, show
from handlers.merchants.naming import named
from handlers.merchants.rules import Shop
from handlers.messages import stopping, undelivered, upcoming
from handlers.messages.jobs import BELL
from handlers.messages.kinds import Kind
from handlers.messages.upcoming import MOST_COUNTED, STATES, Upcoming, sentence, why
from handlers.messages.words import languages_written
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"
MESSAGES, QUEUE = "/app/messages", "/app/messages/queue"
UNDELIVERED = "/app/messages/undelivered"
MOST_KEY = 300  # characters of a message's key in an address

_SENDING = "It is being sent at this moment and cannot be stopped any more."
_ANSWERS = {
    "stopped": "Stopped. This message will not go out.",
    "over": "This message had gone out or was given up before: there was nothing left to stop.",
}


async def messages_page(request: Request, visit: Visit) -> Response:
    """Show every kind of message, whether it is on, and whose words it has."""
    context: Context = request.app.state.context
    shop, count = await context.database.read(lambda: _overview(visit.merchant_id))
    kinds = [
        {
            "kind": kind.name,
            "name": named(kind.name).title,
            "about": named(kind.name).when,
            "on": kind.off(shop.current) is None,
            "own": sorted(languages_written(shop.current, kind.name)),
        }
        for kind in context.kinds.values()
    ]
    return show(visit, "desk.html", TEMPLATES, kinds=kinds, count=count, most=MOST_COUNTED)


async def queue_page(request: Request, visit: Visit) -> Response:
    """Show what will go to whom and when, page by page; a look at the people in it is written down."""
    context: Context = request.app.state.context
    kind = _one_of(request.query_params.get("kind"), tuple(context.kinds))
    state = _one_of(request.query_params.get("state"), STATES)
    after = _place(request.query_params.get("after"))
    now = context.clock.now()

    def look() -> Steps[tuple[Shop, list[Upcoming], upcoming.Page]]:
        shop = yield from _shop(visit.merchant_id)
        sending = [] if after or state else (yield from upcoming.being_sent(visit.merchant_id))
        page = yield from upcoming.upcoming(visit.merchant_id, after, kind, state)
        return shop, [one for one in sending if kind in (None, one.kind)], page

    shop, sending, page = await context.database.read(look)
    listed = [_row(context, shop, message, now) for message in (*sending, *page.messages)]
    if listed:
        await context.database.run(
            lambda: journal.looked(visit.merchant_id, visit.who, "the queue of messages", None, now)
        )
    older = "" if page.after is None else _address(kind, state, page.after)
    return show(
        visit,
        "queue.html",
        TEMPLATES,
        rows=listed,
        kinds=[(name, named(name).title) for name in context.kinds],
        kind=kind,
        state=state,
        older=older,
        first=_address(kind, state, None) if after else "",
    )


async def undelivered_page(request: Request, visit: Visit) -> Response:
    """Show what could not be delivered, the newest first; a look at the people in it is written down."""
    context: Context = request.app.state.context
    before = _place(request.query_params.get("before"))
    now = context.clock.now()
    found = await context.database.read(lambda: undelivered.undelivered(visit.merchant_id, before))
    listed, last = found[: undelivered.PAGE], found[: undelivered.PAGE][-1:]
    if listed:
        await context.database.run(
            lambda: journal.looked(visit.merchant_id, visit.who, "messages not delivered", None, now)
        )
    more = len(found) > undelivered.PAGE
    return show(
        visit,
        "undelivered.html",
        TEMPLATES,
        rows=[{"message": one, "named": named(one.kind).title, "why": sentence(one.reason or "")} for one in listed],
        older=f"{UNDELIVERED}?{urlencode({'before': f'{last[0].at}~{last[0].key}'})}" if more else "",
        first=UNDELIVERED if before else "",
    )


async def stop_page(request: Request, visit: Visit) -> Response:
    """Ask once more before one message is stopped."""
    context: Context = request.app.state.context
    shop, message = await context.database.read(lambda: _one(visit.merchant_id, _key(request)))
    if message is None:
        raise HTTPException(404)
    now = context.clock.now()
    if message.state not in STATES:
        return moved(request, visit, QUEUE, _SENDING if message.state == "sending" else _ANSWERS["over"], "critical")
    await context.database.run(
        lambda: journal.looked(visit.merchant_id, visit.who, "a message that waits", message.customer, now)
    )
    return show(visit, "stop.html", TEMPLATES, row=_row(context, shop, message, now))


async def stop_now(request: Request, visit: Visit) -> Response:
    """Stop one message for good, unless it is on its way."""
    context: Context = request.app.state.context
    key, now = _key(request), context.clock.now()

    def stop() -> Steps[stopping.Stopped]:
        message = yield from upcoming.one_upcoming(visit.merchant_id, key)
        found = yield from stopping.stop(visit.merchant_id, key, now)
        if found == "stopped" and message is not None:
            detail = {"kind": message.kind, "customer": message.customer}
            yield from journal.note(visit.merchant_id, visit.who, "stopped a message", f"message:{key}", detail, now)
        return found

    found = await context.database.run(stop)
    if found == "unknown":
        raise HTTPException(404)
    if found == "stopped":
        return moved(request, visit, QUEUE, _ANSWERS[found])
    return moved(request, visit, QUEUE, _SENDING if found == "sending" else _ANSWERS["over"], "critical")


async def pause_page(request: Request, visit: Visit) -> Response:
    """Ask once more before all messages are held back."""
    context: Context = request.app.state.context
    count = await context.database.read(lambda: upcoming.count_upcoming(visit.merchant_id))
    return show(visit, "pause.html", TEMPLATES, count=count, most=MOST_COUNTED)


async def pause_now(request: Request, visit: Visit) -> Response:
    """Hold all messages back from this moment on."""
    context: Context = request.app.state.context
    now = context.clock.now()

    def pause() -> Steps[None]:
        if (yield from stopping.pause(visit.merchant_id, now)):
            yield from journal.note(visit.merchant_id, visit.who, "paused all messages", "messages", None, now)

    await context.database.run(pause)
    return moved(request, visit, MESSAGES, "Paused. Nothing goes out until you resume.")


async def resume_page(request: Request, visit: Visit) -> Response:
    """Say what happens when messages go on, and ask for it."""
    context: Context = request.app.state.context
    now = context.clock.now()
    overdue = await context.database.read(lambda: upcoming.count_overdue(visit.merchant_id, now))
    shop = await context.database.read(lambda: _shop(visit.merchant_id))
    return show(visit, "resume.html", TEMPLATES, overdue=overdue, most=MOST_COUNTED, settings=shop.current.messages)


async def resume_now(request: Request, visit: Visit) -> Response:
    """Let messages go on, and have what waited for it looked at now: windows and caps hold for it."""
    context: Context = request.app.state.context
    now = context.clock.now()

    def resume() -> Steps[None]:
        if (yield from stopping.resume(visit.merchant_id)):
            yield from journal.note(visit.merchant_id, visit.who, "resumed all messages", "messages", None, now)

    await context.database.run(resume)
    for _ in range(stopping.MOST_WAKINGS):
        if not await context.database.run(lambda: stopping.wake(visit.merchant_id, now)):
            break
    context.queue.ring(BELL)
    return moved(request, visit, MESSAGES, "Messages go out again, each in its send window.")


def _overview(merchant_id: int) -> Steps[tuple[Shop, int]]:
    shop = yield from _shop(merchant_id)
    return shop, (yield from upcoming.count_upcoming(merchant_id))


def _one(merchant_id: int, key: str) -> Steps[tuple[Shop, Upcoming | None]]:
    shop = yield from _shop(merchant_id)
    return shop, (yield from upcoming.one_upcoming(merchant_id, key))


def _shop(merchant_id: int) -> Steps[Shop]:
    return (yield from shops([merchant_id]))[merchant_id]


def _row(context: Context, shop: Shop, message: Upcoming, now: int) -> dict[str, object]:
    kind: Kind | None = context.kinds.get(message.kind)
    paused = shop.paused_at is not None
    return {
        "message": message,
        "named": named(message.kind).title,
        "why": why(message, kind, shop.current, paused=paused),
        "at": None if paused or message.state == "sending" else message.expected_at(shop.current, shop.timezone, now),
        "stop": f"{MESSAGES}/stop/{quote(message.key, safe=':')}" if message.state in STATES else "",
    }


def _key(request: Request) -> str:
    key: str = request.path_params["key"]
    if len(key) > MOST_KEY:
        raise HTTPException(404)
    return key


def _one_of(value: str | None, known: tuple[str, ...]) -> str | None:
    return value if value in known else None


def _place(text: str | None) -> tuple[int, str] | None:
    """Read where a page begins; what is not such a place begins at the first."""
    at, _, key = (text or "").partition("~")
    if not at.isascii() or not at.isdigit() or len(at) > 18 or len(key) > MOST_KEY:
        return None
    return int(at), key


def _address(kind: str | None, state: str | None, after: tuple[int, str] | None) -> str:
    values = {"kind": kind, "state": state, "after": f"{after[0]}~{after[1]}" if after else None}
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{QUEUE}?{query}" if query else QUEUE
