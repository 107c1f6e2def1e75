"""The forms and confirm steps of what a merchant does for one customer by hand."""

import secrets
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from handlers.care.changes import (
    adjust_and_tell,
    forgive_and_tell,
    hold_messages,
    present_and_tell,
    release_messages,
    speak,
)
from handlers.care.letters import KIND, Adjusted, say
from handlers.care.pages import CUSTOMERS, FILE, TEMPLATES, mail_words, number_in, write_down
from handlers.care.rules import LANGUAGES, is_form_key, read_points, read_reason
from handlers.context import Context
from handlers.customers.correct import spoken
from handlers.holders import Privacy
from handlers.merchants import addresses
from handlers.merchants.addresses import Address
from handlers.merchants.books import shops
from handlers.merchants.door import Visit
from handlers.merchants.frame import guard, moved, show, told
from handlers.merchants.journal import looked, note
from handlers.merchants.rules import Program, Refused, Shop
from handlers.messages.letters import Set, day, set_letter
from handlers.messages.outbox import Due
from handlers.messages.people import Person, load
from handlers.messages.sending import occasion_of
from handlers.points.statement import balances
from integration.database.steps import Steps

_KEY_BYTES = 12
BELL = "messages"
CARRY_OUT = "privacy.carry_out"
AS_TOLD = "as-told"  # the choice to believe the platforms about a language


class Somebody(NamedTuple):
    """Whom a form is about."""

    shop: Shop
    person: Person
    available: int  # whole points; below zero = owed
    language: str | None  # set by hand

    @property
    def name(self) -> str:
        names = " ".join(part for part in (self.person.first_name, self.person.last_name) if part)
        return names or self.person.email or f"customer {self.person.number}"

    @property
    def here(self) -> str:
        return f"{CUSTOMERS}/{self.person.number}"


# --- Points ---------------------------------------------------------------------------------------


async def adjust_page(request: Request, visit: Visit) -> Response:
    """Ask how many points and why; once that is said, show what would change and the letter, and ask once more."""
    whom = await _whom(request, visit)
    query = request.query_params
    if "points" not in query and "reason" not in query:
        return _adjust_form(visit, whom, Typed("", ""), {})
    return _adjust_step(request, visit, whom, _typed(query))


async def adjust_now(request: Request, visit: Visit) -> Response:
    """Change the points and want the letter; sent twice, it is done once."""
    context: Context = request.app.state.context
    whom = await _whom(request, visit)
    fields = await _fields(request)
    typed, key = _typed(fields), fields.get("key", "")
    points, (reason, problem) = read_points(typed.points), read_reason(typed.reason)
    if isinstance(points, str) or problem is not None or not is_form_key(key):
        return _adjust_step(request, visit, whom, typed)
    change, person, now = Adjusted(points, reason), whom.person, context.clock.now()

    def act() -> Steps[Mapping[str, int]]:
        if typed.present:
            numbers = (person.number, *(one for one in person.numbers if one != person.number))
            return (yield from present_and_tell(visit.merchant_id, visit.who, numbers, change, key, now))
        return (yield from adjust_and_tell(visit.merchant_id, visit.who, person.number, change, key, now))

    try:
        await context.database.run(act)
    except Refused as error:
        return _adjust_form(visit, whom, typed, {"points": str(error)}, 422)
    context.queue.ring(BELL)
    done = f"{points:,} points given" if points > 0 else f"{-points:,} points taken away"
    return moved(request, visit, whom.here, f"{done}. {_tells(whom)}")


async def forgive_page(request: Request, visit: Visit) -> Response:
    """Show what is owed and the letter, and ask whether to forgive it."""
    whom = await _whom(request, visit)
    if whom.available >= 0:
        return moved(request, visit, whom.here, f"{whom.name} owes no points.")
    reason, problem = read_reason(request.query_params.get("reason", ""))
    asked = "reason" in request.query_params
    if not asked or problem is not None:
        return show(
            visit,
            "forgive.html",
            TEMPLATES,
            422 if asked else 200,
            whom=whom,
            reason=reason,
            errors={"reason": problem} if asked and problem else {},
        )
    return _confirm(request, visit, whom, Adjusted(-whom.available, reason), forgiving=True)


