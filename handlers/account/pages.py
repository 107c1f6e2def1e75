"""The customer's own page, and the ways to it: a link in a letter, a fresh one that lets them act, the shop's address.

A page is `async def page(request, caller) -> Response`. `by_link` lets whoever holds a letter look; `by_session` and
`by_proxy` let people act: who opened a link mailed to them within the last hour, and who is signed in to the shop.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

import structlog
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from handlers.account import store
from handlers.account.letters import OPEN, fresh_link
from handlers.account.rules import Reader
from handlers.account.store import Opened
from handlers.account.views import MOST_LINES, Seen, history, reader_of, see, shown
from handlers.context import Context
from handlers.customers.rules import normalise
from handlers.customers.timeline import Bound
from handlers.merchants.door import COOKIE, caller_address, is_from_elsewhere, own_cookie
from handlers.merchants.look import OwnPage
from handlers.messages.letters import words_file
from handlers.messages.pages import COPY, Look, TooLarge, accepted_language, language_of, page, read_form
from handlers.messages.rules import LANGUAGES
from integration.clock import MINUTE, SECOND
from integration.colour import shades
from integration.database.wall import keep_within
from integration.errors import Forged, OutsideError, Unavailable
from integration.shopify.app_proxy import read_forwarded

TEMPLATES = Path(__file__).parent / "templates"
WORDS = TEMPLATES / "words.toml"
HERE = "/c/account"  # where who opened a fresh link is
FORM_LIFE = 30 * MINUTE
MOST_ADDRESS = 254  # characters of an e-mail address
LOGO_WIDTH = 320  # pixels, to which the shop's file server scales it
PAPER = "#f4f2ec"  # behind the cards, as in page.css
MOST_KEY = 1_000  # characters
_NONCE_BYTES = 16
_COOKIE = "-account"
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
KNOWN = {
    "language": re.compile("|".join(LANGUAGES)),
    "before": re.compile(r"[0-9]{1,18}\.[0-9]{1,18}", re.ASCII),
    "reward": re.compile(r"[a-z0-9][a-z0-9_-]{0,39}"),
    "steps": re.compile(r"[0-9]{1,4}", re.ASCII),
    "number": _NUMBER,
}
"""What our pages take in an address, and all the shapes it may have."""

ACTS = ("mails", "language", "birthday", "export", "mail", "friends")  # with a form on the page itself
NAMES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}

log = structlog.get_logger()


class Caller(NamedTuple):
    """Who is there, and how they came; made by the ways in alone."""

    way: Literal["link", "session", "proxy"]
    merchant_id: int
    customer: int  # 0 = somebody nobody knows
    base: str  # the address under which their pages are
    asked: Mapping[str, str]  # what the address asks for, of KNOWN
    opened: Opened | None = None
    is_guest: bool = False  # not signed in to the shop

    @property
    def acts(self) -> bool:
        """Whether they may spend and change."""
        return self.way != "link" and bool(self.customer)

    def at(self, path: str = "", **query: Any) -> str:
        """Write the address of a page of theirs."""
        if "language" in self.asked:
            query = {"language": self.asked["language"], **query}
        return f"{self.base}{path}" + (f"?{urlencode(query)}" if query else "")


Page = Callable[[Request, Caller], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


# --- Ways in --------------------------------------------------------------------------------------


def by_link(shows: Page) -> Endpoint:
    """Make an endpoint of a page for whoever holds a link that a letter brought: looking is all it allows."""

    async def endpoint(request: Request) -> Response:
        context: Context = request.app.state.context
        token = request.path_params["token"]
        parts = context.vault.check("me", token)
        if parts is None or len(parts) != 3 or int(parts[2]) <= context.clock.now():
            return gone(request)
        merchant_id, number = int(parts[0]), int(parts[1])

        async def find() -> Caller | None:
            root = await context.database.read(lambda: store.root_of(merchant_id, number))
            return None if root is None else Caller("link", merchant_id, root, f"/c/me/{token}", _asked(request))

        return await _answer(request, find, shows)

    return endpoint


def by_session(shows: Page) -> Endpoint:
    """Make an endpoint of a page for who opened a fresh link in this browser."""

    async def endpoint(request: Request) -> Response:
        context: Context = request.app.state.context
        name, now = own_cookie(request), context.clock.now()
        cookie = request.cookies.get(name + _COOKIE) if name is not None else None
        if cookie is None:
            return gone(request)
        if request.method == "POST" and is_from_elsewhere(request):
            return gone(request, 403)

        async def find() -> Caller | None:
            found = await context.database.read(lambda: store.find_session(cookie, context.vault, now))
            if found is None:
                return None
            opened, root = found
            return Caller("session", opened.merchant_id, root, HERE, _asked(request), opened)

        return await _answer(request, find, shows)

    return endpoint


def by_proxy(shows: Page) -> Endpoint:
    """Make an endpoint of a page for who is signed in to a shop, by Shopify's signed word and nothing else."""

    async def endpoint(request: Request) -> Response:
        context: Context = request.app.state.context
        now = context.clock.now()
        try:
            told = read_forwarded(request.url.query, context.shopify_secrets, KNOWN, now)
        except Forged as error:
            log.info("forwarded_request_refused", reason=str(error))
            return _private(gone(request, 400))

        async def find() -> Caller | None:
            found = await context.database.read(lambda: store.signed_in(told.shop, told.customer))
            is_guest = told.customer is None
            return None if found is None else Caller("proxy", *found, told.path_prefix, told.asked, is_guest=is_guest)

        return _private(await _answer(request, find, shows))

    return endpoint


