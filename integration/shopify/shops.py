"""Shop domains: the one canonical form a shop is known by."""

import re

_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com")
LONGEST_DOMAIN = 100


def shop_domain(text: str | None) -> str | None:
    """Return the shop's myshopify domain in lower case, or None where the text does not name one.

    Takes `my-shop`, `my-shop.myshopify.com` and their https addresses, as people paste them.
    """
    if text is None or len(text) > 2 * LONGEST_DOMAIN:
        return None
    host = text.strip().lower().removeprefix("https://").removeprefix("http://").partition("/")[0].rstrip(".")
    if host and "." not in host:
        host += ".myshopify.com"
    return exact_domain(host)


def exact_domain(text: str | None) -> str | None:
    """Return the text where it is exactly a shop's domain as Shopify writes it, else None."""
    if text is None or len(text) > LONGEST_DOMAIN or not _DOMAIN.fullmatch(text):
        return None
    return text
