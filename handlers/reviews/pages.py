"""The review form behind the link of a request: stars and words for up to three products, once."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.messages.letters import fill, words_file
from handlers.messages.pages import TooLarge, accepted_language, language_of, page, read_form
from handlers.reviews.letters import TEMPLATES
from handlers.reviews.store import Answer, Asked, Link, asked, put_off, write
from integration.database.wall import keep_within

MAX_WORDS = 5_000  # characters of one review
MAX_NAME = 80


async def review_page(request: Request) -> Response:
    """Show the form, with the stars that were followed in the letter chosen; nothing is stored yet."""
    context: Context = request.app.state.context
    found = await _asked(context, request)
    if found is None:
        return _gone(request)
    if found.answered:
        return _told(found, request, "used")
    followed = {f"stars-{request.query_params.get('line', '')}": request.query_params.get("stars", "")}
    return _form(found, request, followed)


async def review_now(request: Request) -> Response:
    """Store what was answered, once; without any stars the form comes back with its words kept."""
    context: Context = request.app.state.context
    found = await _asked(context, request)
    if found is None:
        return _gone(request)
    if found.answered:
        return _told(found, request, "used")
    try:
        fields = await read_form(request)
    except TooLarge:
        return _form(found, request, {}, 413)
    answers = _answers(found, fields)
    if not answers:
        return _form(found, request, fields, 422)
    spoken = language_of(found.shop, found.person, request)
    name = _plain(fields.get("name", ""))[:MAX_NAME].strip()
    now = context.clock.now()
    stored = await context.database.run(lambda: write(found, answers, name, spoken, now))
    return _told(found, request, "thanks" if stored else "used")


async def review_later(request: Request) -> Response:
    """Take "not arrived yet" for an answer, and ask again in a week."""
    context: Context = request.app.state.context
    found = await _asked(context, request)
    if found is None:
        return _gone(request)
    now = context.clock.now()
    outcome = await context.database.run(lambda: put_off(found, now))
    return _told(found, request, "used" if outcome == "answered" else outcome)


async def _asked(context: Context, request: Request) -> Asked | None:
    parts = context.vault.check("review", request.path_params["token"])
    if parts is None or len(parts) != 3:
        return None
    link = Link(int(parts[0]), int(parts[1]), int(parts[2]))
    keep_within(link.merchant_id)
    now = context.clock.now()
    return await context.database.read(lambda: asked(link, now))


def _answers(found: Asked, fields: Mapping[str, str]) -> list[Answer]:
    """Read the products that got stars; only lines of this order are looked for."""
    answers = []
    for line in found.lines:
        stars = fields.get(f"stars-{line.id}", "")
        if stars in ("1", "2", "3", "4", "5"):
            words = _plain(fields.get(f"words-{line.id}", ""))[:MAX_WORDS].strip()
            answers.append(Answer(line, int(stars), words))
    return answers


def _plain(text: str) -> str:
    """Keep what can be stored and shown: no NUL or other control characters but line breaks."""
    return "".join(c for c in text.replace("\r\n", "\n") if c == "\n" or c.isprintable())


def _form(found: Asked, request: Request, fields: Mapping[str, str], status: int = 200) -> Response:
    words = _words(found, request)
    names = _names(found)
    person = found.person
    shown = f"{person.first_name} {person.last_name[:1]}".strip() if person is not None else ""
    return page(
        "form.html",
        language_of(found.shop, person, request),
        status,
        TEMPLATES,
        title=words["title"],
        lead=fill(words["lead"], names),
        shop_name=found.shop.name,
        error=words["none"] if status == 422 else None,
        path=request.url.path,
        products=[
            {
                "line": line.id,
                "title": line.title,
                "legend": fill(words["stars_of"], {"product": line.title}),
                "stars": int(stars) if (stars := fields.get(f"stars-{line.id}", "")) in set("12345") else 0,
                "words": fields.get(f"words-{line.id}", "")[:MAX_WORDS],
            }
            for line in found.lines
        ],
        star_labels=words["star"],
        words_label=words["words"],
        name_label=words["name"],
        name_hint=words["name_hint"],
        name=fields.get("name", shown)[:MAX_NAME],
        send=words["send"],
        policy=words["policy"],
        not_arrived=words["not_arrived"],
        not_arrived_send=words["not_arrived_send"],
    )


def _told(found: Asked, request: Request, what: str) -> Response:
    words = _words(found, request)
    return page(
        "page.html",
        language_of(found.shop, found.person, request),
        title=words[f"{what}_title"],
        text=fill(words[what], _names(found)),
        shop_name=found.shop.name,
    )


def _gone(request: Request) -> Response:
    """Answer a wrong, outdated or made-up link: all look alike."""
    spoken = accepted_language(request) or "en"
    words = words_file(TEMPLATES / "form.toml")[spoken]
    return page("page.html", spoken, 404, title=words["gone_title"], text=words["gone"], shop_name="")


def _words(found: Asked, request: Request) -> Mapping[str, Any]:
    forms = words_file(TEMPLATES / "form.toml")
    return forms[language_of(found.shop, found.person, request)]


def _names(found: Asked) -> dict[str, str]:
    order = found.sale.facts.order
    return {"shop_name": found.shop.name, "order_name": order.name if order is not None else ""}