async def forgive_now(request: Request, visit: Visit) -> Response:
    """Bring what is owed to nothing and want the letter; sent twice, it is done once."""
    context: Context = request.app.state.context
    whom = await _whom(request, visit)
    fields = await _fields(request)
    reason, problem = read_reason(fields.get("reason", ""))
    key = fields.get("key", "")
    if problem is not None or not is_form_key(key):
        errors = {"reason": problem or "Look at it once more, then confirm."}
        return show(visit, "forgive.html", TEMPLATES, 422, whom=whom, reason=reason, errors=errors)
    number, now = whom.person.number, context.clock.now()
    try:
        await context.database.run(lambda: forgive_and_tell(visit.merchant_id, visit.who, number, reason, key, now))
    except Refused as error:
        return moved(request, visit, whom.here, str(error), "critical")
    context.queue.ring(BELL)
    return moved(request, visit, whom.here, f"Forgiven: {whom.name} owes no points any more. {_tells(whom)}")


class Typed(NamedTuple):
    """What was typed of a change of points."""

    points: str
    reason: str
    present: bool = False  # counts towards the limits of presents


def _typed(fields: Mapping[str, str]) -> Typed:
    return Typed(fields.get("points", ""), fields.get("reason", ""), fields.get("present") == "on")


def _adjust_form(visit: Visit, whom: Somebody, typed: Typed, errors: dict[str, str], status: int = 200) -> Response:
    return show(
        visit, "adjust.html", TEMPLATES, status, whom=whom, typed=typed, ways=whom.shop.current.ways, errors=errors
    )


def _adjust_step(request: Request, visit: Visit, whom: Somebody, typed: Typed) -> Response:
    points, (reason, problem) = read_points(typed.points), read_reason(typed.reason)
    errors = {}
    if isinstance(points, str):
        errors["points"] = points
    elif typed.present and points < 0:
        errors["points"] = "A present gives points. To take some away, leave the box below empty."
    elif typed.present and points > (most := whom.shop.current.ways.goodwill_at_once):
        errors["points"] = f"A present is of {most:,} points at most; the programme says so."
    elif points < 0 and whom.available + points < 0:
        have = max(0, whom.available)
        errors["points"] = (
            f"{whom.name} has {have:,} points to spend, so no more than {have:,} can be taken away."
            if have
            else f"{whom.name} has no points to spend, so none can be taken away."
        )
    if problem is not None:
        errors["reason"] = problem
    if errors or isinstance(points, str):
        return _adjust_form(visit, whom, typed, errors, 422)
    return _confirm(request, visit, whom, Adjusted(points, reason), forgiving=False, present=typed.present)


def _confirm(
    request: Request, visit: Visit, whom: Somebody, change: Adjusted, *, forgiving: bool, present: bool = False
) -> Response:
    context: Context = request.app.state.context
    fields = {"points": change.points, "reason": change.reason, "key": secrets.token_hex(_KEY_BYTES)}
    after = whom.available + change.points
    return show(
        visit,
        "adjust_confirm.html",
        TEMPLATES,
        whom=whom,
        told=change,
        after=after,
        letter=_draft(whom, change, after, context.clock.now()),
        mail=mail_words(whom.person),
        tells=_tells(whom),
        forgiving=forgiving,
        action=f"{whom.here}/{'forgive' if forgiving else 'adjust'}",
        fields=fields | ({"present": "on"} if present else {}),
    )


def _draft(whom: Somebody, change: Adjusted, after: int, now: int) -> Set:
    """Set the letter as it will go out, before anything has changed."""
    version = whom.shop.version_at(now)
    message = Due(whom.shop.id, KIND, KIND, whom.person.number, None, "email", now, 0, 0, "{}", now)
    program = version.program if version is not None else Program()
    occasion = occasion_of(lambda *_: "#", message, whom.shop, program, whom.person, now)
    content = say(occasion, change, after)
    return set_letter(content, shop_name=whom.shop.name, language=occasion.language, unsubscribe_url=None)


def _tells(whom: Somebody) -> str:
    """Say what becomes of the letter."""
    person = whom.person
    if not person.email:
        return "No e-mail address is known, so nobody is told unless one becomes known within a month."
    if person.suppressed.get(person.email) == "refused":
        return "Their mailbox refuses our mail, so they are not told."
    if person.held_at is not None:
        return "Their messages are held back: the e-mail goes out after you let them go."
    return f"An e-mail tells {person.email}, within your send window."


