"""The app proxy: whether Shopify forwarded a request from a shop's own address, and which customer it says is there."""

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from integration.clock import SECOND
from integration.errors import Forged
from integration.shopify.shops import exact_domain

MOST_QUERY = 4_096  # characters
MOST_PARAMETERS = 20
CLOCK_SECONDS = 90  # between Shopify's clock and ours, and for the way
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_CUSTOMER = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_PREFIX = re.compile(r"/[a-z]{1,20}/[A-Za-z0-9_-]{1,60}", re.ASCII)
_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)
_OWN = ("shop", "logged_in_customer_id", "path_prefix", "timestamp", "signature")


class Forwarded(NamedTuple):
    """A request as a shop's storefront made it, by Shopify's signed word."""

    shop: str
    customer: str | None  # Shopify's id of who is signed in to the shop; None = a guest
    path_prefix: str  # where we stand on the shop's own address: /apps/regulars
    at: int  # instant, by Shopify's clock
    asked: Mapping[str, str]  # parameters of our own


def signature(parameters: Sequence[tuple[str, str]], secret: str) -> str:
    """Compute the signature of decoded parameters: sorted `name=value` pairs, nothing between them, repeats joined."""
    grouped: dict[str, list[str]] = {}
    for name, value in parameters:
        if name != "signature":
            grouped.setdefault(name, []).append(value)
    text = "".join(sorted(f"{name}={','.join(values)}" for name, values in grouped.items()))
    return hmac.digest(secret.encode(), text.encode("utf-8", "surrogatepass"), "sha256").hex()


def read_forwarded(query: str, secrets: Sequence[str], known: Mapping[str, re.Pattern[str]], now: int) -> Forwarded:
    """Read a forwarded request's query, where one of `secrets` signed it within the last minute and a half.

    `known` are our own parameters, each with all the shapes it may have. The pairs are signed without anything between
    them, so a parameter nobody knows, one of another shape, and one that is there twice could be read in two ways: they
    are refused although they were signed. Raises Forged.
    """
    if len(query) > MOST_QUERY:
        raise Forged("the query is too long")
    try:
        parameters = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise Forged("there are too many parameters") from None
    found = dict(parameters)
    if len(found) < len(parameters):
        raise Forged("a parameter is there twice")
    told = found.get("signature", "")
    if not _SIGNATURE.fullmatch(told) or not _signed(parameters, told, secrets):
        raise Forged("the signature is missing or wrong")
    shop, prefix, at = exact_domain(found.get("shop")), found.get("path_prefix", ""), found.get("timestamp", "")
    customer = found.get("logged_in_customer_id", "")
    if shop is None or not _PREFIX.fullmatch(prefix) or not _TIME.fullmatch(at):
        raise Forged("a parameter is missing or of another shape")
    if customer and not _CUSTOMER.fullmatch(customer):
        raise Forged("the customer is of another shape")
    if abs(now // SECOND - int(at)) > CLOCK_SECONDS:
        raise Forged("it was signed too long ago")
    asked = {name: value for name, value in found.items() if name not in _OWN}
    if any(name not in known or not known[name].fullmatch(value) for name, value in asked.items()):
        raise Forged("a parameter is not known or of another shape")
    return Forwarded(shop, customer or None, prefix, int(at) * SECOND, asked)


def _signed(parameters: Sequence[tuple[str, str]], told: str, secrets: Sequence[str]) -> bool:
    verdict = False
    for secret in secrets:
        if secret.strip():
            # No early end: how long it takes must not tell which secret signed.
            verdict |= hmac.compare_digest(bytes.fromhex(signature(parameters, secret)), bytes.fromhex(told))
    return verdict
