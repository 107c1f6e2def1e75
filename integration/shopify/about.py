"""What a shop tells of itself beside its record: its language, and where its policies stand."""

from typing import Any

import msgspec

from integration.errors import Rejected
from integration.shopify.admin import Admin, Token, document, refusal

MOST_POLICIES = 50
LONGEST = 2_000  # characters of an address


class _Locale(msgspec.Struct):
    locale: str
    primary: bool = False


class _Policy(msgspec.Struct):
    type: str
    url: str


async def language(admin: Admin, shop: str, token: Token) -> str | None:
    """Return the shop's main language (`en`, `pt-BR`). Raises Rejected without its scope, and as `Admin.graphql`."""
    found = await _asked(admin, shop, token, "languages", "shopLocales")
    locales = _convert(shop, found, list[_Locale])
    return next((one.locale for one in locales if one.primary), None)


async def policies(admin: Admin, shop: str, token: Token) -> dict[str, str]:
    """Return where the shop's policies stand, by kind (REFUND_POLICY…). Raises as `language` does."""
    found = await _asked(admin, shop, token, "policies", "shop")
    listed = found.get("shopPolicies") if isinstance(found, dict) else None
    pairs = _convert(shop, listed, list[_Policy])[:MOST_POLICIES]
    return {one.type: one.url for one in pairs if one.url.startswith("https://") and len(one.url) <= LONGEST}


async def _asked(admin: Admin, shop: str, token: Token, name: str, field: str) -> Any:
    answer = await admin.graphql(shop, token, document(name))
    found = (answer.get("data") or {}).get(field)
    if found is None:
        raise refusal(shop, answer.get("errors"))
    return found


def _convert(shop: str, found: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise Rejected(f"{shop} tells of itself in another shape: {error}") from None
