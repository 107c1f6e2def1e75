"""The merchant's pages of what happened: events and their fate, replaying, what was recovered, changes and looks."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from handlers.activity import store
from handlers.activity.rules import (
    FATES,
    FILTERS,
    MOST_SOUGHT,
    STATES,
    readable,
    topic_in_words,
    who_in_words,
)
from handlers.activity.store import Event
from handlers.context import Context
from handlers.inbox.rules import Recovered
from handlers.inbox.work import BELL
from handlers.merchants import journal
from handlers.merchants.door import Visit
from handlers.merchants.frame import moved, show
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"
ACTIVITY = "/app/activity"
PAGE = 30
LARGEST_NUMBER = 2**62


async def activity_page(request: Request, visit: Visit) -> Response:
    """Show events and what became of them, the newest first, or those an order or a delivery leads to."""
    context: Context = request.app.state.context
    state = _one_of(request.query_params.get("state"), STATES)
    sought = request.query_params.get("q", "").strip()[:MOST_SOUGHT]
    before = _number(request.query_params.get("before"))
    now = context.clock.now()

    def look() -> Steps[tuple[store.Page, int]]:
        failed = yield from store.count_failed(visit.merchant_id)
        if sought:
            return store.Page((yield from store.search(visit.merchant_id, sought)), None), failed
        return (yield from store.events(visit.merchant_id, before, state)), failed

    page, failed = await context.database.read(look)
    return show(
        visit,
        "activity.html",
        TEMPLATES,
        rows=[_row(event) for event in page.events],
        filters=FILTERS,
        state=state or "",
        sought=sought,
        older=_address(ACTIVITY, state=state, before=page.before) if page.before else "",
        first=_address(ACTIVITY, state=state) if before else "",
        failed=failed,
        most=store.MOST_COUNTED,
        now=now,
    )


async def event_page(request: Request, visit: Visit) -> Response:
    """Show one event: what it told of, what became of it, why, and what to do."""
    event = await _event(request, visit)
    return show(visit, "event.html", TEMPLATES, row=_row(event), body=None)


async def body_page(request: Request, visit: Visit) -> Response:
    """Show what an event said, word for word; that somebody saw it is written down first."""
    context: Context = request.app.state.context
    event = await _event(request, visit)
    now = context.clock.now()
    await context.database.run(
        lambda: journal.looked(visit.merchant_id, visit.who, f"what event {event.id} said", event.customer, now)
    )
    body, is_damaged = await context.database.read(lambda: store.body_of(visit.merchant_id, event.id))
    words = "" if body is None else readable(body)
    return show(visit, "event.html", TEMPLATES, row=_row(event), body=words, is_damaged=is_damaged)


async def replay_page(request: Request, visit: Visit) -> Response:
    """Ask once more before an event is worked again."""
    event = await _event(request, visit)
    return show(visit, "replay.html", TEMPLATES, row=_row(event))


async def replay_now(request: Request, visit: Visit) -> Response:
    """Have one event worked again, as if it had just come."""
    context: Context = request.app.state.context
    event = await _event(request, visit)
    now = context.clock.now()

    def again() -> Steps[bool]:
        done = yield from store.replay_one(visit.merchant_id, event.id, now)
        if done:
            detail = {"topic": event.topic, "before": {"state": event.state, "reason": event.reason}}
            yield from journal.note(visit.merchant_id, visit.who, "replayed an event", f"event:{event.id}", detail, now)
        return done

    address = f"{ACTIVITY}/events/{event.id}"
    if not await context.database.run(again):
        words = "It cannot be replayed: it is in hand at this moment, or what it said has been deleted by now."
        return moved(request, visit, address, words, "critical")
    context.queue.ring(BELL)
    return moved(
        request, visit, address, "It is being worked again. Load this page in a moment to see what came of it."
    )


async def replay_all_page(request: Request, visit: Visit) -> Response:
    """Ask once more before everything that was given up is worked again."""
    context: Context = request.app.state.context
    failed = await context.database.read(lambda: store.count_failed(visit.merchant_id))
    return show(visit, "replay_all.html", TEMPLATES, failed=failed, most=store.MOST_COUNTED)


async def replay_all_now(request: Request, visit: Visit) -> Response:
    """Have all dead letters of the merchant worked again, some at a time; the journal says how many."""
    context: Context = request.app.state.context
    now = context.clock.now()
    total, before = 0, None
    for _ in range(store.MOST_REPLAYED // store.REPLAYED_AT_ONCE):
        done, before = await context.database.run(
            lambda before=before: _some_again(visit, before, now)  # type: ignore[misc]
        )
        total += done
        if before is None:
            break
    context.queue.ring(BELL)
    if not total:
        return moved(request, visit, ACTIVITY, "There was nothing that could be replayed.")
    return moved(request, visit, ACTIVITY, f"{total} {'event is' if total == 1 else 'events are'} being worked again.")


async def recovered_page(request: Request, visit: Visit) -> Response:
    """Show what no webhook told of and asking the platforms found, and what it came to."""
    context: Context = request.app.state.context
    before = _number(request.query_params.get("before"))
    begin = LARGEST_NUMBER if before is None else before
    found: Sequence[Recovered] = ()
    if context.recovered is not None:
        recovered = context.recovered
        found = await context.database.read(lambda: recovered(visit.merchant_id, begin, PAGE + 1))
    rows = list(found[:PAGE])
    older = _address(f"{ACTIVITY}/recovered", before=rows[-1].at) if len(found) > PAGE else ""
    return show(visit, "recovered.html", TEMPLATES, rows=rows, older=older)


async def duplicates_page(request: Request, visit: Visit) -> Response:
    """Show payments that are held to be an order of the shop told twice, and what to do if they are not."""
    context: Context = request.app.state.context
    before = _number(request.query_params.get("before"))
    rows, on = await context.database.read(lambda: store.twins(visit.merchant_id, before))
    older = _address(f"{ACTIVITY}/duplicates", before=on) if on else ""
    return show(visit, "duplicates.html", TEMPLATES, rows=rows, older=older)


async def changes_page(request: Request, visit: Visit) -> Response:
    """Show who changed what, the newest first."""
    context: Context = request.app.state.context
    before = _mark(request.query_params.get("before"))
    entries = await context.database.read(lambda: journal.entries_before(visit.merchant_id, before, PAGE + 1))
    rows = [{"entry": one, "who": who_in_words(one.who), "customer": _customer(one.about)} for one in entries[:PAGE]]
    older = ""
    if len(entries) > PAGE:
        last = entries[PAGE - 1]
        older = _address(f"{ACTIVITY}/changes", before=f"{last.at}~{last.mark}")
    return show(visit, "changes.html", TEMPLATES, rows=rows, older=older)


async def looks_page(request: Request, visit: Visit) -> Response:
    """Show who looked at whose personal data, the newest first."""
    context: Context = request.app.state.context
    before = _mark(request.query_params.get("before"))
    looks = await context.database.read(lambda: journal.looks_before(visit.merchant_id, before, PAGE + 1))
    rows = [{"look": one, "who": who_in_words(one.who)} for one in looks[:PAGE]]
    older = ""
    if len(looks) > PAGE:
        last = looks[PAGE - 1]
        older = _address(f"{ACTIVITY}/looks", before=f"{last.at}~{last.mark}")
    return show(visit, "looks.html", TEMPLATES, rows=rows, older=older)


async def _event(request: Request, visit: Visit) -> Event:
    context: Context = request.app.state.context
    number = _number(request.path_params["number"])
    event = None
    if number is not None:
        event = await context.database.read(lambda: store.event_of(visit.merchant_id, number))
    if event is None:
        raise HTTPException(404)
    return event


def _some_again(visit: Visit, before: int | None, now: int) -> Steps[tuple[int, int | None]]:
    done, on = yield from store.replay_failed(visit.merchant_id, before, now)
    if done:
        yield from journal.note(
            visit.merchant_id, visit.who, "replayed what was given up", "events", {"events": done}, now
        )
    return done, on


def _row(event: Event) -> dict[str, object]:
    fate = FATES.get(event.state, FATES["unhandled"])
    return {"event": event, "fate": fate, "topic": topic_in_words(event.topic), "source": event.source.capitalize()}


def _customer(about: str) -> int | None:
    kind, _, number = about.partition(":")
    return _number(number) if kind == "customer" else None


def _one_of(value: str | None, known: tuple[str, ...]) -> str | None:
    return value if value in known else None


def _number(text: str | None) -> int | None:
    if not text or not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    return int(text)


def _mark(text: str | None) -> tuple[int, str] | None:
    """Read where a page of the journal begins; what is not such a place begins at the newest."""
    at, _, mark = (text or "").partition("~")
    number = _number(at)
    return None if number is None or not mark.isalnum() or len(mark) > 64 else (number, mark)


def _address(path: str, **values: object) -> str:
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{path}?{query}" if query else path
