"""What customers do on their page, each asked once more before it is done: redeem, give back, settings, their data."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from handlers.account import store
from handlers.account.pages import Caller, gone, key_of, look, nonce_of, render
from handlers.account.rules import Reader, choices, conditions, coupon, day_of_year, gets, hindrance, returnable
from handlers.account.views import Seen
from handlers.context import Context
from handlers.customers.correct import correct_language, tell_birthday
from handlers.merchants.journal import note
from handlers.merchants.rules import Refused
from handlers.messages.pages import read_form
from handlers.messages.permission import Named, resubscribe, unsubscribe
from handlers.messages.rules import LANGUAGES
from handlers.spending import Offer, Taken
from integration.database.steps import Steps

WHO = "customer"  # in journals and receipts: the person themselves
CARRY_OUT = "privacy.carry_out"
MOST_LOOKS = 12  # whether a reward is there, before its owner is told to come back
LOOK_SECONDS = 0.25
_COUNT = re.compile(r"[0-9]{1,2}", re.ASCII)


# --- Rewards --------------------------------------------------------------------------------------


async def redeem_page(request: Request, caller: Caller) -> Response:
    """Say what a reward costs, what one gets and what holds for it, and ask once more."""
    if not caller.acts:
        return gone(request)
    context: Context = request.app.state.context
    seen, reader = await look(request, caller)
    offer = next((one for one in seen.offers if one.id == caller.asked.get("reward")), None)
    if offer is None:
        return gone(request)
    steps = max(1, min(int(caller.asked.get("steps", "1")), offer.most_steps))
    return _ask(context, caller, seen, reader, offer, steps)


async def redeem_now(request: Request, caller: Caller) -> Response:
    """Spend points on a reward, once for each form, and show it; one that is not there yet comes a moment later."""
    context, spending = request.app.state.context, request.app.state.context.spending
    if not caller.acts or spending is None:
        return gone(request)
    fields = await read_form(request)
    reward, steps = fields.get("reward", ""), fields.get("steps", "")
    nonce = nonce_of(context, caller, fields, "redeem", reward, steps)
    seen, reader = await look(request, caller)
    if nonce is None:
        return _not_done(caller, reader, "too_old")
    now = context.clock.now()
    try:
        number = await context.database.run(
            lambda: spending.redeem(seen.shop, caller.customer, reward, int(steps), f"page:{nonce}", now)
        )
    except Refused:
        # Why is said by the page in the reader's language, from how things are now.
        seen, reader = await look(request, caller)
        offer = next((one for one in seen.offers if one.id == reward), None)
        if offer is None or offer.obstacle is None:
            return _not_done(caller, reader, "not_done")
        why = hindrance(reader, offer.obstacle, offer.reward, seen.available, int(steps))
        return _not_done(caller, reader, "not_done", why)
    context.queue.ring(spending.bell)
    return await _there(request, caller, number)


async def reward_page(request: Request, caller: Caller) -> Response:
    """Show one reward somebody has: its code, or how far it has come."""
    seen, reader = await look(request, caller)
    one = _one_of(seen, caller)
    return gone(request) if one is None or not caller.acts else _reward(caller, reader, one)


async def return_page(request: Request, caller: Caller) -> Response:
    """Ask whether an unused reward is to be given back."""
    context: Context = request.app.state.context
    seen, reader = await look(request, caller)
    one = _one_of(seen, caller)
    if one is None or not caller.acts or not returnable(one):
        return gone(request)
    values = {"reward": one.reward.name, "points": reader.points(one.points)}
    return _confirm(
        caller,
        reader,
        title=reader.say("return_title"),
        text=reader.say("return_text", **values),
        act="/return",
        yes=reader.say("return_yes"),
        fields={"number": one.number, "key": key_of(context, caller, "return", one.number)},
    )


async def return_now(request: Request, caller: Caller) -> Response:
    """Give an unused reward back; its points follow once it can no longer be used."""
    context, spending = request.app.state.context, request.app.state.context.spending
    if not caller.acts or spending is None:
        return gone(request)
    fields = await read_form(request)
    number = fields.get("number", "")
    seen, reader = await look(request, caller)
    if nonce_of(context, caller, fields, "return", number) is None:
        return _not_done(caller, reader, "too_old")
    now = context.clock.now()
    try:
        await context.database.run(lambda: spending.give_back(seen.shop, caller.customer, int(number), now))
    except Refused:
        return _not_done(caller, reader, "not_done")
    context.queue.ring(spending.bell)
    return _done(caller, reader, "return_done")


def _ask(context: Context, caller: Caller, seen: Seen, reader: Reader, offer: Offer, steps: int) -> Response:
    reward, cost = offer.reward, offer.reward.points * steps
    why = hindrance(reader, offer.obstacle, reward, seen.available, steps) if offer.obstacle is not None else ""
    return render(
        caller,
        reader,
        "redeem.html",
        title=reader.say("confirm_title", reward=reward.name, points=reader.points(cost)),
        offer=offer,
        steps=steps,
        gets=gets(reader, reward, steps),
        cost=reader.points(cost),
        left=reader.points(max(0, seen.available - cost)),
        conditions=conditions(reader, reward),
        instructions=reward.instructions if reward.kind == "by_hand" else "",
        choices=[(each, reader.points(each * reward.points), gets(reader, reward, each)) for each in choices(offer)],
        why=why,
        key=key_of(context, caller, "redeem", offer.id, steps),
        yes=reader.say("confirm_yes", points=reader.points(cost)),
    )


async def _there(request: Request, caller: Caller, number: int) -> Response:
    """Show a reward as soon as it is there, or that it is still being made."""
    for _ in range(MOST_LOOKS):
        seen, reader = await look(request, caller)
        one = next((each for each in seen.taken if each.number == number), None)
        if one is None or one.state != "asked":
            break
        await asyncio.sleep(LOOK_SECONDS)
    return gone(request) if one is None else _reward(caller, reader, one)


def _reward(caller: Caller, reader: Reader, one: Taken) -> Response:
    title = {"issued": "done_title", "asked": "done_wait_title", "refused": "not_done_title"}.get(one.state)
    shown = coupon(reader, one)
    words = reader.say(title) if title is not None else one.reward.name
    status = 200 if one.state != "refused" else 409
    return render(caller, reader, "reward.html", status, title=words, coupon=shown, waits=one.state == "asked")


def _one_of(seen: Seen, caller: Caller) -> Taken | None:
    number = int(caller.asked.get("number", "0"))
    return next((one for one in seen.taken if one.number == number), None)


async def friends_now(request: Request, caller: Caller) -> Response:
    """Give somebody the link that brings friends."""
    context, inviting = request.app.state.context, request.app.state.context.inviting
    if not caller.acts or inviting is None:
        return gone(request)
    fields = await read_form(request)
    seen, reader = await look(request, caller)
    if nonce_of(context, caller, fields, "friends") is None:
        return _not_done(caller, reader, "too_old")
    now = context.clock.now()
    try:
        await context.database.run(lambda: inviting.invite(seen.shop, caller.customer, now))
    except Refused:
        return _not_done(caller, reader, "not_done")
    seen, reader = await look(request, caller)
    return _done(caller, reader, "friends_done", reader.say("friends"))


# --- Settings -------------------------------------------------------------------------------------


async def mails_now(request: Request, caller: Caller) -> Response:
    """Stop letters that are no notices, or let them come again."""
    return await _set(request, caller, "mails", _wish)


async def language_now(request: Request, caller: Caller) -> Response:
    """Write to somebody in a language from now on."""
    return await _set(request, caller, "language", _speak)


async def birthday_now(request: Request, caller: Caller) -> Response:
    """Keep the day and month somebody was born on, or keep it no longer."""
    context: Context = request.app.state.context
    if not caller.acts:
        return gone(request)
    fields, now = await read_form(request), context.clock.now()
    seen, reader = await look(request, caller)
    if nonce_of(context, caller, fields, "birthday") is None or seen.person is None:
        return _not_done(caller, reader, "too_old")
    wanted: str | None = None
    if fields.get("do") != "drop":
        day, month = fields.get("day", ""), fields.get("month", "")
        named = _COUNT.fullmatch(day) and _COUNT.fullmatch(month)
        wanted = day_of_year(int(month), int(day)) if named else None
        if wanted is None:
            return _not_done(caller, reader, "birthday_wrong")
    numbers, about = seen.person.numbers, f"customer:{caller.customer}"
    agrees = wanted is not None and fields.get("greet") == "yes" and seen.may_agree

    def change() -> Steps[bool]:
        if agrees:
            yield from _agree(caller, now)
        told = yield from tell_birthday(caller.merchant_id, numbers, wanted, now)
        if told:
            did = "took back their birthday" if wanted is None else "told their birthday"
            yield from note(caller.merchant_id, WHO, did, about, None, now)
        return told

    if not await context.database.run(change):
        again = reader.day(seen.birthday.may_change_at(now))
        return _not_done(caller, reader, "not_done", reader.say("birthday_once", day=again))
    if wanted is None:
        return _done(caller, reader, "birthday_gone", reader.say("birthday"))
    return _done(caller, reader, "birthday_done", reader.say("birthday"), day=reader.date(wanted))


def _wish(caller: Caller, wanted: str, now: int) -> Steps[None]:
    named = Named(caller.merchant_id, caller.customer, "account")
    if wanted == "stop":
        yield from unsubscribe(named, "link", now)
    elif wanted == "start":
        yield from resubscribe(named, now)
    elif wanted == "greet":
        yield from _agree(caller, now)


def _agree(caller: Caller, now: int) -> Steps[None]:
    """Note that somebody agreed to marketing mail, by their own hand."""
    yield from resubscribe(Named(caller.merchant_id, caller.customer, "account"), now)
    yield from note(caller.merchant_id, WHO, "agreed to marketing mail", f"customer:{caller.customer}", None, now)


def _speak(caller: Caller, wanted: str, now: int) -> Steps[None]:
    if wanted in LANGUAGES:
        yield from correct_language(caller.merchant_id, caller.customer, wanted)
        about = f"customer:{caller.customer}"
        yield from note(caller.merchant_id, WHO, "chose a language", about, {"after": wanted}, now)


async def _set(
    request: Request, caller: Caller, act: str, change: Callable[[Caller, str, int], Steps[None]]
) -> Response:
    context: Context = request.app.state.context
    if not caller.acts:
        return gone(request)
    fields = await read_form(request)
    if nonce_of(context, caller, fields, act) is None:
        _, reader = await look(request, caller)
        return _not_done(caller, reader, "too_old")
    now, wanted = context.clock.now(), fields.get("wanted", "")
    await context.database.run(lambda: change(caller, wanted, now))
    here = caller._replace(asked={name: value for name, value in caller.asked.items() if name != "language"})
    seen, reader = await look(request, here)
    said = "language_done" if act == "language" else "mail_on" if seen.wants_mail else "mail_off"
    return _done(here, reader, said, reader.say(f"{act.removesuffix('s')}"))


# --- Their data -----------------------------------------------------------------------------------


async def export_now(request: Request, caller: Caller) -> Response:
    """Have everything that is kept of somebody put into a file for them."""
    context: Context = request.app.state.context
    privacy, now = context.privacy, context.clock.now()
    if caller.way != "session" or privacy is None:
        return gone(request)
    fields = await read_form(request)
    _, reader = await look(request, caller)
    if nonce_of(context, caller, fields, "export") is None:
        return _not_done(caller, reader, "too_old")

    def want() -> Steps[None]:
        yield from privacy.hand_over(caller.merchant_id, caller.customer, WHO, now)
        yield from note(caller.merchant_id, WHO, "asked for all data", f"customer:{caller.customer}", None, now)

    await context.database.run(want)
    await context.queue.enqueue(CARRY_OUT)
    return _done(caller, reader, "export_wait", reader.say("data"))


async def export_file(request: Request, caller: Caller) -> Response:
    """Send somebody the file they asked for."""
    context: Context = request.app.state.context
    privacy, now, number = context.privacy, context.clock.now(), int(caller.asked.get("number", "0"))
    if caller.way != "session" or privacy is None:
        return gone(request)

    def fetch() -> Steps[tuple[str, bytes] | None]:
        found = yield from privacy.receipts(caller.merchant_id, caller.customer)
        if not any(one["request"] == number and one["asked_by"] == WHO for one in found):
            return None
        return (yield from privacy.file(caller.merchant_id, number, now))

    found = await context.database.run(fetch)
    if found is None:
        return gone(request)
    headers = {
        "Content-Disposition": 'attachment; filename="my-data.zip"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(found[1], media_type="application/zip", headers=headers)


async def forget_page(request: Request, caller: Caller) -> Response:
    """Say what being forgotten takes away for good, and ask once more."""
    if caller.way != "session" or request.app.state.context.privacy is None:
        return gone(request)
    seen, reader = await look(request, caller)
    return _forget_form(request, caller, seen, reader)


async def forget_now(request: Request, caller: Caller) -> Response:
    """Have somebody forgotten, by their own wish, and end their session."""
    context: Context = request.app.state.context
    privacy, now = context.privacy, context.clock.now()
    if caller.way != "session" or privacy is None:
        return gone(request)
    fields = await read_form(request)
    seen, reader = await look(request, caller)
    if nonce_of(context, caller, fields, "forget") is None:
        return _not_done(caller, reader, "too_old")
    if fields.get("sure") != "yes":
        return _forget_form(request, caller, seen, reader, 422)

    def want() -> Steps[None]:
        yield from privacy.forget(caller.merchant_id, caller.customer, WHO, now)
        yield from note(caller.merchant_id, WHO, "asked to be forgotten", f"customer:{caller.customer}", None, now)
        if caller.opened is not None:
            yield from store.end_session(caller.opened, now)

    await context.database.run(want)
    await context.queue.enqueue(CARRY_OUT)
    return _done(caller, reader, "forget_done", reader.say("forget_done_title"), is_over=True)


def _forget_form(request: Request, caller: Caller, seen: Seen, reader: Reader, status: int = 200) -> Response:
    context: Context = request.app.state.context
    return _confirm(
        caller,
        reader,
        status,
        title=reader.say("forget_title"),
        text=reader.say("forget_text", points=reader.points(max(0, seen.available + seen.pending + seen.held))),
        act="/forget",
        yes=reader.say("forget_yes"),
        fields={"key": key_of(context, caller, "forget")},
        check=reader.say("forget_check"),
        error=reader.say("forget_needed") if status == 422 else "",
        grave=True,
    )


# --- What they share ------------------------------------------------------------------------------


def _confirm(caller: Caller, reader: Reader, status: int = 200, **values: Any) -> Response:
    return render(caller, reader, "confirm.html", status, **{"check": "", "error": "", "grave": False, **values})


def _done(caller: Caller, reader: Reader, said: str, title: str = "", is_over: bool = False, **values: str) -> Response:
    words = title or reader.say(f"{said}_title")
    return render(caller, reader, "told.html", title=words, text=reader.say(said, **values), is_over=is_over)


def _not_done(caller: Caller, reader: Reader, said: str, why: str = "") -> Response:
    title, text = reader.say("not_done_title"), reader.say(said)
    return render(caller, reader, "told.html", 422, title=title, text=f"{why.rstrip('.')}. {text}" if why else text)
