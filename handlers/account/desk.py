"""What customers do on their page, each asked once more before it is done: redeem, give back, settings, their data."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from handlers.account import store
from handlers.account.pages import Caller, Page, gone, key_of, look, nonce_of, render
from handlers.account.rules import Reader, choices, conditions, coupon, day_of_year, gets, hindrance, returnable
from handlers.account.views import Seen
from handlers.context import Context
from handlers.customers.correct import correct_language, tell_birthday
from handlers.merchants.journal import note
from handlers.merchants.rules import Refused
from handlers.messages.pages import read_form
from handlers.messages.permission import Named, agree, resubscribe, unsubscribe
from handlers.messages.rules import LANGUAGES
from handlers.spending import Offer, Taken
from integration.database.steps import Steps

WHO = "customer"  # in journals and receipts: the person themselves
CARRY_OUT = "privacy.carry_out"
MOST_LOOKS = 12  # whether a reward is there, before its owner is told to come back
LOOK_SECONDS = 0.25
_COUNT = re.compile(r"[0-9]{1,2}", re.ASCII)


class Sent(NamedTuple):
    """A form of ours that somebody sent who may act: made for this very act, and of late."""

    context: Context
    caller: Caller
    fields: Mapping[str, str]
    nonce: str  # of the form, which is one act however often it is sent
    seen: Seen
    reader: Reader
    now: int


Act = Callable[[Request, Sent], Awaitable[Response]]


def by_form(act: str, *about: str, fresh_link: bool = False) -> Callable[[Act], Page]:
    """Make a page of an act that is done with a form: only for who may act, and only with a form that was made for it.

    `about` names the fields that say what the form was made about. With `fresh_link` only they may who opened a link
    that was mailed to them: to be signed in to the shop is not enough.
    """

    def made(do: Act) -> Page:
        async def page(request: Request, caller: Caller) -> Response:
            context: Context = request.app.state.context
            if not caller.acts or (fresh_link and caller.way != "session"):
                return gone(request)
            fields = await read_form(request)
            seen, reader = await look(request, caller)
            nonce = nonce_of(context, caller, fields, act, *(fields.get(name, "") for name in about))
            if nonce is None:
                return _not_done(caller, reader, "too_old")
            return await do(request, Sent(context, caller, fields, nonce, seen, reader, context.clock.now()))

        return page

    return made


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


@by_form("redeem", "reward", "steps")
async def redeem_now(request: Request, sent: Sent) -> Response:
    """Spend points on a reward, once for each form, and show it; one that is not there yet comes a moment later."""
    context, caller, spending = sent.context, sent.caller, sent.context.spending
    if spending is None:
        return gone(request)
    reward, steps = sent.fields["reward"], int(sent.fields["steps"])
    try:
        number = await context.database.run(
            lambda: spending.redeem(sent.seen.shop, caller.customer, reward, steps, f"page:{sent.nonce}", sent.now)
        )
    except Refused:
        # Why is said by the page in the reader's language, from how things are now.
        seen, reader = await look(request, caller)
        offer = next((one for one in seen.offers if one.id == reward), None)
        if offer is None or offer.obstacle is None:
            return _not_done(caller, reader, "not_done")
        why = hindrance(reader, offer.obstacle, offer.reward, seen.available, steps)
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


@by_form("return", "number")
async def return_now(request: Request, sent: Sent) -> Response:
    """Give an unused reward back; its points follow once it can no longer be used."""
    context, caller, spending = sent.context, sent.caller, sent.context.spending
    if spending is None:
        return gone(request)
    number = int(sent.fields["number"])
    try:
        await context.database.run(lambda: spending.give_back(sent.seen.shop, caller.customer, number, sent.now))
    except Refused:
        return _not_done(caller, sent.reader, "not_done")
    context.queue.ring(spending.bell)
    return _done(caller, sent.reader, "return_done")


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


@by_form("friends")
async def friends_now(request: Request, sent: Sent) -> Response:
    """Give somebody the link that brings friends."""
    context, caller, inviting = sent.context, sent.caller, sent.context.inviting
    if inviting is None:
        return gone(request)
    try:
        await context.database.run(lambda: inviting.invite(sent.seen.shop, caller.customer, sent.now))
    except Refused:
        return _not_done(caller, sent.reader, "not_done")
    return _done(caller, sent.reader, "friends_done", sent.reader.say("friends"))


# --- Settings -------------------------------------------------------------------------------------


@by_form("mails")
async def mails_now(request: Request, sent: Sent) -> Response:
    """Stop letters that are no notices, or let them come again."""
    wanted, named = sent.fields.get("wanted", ""), Named(sent.caller.merchant_id, sent.caller.customer, "account")

    def wish() -> Steps[None]:
        if wanted == "stop":
            yield from unsubscribe(named, "link", sent.now)
        elif wanted == "start":
            yield from resubscribe(named, sent.now)
        elif wanted == "greet":
            yield from _agree(sent.caller, sent.now)

    await sent.context.database.run(wish)
    seen, reader = await look(request, sent.caller)
    return _done(sent.caller, reader, "mail_on" if seen.wants_mail else "mail_off", reader.say("mail"))


@by_form("language")
async def language_now(request: Request, sent: Sent) -> Response:
    """Write to somebody in a language from now on."""
    caller, wanted = sent.caller, sent.fields.get("wanted", "")

    def speak() -> Steps[None]:
        if wanted in LANGUAGES:
            yield from correct_language(caller.merchant_id, caller.customer, wanted)
            yield from _noted(caller, "chose a language", sent.now, {"after": wanted})

    await sent.context.database.run(speak)
    here = caller._replace(asked={name: value for name, value in caller.asked.items() if name != "language"})
    _, reader = await look(request, here)
    return _done(here, reader, "language_done", reader.say("language"))


@by_form("birthday")
async def birthday_now(request: Request, sent: Sent) -> Response:
    """Keep the day and month somebody was born on, or keep it no longer."""
    caller, fields, reader, person = sent.caller, sent.fields, sent.reader, sent.seen.person
    wanted: str | None = None
    if fields.get("do") != "drop":
        day, month = fields.get("day", ""), fields.get("month", "")
        named = _COUNT.fullmatch(day) and _COUNT.fullmatch(month)
        wanted = day_of_year(int(month), int(day)) if named else None
        if wanted is None:
            return _not_done(caller, reader, "birthday_wrong")
    if person is None:
        return gone(request)
    agrees = wanted is not None and fields.get("greet") == "yes" and sent.seen.may_agree

    def tell() -> Steps[bool]:
        if agrees:
            yield from _agree(caller, sent.now)
        told = yield from tell_birthday(caller.merchant_id, person.numbers, wanted, sent.now)
        if told:
            yield from _noted(caller, "took back their birthday" if wanted is None else "told their birthday", sent.now)
        return told

    if not await sent.context.database.run(tell):
        again = reader.day(sent.seen.birthday.may_change_at(sent.now))
        return _not_done(caller, reader, "not_done", reader.say("birthday_once", day=again))
    if wanted is None:
        return _done(caller, reader, "birthday_gone", reader.say("birthday"))
    return _done(caller, reader, "birthday_done", reader.say("birthday"), day=reader.date(wanted))


def _agree(caller: Caller, now: int) -> Steps[None]:
    """Note that somebody agreed to marketing mail, by their own hand."""
    yield from agree(Named(caller.merchant_id, caller.customer, "account"), now)
    yield from _noted(caller, "agreed to marketing mail", now)


def _noted(caller: Caller, did: str, now: int, detail: dict[str, Any] | None = None) -> Steps[None]:
    """Write into the shop's journal what a customer did about themselves."""
    yield from note(caller.merchant_id, WHO, did, f"customer:{caller.customer}", detail, now)


