"""Read that somebody changed or deleted a discount: which one; how it stands now only the shop can say."""

import msgspec

from integration.bodies import decode
from integration.errors import Suspect
from integration.facts import DiscountSeen, Envelope, Reading
from integration.shopify.values import id_of

_OF_CODES, _AUTOMATIC = "gid://shopify/DiscountCodeNode/", "gid://shopify/DiscountAutomaticNode/"

Told = msgspec.Raw | msgspec.UnsetType


class _Body(msgspec.Struct):
    admin_graphql_api_id: str | None = None
    status: str | msgspec.UnsetType | None = msgspec.UNSET
    deleted_at: str | msgspec.UnsetType | None = msgspec.UNSET
    redeem_code: Told = msgspec.UNSET  # of a code that was added or taken off


_discount = msgspec.json.Decoder(_Body)


def read_changed(body: bytes, envelope: Envelope) -> Reading:
    """Read discounts/update."""
    seen = decode(_discount, body)
    if seen.status is msgspec.UNSET or seen.deleted_at is not msgspec.UNSET:
        raise Suspect("the body is not a discount")
    return _reading(seen)


def read_deleted(body: bytes, envelope: Envelope) -> Reading:
    """Read discounts/delete: which one is no more."""
    seen = decode(_discount, body)
    if seen.deleted_at is msgspec.UNSET or seen.status is not msgspec.UNSET:
        raise Suspect("the body is not what is left of a discount")
    return _reading(seen)


def _reading(seen: _Body) -> Reading:
    named = seen.admin_graphql_api_id or ""
    if not named.startswith((_OF_CODES, _AUTOMATIC)) or seen.redeem_code is not msgspec.UNSET:
        raise Suspect("the body is not about a discount")
    number = id_of(named)
    # One without codes is nobody's to have.
    return Reading((DiscountSeen(f"{_OF_CODES}{number}"),) if number and named.startswith(_OF_CODES) else ())
