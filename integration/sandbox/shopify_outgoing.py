"""How the pretend shop's actions become signed deliveries: ids, headers, bodies."""

import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from integration.clock import SECOND
from integration.sandbox import shopify_bodies as bodies
from integration.sandbox.delivery import SHOPIFY_PATH, Delivery, shopify_signature
from integration.sandbox.shopify_order_bodies import fulfillment_body, order_body, refund_body
from integration.sandbox.shopify_records import Fulfillment, Order

API_VERSION = "2026-10"

_encode = msgspec.json.Encoder().encode


class Outgoing:
    """Writes and signs what one shop tells; the same seed gives the same ids."""

    def __init__(self, domain: str, secret: str, zone: ZoneInfo, seed: int) -> None:
        self.domain = domain
        self.secret = secret
        self.zone = zone
        self._random = random.Random(seed)  # noqa: S311 - ids of a pretend shop, not secrets
        self._ids = 0
        self.shop_id = self._random.randrange(10**10, 10**11)

    def tell_order(self, order: Order, *topics: str, event: str = "") -> list[Delivery]:
        """The order as it is now under each topic, all of one action; refunds/create carries its newest refund."""
        event = event or self.uuid()
        whole = _encode(order_body(order, self.zone, self.domain, self.shop_id))
        told = []
        for topic in topics:
            body = whole
            if topic == "refunds/create":
                body = _encode(refund_body(order.refunds[-1], order, self.zone))
            told.append(self.delivery(topic, body, event, order.updated_at))
        return told

    def tell_parcel(self, topic: str, parcel: Fulfillment, order: Order, event: str) -> list[Delivery]:
        """A parcel as it is now, under one topic."""
        body = _encode(fulfillment_body(parcel, order, self.zone))
        return [self.delivery(topic, body, event, parcel.updated_at)]

    def tell(self, topic: str, body: bodies.Body, at: int, event: str = "") -> list[Delivery]:
        """One delivery of one body, an action of its own unless `event` names another's."""
        return [self.delivery(topic, _encode(body), event or self.uuid(), at)]

    def delivery(self, topic: str, body: bytes, event: str, at: int) -> Delivery:
        """Sign and address one body; `at` is when it was triggered, in microseconds."""
        number = self.uuid()
        moment = datetime.fromtimestamp(at // SECOND, UTC)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": shopify_signature(body, self.secret),
            "X-Shopify-Shop-Domain": self.domain,
            "X-Shopify-API-Version": API_VERSION,
            "X-Shopify-Webhook-Id": number,
            "X-Shopify-Event-Id": event,
            "X-Shopify-Triggered-At": f"{moment:%Y-%m-%dT%H:%M:%S}.{at % SECOND:06d}{self._ids % 1000:03d}Z",
        }
        return Delivery("shopify", topic, number, SHOPIFY_PATH, body, headers, event_id=event, at=at)

    def id(self) -> int:
        """A new 64-bit id: beyond what a JavaScript number holds, unique by its low bits."""
        self._ids += 1
        return (self._random.getrandbits(38) | 1 << 38) << 23 | self._ids

    def uuid(self) -> str:
        """A random id in the form of a UUID."""
        bits = f"{self._random.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"

    def token(self) -> str:
        """128 random bits as 32 hexadecimal digits."""
        return f"{self._random.getrandbits(128):032x}"
