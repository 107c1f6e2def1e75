"""The merchant's page of one message's words: typed beside the letter they make, tried on oneself, saved or reset."""

from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from handlers.context import Context
from handlers.merchants import addresses, journal
from handlers.merchants.addresses import Address
from handlers.merchants.books import shops
from handlers.merchants.door import Visit
from handlers.merchants.frame import guard, letter, moved, show, told
from handlers.merchants.naming import named
from handlers.merchants.rules import Shop
from handlers.messages import words as kept
from handlers.messages.desk import MESSAGES, TEMPLATES
from handlers.messages.kinds import Kind
from handlers.messages.letters import Set, Words, preview
from handlers.messages.rules import LANGUAGES, language
from handlers.messages.trials import MOST_TRIALS, allow_trial, send_trial
from handlers.messages.words import author, digest, draft_of, drop_draft, keep_draft, look_over, own_words
from integration.database.steps import Steps

LETTER = "letter of words"
SPOKEN = {"en": "English", "de": "German", "fr": "French", "es": "Spanish"}
# What stands in the place of each placeholder.
MEANINGS = {
    "first_name": "the customer's first name; left out where it is not known",
    "shop_name": "your shop's name",
    "order_name": "the order's number",
    "order_date": "the day of the order",
    "order_total": "what was paid",
    "product": "the first product of the order",
    "points": "the points this is about",
    "balance": "the points they have now",
    "reason": "what you wrote when you changed their points",
}


class Desk(NamedTuple):
    """What one page of words is about."""

    shop: Shop
    kind: Kind
    language: str
    whose: str
    draft: kept.Draft | None

    @property
    def own(self) -> Words:
        """The merchant's own words as they are saved."""
        return own_words(self.shop.current, self.kind.name, self.language)

    @property
    def shown(self) -> Words:
        """What the fields hold: what was typed, else what is saved, else ours."""
        ours = kept.our_words(self.kind, self.language)
        return self.draft.words if self.draft else Words(*(a or b for a, b in zip(self.own, ours, strict=True)))

    @property
    def address(self) -> str:
        """Where the page stands."""
        return f"{MESSAGES}/words/{self.kind.name}?{urlencode({'language': self.language})}"

    def set(self, now: int) -> Set:
        """Set what the fields hold as a letter with made-up facts; empty fields say our words."""
        ours = kept.our_words(self.kind, self.language)
        words = Words(*(a or b for a, b in zip(self.shown, ours, strict=True)))
        shop = self.shop
        return preview(
            self.kind,
            words,
            self.language,
            shop_name=shop.name,
            timezone=shop.timezone,
            currency=shop.currency,
            now=now,
        )


async def words_page(request: Request, visit: Visit) -> Response:
    """Show the words of one kind of message in one language, and the letter they make."""
    desk = await _desk(request, visit)
    return _page(request, visit, desk, digest(desk.own))


async def save(request: Request, visit: Visit) -> Response:
    """Save the words that were typed as a new version of the programme, or say what is wrong with them."""
    context: Context = request.app.state.context
    desk, base = await _typed(request, visit)
    if errors := _errors(desk):
        return _page(request, visit, desk, base, errors, status=422)
    now = context.clock.now()

    def write() -> Steps[str]:
        saved = yield from kept.save_words(
            visit.merchant_id, desk.kind, desk.language, desk.shown, base, now, visit.who
        )
        if saved == "overtaken":
            return saved
        yield from drop_draft(visit.merchant_id, desk.kind.name, desk.language, desk.whose, now)
        if saved == "saved":
            yield from _note(visit, desk, "changed the words of a message", desk.shown, now)
        return saved

    saved = await context.database.run(write)
    if saved == "overtaken":
        fresh = await _desk(request, visit, desk.language)
        return _page(request, visit, fresh, digest(fresh.own), overtaken=True, status=422)
    said = "Saved. Messages that go out from now on say this." if saved == "saved" else "Nothing was changed."
    return moved(request, visit, desk.address, said)


