"""Verify the session tokens that Shopify's admin hands to our pages: who looks, and in which shop.

PyJWT checks algorithm and signature. The claims are checked here, by the clock of the program: neither of
Shopify's Python packages holds `iss` against `dest` and looks at their shape, and PyJWT takes `"exp": "17"`,
a list of audiences and the same key twice.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
import msgspec

from integration.clock import SECOND
from integration.errors import Forged
from integration.shopify.shops import exact_domain

ALGORITHM = "HS256"
MOST_TOKEN = 4_096  # characters; Shopify's have about 600
LEEWAY_SECONDS = 10  # the admin's clock and ours are not the same
LONGEST_LIFE_SECONDS = 600  # the admin's tokens live a minute, those of checkouts five

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")  # 43: the 32 bytes of HS256
_USER = re.compile(r"[0-9]{1,20}", re.ASCII)
_HTTPS = "https://"

_jws = jwt.PyJWS()


@dataclass(frozen=True, slots=True)
class SessionToken:
    """What a verified token tells; the shop comes from nowhere else."""

    shop: str  # hats.myshopify.com
    user_id: str  # Shopify's number of the person looking
    issued_at: int  # instant, by Shopify's clock
    expires_at: int  # instant
    jti: str  # of this one token
    session_id: str  # of the person's session in the admin


class _Claims(msgspec.Struct):
    iss: str
    dest: str
    aud: str
    sub: str
    exp: int
    nbf: int
    iat: int
    jti: str
    sid: str


def verify(token: str | None, client_id: str | None, secrets: Sequence[str], now: int) -> SessionToken:
    """Read a token (without `Bearer`) that one of `secrets`, the app's present and old one, signed for `client_id`.

    `now` is an instant. Raises Forged for everything else; the message never holds a part of the token.
    """
    if not token or len(token) > MOST_TOKEN or not _SHAPE.fullmatch(token):
        raise Forged("there is no session token of the right shape")
    if not client_id:
        raise Forged("no app is set up whose session tokens could be checked")
    claims = _claims(_signed(token, secrets))
    if claims.aud != client_id:
        raise Forged("the session token is for another app")
    shop = exact_domain(claims.dest.removeprefix(_HTTPS)) if claims.dest.startswith(_HTTPS) else None
    if shop is None or shop.startswith("xn--"):  # a name in disguise; no shop has one
        raise Forged("the session token's destination is not a shop")
    if claims.iss != f"{_HTTPS}{shop}/admin":
        raise Forged("the session token's issuer is not its shop's admin")
    if not _USER.fullmatch(claims.sub):
        raise Forged("the session token names nobody")
    _insist_on_times(claims, now)
    return SessionToken(shop, claims.sub, claims.iat * SECOND, claims.exp * SECOND, claims.jti, claims.sid)


def _signed(token: str, secrets: Sequence[str]) -> dict[str, Any]:
    """Return the claims as one of the secrets signed them."""
    for secret in secrets:
        if not secret.strip():
            continue  # left empty, it would accept what anybody can sign
        try:
            found = _jws.decode_complete(token, secret, algorithms=[ALGORITHM])
        except (jwt.PyJWTError, ValueError, RecursionError):
            continue
        try:
            claims = json.loads(found["payload"], object_pairs_hook=_once)
        except (ValueError, RecursionError):
            break
        if isinstance(claims, dict):
            return claims
        break
    raise Forged("the session token's algorithm, signature or form is wrong")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says the same thing twice: readers differ on which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _claims(found: dict[str, Any]) -> _Claims:
    try:
        return msgspec.convert(found, _Claims)
    except msgspec.ValidationError:
        raise Forged("a claim of the session token is missing or of the wrong kind") from None


def _insist_on_times(claims: _Claims, now: int) -> None:
    second = now // SECOND
    if claims.exp + LEEWAY_SECONDS <= second:
        raise Forged("the session token has expired")
    if max(claims.nbf, claims.iat) - LEEWAY_SECONDS > second:
        raise Forged("the session token is not valid yet")
    if claims.exp - second > LONGEST_LIFE_SECONDS + LEEWAY_SECONDS:
        raise Forged("the session token lives longer than Shopify's do")
