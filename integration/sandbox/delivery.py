"""What a pretend platform sends: one webhook delivery, signed as the real platform signs it."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

from integration.clock import SECOND

SHOPIFY_PATH = "/webhooks/shopify"
STRIPE_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook as it leaves the platform; resending it keeps `id` and `body`.

    `headers` are those that stay the same on every attempt. Stripe signs each attempt anew with its time, one
    `v1` for each of `stripe_secrets`, so `headers_at` adds that header; for Shopify the tuple is empty.
    """

    source: str  # "shopify" or "stripe"
    topic: str
    id: str  # X-Shopify-Webhook-Id, or Stripe's event id
    path: str  # where it is posted, below the receiver's address
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    stripe_secrets: tuple[str, ...] = ()
    event_id: str = ""  # Shopify: shared by all deliveries of one action of the merchant
    at: int = 0  # when the platform triggered it, microseconds

    def headers_at(self, now: int) -> dict[str, str]:
        """Return all headers of an attempt made at `now` (microseconds)."""
        if not self.stripe_secrets:
            return self.headers
        return self.headers | {"Stripe-Signature": stripe_signature(self.body, self.stripe_secrets, now)}


def shopify_signature(body: bytes, secret: str) -> str:
    """Sign a body as Shopify does: base64 of HMAC-SHA256 over the raw bytes, keyed with the app's secret."""
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def stripe_signature(body: bytes, secrets: tuple[str, ...], now: int) -> str:
    """Sign a body as Stripe does at `now` (microseconds): `t=…` and one `v1=…` for each active secret."""
    stamp = now // SECOND
    signed = b"%d." % stamp + body
    marks = [hmac.digest(secret.encode(), signed, hashlib.sha256).hex() for secret in secrets]
    return ",".join([f"t={stamp}", *(f"v1={mark}" for mark in marks)])
