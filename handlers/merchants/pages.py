"""Signing in without Shopify, the page that fetches a session token, and what is said where there is no page."""

import structlog
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from handlers.context import Context
from handlers.merchants import sessions
from handlers.merchants.door import (
    BOUNCE,
    COOKIE,
    SIGN_IN,
    Visit,
    cookie_session,
    is_from_elsewhere,
    own_cookie,
    proven_shop,
    read_form,
)
from handlers.merchants.frame import HOME, guard, is_own, moved, render, told
from handlers.merchants.journal import note
from handlers.merchants.letters import sign_in_letter
from integration.clock import SECOND
from integration.database.steps import Steps
from integration.errors import OutsideError
from integration.shopify.shops import exact_domain

MOST_EMAIL = 254
MOST_SHOPS = 5  # merchants of one address that get a link
SMALL_FORM = 8 * 1024  # bytes
MOST_WISHED = 500  # characters of the address somebody wanted to go to; it travels in the mailed link

log = structlog.get_logger()


async def front_page(request: Request) -> Response:
    """Send a browser on to the first page, with what Shopify's admin put into the address."""
    query = request.url.query
    # A redirect has no body; it is named all the same, so that nobody guesses.
    headers = {"Content-Type": "text/html; charset=utf-8"}
    return guard(RedirectResponse(f"{HOME}?{query}" if query else HOME, 302, headers))


async def sign_in_page(request: Request) -> Response:
    """Ask for the address that a link is mailed to; who is signed in goes on."""
    to = _wished(request.query_params.get("to"))
    if await cookie_session(request) is not None:
        return guard(RedirectResponse(to, 303))
    return guard(render("sign_in.html", to=to, sent=False, email="", problem="", insecure=own_cookie(request) is None))


async def sign_in_ask(request: Request) -> Response:
    """Mail a link to the merchants of an address; whether there are any is not told, nor to be read from the time."""
    context: Context = request.app.state.context
    try:
        fields = await (await read_form(request, SMALL_FORM)).form()
    except HTTPException as error:
        return guard(told(error.status_code))
    if is_from_elsewhere(request):
        return guard(render("refused_form.html", status=403))
    email, to = str(fields.get("email", "")).strip(), _wished(str(fields.get("to", "")))
    if not 3 <= len(email) <= MOST_EMAIL or "@" not in email or not email.isprintable():
        problem = "Write your e-mail address, such as nora@shop.example."
        return guard(
            render("sign_in.html", status=422, to=to, sent=False, email=email, problem=problem, insecure=False)
        )
    answer = guard(render("sign_in.html", to=to, sent=True, email=email, problem="", insecure=False))
    answer.background = BackgroundTask(_mail_links, context, email, to)
    return answer


async def link_page(request: Request) -> Response:
    """Show a button: looking at a link uses nothing up, since link scanners look at every link."""
    context: Context = request.app.state.context
    token, now = request.path_params["token"], context.clock.now()
    opens = await context.database.read(lambda: sessions.link_opens(token, context.vault, now))
    insecure = own_cookie(request) is None
    return guard(
        render("link.html", status=200 if opens else 404, opens=opens, path=request.url.path, insecure=insecure)
    )


async def link_use(request: Request) -> Response:
    """Use a link up: a new session, and the one this browser had before ends."""
    context: Context = request.app.state.context
    token, now, name = request.path_params["token"], context.clock.now(), own_cookie(request)
    if is_from_elsewhere(request):
        return guard(render("refused_form.html", status=403))
    if name is None:
        return guard(render("link.html", status=403, opens=True, path=request.url.path, insecure=True))
    former = await cookie_session(request)

    def use() -> Steps[str | None]:
        found = yield from sessions.use_link(token, context.vault, now)
        if found is None:
            return None
        session, cookie = found
        if former is not None:
            yield from sessions.end_session(former, now)
        yield from note(session.merchant_id, session.who, "signed in", "session", None, now)
        return cookie

    cookie = await context.database.run(use)
    if cookie is None:
        return guard(render("link.html", status=404, opens=False, path=request.url.path, insecure=False))
    # It was signed by us, and is looked at once more all the same: nobody is sent anywhere but to a page of ours.
    answer = guard(RedirectResponse(_wished(sessions.link_leads(token, context.vault)), 303))
    answer.set_cookie(
        name, cookie, sessions.SESSION_LIFE // SECOND, secure=name == COOKIE, httponly=True, samesite="lax", path="/"
    )
    return answer