# --- Their data -----------------------------------------------------------------------------------


@by_form("export", fresh_link=True)
async def export_now(request: Request, sent: Sent) -> Response:
    """Have everything that is kept of somebody put into a file for them."""
    context, caller, privacy = sent.context, sent.caller, sent.context.privacy
    if privacy is None:
        return gone(request)

    def want() -> Steps[None]:
        yield from privacy.hand_over(caller.merchant_id, caller.customer, WHO, sent.now)
        yield from _noted(caller, "asked for all data", sent.now)

    await context.database.run(want)
    await context.queue.enqueue(CARRY_OUT)
    return _done(caller, sent.reader, "export_wait", sent.reader.say("data"))


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


@by_form("forget", fresh_link=True)
async def forget_now(request: Request, sent: Sent) -> Response:
    """Have somebody forgotten, by their own wish, and end their session."""
    context, caller, privacy = sent.context, sent.caller, sent.context.privacy
    if privacy is None:
        return gone(request)
    if sent.fields.get("sure") != "yes":
        return _forget_form(request, caller, sent.seen, sent.reader, 422)

    def want() -> Steps[None]:
        yield from privacy.forget(caller.merchant_id, caller.customer, WHO, sent.now)
        yield from _noted(caller, "asked to be forgotten", sent.now)
        if caller.opened is not None:
            yield from store.end_session(caller.opened, sent.now)

    await context.database.run(want)
    await context.queue.enqueue(CARRY_OUT)
    return _done(caller, sent.reader, "forget_done", sent.reader.say("forget_done_title"), is_over=True)


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
