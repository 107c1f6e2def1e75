"""OAuth's way in, for an app of one merchant's own: where the browser is sent, and whether Shopify sent it back."""

import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from integration.clock import SECOND
from integration.errors import Forged
from integration.shopify.scopes import REQUIRED
from integration.shopify.shops import exact_domain

AUTHORIZE = "/admin/oauth/authorize"
MOST_PARAMETERS = 20
LONGEST = 2_048  # characters of a name or a value
CLOCK_SECONDS = 90  # between Shopify's clock and ours, and for the way
_HMAC = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")
_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)


class Brought(NamedTuple):
    """What a browser brought back from Shopify's page of consent, signed."""

    shop: str
    code: str
    state: str
    at: int  # instant, by Shopify's clock


def authorize_query(client_id: str, back: str, state: str) -> str:
    """Write the query of a shop's page of consent; `back` is where the browser returns to, exactly as registered."""
    asked = {"client_id": client_id, "scope": ",".join(REQUIRED), "redirect_uri": back, "state": state}
    return urlencode(asked)


def read_callback(parameters: Sequence[tuple[str, str]], secrets: Sequence[str], now: int) -> Brought:
    """Read what a browser brought, where one of `secrets` signed all of it within the last minute and a half.

    Raises Forged for anything else: a parameter that is there twice, was added, changed or left out.
    """
    found = dict(parameters)
    if len(found) < len(parameters) or len(found) > MOST_PARAMETERS:
        raise Forged("a parameter is there twice, or there are too many")
    if any(len(text) > LONGEST for pair in parameters for text in pair):
        raise Forged("a parameter is too long")
    told = found.pop("hmac", "")
    if not _HMAC.fullmatch(told) or not _signed(found, told, secrets):
        raise Forged("the signature is missing or wrong")
    shop, code, at = exact_domain(found.get("shop")), found.get("code", ""), found.get("timestamp", "")
    if shop is None or not _CODE.fullmatch(code) or not found.get("state") or not _TIME.fullmatch(at):
        raise Forged("a parameter is missing or of another shape")
    if abs(now // SECOND - int(at)) > CLOCK_SECONDS:
        raise Forged("it was signed too long ago")
    return Brought(shop, code, found["state"], int(at) * SECOND)


def _signed(parameters: dict[str, str], told: str, secrets: Sequence[str]) -> bool:
    # Escaped as Shopify does, so that no value can pass for two parameters.
    pairs = (
        f"{name.replace('%', '%25').replace('=', '%3D')}={value.replace('%', '%25')}".replace("&", "%26")
        for name, value in parameters.items()
    )
    text = "&".join(sorted(pairs)).encode("utf-8", "surrogatepass")
    verdict = False
    for secret in secrets:
        if secret.strip():
            # No early end: how long it takes must not tell which secret signed.
            verdict |= hmac.compare_digest(hmac.digest(secret.encode(), text, "sha256").hex(), told)
    return verdict
