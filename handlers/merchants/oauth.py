"""Installing by OAuth, for an app that Shopify gives to one merchant alone: away to consent, and back with a code."""

import hmac
import secrets
from hashlib import sha256
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from handlers.context import Context
from handlers.merchants.door import COOKIE, own_cookie
from handlers.merchants.frame import SHOPIFY_ADMIN, guard, render
from handlers.merchants.install import return_with_code
from integration.clock import MINUTE, SECOND
from integration.database.steps import Steps, ask, plain
from integration.errors import Forged, Rejected, Revoked, Unavailable
from integration.shopify.oauth import AUTHORIZE, authorize_query, read_callback
from integration.shopify.shops import exact_domain

BACK = "/app/install/back"
STATE_LIFE = 10 * MINUTE
MOST_BEGUN = 10_000  # installations under way at once; whoever floods us holds up others for ten minutes
_COOKIE = "-install"

log = structlog.get_logger()

_PRUNE = plain("DELETE FROM installs WHERE begun_at <= ?1")
_COUNT = plain("SELECT count(*) FROM installs")
_BEGIN = plain("INSERT INTO installs (state, shop, begun_at) VALUES (?1, ?2, ?3)")
_USE = plain("DELETE FROM installs WHERE state = ?1 AND shop = ?2 AND begun_at > ?3 RETURNING shop")


async def install_page(request: Request) -> Response:
    """Send the browser to a shop's page of consent, with a state that this browser alone can bring back, once."""
    context: Context = request.app.state.context
    shop = exact_domain(request.query_params.get("shop"))
    name = own_cookie(request)
    if shop is None:
        return _sorry(400, "Which shop?", "The address ends in ?shop= and your shop's myshopify.com domain.")
    if context.shopify_key is None or name is None:
        words = "Whoever runs this program sets SHOPIFY_API_KEY, SHOPIFY_API_SECRET, and PUBLIC_URL with https."
        return _sorry(503, "The app is not set up yet", words)
    state, now = secrets.token_urlsafe(32), context.clock.now()
    if not await context.database.run(lambda: _begin(state, shop, now)):
        return _sorry(503, "Too many installations at once", "Try again in ten minutes.")
    query = authorize_query(context.shopify_key, context.public_url + BACK, state)
    answer = RedirectResponse(context.shopify.address(shop, f"{AUTHORIZE}?{query}"), 302)
    answer.set_cookie(
        name + _COOKIE, state, STATE_LIFE // SECOND, secure=name == COOKIE, httponly=True, samesite="lax", path="/"
    )
    return guard(answer)


async def install_back(request: Request) -> Response:
    """Take in a shop whose browser comes back from consent, then go on to our pages in its admin."""
    context: Context = request.app.state.context
    now, name = context.clock.now(), own_cookie(request)
    held = request.cookies.get(name + _COOKIE, "") if name is not None else ""
    try:
        brought = read_callback(request.query_params.multi_items(), context.shopify_secrets, now)
        if not hmac.compare_digest(brought.state.encode("utf-8", "surrogatepass"), held.encode()):
            raise Forged("another browser began this installation")
        if not await context.database.run(lambda: _use(held, brought.shop, now)):
            raise Forged("this installation was used already, or was begun too long ago")
        await return_with_code(context, brought.shop, brought.code, brought.at)
    except (Forged, Revoked) as error:
        log.warning("install_refused", reason=str(error))
        words = "Nothing was changed. Begin again with the link you were given, in the same browser."
        return _sorry(400, "This installation cannot be finished", words)
    except (Rejected, Unavailable) as error:
        log.warning("install_failed", reason=str(error))
        return _sorry(503, "Shopify did not let us in", "Nothing was changed. Try again in a minute.")
    store = brought.shop.removesuffix(".myshopify.com")
    answer = RedirectResponse(f"{SHOPIFY_ADMIN}/store/{store}/apps/{quote(context.shopify_key or '', safe='')}", 302)
    answer.delete_cookie(name + _COOKIE if name else "", path="/", secure=name == COOKIE, httponly=True, samesite="lax")
    return guard(answer)


def _begin(state: str, shop: str, now: int) -> Steps[bool]:
    yield from ask(_PRUNE, (now - STATE_LIFE,))
    if (yield from ask(_COUNT, ()))[0][0] >= MOST_BEGUN:
        return False
    yield from ask(_BEGIN, (_digest(state), shop, now))
    return True


def _use(state: str, shop: str, now: int) -> Steps[bool]:
    return bool((yield from ask(_USE, (_digest(state), shop, now - STATE_LIFE))))


def _digest(state: str) -> str:
    # Whoever reads the table cannot finish what others began.
    return sha256(state.encode()).hexdigest()


def _sorry(status: int, title: str, words: str) -> Response:
    return guard(render("wrong.html", status=status, title=title, words=words))
