"""Read orders that were fetched because their webhooks never came: the Admin API's own answers."""

from typing import TYPE_CHECKING

import msgspec

from integration.bodies import decode
from integration.errors import Suspect, Unreadable
from integration.facts import Envelope, OrderSeen, Reading
from integration.shopify.answers import OrderAnswer, RefundAnswer, order_of

if TYPE_CHECKING:
    from integration.shopify.admin import OrderParts

TOPIC = "orders/recovered"
"""No topic of Shopify's: what is filed under it we fetched ourselves."""


class _Recovered(msgspec.Struct):
    pages: list[OrderAnswer]
    refunds: list[list[RefundAnswer]]


class _Body(msgspec.Struct):
    recovered: _Recovered | msgspec.UnsetType = msgspec.UNSET


_body = msgspec.json.Decoder(_Body)


def wrapped(parts: "OrderParts") -> bytes:
    """Write an answered order as the body of an event."""
    return msgspec.json.encode({"recovered": {"pages": parts.pages, "refunds": parts.refunds}})


def read_recovered(body: bytes, envelope: Envelope) -> Reading:
    """Read a fetched order, as of when it was fetched (the envelope's trigger).

    Suspect for anything else: headers are unsigned, so a signed webhook may come under this topic.
    """
    seen = decode(_body, body)
    if seen.recovered is msgspec.UNSET:
        raise Suspect("the body is not an order we fetched")
    if not seen.recovered.pages:
        raise Unreadable("nothing was answered")
    order = order_of(seen.recovered.pages, seen.recovered.refunds)
    # Of two states of one second the later look is the newer: it shows what the second came to.
    return Reading((OrderSeen(msgspec.structs.replace(order, triggered_at=envelope.triggered_at or 0)),))