async def _answer(request: Request, find: Callable[[], Awaitable[Caller | None]], shows: Page) -> Response:
    try:
        caller = await find()
        if caller is None:
            return gone(request)
        keep_within(caller.merchant_id)
        return await shows(request, caller)
    except TooLarge:
        return gone(request, 413)
    except Unavailable as error:
        log.warning("account_page_put_off", reason=str(error))
        return _told(request, "away", 503)


def _asked(request: Request) -> dict[str, str]:
    """Read what the address asks for; what has another shape is not asked."""
    query = request.query_params
    return {name: query[name] for name, shape in KNOWN.items() if name in query and shape.fullmatch(query[name])}


def _private(answer: Response) -> Response:
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


# --- What forms carry -----------------------------------------------------------------------------


def key_of(context: Context, caller: Caller, act: str, *about: str | int) -> str:
    """Make what a form carries: it proves that this person was shown this page for this act, and is the act's key."""
    made_at, nonce = context.clock.now(), secrets.token_urlsafe(_NONCE_BYTES)
    return context.vault.sign("account act", *_bound(caller), act, made_at, nonce, *about)


def nonce_of(context: Context, caller: Caller, fields: Mapping[str, str], act: str, *about: str | int) -> str | None:
    """Return the key of an act whose form was made for it within FORM_LIFE, else None."""
    parts = context.vault.check("account act", fields.get("key", "")[:MOST_KEY])
    bound = [str(part) for part in (*_bound(caller), act)]
    if parts is None or len(parts) < len(bound) + 2 or list(parts[: len(bound)]) != bound:
        return None
    made_at, nonce, *rest = parts[len(bound) :]
    is_fresh = 0 <= context.clock.now() - int(made_at) < FORM_LIFE
    return nonce if is_fresh and rest == [str(part) for part in about] else None


def _bound(caller: Caller) -> tuple[str | int, ...]:
    session = caller.opened.session if caller.opened is not None else ""
    return caller.merchant_id, caller.customer, caller.way, session


# --- Looking --------------------------------------------------------------------------------------


async def account_page(request: Request, caller: Caller) -> Response:
    """Show what somebody has and what it buys; a guest is told how to sign in."""
    context: Context = request.app.state.context
    seen, reader = await look(request, caller)
    values: dict[str, Any] = shown(seen, reader, caller.acts, context.clock.now())
    if caller.acts:
        values["keys"] = {act: key_of(context, caller, act) for act in ACTS}
        values["months"] = reader.months
        values["file"] = await _file(context, caller) if caller.way == "session" else None
    elif caller.way == "link":
        token = context.vault.sign("unsubscribe", caller.merchant_id, caller.customer, "account")
        values["stop_mail"] = f"/c/unsubscribe/{token}"
    elif caller.is_guest:
        values["keys"] = {"find": key_of(context, caller, "find")}
    values["is_guest"] = caller.is_guest
    # Whoever comes through the shop has an account there already, or is shown the way to one above.
    if caller.way != "proxy" and seen.shop_at is not None and not seen.has_account:
        values["open_account"] = f"https://{seen.shop_at}/account/login"
    values["friend_page"] = f"{context.public_url}/c/friend/"
    values["sign_in"] = f"/account/login?{urlencode({'return_url': caller.base})}"
    return render(caller, reader, "account.html", title=reader.say("title"), **values)