# --- Messages -------------------------------------------------------------------------------------


async def hold_page(request: Request, visit: Visit) -> Response:
    """Ask whether to hold somebody's messages back."""
    return show(visit, "hold.html", TEMPLATES, whom=await _whom(request, visit), letting_go=False)


async def hold_now(request: Request, visit: Visit) -> Response:
    """Hold somebody's messages back."""
    return await _do(request, visit, hold_messages, "Held: nothing goes out to {name} until you let it.")


async def release_page(request: Request, visit: Visit) -> Response:
    """Ask whether to let somebody's messages go out again."""
    return show(visit, "hold.html", TEMPLATES, whom=await _whom(request, visit), letting_go=True)


async def release_now(request: Request, visit: Visit) -> Response:
    """Let somebody's messages go out again."""
    answer = await _do(request, visit, release_messages, "Messages to {name} go out again, each in its send window.")
    request.app.state.context.queue.ring(BELL)
    return answer


async def language_page(request: Request, visit: Visit) -> Response:
    """Ask in which language somebody is to be written to."""
    whom = await _whom(request, visit)
    return _language_form(visit, whom, whom.language or AS_TOLD)


async def language_now(request: Request, visit: Visit) -> Response:
    """Write to somebody in a language from now on."""
    whom = await _whom(request, visit)
    chosen = (await _fields(request)).get("language", "")
    if chosen != AS_TOLD and chosen not in LANGUAGES:
        return _language_form(visit, whom, chosen, {"language": "Choose one of these."}, 422)
    language = None if chosen == AS_TOLD else chosen
    said = f"From now on {{name}} is written to in {LANGUAGES[chosen]}." if language else "{name}: as the shop tells."

    def change(merchant_id: int, who: str, customer: int, now: int) -> Steps[None]:
        return speak(merchant_id, who, customer, language, now)

    return await _do(request, visit, change, said)


def _language_form(
    visit: Visit, whom: Somebody, chosen: str, errors: dict[str, str] | None = None, status: int = 200
) -> Response:
    options = [(AS_TOLD, "As the shop tells", "The language they used in the shop, else their country's.")]
    options += [(code, name, "") for code, name in LANGUAGES.items()]
    return show(
        visit, "language.html", TEMPLATES, status, whom=whom, options=options, chosen=chosen, errors=errors or {}
    )


# --- What is kept of them -------------------------------------------------------------------------


async def export_page(request: Request, visit: Visit) -> Response:
    """Say what a file of everything would hold, and ask whether to put it together."""
    return show(visit, "export.html", TEMPLATES, whom=await _whom(request, visit))


async def export_now(request: Request, visit: Visit) -> Response:
    """Have everything that is kept of somebody put into a file."""
    context: Context = request.app.state.context
    whom = await _whom(request, visit)
    number, now, privacy = whom.person.number, context.clock.now(), context.privacy
    if privacy is None:
        raise HTTPException(404)

    def ask() -> Steps[None]:
        if not (yield from _is_asked(privacy, visit.merchant_id, number, "customers/data_request")):
            yield from privacy.hand_over(visit.merchant_id, number, visit.who, now)
            yield from note(visit.merchant_id, visit.who, "asked for all data", f"customer:{number}", None, now)

    await context.database.run(ask)
    await context.queue.enqueue(CARRY_OUT)
    return moved(
        request, visit, whom.here, "The file is being put together. Load this page again in a minute or two to get it."
    )


async def export_file(request: Request) -> Response:
    """Send the file of somebody's data to whoever holds a link that their page made within the last minutes.

    In the shop's admin a download carries no token, so the link itself says whose it is and who asked.
    """
    context: Context = request.app.state.context
    token, now, privacy = request.path_params["token"], context.clock.now(), context.privacy
    addresses.keep_to(context.vault, FILE, token)

    def fetch() -> Steps[tuple[Address | None, tuple[str, bytes] | None]]:
        one = yield from addresses.look_up(context.vault, FILE, token, 2, now)
        if one is None or not one.stands or privacy is None:
            return one, None
        customer, number = (int(part) for part in one.parts)
        found = yield from privacy.file(one.merchant_id, number, now)
        if found is not None:
            yield from looked(one.merchant_id, one.who, "file of all data", customer, now)
        return one, found

    one, found = await context.database.run(fetch)
    if found is None:
        return guard(told(404), one.shop if one is not None else None)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in found[0])
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return guard(Response(found[1], media_type="application/zip", headers=headers))


