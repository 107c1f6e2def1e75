"""Connects Stripe accounts by a pasted key, keeps their webhook endpoints in order, and parts from them cleanly."""

import hashlib
import secrets
from typing import NamedTuple

import structlog

from handlers.context import Context
from handlers.inbox.keys import revoke
from handlers.inbox.work import BELL
from handlers.merchants import stripe_accounts
from handlers.merchants.connections import place
from handlers.merchants.journal import note
from handlers.merchants.rules import Refused
from handlers.merchants.stripe_accounts import ELSEWHERE, Key, Reserved, StripeAccount, key_of
from integration.clock import HOUR, MINUTE
from integration.database.steps import Steps
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.faults import point
from integration.stripe import accounts as stripe
from integration.stripe.accounts import MOST_ENDPOINTS, Endpoint, Inspection, Missing
from integration.vault import Unsealable

TEND_EVERY = 6 * HOUR  # how often an account that is well is looked at
LEARN_WITHIN = 10 * MINUTE  # of each such time: when connections set up by hand are asked whose they are
MARK_DIGITS = 24
MOST_TENDED = 100  # accounts of one run; the next one goes on
_OVERTAKEN = "its webhook is being set up by another process; look again in a minute"

log = structlog.get_logger()


class Lacking(NamedTuple):
    """A key that opens too little; nothing was kept."""

    account: str | None
    missing: tuple[Missing, ...]


class Connected(NamedTuple):
    """An account that is connected; `unfinished` says why its webhook could not be set up yet."""

    account: StripeAccount
    rotated: bool
    unfinished: str | None


class Parted(NamedTuple):
    """An account that is disconnected; `left_behind` says what we could not take away there, and why."""

    account: StripeAccount
    left_behind: str | None


# --- Connecting -----------------------------------------------------------------------------------


async def connect(context: Context, merchant_id: int, pasted: str, who: str) -> Connected | Lacking:
    """Connect the Stripe account behind a pasted restricted key, or give the connected one a new key.

    Raises Refused for anything but a good restricted key of an account nobody else has, and Unavailable where Stripe
    cannot answer now; nothing is kept then. The key is in no message.
    """
    key = key_of(pasted)
    found = await _inspected(context, key)
    if found.account is not None and await context.database.read(
        lambda: stripe_accounts.is_elsewhere(merchant_id, str(found.account))
    ):
        raise Refused(ELSEWHERE)
    if found.missing or found.account is None:
        return Lacking(found.account, found.missing)
    if key.livemode and not context.public_url.startswith("https://"):
        raise Refused(
            "Stripe sends live payments only to an address with https, and Regulars has none here: whoever runs it sets"
            " PUBLIC_URL."
        )
    reserved = await _reserved(context, merchant_id, key, found, who)
    point("stripe.reserved")
    one = await _one(context, merchant_id, reserved.connection)
    unfinished = await ensure(context, one, key.text)
    context.queue.ring(BELL)
    return Connected(await _one(context, merchant_id, reserved.connection), reserved.rotated, unfinished)


async def _inspected(context: Context, key: Key) -> Inspection:
    try:
        return await stripe.inspect(context.stripe, key.text)
    except Revoked:
        raise Refused(
            "Stripe does not know this key: it was deleted, has expired, or a part of it is missing. Copy it again, or"
            " make a new one."
        ) from None
    except Rejected as error:
        raise Refused(f"Stripe would not say what this key opens: {error}.") from error


async def _reserved(context: Context, merchant_id: int, key: Key, found: Inspection, who: str) -> Reserved:
    now = context.clock.now()

    def keep() -> Steps[Reserved]:
        reserved = yield from stripe_accounts.reserve(
            merchant_id, key, str(found.account), found.name, context.vault, now
        )
        if reserved.left_at is not None:
            for follow in context.on_return:
                yield from follow(merchant_id, reserved.left_at, now)
        did = "gave a Stripe account a new key" if reserved.rotated else "connected a Stripe account"
        told = {"account": found.account, "livemode": key.livemode}
        yield from note(merchant_id, who, did, f"connection:{reserved.connection}", told, now)
        return reserved

    return await context.database.run(keep)


async def _one(context: Context, merchant_id: int, connection: int) -> StripeAccount:
    one = await context.database.read(lambda: stripe_accounts.account_of(merchant_id, connection))
    if one is None:
        raise Refused("This Stripe account is not connected any more.")
    return one


# --- The webhook endpoint -------------------------------------------------------------------------


