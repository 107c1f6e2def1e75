"""Read Shopify Payments disputes, in Stripe's words: disputes/create and update."""

import msgspec

from integration.bodies import decode
from integration.errors import Suspect
from integration.facts import Dispute, DisputeSeen, Envelope, Reading
from integration.shopify.values import Amount, Id, currency_of, id_of, instant_of, minor_of, named_id, word_of

# Shopify's own words for ends that Stripe tells otherwise. A dispute that ends by a refund, which is told by
# itself, has no further effect.
_ENDS = {"accepted": "lost", "charge_refunded": "warning_closed"}
_CLOSED = frozenset({"won", "lost", "warning_closed"})


class _DisputeBody(msgspec.Struct):
    id: Id = None
    order_id: Id | msgspec.UnsetType = msgspec.UNSET
    type: str | None = None
    amount: Amount = None
    currency: str | None = None
    status: str | None = None
    initiated_at: str | None = None
    finalized_on: str | None = None


_dispute = msgspec.json.Decoder(_DisputeBody)


def read_dispute(body: bytes, envelope: Envelope) -> Reading:
    """Read a dispute, timed by its signed body, and by the header only where the body tells no time."""
    seen = decode(_dispute, body)
    if seen.order_id is msgspec.UNSET or seen.type is None or seen.amount is None:
        raise Suspect("the body is not a dispute")
    currency = currency_of(seen.currency)
    told_at = max(instant_of(seen.initiated_at) or 0, instant_of(seen.finalized_on) or 0)
    dispute = Dispute(
        id=named_id(seen.id, "the dispute"),
        amount_minor=abs(minor_of(None, seen.amount, currency)),
        currency=currency,
        status=_status(word_of(seen.status) or "", inquiry=word_of(seen.type) == "inquiry"),
        told_at=told_at or envelope.triggered_at or envelope.received_at,
        order_id=id_of(seen.order_id),
    )
    return Reading((DisputeSeen(dispute),))


def _status(status: str, *, inquiry: bool) -> str:
    status = _ENDS.get(status, status)
    if not inquiry or status.startswith("warning_"):
        return status
    return "warning_closed" if status in _CLOSED else f"warning_{status}"
