"""What stories are recorded on: deliveries in the order things happened, each with an id and a moment."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.oracle.tellings import Delivery, digits

SHOP_DOMAIN = "corner.myshopify.com"
SHOP_ID = 548380009
STRIPE_TOKEN = "corner-stripe"
START = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 12, 20, 12, 0, tzinfo=UTC)


class Tape:
    """A recording of everything one shop's platforms would send; each id is used once."""

    def __init__(self, *, ticks: bool = True) -> None:
        self.ticks = ticks  # each delivery is triggered at a moment of its own, as real ones nearly always are
        self.deliveries: list[Delivery] = []
        self.offered: set[str] = set()  # every case the stories went through, for coverage
        self._numbers = itertools.count(1)

    def number(self, start: int) -> int:
        return start + next(self._numbers)

    def shopify(self, topic: str, body: dict[str, Any], at: datetime) -> None:
        """Record what Shopify sends about something that happened at `at`."""
        number = next(self._numbers)
        triggered_at = micros(at) + (number if self.ticks else 0)
        self.deliveries.append(Delivery("shopify", SHOP_DOMAIN, topic, f"wh-{number}", body, triggered_at))

    def stripe(self, kind: str, thing: dict[str, Any], at: datetime, **more: Any) -> None:
        """Record the event Stripe sends about `thing`; `more` goes to the envelope (`livemode`…)."""
        previous = more.pop("previous", None)
        data: dict[str, Any] = {"object": thing}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": f"evt_{next(self._numbers):08}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": seconds(at),
            "data": data,
            "livemode": True,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
            **more,
        }
        self.deliveries.append(Delivery("stripe", STRIPE_TOKEN, kind, event["id"], event))


def seconds(at: datetime) -> int:
    return int(at.timestamp())


def micros(at: datetime) -> int:
    return seconds(at) * 1_000_000 + at.microsecond


def iso(at: datetime | None) -> str | None:
    """A time as Shopify writes it, with the shop's own offset."""
    return None if at is None else (at - timedelta(hours=5)).replace(tzinfo=None).isoformat() + "-05:00"


def decimal(amount: int, currency: str) -> str:
    """Minor units as Shopify writes money: a decimal string."""
    places = digits(currency)
    if not places:
        return str(amount)
    sign, amount = ("-" if amount < 0 else ""), abs(amount)
    return f"{sign}{amount // 10**places}.{amount % 10**places:0{places}}"


def money(amount: int, currency: str, shown: tuple[str, int] | None = None) -> dict[str, Any]:
    """A price set: shop money, and presentment money in another currency at so many for one."""
    other, rate = shown or (currency, 1)
    return {
        "shop_money": {"amount": decimal(amount, currency), "currency_code": currency},
        "presentment_money": {"amount": decimal(amount * rate, other), "currency_code": other},
    }