async def ensure(context: Context, one: StripeAccount, key: str) -> str | None:
    """Have exactly one endpoint of ours in the account, whose secret we hold; return why not where that fails.

    What an earlier attempt made and did not live to keep is found by its address or its mark and taken away: its
    secret is told only once.
    """
    token = secrets.token_hex(8)
    held = await context.database.run(lambda: _claimed(one, token))
    if held is None:
        return "its webhook is being set up already; look again in a minute"
    try:
        return await _ensure(context, held, key, token)
    except OutsideError as error:
        await _note(context, held, error, token)
        return str(error)


def _claimed(one: StripeAccount, token: str) -> Steps[StripeAccount | None]:
    """Lease an account and return it as it stands from then on; None where another process is at it."""
    if not (yield from stripe_accounts.claim(one.merchant_id, one.connection, token)):
        return None
    return (yield from stripe_accounts.account_of(one.merchant_id, one.connection))


async def _ensure(context: Context, one: StripeAccount, key: str, token: str) -> str | None:
    database, vault = context.database, context.vault
    url, mark = context.public_url + one.path, _mark(one)
    there = await stripe.endpoints(context.stripe, key)
    ours = [each for each in there if each.url == url or each.metadata.get(stripe.MARK) == mark]
    kept = next((each for each in ours if each.id == one.endpoint), None)
    for each in ours:
        if each is not kept:
            await stripe.delete_endpoint(context.stripe, key, each.id)
    if kept is not None:
        if not kept.is_as_needed or kept.url != url:
            await stripe.mend_endpoint(context.stripe, key, kept.id, url, mark)
        now = context.clock.now()
        held = await database.run(lambda: stripe_accounts.set_up(one, token, kept.id, None, vault, now))
        return None if held else _OVERTAKEN
    if len(there) - len(ours) >= MOST_ENDPOINTS:
        raise Rejected(
            f"this account has {MOST_ENDPOINTS} webhook endpoints, as many as Stripe allows: delete one that is no"
            " longer used, in Stripe under Developers, Webhooks"
        )
    made = await stripe.create_endpoint(context.stripe, key, url, mark)
    point("stripe.endpoint_made")
    held = await _held(context, one, token, made)
    if not held:
        # Another took over meanwhile, or the account was disconnected: this one is nobody's.
        await stripe.delete_endpoint(context.stripe, key, made.id)
        return _OVERTAKEN
    log.info("stripe_endpoint_made", merchant=one.merchant_id, connection=one.connection, endpoint=made.id)
    return None


def _mark(one: StripeAccount) -> str:
    """Name a connection in the metadata of its endpoint: the same here alone, and it opens nothing."""
    return hashlib.sha256(one.path_token.encode()).hexdigest()[:MARK_DIGITS]


async def _held(context: Context, one: StripeAccount, token: str, made: Endpoint) -> bool:
    now = context.clock.now()
    return await context.database.run(
        lambda: stripe_accounts.set_up(one, token, made.id, made.secret, context.vault, now)
    )


async def _note(context: Context, one: StripeAccount, error: OutsideError, token: str | None = None) -> None:
    """Keep why an account cannot be looked after; a key that is no longer accepted is asked nothing more."""
    now = context.clock.now()

    def keep() -> Steps[None]:
        state = "new" if one.endpoint is None and one.state == "new" else _STATES[type(error)]
        yield from stripe_accounts.note(one, state, str(error), now, token)
        if isinstance(error, Revoked):
            yield from revoke(one.connection, one.sealed, str(error), now)

    await context.database.run(keep)
    log.warning("stripe_account_not_well", merchant=one.merchant_id, connection=one.connection, reason=str(error))


_STATES: dict[type[OutsideError], str] = {Unavailable: "away", Rejected: "refused", Revoked: "revoked"}


# --- Looking after what is connected ----------------------------------------------------------------


async def tend(context: Context) -> int:
    """Finish what was begun, and see of every account whether its key and its endpoint are still there.

    An endpoint that somebody deleted or switched off in Stripe is told of, not put back: that is for the merchant to
    say.
    """
    now = context.clock.now()
    before = now - TEND_EVERY
    found = await context.database.read(lambda: stripe_accounts.to_tend(before, MOST_TENDED))
    if now % TEND_EVERY < LEARN_WITHIN:
        found += await context.database.read(lambda: stripe_accounts.to_learn(MOST_TENDED))
    for one in found:
        try:
            key = opened(context, one)
        except Unsealable as error:
            log.error("stripe_key_cannot_be_opened", connection=one.connection, reason=str(error))
            if one.account is not None:  # Looked at, in vain: others have their turn.
                said = (one, one.state, one.reason, now)
                await context.database.run(lambda s=said: stripe_accounts.note(*s))  # type: ignore[misc]
            continue
        if one.state == "new" and one.account is not None:
            await ensure(context, one, key)
        else:
            await _looked_at(context, one, key)
    return len(found)


