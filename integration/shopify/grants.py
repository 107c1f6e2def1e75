"""Ask Shopify for access tokens: for a session token, for a refresh token, for a code that OAuth brought.

Not through `shopifyapp`: it refreshes in a token's last minute only, builds the address itself, and tells a token
that is refused for good and a platform that is away by words.
"""

from typing import Any, NamedTuple

import msgspec

from integration.clock import SECOND
from integration.errors import Forged, Rejected, Revoked, Unavailable
from integration.shopify.admin import Admin

PATH = "/admin/oauth/access_token"
MOST_SCOPES = 500
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a kind of token's name
_OFFLINE = "urn:shopify:params:oauth:token-type:offline-access-token"


class NotInstalled(Rejected):
    """Shopify does not know our app there: it was uninstalled, or the app's key and secret are wrong."""


class App(NamedTuple):
    """Our app as Shopify knows it: client id and present secret."""

    key: str
    secret: str


class Grant(NamedTuple):
    """What Shopify gives: an access token, until when it holds, and what renews it; instants."""

    token: str
    scopes: tuple[str, ...]
    expires_at: int | None
    refresh_token: str | None
    refresh_expires_at: int | None


class _Given(msgspec.Struct):
    access_token: str
    scope: str = ""
    expires_in: int | None = None
    refresh_token: str | None = None
    refresh_token_expires_in: int | None = None


class _Refused(msgspec.Struct):
    error: str = ""


async def exchange(admin: Admin, app: App, shop: str, session_token: str, now: int) -> Grant:
    """Turn a session token that was verified into an offline token that expires.

    Raises Forged where Shopify wants a newer session token, NotInstalled, and as `Admin.post` does.
    """
    wish = {"subject_token": session_token, "subject_token_type": _ID_TOKEN, "requested_token_type": _OFFLINE}
    return await _asked(admin, app, shop, {"grant_type": _EXCHANGE, **wish, "expiring": 1}, now)


async def renew(admin: Admin, app: App, shop: str, refresh_token: str, now: int) -> Grant:
    """Turn a refresh token into a new pair.

    The old pair holds until the new one is first used, so what is asked and not heard may be asked again. Raises
    Revoked where the merchant has to open the app, NotInstalled, and as `Admin.post` does.
    """
    return await _asked(admin, app, shop, {"grant_type": "refresh_token", "refresh_token": refresh_token}, now)


async def redeem(admin: Admin, app: App, shop: str, code: str, now: int) -> Grant:
    """Turn the code of an OAuth installation into an offline token that expires. Raises as `renew` does."""
    return await _asked(admin, app, shop, {"code": code, "expiring": 1}, now)


async def _asked(admin: Admin, app: App, shop: str, wish: dict[str, Any], now: int) -> Grant:
    body = {"client_id": app.key, "client_secret": app.secret, **wish}
    status, answer = await admin.post(shop, PATH, body, {})
    try:
        if status == 200:
            return _grant(msgspec.json.decode(answer, type=_Given), now)
        refused = msgspec.json.decode(answer, type=_Refused).error
    except (ValueError, RecursionError):
        raise Unavailable(f"{shop} answered our request for a token with something unreadable") from None
    match refused:
        case "invalid_subject_token":
            raise Forged("Shopify wants a newer session token")
        case "invalid_grant":
            raise Revoked(f"{shop} no longer renews our access")
        case "invalid_client":
            raise NotInstalled(f"{shop} does not know our app: it was uninstalled, or the app's key or secret is wrong")
        case _:
            # What it says is its own and may quote what we sent.
            raise Rejected(f"{shop} gives us no token (HTTP {status})")


def _grant(given: _Given, now: int) -> Grant:
    """Read an answer, counted from `now`, which is before it was asked for: early is safe."""
    if not given.access_token or (given.expires_in is not None and not given.refresh_token):
        raise ValueError("half a grant")
    return Grant(
        given.access_token,
        tuple(scope for scope in given.scope.split(",")[:MOST_SCOPES] if scope),
        _end(given.expires_in, now),
        given.refresh_token,
        _end(given.refresh_token_expires_in, now),
    )


def _end(seconds: int | None, now: int) -> int | None:
    return None if seconds is None else now + max(0, seconds) * SECOND
