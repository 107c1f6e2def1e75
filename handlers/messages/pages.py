"""The customer's pages of the outbox: stopping mail and coming back, by the signed link in every letter."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from handlers.context import Context
from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from handlers.messages.letters import TEMPLATES, fill, frame_words
from handlers.messages.people import Person, load
from handlers.messages.permission import Named, resubscribe, unsubscribe
from handlers.messages.rules import LANGUAGES, language
from integration.database.steps import Steps
from integration.database.wall import keep_within

MAX_BODY = 64 * 1024  # bytes of a form
MAX_FIELDS = 40
COPY = "copy.js"  # the script of pages with a code to copy


class TooLarge(Exception):
    """A form longer than any person would send."""


async def unsubscribe_page(request: Request) -> Response:
    """Show who will be silent; changes nothing, since link scanners follow every link."""
    context: Context = request.app.state.context
    named = _named(context, request)
    if named is None:
        return _wrong(request)
    shop, person = await context.database.read(lambda: _whom(named, context.clock.now()))
    words, names = _words(shop, person, request), _names(shop)
    return page(
        "page.html",
        language_of(shop, person, request),
        title=fill(words["page_title"], names),
        text=fill(words["page_ask"], names),
        shop_name=names["shop_name"],
        action=(words["page_stop"], request.url.path),
    )


async def unsubscribe_now(request: Request) -> Response:
    """Stop mail at once; the one-click POST of a mail program (RFC 8058) and the page's button are alike.

    The body does not matter and is not read. Again changes nothing and answers 200 as well.
    """
    context: Context = request.app.state.context
    named = _named(context, request)
    if named is None:
        return _wrong(request)
    now = context.clock.now()
    await context.database.run(lambda: unsubscribe(named, "link", now))
    shop, person = await context.database.read(lambda: _whom(named, now))
    words, names = _words(shop, person, request), _names(shop)
    return page(
        "page.html",
        language_of(shop, person, request),
        title=words["page_done_title"],
        text=fill(words["page_done"], names),
        shop_name=names["shop_name"],
        action=(words["page_undo"], request.url.path.rstrip("/") + "/undo"),
        quiet=True,
    )


async def resubscribe_now(request: Request) -> Response:
    """Take an unsubscribing back."""
    context: Context = request.app.state.context
    named = _named(context, request)
    if named is None:
        return _wrong(request)
    now = context.clock.now()
    await context.database.run(lambda: resubscribe(named, now))
    shop, person = await context.database.read(lambda: _whom(named, now))
    words, names = _words(shop, person, request), _names(shop)
    return page(
        "page.html",
        language_of(shop, person, request),
        title=words["page_undone_title"],
        text=fill(words["page_undone"], names),
        shop_name=names["shop_name"],
    )


class Look(NamedTuple):
    """How a shop's pages look: a style sheet of its own after ours, and the address of its logo."""

    style: str = ""
    logo: str = ""


OURS = Look()


def page(
    template: str,
    spoken: str,
    status: int = 200,
    folder: Path = TEMPLATES,
    referrer: str = "no-referrer",
    look: Look = OURS,
    script: str = "",
    **values: Any,
) -> Response:
    """Answer with a customer's page: nothing is fetched from elsewhere, framed, kept or told onwards.

    `folder` holds the capability's own templates; `page.html` is everybody's. A style sheet `own.css` that lies there
    goes into the page, and the `script` of ours that is named. Where nothing is told of where it came from
    (`referrer`), browsers do not tell which site a form was sent from either: a page whose forms are proven by that
    has `same-origin`. The logo of a `look` is the one thing that is fetched from elsewhere.
    """
    style, code, csp = _dress(folder, look, script)
    html = (
        _pages(folder)
        .get_template(template)
        .render(language=spoken, style=style, script=code, referrer=referrer, look=look, **values)
    )
    return HTMLResponse(
        html,
        status,
        {
            "Content-Security-Policy": csp,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": referrer,
            "X-Frame-Options": "DENY",
            "X-Robots-Tag": "noindex, nofollow",
        },
    )


async def read_form(request: Request) -> dict[str, str]:
    """Read a URL-encoded form of at most `MAX_BODY` bytes; of fields that repeat the last counts.

    Raises TooLarge. Anything that is no such form is an empty one.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        return {}


def language_of(shop: Shop | None, person: Person | None, request: Request) -> str:
    """Choose a page's language: the person's own, else what their browser asks for, else their country's."""
    if person is not None and person.locale:
        return language(person.locale, None)
    if accepted := accepted_language(request):
        return accepted
    country = (person.country if person is not None else None) or (shop.country if shop is not None else None)
    return language(None, country)


def accepted_language(request: Request) -> str | None:
    """Return the first language of the browser's list that we have."""
    for part in request.headers.get("accept-language", "")[:200].split(","):
        spoken = part.partition(";")[0].strip().partition("-")[0].lower()
        if spoken in LANGUAGES:
            return spoken
    return None


def _named(context: Context, request: Request) -> Named | None:
    parts = context.vault.check("unsubscribe", request.path_params["token"])
    if parts is None or len(parts) != 3:
        return None
    keep_within(int(parts[0]))
    return Named(int(parts[0]), int(parts[1]), parts[2])


def _whom(named: Named, now: int) -> Steps[tuple[Shop | None, Person | None]]:
    known = yield from shops([named.merchant_id])
    people = yield from load([(named.merchant_id, named.customer)], now)
    return known.get(named.merchant_id), people.get((named.merchant_id, named.customer))


def _words(shop: Shop | None, person: Person | None, request: Request) -> Mapping[str, Any]:
    return frame_words(language_of(shop, person, request))


def _names(shop: Shop | None) -> dict[str, str]:
    return {"shop_name": shop.name if shop is not None else ""}


def _wrong(request: Request) -> Response:
    """Answer a link that does not fit, without saying why."""
    spoken = accepted_language(request) or "en"
    words = frame_words(spoken)
    return page("page.html", spoken, 400, title=words["page_wrong_title"], text=words["page_wrong"], shop_name="")


@lru_cache(maxsize=16)
def _pages(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=select_autoescape(default=True, default_for_string=True),
    )


@lru_cache(maxsize=256)
def _dress(folder: Path, look: Look, named: str) -> tuple[str, str, str]:
    """Return style sheet and script, and the policy that allows them by their digests and nothing else."""
    own = folder / "own.css"
    style = _read(TEMPLATES / "page.css") + (_read(own) if own.exists() else "")
    script = _read(TEMPLATES / named) if named else ""
    styles = f"'{_digest(style)}'" + (f" '{_digest(look.style)}'" if look.style else "")
    pictures = f" img-src {look.logo.partition('?')[0]};" if look.logo else ""
    scripts = f" script-src '{_digest(script)}';" if script else ""
    policy = (
        f"default-src 'none'; style-src {styles};{scripts}{pictures}"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return style, script, policy


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