async def _looked_at(context: Context, one: StripeAccount, key: str) -> None:
    try:
        if one.account is None:
            await _learnt(context, one, key)
            return
        if one.endpoint is None:
            await context.stripe.ping(key)
            state, reason = one.state, one.reason
        else:
            there = await stripe.endpoints(context.stripe, key)
            kept = next((each for each in there if each.id == one.endpoint), None)
            state, reason = _judged(kept, context.public_url + one.path)
    except OutsideError as error:
        await _note(context, one, error)
        return
    now = context.clock.now()
    await context.database.run(lambda: stripe_accounts.note(one, state, reason, now))


def _judged(endpoint: Endpoint | None, url: str) -> tuple[str, str | None]:
    if endpoint is None:
        return "missing", "somebody deleted the webhook endpoint in Stripe, so payments are only found by looking"
    if endpoint.status != "enabled":
        return "disabled", "the webhook endpoint is switched off in Stripe, so payments are only found by looking"
    if not endpoint.is_as_needed:
        return "disabled", "the webhook endpoint no longer hears of everything; somebody changed it in Stripe"
    if endpoint.url != url:
        return "disabled", "the webhook endpoint leads elsewhere, so payments are only found by looking"
    return "ok", None


async def _learnt(context: Context, one: StripeAccount, key: str) -> None:
    """Ask which account a connection is of that was set up by hand, so that it is not connected twice."""
    inspection = await stripe.inspect(context.stripe, key)
    if inspection.account is None:
        return
    now = context.clock.now()
    account, name = inspection.account, inspection.name
    known = Key(key, key.startswith("rk_live_"))
    if not await context.database.run(lambda: stripe_accounts.learn(one, account, name, known, now)):
        log.error("stripe_account_connected_twice", merchant=one.merchant_id, connection=one.connection)


async def repair(context: Context, merchant_id: int, connection: int, who: str) -> str | None:
    """Set an account's endpoint up again because its merchant asks; return why not where that fails."""
    one = await _one(context, merchant_id, connection)
    if one.sealed is None:
        raise Refused("There is no key of this account; paste a restricted key first.")
    try:
        why_not = await ensure(context, one, opened(context, one))
    except Unsealable as error:
        log.error("stripe_key_cannot_be_opened", connection=connection, reason=str(error))
        why_not = "the key we keep cannot be opened any more; give a new key"
    now, about, did = context.clock.now(), f"connection:{connection}", "had a Stripe account's webhook set up again"
    if why_not is not None:
        did = "tried to have a Stripe account's webhook set up again"
    told = None if why_not is None else {"why_not": why_not}
    await context.database.run(lambda: note(merchant_id, who, did, about, told, now))
    return why_not


def opened(context: Context, one: StripeAccount) -> str:
    """Open an account's key. Raises Unsealable where no listed SECRET_KEY does."""
    assert one.sealed is not None
    return context.vault.open(one.sealed, **place(one.merchant_id, "token"))


# --- Parting --------------------------------------------------------------------------------------


async def disconnect(context: Context, merchant_id: int, connection: int, who: str, *, anyway: bool = False) -> Parted:
    """Take our endpoint out of an account, then forget its key and secrets; what it has told stays in the books.

    Where Stripe cannot be reached Unavailable is raised and nothing changed, unless `anyway`.
    """
    one = await _one(context, merchant_id, connection)
    left_behind = None
    try:
        left_behind = await _taken_away(context, one)
    except Unavailable as error:
        if not anyway:
            raise
        left_behind = str(error)
    except (OutsideError, Unsealable) as error:
        left_behind = str(error)
    point("stripe.endpoint_deleted")
    now = context.clock.now()
    told = {"account": one.account, "left_behind": left_behind}

    def close() -> Steps[bool]:
        if not (yield from stripe_accounts.close(merchant_id, connection, now)):
            return False
        yield from note(merchant_id, who, "disconnected a Stripe account", f"connection:{connection}", told, now)
        return True

    if not await context.database.run(close):
        raise Refused("This Stripe account is not connected any more.")
    log.info("stripe_disconnected", merchant=merchant_id, connection=connection, left_behind=left_behind)
    return Parted(one, left_behind)


async def _taken_away(context: Context, one: StripeAccount) -> str | None:
    if one.sealed is None:
        return "there is no key of it to do that with"
    key = opened(context, one)
    url, mark = context.public_url + one.path, _mark(one)
    for each in await stripe.endpoints(context.stripe, key):
        if one.endpoint == each.id or each.url == url or each.metadata.get(stripe.MARK) == mark:
            await stripe.delete_endpoint(context.stripe, key, each.id)
    return None
