"""Verify Shopify's deliveries on their raw bytes, and read the headers around them, which nobody signs."""

import binascii
import hmac
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from integration.clock import from_iso
from integration.facts import Envelope
from integration.shopify.shops import exact_domain

DIGEST_BYTES = 32
LONGEST_HEADER = 255  # characters of an id or a topic that are kept

UNNAMED = "unnamed"
"""The topic of a delivery whose topic header is missing or unusable; no reader answers to it."""


class Headers(NamedTuple):
    """The headers of one delivery; None where one is missing, repeated or unusable.

    Only `signature` is proof, and of the body alone; the rest says where the delivery claims to belong.
    """

    signature: bytes | None
    shop: str | None
    topic: str | None
    webhook_id: str | None
    triggered_at: int | None


def verify(body: bytes, header: bytes | str | None, secrets: Sequence[str]) -> bool:
    """Tell whether one of `secrets` signed exactly these bytes; never raises.

    `header` is X-Shopify-Hmac-Sha256: the base64 of HMAC-SHA256 over the raw body. Digests are compared
    decoded, with fixed length and in constant time. Blank secrets sign nothing.
    """
    told = _decoded(header)
    if told is None:
        return False
    verdict = False
    for secret in secrets:
        if secret.strip():
            # No early end: how long it takes must not tell which secret signed.
            verdict |= hmac.compare_digest(hmac.digest(secret.encode(), body, "sha256"), told)
    return verdict


def read_headers(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Pick Shopify's headers out of ASGI's (names in lower case, as ASGI demands)."""
    found: dict[bytes, bytes | None] = dict(headers)
    if len(found) < len(headers):
        # Twice the same header is two claims; neither is believed.
        found |= {name: None for name, count in Counter(name for name, _ in headers).items() if count > 1}
    return Headers(
        signature=found.get(b"x-shopify-hmac-sha256"),
        shop=exact_domain((_text(found.get(b"x-shopify-shop-domain")) or "").lower()),
        topic=_text(found.get(b"x-shopify-topic")),
        webhook_id=_text(found.get(b"x-shopify-webhook-id")),
        triggered_at=_instant(_text(found.get(b"x-shopify-triggered-at"))),
    )


def envelope(headers: Headers, body: bytes, received_at: int) -> Envelope:
    """Wrap a verified body by its headers.

    A missing webhook id becomes the body's digest, so that a resend is still one delivery; a missing topic
    becomes UNNAMED, which is unhandled. Where `headers.shop` is None the delivery belongs to nobody: answer
    200 (it is verified, and a resend would be no better), count it, and keep it under the connection "".
    """
    return Envelope(
        source="shopify",
        topic=headers.topic or UNNAMED,
        delivery_id=headers.webhook_id or sha256(body).hexdigest(),
        triggered_at=headers.triggered_at,
        received_at=received_at,
    )


def _decoded(header: bytes | str | None) -> bytes | None:
    if header is None:
        return None
    try:
        digest = binascii.a2b_base64(header, strict_mode=True)
    except ValueError:  # binascii.Error, and text that is not ASCII
        return None
    return digest if len(digest) == DIGEST_BYTES else None


def _text(value: bytes | None) -> str | None:
    if not value or len(value) > LONGEST_HEADER or not value.isascii():
        return None
    text = value.decode("ascii").strip()
    return text if text.isprintable() and text else None


def _instant(text: str | None) -> int | None:
    try:
        return from_iso(text) if text else None
    except (ValueError, OverflowError):
        return None
