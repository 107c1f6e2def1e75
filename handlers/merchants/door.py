"""Who may see a merchant's pages: a session token of Shopify's admin, or a signed cookie; everyone else is sent away.

`opened(page)` makes an endpoint of `async def page(request, visit) -> Response`. A page gets its merchant from the
visit and never from the request; what it is sent to POST has been checked and parsed: `await request.form()`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import structlog
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Message, Receive

from handlers.context import Context
from handlers.merchants import sessions
from handlers.merchants.frame import Visit, guard, read_flash, render, spoken_locale, told, without
from handlers.merchants.install import arrive
from handlers.merchants.unsent import FORM_FIELD, made_before, signed_out
from integration.clock import SECOND
from integration.database.steps import Row, Steps, ask, plain
from integration.database.wall import keep_within
from integration.errors import Forged, Rejected, Revoked, Unavailable
from integration.shopify.session_tokens import SessionToken, verify
from integration.shopify.shops import exact_domain

__all__ = ["Page", "Visit", "opened"]

SIGN_IN, BOUNCE = "/app/sign-in", "/app/bounce"
COOKIE, COOKIE_ON_HTTP = "__Host-regulars", "regulars-on-http"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
RETRY = {"X-Shopify-Retry-Invalid-Session-Request": "1"}
BOUNCED_WITHIN = 30 * SECOND  # a token that is refused again so soon will be refused for ever
MOST_FORM_BYTES = 512 * 1024
MOST_FIELDS = 1_000
MOST_KEPT_BYTES = 128 * 1024  # of a form without a session
MOST_FIELD_BYTES = 128 * 1024
FORM_SECONDS = 20.0
UPLOAD_SECONDS = 300.0
_LENGTH_DIGITS = 15  # of a Content-Length; what is longer is too much anyway
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

Page = Callable[[Request, Visit], Awaitable[Response]]

log = structlog.get_logger()

_BY_SHOP = plain(
    "SELECT m.id, m.name, m.currency, m.timezone, c.account, m.messages_paused_at, c.connected_at"
    " FROM connections c JOIN merchants m ON m.id = c.merchant_id"
    " WHERE c.platform = 'shopify' AND c.account = ?1 AND c.mode = 'live' AND c.closed_at IS NULL"
)
_BY_MERCHANT = plain(
    "SELECT m.id, m.name, m.currency, m.timezone, c.account, m.messages_paused_at"
    " FROM merchants m LEFT JOIN connections c"
    " ON c.merchant_id = m.id AND c.platform = 'shopify' AND c.closed_at IS NULL"
    " WHERE m.id = ?1 AND m.closed_at IS NULL ORDER BY c.id LIMIT 1"
)


class _Stopped(Exception):
    """A request goes no further than the door; carries the answer."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


class _TooLarge(Exception):
    pass


class _PutOff(Exception):
    """A new shop cannot be taken in right now."""


class _Way(NamedTuple):
    """How a request comes in: what it shows, and whether it says it stands in Shopify's admin."""

    token: str | None
    embedded: bool


def opened(
    page: Page, *, most_bytes: int = MOST_FORM_BYTES, files: int = 0, keeps: bool = True
) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of a page: it is called for those who may enter, and its answer leaves under guard.

    `most_bytes` and `files` widen what a POST may carry, for a page that takes uploads. `keeps` says whether what was
    typed is given back where the session has ended meanwhile: not where it is a secret, which no page may show.
    """

    async def endpoint(request: Request) -> Response:
        way = _way(request)
        shop = exact_domain(request.query_params.get("shop"))
        try:
            if "%00" in request.url.query or "\0" in request.url.path:
                raise HTTPException(400)  # nothing people write, and no text PostgreSQL takes
            keeps_typed = keeps and not files
            visit, session = await _enter(request, way, keeps_typed)
            keep_within(visit.merchant_id)
            shop = visit.shop if visit.embedded else None
            if request.method not in ("GET", "HEAD"):
                request = await read_form(_from_us(request, session), most_bytes, files)
                await _check_form(request, visit, session, keeps_typed)
            try:
                answer = await page(request, visit)
            finally:
                await request.close()
        except _Stopped as stopped:
            answer = stopped.answer
        except HTTPException as error:
            answer = told(error.status_code)
        except Unavailable as error:
            log.warning("page_put_off", path=request.url.path, reason=str(error))
            answer = told(503)
        except Exception:
            log.exception("page_failed", path=request.url.path)
            answer = told(500)
        framed_by = shop or "" if way.embedded else None
        return guard(answer, framed_by, way.embedded)

    endpoint.behind_door = True  # type: ignore[attr-defined]  # the table of routes asks for it
    return endpoint


def caller_address(request: Request) -> str:
    """Name the address of the network a browser calls from, at most 100 characters.

    Empty where a proxy of our own that does not say for whom calls: it calls for everybody.
    """
    context: Context = request.app.state.context
    if context.client_header is not None:
        return request.headers.get(context.client_header, "")[:100]
    address = request.client.host if request.client is not None else ""
    return "" if address in LOOPBACK else address


def own_cookie(request: Request) -> str | None:
    """Name the cookie a session lives in here; None where none may be given out.

    `__Host-` and Secure need https, which on a developer's own machine there is none of. A cookie that travels in
    the clear is for that machine alone.
    """
    context: Context = request.app.state.context
    if urlsplit(context.public_url).scheme == "https":
        return COOKIE
    return COOKIE_ON_HTTP if request.url.hostname in LOOPBACK else None


async def cookie_session(request: Request) -> sessions.Session | None:
    """Return the open session of a request's cookie, and write down now and then that it is in use."""
    context: Context = request.app.state.context
    name = own_cookie(request)
    value = request.cookies.get(name) if name is not None else None
    if value is None:
        return None
    now = context.clock.now()
    found = await context.database.read(lambda: sessions.find_session(value, context.vault, now))
    if found is None:
        return None
    session, is_due = found
    if is_due:
        await context.database.run(lambda: sessions.saw(session, now))
    return session


