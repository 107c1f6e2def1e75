"""Read fulfilments and carriers' words: fulfillments/create, update and fulfillment_events/create."""

import msgspec

from integration.bodies import decode
from integration.errors import Suspect, Unreadable
from integration.facts import Envelope, Fulfilment, FulfilmentSeen, Reading
from integration.shopify.values import Id, country_of, id_of, insist_on_kind, instant_of, named_id, word_of

DELIVERED = "delivered"


class DestinationBody(msgspec.Struct, gc=False):
    country_code: str | None = None


class FulfilmentBody(msgspec.Struct, gc=False):
    id: Id = None
    admin_graphql_api_id: str | None = None
    order_id: Id = None
    status: str | None = None
    shipment_status: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    destination: DestinationBody | None = None
    delivered_at: str | None = None  # told by the Admin API only
    # Keys by which other bodies about an order give themselves away.
    fulfillment_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    refund_line_items: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    kind: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    initiated_at: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _EventBody(msgspec.Struct, gc=False):
    id: Id = None
    admin_graphql_api_id: str | None = None
    fulfillment_id: Id = None
    order_id: Id = None
    shop_id: Id = None
    status: str | None = None
    happened_at: str | None = None
    created_at: str | None = None


_fulfilment = msgspec.json.Decoder(FulfilmentBody)
_event = msgspec.json.Decoder(_EventBody)


def read_fulfilment(body: bytes, envelope: Envelope) -> Reading:
    """Read a fulfilment. Raises Unreadable, or Suspect for other shapes."""
    seen = decode(_fulfilment, body)
    if seen.order_id is None or not (
        seen.fulfillment_id is seen.refund_line_items is seen.kind is seen.initiated_at is msgspec.UNSET
    ):
        raise Suspect("the body is not a fulfilment")
    insist_on_kind(seen.admin_graphql_api_id, "Fulfillment")
    return Reading((FulfilmentSeen(named_id(seen.order_id, "the order"), fulfilment_from(seen)),))


def read_fulfilment_event(body: bytes, envelope: Envelope) -> Reading:
    """Read a carrier's word and its time; the fulfilment's own status is not in it and stays ""."""
    seen = decode(_event, body)
    if seen.fulfillment_id is None or seen.order_id is None:
        raise Suspect("the body is not a fulfilment event")
    insist_on_kind(seen.admin_graphql_api_id, "FulfillmentEvent")
    happened_at = instant_of(seen.happened_at) or instant_of(seen.created_at)
    if happened_at is None:
        raise Unreadable("the fulfilment event does not tell when it happened")
    status = word_of(seen.status)
    fulfilment = Fulfilment(
        id=named_id(seen.fulfillment_id, "the fulfilment"),
        updated_at=happened_at,
        shipment_status=status,
        delivered_at=happened_at if status == DELIVERED else None,
    )
    return Reading((FulfilmentSeen(named_id(seen.order_id, "the order"), fulfilment),), shop_id=id_of(seen.shop_id))


def fulfilment_from(seen: FulfilmentBody) -> Fulfilment:
    """Turn a fulfilment as Shopify shows it into ours. Raises Unreadable without any time."""
    created_at = instant_of(seen.created_at)
    updated_at = instant_of(seen.updated_at) or created_at
    if updated_at is None:
        raise Unreadable("the fulfilment does not tell when it was updated")
    shipment_status = word_of(seen.shipment_status)
    delivered_at = instant_of(seen.delivered_at)
    if delivered_at is None and shipment_status == DELIVERED:
        delivered_at = updated_at
    return Fulfilment(
        id=named_id(seen.id, "the fulfilment"),
        updated_at=updated_at,
        status=word_of(seen.status) or "",
        created_at=created_at,
        shipment_status=shipment_status,
        country=country_of(seen.destination.country_code) if seen.destination else None,
        delivered_at=delivered_at,
    )
