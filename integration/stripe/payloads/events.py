"""Open Stripe's events: snapshots carry an object, thin events only point at one to look at again."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from integration.bodies import decode, decode_part
from integration.clock import SECOND, from_iso
from integration.errors import Suspect, Unreadable
from integration.facts import (
    Buyer,
    CustomerSeen,
    Envelope,
    Fact,
    LookAgain,
    Reader,
    Reading,
    Uninstalled,
)
from integration.stripe.values import Telling, id_of, instant_of, named_id

T = TypeVar("T", bound=msgspec.Struct)

THIN = "v2.core.event"
LOOKED_AT = frozenset({"charge", "payment_intent", "checkout.session", "invoice", "refund", "dispute", "customer"})
"""The kinds of object that can be looked at again through the API."""

_ENDS_OF_ACCESS = frozenset({"account.application.deauthorized", "apps.install.deleted"})


class _Previous(msgspec.Struct):
    email: str | None = None


class _Data(msgspec.Struct):
    object: msgspec.Raw
    previous_attributes: _Previous | None = None


class _Related(msgspec.Struct):
    id: str | None = None
    type: str | None = None


class _EventBody(msgspec.Struct):
    # `request` is an object, a string or null by version, and `api_version` may be null: neither is read.
    id: str
    object: str
    type: str
    created: int | str | None = None
    livemode: bool = False  # an event that does not say is not taken for real
    account: str | None = None
    context: str | None = None
    data: _Data | None = None
    related_object: _Related | None = None


class _Kind(msgspec.Struct):
    object: str | None = None


_event = msgspec.json.Decoder(_EventBody)
_kind = msgspec.json.Decoder(_Kind)


def reader(kind: str, form: type[T], facts: Callable[[T, Telling], tuple[Fact, ...]]) -> Reader:
    """Make the reader of events that carry an object of `kind`, read as `form` and told as `facts`.

    The reader raises Unreadable for what cannot be read, and Suspect for an event under another topic than
    its own or with another kind of object than its type says.
    """
    decoder = msgspec.json.Decoder(form)

    def read(body: bytes, envelope: Envelope) -> Reading:
        event = _opened(body, envelope)
        if event.object == THIN:
            return _pointed_at(event)
        if event.data is None:
            raise Unreadable("the event carries no object")
        raw = bytes(event.data.object)
        found = decode_part(_kind, raw).object
        if found != kind:
            raise Suspect(f"the event carries a {(found or 'nameless object')[:40]}, not a {kind}")
        previous = event.data.previous_attributes
        telling = Telling(
            topic=event.type,
            told_at=instant_of(event.created if isinstance(event.created, int) else None, "the event"),
            livemode=event.livemode,
            former_email=previous.email if previous else None,
        )
        return Reading(facts(decode_part(decoder, raw), telling), account=id_of(event.account))

    return read


def read_thin(body: bytes, envelope: Envelope) -> Reading:
    """Read an event that only points at an object."""
    event = _opened(body, envelope)
    if event.object != THIN:
        raise Suspect("the event is not a thin one")
    return _pointed_at(event)


def _opened(body: bytes, envelope: Envelope) -> _EventBody:
    event = decode(_event, body)
    if event.object not in ("event", THIN):
        raise Suspect("the body is not an event")
    if event.type != envelope.topic:
        raise Suspect("the event is of another type than it was filed under")
    return event


def _pointed_at(event: _EventBody) -> Reading:
    account = id_of(event.context) if (event.context or "").startswith("acct_") else None
    related = event.related_object
    told = event.type.removeprefix("v1.")
    if told in _ENDS_OF_ACCESS:
        return Reading((Uninstalled(told_at=_thin_instant(event)),), account=account)
    if related is None or related.type not in LOOKED_AT:
        return Reading((), account=account)
    object_id = named_id(related.id, "the object pointed at")
    if told == "customer.deleted":
        # There is nothing left to look at.
        gone = CustomerSeen("stripe", Buyer(platform_id=object_id), _thin_instant(event), deleted=True)
        return Reading((gone,), account=account)
    return Reading((LookAgain(related.type, object_id),), account=account)


def _thin_instant(event: _EventBody) -> int:
    if isinstance(event.created, int):
        return event.created * SECOND
    try:
        return from_iso(event.created or "")
    except (ValueError, OverflowError):
        raise Unreadable("the event does not tell when it was made") from None
