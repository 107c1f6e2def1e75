"""Verify Stripe's deliveries on their raw bytes, and read just enough of a verified body to file it."""

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from integration.clock import SECOND, from_iso
from integration.facts import Envelope

TOLERANCE = 300  # seconds a signature may be old, or ahead of our clock
LONGEST_HEADER = 4_096  # bytes; Stripe's has about 100 for each secret in use
LONGEST_TIME = 12  # digits
LONGEST_ID = 255

UNREADABLE = "unreadable"
"""The topic of a verified body that is no event; its reader's absence is not what is wrong with it."""

_HEX = re.compile(rb"[0-9a-f]{64}")


class _Head(msgspec.Struct):
    id: str
    type: str
    created: int | str | None = None
    livemode: bool = False


_head = msgspec.json.Decoder(_Head)


def verify(
    body: bytes,
    header: bytes | str | None,
    secrets: Sequence[str],
    now_seconds: float,
    tolerance: int = TOLERANCE,
) -> bool:
    """Tell whether one of `secrets` signed exactly these bytes within `tolerance` of now; never raises.

    `header` is Stripe-Signature: `t=<unix>,v1=<hex>[,v1=<hex>…]`. Any secret and any `v1` may match; other
    schemes count for nothing, and blank secrets sign nothing. A tolerance below one second is taken as one.
    """
    told = _parts(header)
    if told is None:
        return False
    time, signatures = told
    if not -max(tolerance, 1) <= now_seconds - time <= max(tolerance, 1):
        return False
    signed = b"%d.%b" % (time, body)
    verdict = False
    for secret in secrets:
        if secret.strip():
            expected = hmac.digest(secret.encode(), signed, "sha256")
            # No early end: how long it takes must not tell which of them matched.
            for signature in signatures:
                verdict |= hmac.compare_digest(expected, signature)
    return verdict


def envelope(body: bytes, received_at: int) -> tuple[Envelope, bool]:
    """Wrap a verified body by what it says itself; also tell its `livemode`, False where it does not say.

    A body that is no event gets its digest as delivery id and the topic UNREADABLE.
    """
    topic, delivery_id, created_at, livemode = UNREADABLE, "", None, False
    try:
        head = _head.decode(body)
    except (ValueError, RecursionError):
        head = None
    if head is not None and _is_word(head.id) and _is_word(head.type):
        topic, delivery_id, livemode = head.type, head.id, head.livemode
        created_at = _instant(head.created)
    return (
        Envelope(
            source="stripe",
            topic=topic,
            delivery_id=delivery_id or sha256(body).hexdigest(),
            triggered_at=created_at,
            received_at=received_at,
        ),
        livemode,
    )


def _parts(header: bytes | str | None) -> tuple[int, list[bytes]] | None:
    """Return the time and the well-formed v1 signatures, decoded, or None where either is missing."""
    if header is None or len(header) > LONGEST_HEADER or not header.isascii():
        return None
    raw = header.encode("ascii") if isinstance(header, str) else header
    time: int | None = None
    signatures = []
    for part in raw.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"t" and time is None and value.isdigit() and len(value) <= LONGEST_TIME:
            time = int(value)
        elif name == b"v1" and _HEX.fullmatch(value):
            signatures.append(bytes.fromhex(value.decode("ascii")))
    return (time, signatures) if time is not None and signatures else None


def _is_word(text: str) -> bool:
    return 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable()


def _instant(created: int | str | None) -> int | None:
    if isinstance(created, int):
        return created * SECOND if 0 < created < 10**10 else None
    try:
        return from_iso(created) if created else None
    except (ValueError, OverflowError):
        return None
