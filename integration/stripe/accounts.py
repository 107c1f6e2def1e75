"""What a merchant's restricted key may do in their Stripe account, and the webhook endpoint we keep there."""

import asyncio
import re
from typing import Any, NamedTuple

import msgspec
import stripe

from integration.bodies import decode
from integration.errors import Rejected, Revoked, Unreadable
from integration.stripe.api import API_VERSION, StripeApi, body_of, translated
from integration.stripe.listing import TYPES

MOST_ENDPOINTS = 16  # Stripe allows so many in one account and mode
MARK = "regulars"
"""The key under which an endpoint's metadata name the connection it is of, whatever its address has become."""

_ENDPOINTS = "/v1/webhook_endpoints"
_ACCOUNT = re.compile(r"\bacct_[A-Za-z0-9]{3,60}\b")
_PERMISSION = re.compile(r"\brak_[a-z_]{3,80}\b")


class Permission(NamedTuple):
    """One line of Stripe's form for restricted keys: its group, its name, the level, and what we need it for."""

    group: str
    name: str
    level: str  # Read | Write
    purpose: str
    paths: tuple[str, ...]


PERMISSIONS = (
    Permission("Core", "Charges and Refunds", "Read", "payments and what was given back", ("charges", "refunds")),
    Permission("Core", "Customers", "Read", "whose payment it is", ("customers",)),
    Permission("Core", "Disputes", "Read", "payments that are disputed", ("disputes",)),
    Permission("Core", "Events", "Read", "what a lost webhook would have told", ("events",)),
    Permission("Core", "PaymentIntents", "Read", "payments in several steps", ("payment_intents",)),
    Permission("Checkout", "Checkout Sessions", "Read", "what was bought, and by whom", ("checkout/sessions",)),
    Permission("Billing", "Invoices", "Read", "payments of subscriptions", ("invoices",)),
    Permission("Webhook", "Webhook Endpoints", "Write", "to be told of payments as they happen", ()),
)


class Missing(NamedTuple):
    """A permission a key lacks; `stripe_name` is what Stripe's answer called it, where it did."""

    permission: Permission
    stripe_name: str | None


class Inspection(NamedTuple):
    """What a key opens: which account, under what name, and which permissions it lacks."""

    account: str | None  # acct_…; None where Stripe would not say
    name: str | None
    missing: tuple[Missing, ...]


class Endpoint(msgspec.Struct):
    """A webhook endpoint of an account; `secret` is told once, by the answer that made it."""

    id: str
    url: str
    status: str = "enabled"
    livemode: bool = False
    api_version: str | None = None
    enabled_events: list[str] = msgspec.field(default_factory=list)
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    secret: str | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.id})"  # its secret belongs into no log

    @property
    def is_as_needed(self) -> bool:
        """Tell whether it is switched on and hears of everything we read."""
        return self.status == "enabled" and ("*" in self.enabled_events or set(TYPES) <= set(self.enabled_events))


class _Profile(msgspec.Struct):
    name: str | None = None


class _Dashboard(msgspec.Struct):
    display_name: str | None = None


class _Settings(msgspec.Struct):
    dashboard: _Dashboard | None = None


class _Account(msgspec.Struct):
    id: str
    business_profile: _Profile | None = None
    settings: _Settings | None = None


class _List(msgspec.Struct):
    data: list[Endpoint]


_account = msgspec.json.Decoder(_Account)
_endpoint = msgspec.json.Decoder(Endpoint)
_endpoints = msgspec.json.Decoder(_List)


async def inspect(api: StripeApi, key: str) -> Inspection:
    """Say which account a key is of and which permissions it lacks; nothing is changed there.

    Each permission is tried by a question of its own. Raises Revoked for a key Stripe does not know, Unavailable
    where Stripe cannot answer now.
    """
    client = api.client(key)
    lacking = asyncio.gather(*(_tried(client, permission) for permission in PERMISSIONS))
    (account, name), missing = await asyncio.gather(_who(client), lacking)
    return Inspection(account, name, tuple(one for one in missing if one is not None))