async def show_typed(request: Request, visit: Visit) -> Response:
    """Keep what was typed and show it as a letter: to a script as JSON, else as the page again."""
    context: Context = request.app.state.context
    desk, _ = await _typed(request, visit)
    if "application/json" not in request.headers.get("accept", ""):
        return moved(request, visit, desk.address)
    set_ = desk.set(context.clock.now())
    found = look_over(desk.kind, desk.shown)
    return JSONResponse(
        {
            "src": _letter_address(context, visit, desk),
            "subject": set_.subject,
            "text": set_.text,
            "remarks": {name: [*one.errors, *one.warnings] for name, one in found.items()},
        }
    )


async def try_out(request: Request, visit: Visit) -> Response:
    """Send what was typed to the merchant's own address, as a test."""
    context: Context = request.app.state.context
    desk, base = await _typed(request, visit)
    if errors := _errors(desk):
        return _page(request, visit, desk, base, errors, status=422)
    now = context.clock.now()
    if not await context.database.run(lambda: allow_trial(visit.merchant_id, now)):
        said = f"You have had {MOST_TRIALS} tests within an hour. Please wait a little; what you typed is kept."
        return moved(request, visit, desk.address, said, "critical")
    ours = kept.our_words(desk.kind, desk.language)
    words = Words(*(a or b for a, b in zip(desk.shown, ours, strict=True)))
    trial = await send_trial(context, desk.shop, desk.kind, desk.language, words)
    did = "had a test message sent to the shop" if trial.is_sent else "tried to have a test message sent to the shop"
    await context.database.run(lambda: _note(visit, desk, did, None, now))
    return moved(request, visit, desk.address, trial.words, "success" if trial.is_sent else "critical")


async def reset_page(request: Request, visit: Visit) -> Response:
    """Ask once more before the merchant's own words give way to ours."""
    desk = await _desk(request, visit)
    ours = kept.our_words(desk.kind, desk.language)
    return show(visit, "reset.html", TEMPLATES, desk=desk, name=named(desk.kind.name).title, ours=ours, spoken=SPOKEN)


async def reset_now(request: Request, visit: Visit) -> Response:
    """Say our words again, and forget what was typed."""
    context: Context = request.app.state.context
    desk = await _desk(request, visit)
    now = context.clock.now()

    def write() -> Steps[None]:
        nothing = Words("", "")
        base = digest(desk.own)
        saved = yield from kept.save_words(visit.merchant_id, desk.kind, desk.language, nothing, base, now, visit.who)
        yield from drop_draft(visit.merchant_id, desk.kind.name, desk.language, desk.whose, now)
        if saved == "saved":
            yield from _note(visit, desk, "reset the words of a message", nothing, now)

    await context.database.run(write)
    return moved(request, visit, desk.address, "These are our words again.")


async def discard(request: Request, visit: Visit) -> Response:
    """Forget what was typed and not saved."""
    context: Context = request.app.state.context
    desk = await _desk(request, visit)
    now = context.clock.now()
    await context.database.run(lambda: drop_draft(visit.merchant_id, desk.kind.name, desk.language, desk.whose, now))
    return moved(request, visit, desk.address, "What was not saved is gone.")


async def letter_itself(request: Request) -> Response:
    """Show a letter with made-up facts, for the frames of the page above: a frame's document carries no token.

    Its address is signed, and it shows words of the merchant's alone, nothing about any customer.
    """
    context: Context = request.app.state.context
    token, now = request.path_params["token"], context.clock.now()
    addresses.keep_to(context.vault, LETTER, token)

    def look() -> Steps[tuple[Address | None, Desk | None]]:
        one = yield from addresses.look_up(context.vault, LETTER, token, 3, now)
        if one is None or not one.stands or one.parts[0] not in context.kinds:
            return one, None
        kind, spoken, _ = one.parts
        return one, (yield from _look(context, one.merchant_id, kind, spoken, author(one.who), now))

    one, desk = await context.database.read(look)
    if one is None:
        return guard(told(404))
    if desk is None:
        return guard(letter("<p>This preview is over. Please load the page again.</p>", one.shop), one.shop)
    return guard(letter(desk.set(now).html, one.shop), one.shop)