async def history_page(request: Request, caller: Caller) -> Response:
    """Show what happened before a moment."""
    at, _, number = caller.asked.get("before", "").partition(".")
    before = Bound(int(at), number) if at else None
    seen, reader = await look(request, caller, before)
    if seen.person is None:
        return gone(request)
    lines, after = history(seen, reader, MOST_LINES)
    return render(caller, reader, "history.html", title=reader.say("history"), lines=lines, after=after)


async def nothing_here(request: Request, caller: Caller) -> Response:
    """Answer an address of the shop that no page has."""
    return gone(request)


async def look(request: Request, caller: Caller, before: Bound | None = None) -> tuple[Seen, Reader]:
    """Look up what there is to show to somebody, and who reads it. Raises Unavailable."""
    context: Context = request.app.state.context
    now = context.clock.now()
    seen = await context.database.read(lambda: see(context, caller.merchant_id, caller.customer, now, before))
    if seen is None:
        raise Unavailable("the shop was there a moment ago")
    spoken = caller.asked.get("language") or language_of(seen.shop, seen.person, request)
    return seen, reader_of(seen, spoken, words_file(WORDS)[spoken])


def render(caller: Caller, reader: Reader, template: str, status: int = 200, **values: Any) -> Response:
    """Answer with a page of somebody's; it stands under the shop's name."""
    return page(
        template,
        reader.language,
        status,
        TEMPLATES,
        referrer="same-origin",
        look=look_of(reader.page),
        script=COPY,
        shop_name=reader.shop_name,
        words=reader.words,
        say=reader.say,
        at=caller.at,
        caller=caller,
        languages=NAMES,
        **values,
    )


@lru_cache(maxsize=256)
def look_of(own: OwnPage) -> Look:
    """Dress a page in a shop's colour, so that everything can be read, and put its logo there, no larger than shown."""
    logo = f"{own.logo}{'&' if '?' in own.logo else '?'}width={LOGO_WIDTH}" if own.logo else ""
    if not own.colour:
        return Look("", logo)
    fill, on_fill, deep, text, tint, middle = shades(own.colour, PAPER)
    variables = {"green": text, "fill": fill, "on-fill": on_fill, "deep": deep, "tint": tint, "middle": middle}
    return Look(":root{" + ";".join(f"--{name}:{colour}" for name, colour in variables.items()) + "}", logo)


def gone(request: Request, status: int = 404) -> Response:
    """Answer what is wrong, used, outdated or somebody else's: all look alike."""
    return _told(request, "gone", status)


def _told(request: Request, what: str, status: int) -> Response:
    spoken = accepted_language(request) or "en"
    words = words_file(WORDS)[spoken]
    return page("page.html", spoken, status, title=words[f"{what}_title"], text=words[what], shop_name="")


async def _file(context: Context, caller: Caller) -> dict[str, Any] | None:
    """Return the newest receipt of somebody's own request for their data; None for none that is open or there."""
    privacy = context.privacy
    if privacy is None:
        return None
    found = await context.database.read(lambda: privacy.receipts(caller.merchant_id, caller.customer))
    mine = [one for one in found if one["asked_by"] == "customer" and one["kind"] == "customers/data_request"]
    newest = max(mine, key=lambda one: one["request"], default=None)
    return newest if newest is not None and (newest["file"] or newest["state"] == "open") else None


# --- A fresh link ---------------------------------------------------------------------------------


async def mail_link(request: Request, caller: Caller) -> Response:
    """Mail a fresh link to the address that is kept of somebody; whether one went out is not told."""
    context: Context = request.app.state.context
    fields = await read_form(request)
    seen, reader = await look(request, caller)
    if caller.way == "proxy" and nonce_of(context, caller, fields, "mail") is None:
        return render(caller, reader, "told.html", 422, title=reader.say("not_done_title"), text=reader.say("too_old"))
    reward = fields.get("reward", "")
    wanted = reward if KNOWN["reward"].fullmatch(reward) else None
    answer = render(caller, reader, "fresh.html", title=reader.say("fresh_title"), text=reader.say("fresh_text"))
    answer.background = BackgroundTask(_mail, context, caller, seen, reader, wanted, _asker(request, caller))
    return answer