async def sign_out(request: Request, visit: Visit) -> Response:
    """End the session this request came by."""
    context: Context = request.app.state.context
    session, now = await cookie_session(request), context.clock.now()
    if session is None:  # in the shop's admin nobody signs out of us
        return moved(request, visit, HOME)

    def end() -> Steps[None]:
        yield from sessions.end_session(session, now)
        yield from note(session.merchant_id, session.who, "signed out", "session", None, now)

    await context.database.run(end)
    answer = RedirectResponse(SIGN_IN, 303)
    name = own_cookie(request)
    if name is not None:
        answer.delete_cookie(name, path="/", secure=name == COOKIE, httponly=True, samesite="lax")
    return answer


async def bounce_page(request: Request) -> Response:
    """Load App Bridge and nothing else: it goes on to `shopify-reload` with a fresh token."""
    context: Context = request.app.state.context
    shop = exact_domain(request.query_params.get("shop"))
    if not is_own(request.query_params.get("shopify-reload", "")) or context.shopify_key is None:
        return guard(told(400), shop or "", embedded=True)
    return guard(render("bounce.html", app_key=context.shopify_key), shop or "", embedded=True)


async def nothing_here(request: Request, visit: Visit) -> Response:
    """Answer an address below /app that no page has."""
    raise HTTPException(404)


async def refused(request: Request, error: Exception) -> Response:
    """Answer what Starlette itself refuses (404, 405), below /app in the look of its pages, in whose frame they are."""
    assert isinstance(error, HTTPException)
    if request.url.path == HOME or request.url.path.startswith(f"{HOME}/"):
        shop = proven_shop(request)
        answer = guard(told(error.status_code), shop, embedded=shop is not None)
    else:
        answer = PlainTextResponse(error.detail, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _wished(path: str | None) -> str:
    """Return where somebody wanted to go, where that is a page of ours."""
    is_page = path is not None and len(path) <= MOST_WISHED and is_own(path)
    return path if path is not None and is_page and not path.startswith((SIGN_IN, BOUNCE)) else HOME


async def _mail_links(context: Context, email: str, to: str) -> None:
    """Mail each merchant of an address a link; of several, nobody knows in whose shop `to` was looked for."""
    now = context.clock.now()

    def links() -> Steps[list[tuple[str, str, str]]]:
        found = yield from sessions.addressed(email, MOST_SHOPS)
        made = []
        for merchant_id, name, address in found:
            leads = to if len(found) == 1 and to != HOME else ""
            token = yield from sessions.new_link(merchant_id, f"link:{address}", context.vault, now, True, leads)
            if token is not None:
                made.append((name, address, link_address(context, token)))
        return made

    # Who waits for it asks again; the page said that it may not come.
    try:
        letters = await context.database.run(links)
    except OutsideError as error:
        log.warning("sign_in_links_not_made", reason=str(error))
        return
    for name, address, link in letters:
        try:
            await context.channels["email"].send(sign_in_letter(context, name, address, link))
        except OutsideError as error:
            # What a mail server says may quote whom the letter was for.
            log.warning("sign_in_link_not_mailed", error=type(error).__name__)


def link_address(context: Context, token: str) -> str:
    """Write the address that a one-time link is opened at."""
    return f"{context.public_url}{SIGN_IN}/{token}"