async def forget_page(request: Request, visit: Visit) -> Response:
    """Say what forgetting somebody takes away for good, and ask for their address to be typed."""
    whom = await _whom(request, visit)
    return await _forget_form(request, visit, whom, "", {})


async def forget_now(request: Request, visit: Visit) -> Response:
    """Have somebody forgotten once their address, or number where there is none, was typed."""
    context: Context = request.app.state.context
    whom = await _whom(request, visit)
    typed = (await _fields(request)).get("typed", "")
    number, now, privacy = whom.person.number, context.clock.now(), context.privacy
    if privacy is None:
        raise HTTPException(404)
    if typed.strip().lower() != _word(whom).lower():
        errors = {"typed": f"Type {_word(whom)} exactly, so that nobody is forgotten by a slip of the finger."}
        return await _forget_form(request, visit, whom, typed, errors, 422)

    def ask() -> Steps[int | None]:
        if not (yield from _is_asked(privacy, visit.merchant_id, number, "customers/redact")):
            yield from privacy.forget(visit.merchant_id, number, visit.who, now)
            yield from note(visit.merchant_id, visit.who, "asked to be forgotten", f"customer:{number}", None, now)
        return (yield from privacy.waits_until(visit.merchant_id, number, now))

    until = await context.database.run(ask)
    await context.queue.enqueue(CARRY_OUT)
    if until is not None:
        by = day(until, visit.timezone, visit.locale)
        said = f"They are forgotten once the file of their data has been downloaded, and by {by} at the latest."
        return moved(request, visit, whom.here, said)
    return moved(request, visit, whom.here, "They are being forgotten: within a minute or two nothing names them here.")


async def _forget_form(
    request: Request, visit: Visit, whom: Somebody, typed: str, errors: dict[str, str], status: int = 200
) -> Response:
    context: Context = request.app.state.context
    number, now, privacy = whom.person.number, context.clock.now(), context.privacy
    until = None
    if privacy is not None:
        until = await context.database.read(lambda: privacy.waits_until(visit.merchant_id, number, now))
    word = _word(whom)
    return show(
        visit, "forget.html", TEMPLATES, status, whom=whom, word=word, typed=typed, errors=errors, waits_until=until
    )


def _is_asked(privacy: Privacy, merchant_id: int, customer: int, kind: str) -> Steps[bool]:
    """Tell whether the same was asked for before and is still to be carried out."""
    found = yield from privacy.receipts(merchant_id, customer)
    return any(one["kind"] == kind and one["state"] == "open" for one in found)


def _word(whom: Somebody) -> str:
    """Name what has to be typed before somebody is forgotten."""
    return whom.person.email or str(whom.person.number)


# --- What they share ------------------------------------------------------------------------------


async def _do(
    request: Request, visit: Visit, change: Callable[[int, str, int, int], Steps[None]], said: str
) -> Response:
    context: Context = request.app.state.context
    whom = await _whom(request, visit)
    number, now = whom.person.number, context.clock.now()
    await context.database.run(lambda: change(visit.merchant_id, visit.who, number, now))
    return moved(request, visit, whom.here, said.format(name=whom.name))


async def _whom(request: Request, visit: Visit) -> Somebody:
    """Load whom an address names, whoever they are by now; a look at them. Raises HTTPException 404."""
    context: Context = request.app.state.context
    number, now = number_in(request), context.clock.now()
    whom = await context.database.read(lambda: _somebody(visit.merchant_id, number, now))
    if whom is None:
        raise HTTPException(404)
    await write_down(context, visit, "customer", whom.person.number)
    return whom


def _somebody(merchant_id: int, number: int, now: int) -> Steps[Somebody | None]:
    person = (yield from load([(merchant_id, number)], now)).get((merchant_id, number))
    if person is None:
        return None
    shop = (yield from shops([merchant_id]))[merchant_id]
    points = (yield from balances(merchant_id, [person.number]))[person.number]
    locale, by_hand = yield from spoken(merchant_id, person.number)
    return Somebody(shop, person, points["available"], locale if by_hand else None)


async def _fields(request: Request) -> dict[str, str]:
    return {name: value for name, value in (await request.form()).multi_items() if isinstance(value, str)}