# --- What the pages share -----------------------------------------------------------------------


async def _desk(request: Request, visit: Visit, spoken: str | None = None) -> Desk:
    context: Context = request.app.state.context
    kind = request.path_params["kind"]
    if kind not in context.kinds:
        raise HTTPException(404)
    now = context.clock.now()
    wanted = spoken or request.query_params.get("language")
    return await context.database.read(lambda: _look(context, visit.merchant_id, kind, wanted, author(visit.who), now))


def _look(context: Context, merchant_id: int, kind: str, wanted: str | None, whose: str, now: int) -> Steps[Desk]:
    shop = (yield from shops([merchant_id]))[merchant_id]
    spoken = wanted if wanted in LANGUAGES else language(None, shop.country)
    draft = yield from draft_of(merchant_id, kind, spoken, whose, now)
    return Desk(shop, context.kinds[kind], spoken, whose, draft)


async def _typed(request: Request, visit: Visit) -> tuple[Desk, str]:
    """Keep what a form brings as a draft; returns it with what its words were typed from."""
    context: Context = request.app.state.context
    form = await request.form()
    words = kept.tidied(str(form.get("subject", "")), str(form.get("body", "")))
    desk = await _desk(request, visit, str(form.get("language", "")))
    now = context.clock.now()
    await context.database.run(
        lambda: keep_draft(visit.merchant_id, desk.kind.name, desk.language, desk.whose, words, now)
    )
    return desk._replace(draft=kept.Draft(words, now)), str(form.get("base", ""))


def _note(visit: Visit, desk: Desk, did: str, after: Words | None, now: int) -> Steps[None]:
    detail: dict[str, Any] = {"kind": desk.kind.name, "language": desk.language}
    if after is not None:
        detail |= {"before": desk.own._asdict(), "after": after._asdict()}
    yield from journal.note(visit.merchant_id, visit.who, did, f"words:{desk.kind.name}", detail, now)


def _place_of(placeholder: str) -> int:
    return list(MEANINGS).index(placeholder) if placeholder in MEANINGS else len(MEANINGS)


def _errors(desk: Desk) -> dict[str, str]:
    """Say what keeps the words from being saved, by field."""
    found = look_over(desk.kind, desk.shown)
    return {name: " ".join(one.errors) for name, one in found.items() if one.errors}


def _letter_address(context: Context, visit: Visit, desk: Desk) -> str:
    until = context.clock.now() + addresses.MOST_LIFE
    # The draft's instant makes each an address of its own, so that a frame loads it anew.
    parts = (desk.kind.name, desk.language, desk.draft.at if desk.draft else 0)
    return f"{MESSAGES}/letter/{addresses.sign(context.vault, visit, LETTER, until, *parts)}"


def _page(
    request: Request,
    visit: Visit,
    desk: Desk,
    base: str,
    errors: dict[str, str] | None = None,
    *,
    overtaken: bool = False,
    status: int = 200,
) -> Response:
    context: Context = request.app.state.context
    set_ = desk.set(context.clock.now())
    return show(
        visit,
        "words.html",
        TEMPLATES,
        status,
        desk=desk,
        name=named(desk.kind.name).title,
        base=base,
        errors=errors or {},
        remarks=look_over(desk.kind, desk.shown),
        overtaken=overtaken,
        set=set_,
        src=_letter_address(context, visit, desk),
        spoken=SPOKEN,
        written=kept.languages_written(desk.shop.current, desk.kind.name),
        meanings=[(name, MEANINGS.get(name, "")) for name in sorted(desk.kind.placeholders, key=_place_of)],
        sender=desk.shop.current.messages.from_name or desk.shop.name,
        shop_email=desk.shop.email,
        off=desk.kind.off(desk.shop.current),
    )
