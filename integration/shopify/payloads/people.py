"""Read customers: their records, merges and consents."""

import msgspec

from integration.bodies import decode
from integration.errors import Suspect
from integration.facts import Buyer, ConsentSeen, CustomerSeen, CustomersMerged, Envelope, Reading
from integration.shopify.values import (
    Id,
    email_of,
    id_of,
    insist_on_kind,
    instant_of,
    named_id,
    text_of,
    word_of,
)

_MERGED = frozenset({"completed", "complete", "success", "succeeded"})

Told = msgspec.Raw | msgspec.UnsetType


class _ConsentBody(msgspec.Struct):
    state: str | None = None
    consent_updated_at: str | None = None


class _CustomerBody(msgspec.Struct):
    id: Id = None
    admin_graphql_api_id: str | None = None
    email: str | msgspec.UnsetType | None = msgspec.UNSET
    verified_email: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    created_at: str | msgspec.UnsetType | None = msgspec.UNSET
    updated_at: str | msgspec.UnsetType | None = msgspec.UNSET
    state: str | msgspec.UnsetType | None = msgspec.UNSET
    tax_exemptions: Told = msgspec.UNSET
    # API versions that still tell consent with the customer.
    email_marketing_consent: _ConsentBody | None = None
    sms_marketing_consent: _ConsentBody | None = None
    # Keys of shops, orders, disputes, refunds and fulfilments.
    myshopify_domain: Told = msgspec.UNSET
    shop_owner: Told = msgspec.UNSET
    line_items: Told = msgspec.UNSET
    order_id: Told = msgspec.UNSET
    shop_id: Told = msgspec.UNSET


class _MergeBody(msgspec.Struct):
    admin_graphql_api_customer_kept_id: Id = None
    admin_graphql_api_customer_deleted_id: Id = None
    status: str | None = None


class _EmailConsentBody(msgspec.Struct):
    customer_id: Id = None
    email_address: str | None = None
    email_marketing_consent: _ConsentBody | None = None


class _SmsConsentBody(msgspec.Struct):
    id: Id = None
    customer_id: Id = None
    phone: str | None = None
    sms_marketing_consent: _ConsentBody | msgspec.UnsetType | None = msgspec.UNSET
    created_at: Told = msgspec.UNSET  # a whole customer record has it


_customer = msgspec.json.Decoder(_CustomerBody)
_merge = msgspec.json.Decoder(_MergeBody)
_email_consent = msgspec.json.Decoder(_EmailConsentBody)
_sms_consent = msgspec.json.Decoder(_SmsConsentBody)


def read_customer(body: bytes, envelope: Envelope) -> Reading:
    """Read a customer record, and consents where the API version tells them with it."""
    seen = _customer_body(body)
    if seen.email is seen.created_at is seen.updated_at is seen.state is msgspec.UNSET:
        raise Suspect("the body is not a customer record")
    told_at = _first(seen.updated_at) or _first(seen.created_at) or _received(envelope)
    buyer = Buyer(
        platform_id=named_id(seen.id, "the customer"),
        email=email_of(seen.email or None),
        customer_email=email_of(seen.email or None),
        email_verified=seen.verified_email,
        first_name=text_of(seen.first_name),
        last_name=text_of(seen.last_name),
        phone=text_of(seen.phone),
    )
    consents = [
        _consent(channel, consent, told_at, buyer.platform_id, address)
        for channel, consent, address in (
            ("email", seen.email_marketing_consent, buyer.email),
            ("sms", seen.sms_marketing_consent, buyer.phone),
        )
        if consent is not None and consent.state
    ]
    return Reading((CustomerSeen("shopify", buyer, told_at, joined_at=_joined_at(seen, envelope)), *consents))