async def endpoints(api: StripeApi, key: str) -> list[Endpoint]:
    """List the account's webhook endpoints. Raises as `StripeApi.look` does."""
    try:
        answer = await api.client(key).v1.webhook_endpoints.list_async({"limit": 100})
    except stripe.StripeError as error:
        raise _said(error, "the list of webhook endpoints") from error
    found: _List = _decoded(_endpoints, body_of(answer))
    return found.data


async def create_endpoint(api: StripeApi, key: str, url: str, mark: str) -> Endpoint:
    """Make an endpoint at `url` for the events we read, in our pinned version; its secret is in the answer.

    Raises as `StripeApi.look` does.
    """
    wanted: Any = {
        "url": url,
        "api_version": API_VERSION,
        "enabled_events": list(TYPES),
        "description": "Regulars: points and notes for what is paid",
        "metadata": {MARK: mark},
    }
    try:
        made = await api.client(key).v1.webhook_endpoints.create_async(wanted)
    except stripe.StripeError as error:
        raise _said(error, "a webhook endpoint") from error
    endpoint: Endpoint = _decoded(_endpoint, body_of(made))
    if endpoint.secret is None:
        raise Rejected("Stripe made a webhook endpoint without telling its secret")
    return endpoint


async def mend_endpoint(api: StripeApi, key: str, id: str, url: str, mark: str) -> None:
    """Switch an endpoint on again, at our address and for the events we read. Raises as `StripeApi.look` does."""
    wanted: Any = {"url": url, "disabled": False, "enabled_events": list(TYPES), "metadata": {MARK: mark}}
    try:
        await api.client(key).v1.webhook_endpoints.update_async(id, wanted)
    except stripe.StripeError as error:
        raise _said(error, f"webhook endpoint {id}") from error


async def delete_endpoint(api: StripeApi, key: str, id: str) -> None:
    """Delete an endpoint; one that is gone already is fine. Raises as `StripeApi.look` does."""
    try:
        await api.client(key).v1.webhook_endpoints.delete_async(id)
    except stripe.InvalidRequestError as error:
        if error.http_status != 404:
            raise _said(error, f"webhook endpoint {id}") from error
    except stripe.StripeError as error:
        raise _said(error, f"webhook endpoint {id}") from error


async def _who(client: stripe.StripeClient) -> tuple[str | None, str | None]:
    """Name the account behind a key: by asking, or by the refusal, which names it to a key that may not ask."""
    try:
        answer = await client.v1.accounts.retrieve_current_async()
    except stripe.PermissionError as error:
        # Most restricted keys may not read their own account: Stripe's form has no such line.
        named = _ACCOUNT.search(str(error.user_message or error))
        return (named[0] if named else None), None
    except stripe.StripeError as error:
        raise translated(error, "the account") from error
    account: _Account = _decoded(_account, body_of(answer))
    shown = account.settings.dashboard.display_name if account.settings and account.settings.dashboard else None
    return account.id, shown or (account.business_profile.name if account.business_profile else None)


async def _tried(client: stripe.StripeClient, permission: Permission) -> Missing | None:
    """Use a permission in a way that leaves no trace; return it where the key lacks it."""
    try:
        for path in permission.paths:
            await client.raw_request_async("get", f"/v1/{path}", limit=1)
        if permission.level == "Write":
            # Without its parameters nothing is made: who may is told what is missing, who may not is refused.
            await client.raw_request_async("post", _ENDPOINTS)
    except stripe.PermissionError as error:
        named = _PERMISSION.search(str(error.user_message or error))
        return Missing(permission, named[0] if named else None)
    except stripe.InvalidRequestError as error:
        if error.http_status not in (400, 404):
            raise translated(error, permission.name) from error
    except stripe.StripeError as error:
        raise translated(error, permission.name) from error
    return None


def _said(error: stripe.StripeError, what: str) -> Exception:
    """Tell a key that lacks one permission from one that is dead."""
    if isinstance(error, stripe.PermissionError):
        return Rejected(f"the key may not change {what}: give it Webhook Endpoints, Write")
    if isinstance(error, stripe.AuthenticationError):
        return Revoked("Stripe no longer accepts the key")
    return translated(error, what)


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decode(decoder, body)
    except Unreadable as error:
        raise Rejected(f"Stripe answers in another shape: {error}") from error