def proven_shop(request: Request) -> str | None:
    """Name the shop in whose admin a request stands, where its session token proves that."""
    context: Context = request.app.state.context
    text = _way(request).token
    if text is None:
        return None
    try:
        return verify(text, context.shopify_key, context.shopify_secrets, context.clock.now()).shop
    except Forged:
        return None


def is_from_elsewhere(request: Request) -> bool:
    """Tell whether a browser says that another site sent this request."""
    context: Context = request.app.state.context
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return True
    origin = request.headers.get("origin")
    if origin is None:
        return False
    own = urlsplit(context.public_url)
    allowed = {f"{own.scheme}://{own.netloc}"}
    if request.url.hostname in LOOPBACK:
        allowed.add(f"{request.url.scheme}://{request.url.netloc}")
    return origin not in allowed


def _way(request: Request) -> _Way:
    """Read how a request comes: a token goes before a cookie, and one that is refused is no reason to try the other."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme:
        return _Way(bearer.strip() if scheme.lower() == "bearer" else "", True)
    query = request.query_params
    if request.method in ("GET", "HEAD") and "id_token" in query:
        return _Way(query["id_token"] if len(query.getlist("id_token")) == 1 else "", True)
    # A frame on a page of our own is sent the cookie; one in the shop's admin is not.
    framed = request.headers.get("sec-fetch-dest") in ("iframe", "frame") and not (
        {COOKIE, COOKIE_ON_HTTP} & set(request.cookies)
    )
    return _Way(None, framed or query.get("embedded") == "1" or "host" in query)


async def _enter(request: Request, way: _Way, keeps: bool) -> tuple[Visit, sessions.Session | None]:
    if way.embedded:
        return await _by_token(request, way.token), None
    session = await cookie_session(request)
    if session is None:
        raise _Stopped(await _signed_out(request, keeps))
    return await _by_session(request, session), session


async def _by_token(request: Request, text: str | None) -> Visit:
    context: Context = request.app.state.context
    try:
        token = verify(text, context.shopify_key, context.shopify_secrets, context.clock.now())
        row = await _arrived(context, token, text or "")
    except Forged as error:
        log.info("session_token_refused", reason=str(error))
        raise _Stopped(_again(request, context)) from None
    except _PutOff:
        words = "Nothing was changed. Reload this page in a minute."
        raise _Stopped(render("wrong.html", status=503, title="Shopify did not let us in yet", words=words)) from None
    if row is None:
        raise _Stopped(render("stranger.html", status=403, shop=token.shop))
    *known, connected_at = row
    return _visit(request, known, f"shopify:{token.user_id}", str(connected_at), embedded=True)


async def _arrived(context: Context, token: SessionToken, text: str) -> Row | None:
    """Return the merchant of a shop, which its first visit makes; None where Shopify does not let us in there."""
    try:
        await arrive(context, token, text)
    except (Rejected, Revoked) as error:
        log.warning("shop_not_taken_in", shop=token.shop, reason=str(error))
        return None
    except Unavailable as error:
        log.warning("shop_put_off", shop=token.shop, reason=str(error))
        raise _PutOff from None
    rows = await context.database.read(lambda: ask(_BY_SHOP, (token.shop,)))
    return rows[0] if rows else None


async def _by_session(request: Request, session: sessions.Session) -> Visit:
    context: Context = request.app.state.context

    def look() -> Steps[list[Row]]:
        return (yield from ask(_BY_MERCHANT, (session.merchant_id,)))

    rows = await context.database.read(look)
    if not rows:
        raise _Stopped(await _signed_out(request, keeps=False))
    form_token = sessions.form_token(session, context.vault)
    return _visit(request, rows[0], session.who, session.digest, form_token=form_token)


def _visit(
    request: Request, row: Sequence[Any], who: str, proof: str, *, embedded: bool = False, form_token: str = ""
) -> Visit:
    context: Context = request.app.state.context
    merchant_id, name, currency, timezone, shop, paused_at = row
    return Visit(
        merchant_id=merchant_id,
        name=name,
        currency=currency,
        timezone=timezone,
        locale=spoken_locale(request.headers.get("accept-language")),
        who=who,
        shop=shop,
        embedded=embedded,
        form_token=form_token,
        path=request.url.path,
        said=read_flash(request, merchant_id, context.vault, context.clock.now()),
        paused_at=paused_at,
        app_key=context.shopify_key or "",
        proof=proof,
    )


async def _signed_out(request: Request, keeps: bool) -> Response:
    if request.method in ("GET", "HEAD"):
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'to': without(_path(request), 'said')})}", 302)
    form = None
    if keeps and _says_it_is_ours(request):
        try:
            form = await (await read_form(request, MOST_KEPT_BYTES)).form()
        except HTTPException as error:
            log.info("form_without_session_not_kept", path=request.url.path, status=error.status_code)
        if form is not None and _made_for(request, form) is None:
            form = None
    return signed_out(_path(request), form)


def _again(request: Request, context: Context) -> Response:
    """Ask App Bridge for another token: a fetch is sent once more by itself, a document goes by the bounce page."""
    is_document = request.method in ("GET", "HEAD") and "authorization" not in request.headers
    if not is_document:
        answer = render("token_refused.html", status=401)
        answer.headers.update(RETRY)
        return answer
    now = context.clock.now()
    bounced = request.query_params.get("bounced", "")
    is_instant = bounced.isascii() and bounced.isdigit() and len(bounced) < 20
    bounced_before = is_instant and 0 <= now - int(bounced) < BOUNCED_WITHIN
    if bounced_before or context.shopify_key is None:
        return render("token_refused.html", status=401)
    back = without(_path(request), "id_token", "hmac", "timestamp", "session", "bounced", "shopify-reload", "said")
    back += ("&" if "?" in back else "?") + f"bounced={now}"
    query = {name: request.query_params[name] for name in ("shop", "host") if name in request.query_params}
    # App Bridge takes the address as it stands, so that its slashes stay; what must not stand in a query is escaped.
    return RedirectResponse(f"{BOUNCE}?{urlencode({**query, 'shopify-reload': back}, quote_via=quote)}", 302)


def _path(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


# --- What is posted ---


def _from_us(request: Request, session: sessions.Session | None) -> Request:
    """Return the request where no browser says that another site sent it along with a cookie of ours."""
    if session is not None and is_from_elsewhere(request):
        raise _Stopped(render("refused_form.html", status=403))
    return request


async def _check_form(request: Request, visit: Visit, session: sessions.Session | None, keeps: bool) -> None:
    """Let a form by cookie through where it was made for this very session."""
    context: Context = request.app.state.context
    if session is None:
        return
    form = await request.form()
    token = form.get(FORM_FIELD)
    if isinstance(token, str) and sessions.form_token_fits(token, session, context.vault):
        return
    if keeps and _says_it_is_ours(request) and _made_for(request, form) == session.merchant_id:
        raise _Stopped(made_before(visit, _path(request), form))
    raise _Stopped(render("refused_form.html", status=403))


def _made_for(request: Request, form: FormData) -> int | None:
    """Return the merchant whose form this is, by a token of ours in it."""
    context: Context = request.app.state.context
    token = form.get(FORM_FIELD)
    return sessions.form_made_for(token, context.vault) if isinstance(token, str) else None


def _says_it_is_ours(request: Request) -> bool:
    """Tell whether a browser says that one of our own pages sent this request."""
    says = "origin" in request.headers or "sec-fetch-site" in request.headers
    return says and not is_from_elsewhere(request)


async def read_form(request: Request, most_bytes: int = MOST_FORM_BYTES, files: int = 0) -> Request:
    """Return the request with its form parsed: nothing but a form, and no more of it than a person would send.

    Raises HTTPException 400, 408, 413 or 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = request.headers.get("content-length", "0")
    is_empty = length == "0" and "transfer-encoding" not in request.headers
    is_packed = request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    if is_packed or (kind not in _FORMS and not is_empty):
        raise HTTPException(415)  # what is packed is not unpacked: a few bytes may be gigabytes
    if not length.isascii() or not length.isdigit():
        raise HTTPException(400)
    if len(length) > _LENGTH_DIGITS or int(length) > most_bytes:
        raise HTTPException(413)
    request = Request(request.scope, _counted(request.receive, most_bytes))
    try:
        async with asyncio.timeout(UPLOAD_SECONDS if files else FORM_SECONDS):
            await request.form(max_files=files, max_fields=MOST_FIELDS, max_part_size=MOST_FIELD_BYTES)
    except _TooLarge:
        raise HTTPException(413) from None
    except TimeoutError:
        raise HTTPException(408) from None
    except HTTPException as error:
        # Starlette says 400 of all that is wrong with a form, also of more than it was told to take.
        too_much = error.detail.startswith(("Too many", "Field exceeded", "Part exceeded"))
        raise HTTPException(413 if too_much else 400) from None
    except (ValueError, RecursionError):
        raise HTTPException(400) from None
    if any(isinstance(value, str) and "\0" in name + value for name, value in (await request.form()).multi_items()):
        raise HTTPException(400)
    return request


def _counted(receive: Receive, most_bytes: int) -> Receive:
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most_bytes:
            raise _TooLarge
        return message

    return counted