def _joined_at(seen: _CustomerBody, envelope: Envelope) -> int | None:
    """Say when the customer opened an account: with their record, or when it was enabled.

    A later word on an enabled account does not say since when it is one.
    """
    if not isinstance(seen.state, str) or word_of(seen.state) != "enabled":
        return None
    match envelope.topic:
        case "customers/create":
            return _first(seen.created_at)
        case "customers/enable":
            return _first(seen.updated_at)
    return None


def read_deleted(body: bytes, envelope: Envelope) -> Reading:
    """Read customers/delete: an id and no record any more; anything more or less is Suspect."""
    seen = _customer_body(body)
    told = not (seen.email is seen.created_at is seen.updated_at is msgspec.UNSET)
    known = seen.admin_graphql_api_id is not None or seen.tax_exemptions is not msgspec.UNSET
    if told or not known:
        raise Suspect("the body is not what is left of a customer")
    buyer = Buyer(platform_id=named_id(seen.id, "the customer"))
    return Reading((CustomerSeen("shopify", buyer, _received(envelope), deleted=True),))


def read_merge(body: bytes, envelope: Envelope) -> Reading:
    """Read customers/merge. One that failed or is not done yet tells nothing: a merge cannot be undone."""
    seen = decode(_merge, body)
    kept, gone = seen.admin_graphql_api_customer_kept_id, seen.admin_graphql_api_customer_deleted_id
    if kept is None or gone is None:
        raise Suspect("the body is not a merge of customers")
    for gid in (kept, gone):
        insist_on_kind(gid if isinstance(gid, str) else None, "Customer")
    status = word_of(seen.status)
    kept_id, gone_id = named_id(kept, "the kept customer"), named_id(gone, "the merged customer")
    if (status is not None and status not in _MERGED) or kept_id == gone_id:
        return Reading(())
    return Reading((CustomersMerged(kept_id, gone_id),))


def read_email_consent(body: bytes, envelope: Envelope) -> Reading:
    """Read a change of what a customer allows by e-mail; a state of null tells nothing."""
    seen = decode(_email_consent, body)
    if seen.email_marketing_consent is None or seen.customer_id is None:
        raise Suspect("the body is not an e-mail consent")
    return _consents(
        "email", seen.email_marketing_consent, id_of(seen.customer_id), email_of(seen.email_address), envelope
    )


def read_sms_consent(body: bytes, envelope: Envelope) -> Reading:
    """Read a change of what a customer allows by text message; a state of null tells nothing."""
    seen = decode(_sms_consent, body)
    consent = seen.sms_marketing_consent
    if consent is msgspec.UNSET or seen.created_at is not msgspec.UNSET:
        raise Suspect("the body is not a text message consent")
    customer_id = id_of(seen.customer_id) or id_of(seen.id)
    return _consents("sms", consent or _ConsentBody(), customer_id, text_of(seen.phone), envelope)


def _customer_body(body: bytes) -> _CustomerBody:
    seen = decode(_customer, body)
    foreign = (seen.myshopify_domain, seen.shop_owner, seen.line_items, seen.order_id, seen.shop_id)
    if any(key is not msgspec.UNSET for key in foreign):
        raise Suspect("the body is not a customer")
    insist_on_kind(seen.admin_graphql_api_id, "Customer")
    return seen


def _consents(
    channel: str, consent: _ConsentBody, customer_id: str | None, address: str | None, envelope: Envelope
) -> Reading:
    if not consent.state:
        return Reading(())
    return Reading((_consent(channel, consent, _received(envelope), customer_id, address),))


def _consent(
    channel: str, consent: _ConsentBody, told_at: int, customer_id: str | None, address: str | None
) -> ConsentSeen:
    return ConsentSeen(
        platform="shopify",
        channel=channel,
        state=word_of(consent.state) or "",
        told_at=instant_of(consent.consent_updated_at) or told_at,
        customer_id=customer_id,
        address=address,
    )


def _first(time: str | msgspec.UnsetType | None) -> int | None:
    return instant_of(time) if isinstance(time, str) else None


def _received(envelope: Envelope) -> int:
    return envelope.triggered_at or envelope.received_at
