"""What the oracle is given: deliveries as sent, shops, programmes; and how it reads numbers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND

NO_DECIMALS = {
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF",
    "XOF", "XPF",
}  # fmt: skip
THREE_DECIMALS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
STRIPE_SENDS_HUNDREDTHS = {"ISK", "UGX"}


@dataclass(frozen=True)
class Delivery:
    """One webhook: the body is the JSON a platform signed, the rest came beside it."""

    platform: str  # shopify or stripe
    connection: str  # shop domain, or the token of the Stripe webhook path
    topic: str
    delivery_id: str
    body: Any
    triggered_at: int = 0  # microseconds

    @property
    def raw(self) -> bytes:
        """The bytes that are signed and sent."""
        return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Programme:
    """One version of a shop's settings, with the defaults of the contract."""

    in_force_at: int  # microseconds
    document: Mapping[str, Any] = field(default_factory=dict)

    def setting(self, section: str, key: str, default: Any) -> Any:
        return self.document.get(section, {}).get(key, default)


@dataclass(frozen=True)
class Shop:
    """One merchant and what is connected; programmes in the order they were written."""

    name: str
    currency: str
    domain: str
    stripe_token: str
    programmes: tuple[Programme, ...]
    shop_id: int = 0
    timezone: str = "UTC"
    country: str | None = None

    def owns(self, delivery: Delivery) -> bool:
        return delivery.connection == (self.domain if delivery.platform == "shopify" else self.stripe_token)

    def programme_at(self, instant: int) -> Programme | None:
        """The version in force at that second; of several of one second the one written last."""
        second = instant // SECOND
        best = None
        for programme in self.programmes:
            if programme.in_force_at // SECOND > second:
                continue
            if best is None or programme.in_force_at // SECOND >= best.in_force_at // SECOND:
                best = programme
        return best


def instant(text: str | None) -> int | None:
    """ISO 8601 to microseconds; None stays None."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND


def digits(currency: str) -> int:
    return 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2


def half_up(value: Fraction) -> int:
    """Round to the nearest whole number, halves away from zero for what is not negative."""
    return (value + Fraction(1, 2)).__floor__()


def minor(amount: Any, currency: str) -> int:
    """A decimal amount of major units, as text or number, in whole minor units."""
    value = Fraction(str(amount)) * 10 ** digits(currency)
    return half_up(value) if value >= 0 else -half_up(-value)


def stripe_minor(amount: int | None, currency: str) -> int:
    """Stripe's integer in the minor units every other part speaks of."""
    value = Fraction(amount or 0)
    return half_up(value / 100) if currency in STRIPE_SENDS_HUNDREDTHS else int(value)


def address(text: Any) -> str | None:
    """An e-mail address as it is compared: trimmed, lower case; nothing where there is none."""
    cleaned = (text or "").strip().lower()
    return cleaned or None


def number_of(gid: Any) -> str:
    """The number at the end of a GID."""
    found = re.search(r"(\d+)$", str(gid))
    assert found, gid
    return found[1]