async def find_link(request: Request, caller: Caller) -> Response:
    """Mail a fresh link to whoever has the address a guest typed; whose it is, if anybody's, is not told."""
    context: Context = request.app.state.context
    fields = await read_form(request)
    _, reader = await look(request, caller)
    if not caller.is_guest:
        return gone(request)
    if nonce_of(context, caller, fields, "find") is None:
        return render(caller, reader, "told.html", 422, title=reader.say("not_done_title"), text=reader.say("too_old"))
    email = normalise(fields.get("email", "")[:MOST_ADDRESS])
    answer = render(caller, reader, "fresh.html", title=reader.say("fresh_title"), text=reader.say("find_text"))
    answer.background = BackgroundTask(_find, request, caller, email, _asker(request, caller))
    return answer


async def open_page(request: Request) -> Response:
    """Show a button: looking at a link uses nothing up, since link scanners look at every link."""
    context: Context = request.app.state.context
    token, now = request.path_params["token"], context.clock.now()
    found = await context.database.read(lambda: store.link_opens(token, context.vault, now))
    if found is None or own_cookie(request) is None:
        return gone(request)
    caller = Caller("link", *found, OPEN, _asked(request))
    _, reader = await look(request, caller)
    return page(
        "page.html",
        reader.language,
        referrer="same-origin",
        look=look_of(reader.page),
        title=reader.say("open_title"),
        text=reader.say("open_text"),
        shop_name=reader.shop_name,
        action=(reader.say("open_yes"), request.url.path),
    )


async def open_now(request: Request) -> Response:
    """Use a link up, and go on to the page on which its owner may act."""
    context: Context = request.app.state.context
    token, now, name = request.path_params["token"], context.clock.now(), own_cookie(request)
    if is_from_elsewhere(request) or name is None:
        return gone(request)
    used = await context.database.run(lambda: store.use_link(token, context.vault, now))
    if used is None:
        return gone(request)
    to = f"{HERE}/redeem?{urlencode({'reward': used.reward})}" if used.reward else HERE
    answer = RedirectResponse(to, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    age = store.SESSION_LIFE // SECOND
    secure = name == COOKIE
    answer.set_cookie(name + _COOKIE, used.cookie, age, secure=secure, httponly=True, samesite="lax", path="/")
    return answer


def _asker(request: Request, caller: Caller) -> str:
    """Stand for the address of the network a browser calls from; empty where that is not to be told.

    Shopify's servers call for everybody.
    """
    context: Context = request.app.state.context
    address = "" if caller.way == "proxy" else caller_address(request)
    return context.vault.stand_in("asker", address) if address else ""


async def _find(request: Request, caller: Caller, email: str, asker: str) -> None:
    context: Context = request.app.state.context
    now = context.clock.now()
    target = context.vault.stand_in("typed address", caller.merchant_id, email)
    found = await context.database.run(lambda: store.typed(caller.merchant_id, email, target, asker, now))
    if found is None:
        return
    owner = caller._replace(customer=found)
    seen = await context.database.read(lambda: see(context, owner.merchant_id, found, now))
    if seen is not None and seen.person is not None:
        spoken = language_of(seen.shop, seen.person, request)
        await _mail(context, owner, seen, reader_of(seen, spoken, words_file(WORDS)[spoken]), None, asker)


async def _mail(context: Context, caller: Caller, seen: Seen, reader: Reader, reward: str | None, asker: str) -> None:
    now, customer = context.clock.now(), caller.customer
    if fresh_link(context, seen, reader, "") is None:
        return
    try:
        token = await context.database.run(
            lambda: store.new_link(caller.merchant_id, customer, asker, reward, context.vault, now)
        )
        letter = fresh_link(context, seen, reader, token) if token is not None else None
        if letter is not None:
            await context.channels["email"].send(letter)
    except OutsideError as error:
        # Who waits for it asks again; the page said that it may not come.
        log.warning("account_link_not_mailed", reason=str(error))
