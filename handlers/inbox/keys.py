"""The key a connection is asked with: opened, renewed before it ends by one process alone, given up when refused."""

import asyncio
import json
import secrets
import time
from typing import NamedTuple

import structlog

from handlers.context import Context
from integration.clock import HOUR, MINUTE, SECOND
from integration.database.steps import Steps, ask, plain
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.shopify.grants import App, Grant, renew

RENEW_BEFORE = 5 * MINUTE  # its end: whoever asks with it may take a while
LAST_MOMENT = 30 * SECOND  # before its end nobody begins to ask with it any more
LEASE = 60 * SECOND  # of whoever renews; three attempts fit into it
ATTEMPT_SECONDS = 12.0
ATTEMPT_PAUSES = (0.5, 2.0)  # seconds between attempts: what was asked and not heard may be asked again
AWAY_AGAIN = 30 * SECOND  # after which a platform that was away is asked again
REFUSED_AGAIN = HOUR
WAIT_SECONDS = 20.0  # for another process that renews the key we need now
LOOK_SECONDS = 0.1

log = structlog.get_logger()


class Held(NamedTuple):
    """What is kept of a connection's key; the texts are sealed."""

    id: int
    merchant_id: int
    platform: str
    account: str
    token: str | None
    expires_at: int | None
    refresh_token: str | None
    refresh_expires_at: int | None
    revoked_at: int | None
    revoked_why: str | None
    closed_at: int | None
    renewing: str | None  # the fencing token of whoever renews it now
    problem: str | None
    refreshed_at: int | None


class Key:
    """One connection's key for a stretch of work: call it before every question, and it is the one that holds then."""

    def __init__(self, context: Context, connection: int) -> None:
        self._context = context
        self._connection = connection
        self._held: Held | None = None
        self._opened = ""

    async def __call__(self) -> str:
        """Return the key, renewed where it ends soon.

        Raises Revoked where there is none any more, Unavailable where it ended and cannot be renewed now,
        Unsealable where SECRET_KEY does not open it.
        """
        now = self._context.clock.now()
        if self._held is None or _ends(self._held, now + RENEW_BEFORE):
            held = await self._context.database.read(lambda: held_by(self._connection))
            self._held = await _lasting(self._context, usable(held))
            assert self._held.token is not None
            self._opened = _open(self._context, self._held, "token", self._held.token)
        return self._opened

    async def give_up(self, error: Revoked) -> bool:
        """Note that the platform refused the key we asked with, and say whether that ends our access.

        Where another key is there by now (renewed, or given anew by the merchant), the refusal concerned the old
        one: nothing is noted, and the question may be asked again.
        """
        held = self._held
        if held is None:
            return True  # Refused before there was one: that is noted already.
        now = self._context.clock.now()
        return await self._context.database.run(lambda: revoke(held.id, held.token, str(error), now))


def usable(held: Held | None) -> Held:
    """Return what is held where it may be asked with, else raise Revoked in words."""
    if held is None or held.closed_at is not None or held.token is None:
        raise Revoked("the connection has no key any more")
    if held.revoked_at is not None:
        raise Revoked(held.revoked_why or f"{held.account} took our access away")
    return held


def held_by(connection: int) -> Steps[Held | None]:
    """Read what is held of a connection's key; None where there is no such connection."""
    rows = yield from ask(_HELD, (connection,))
    return Held(*rows[0]) if rows else None


async def renewed(context: Context, connection: int, before: int) -> bool:
    """Renew a connection's key that was last renewed before an instant, though it has not ended; tells whether it was.

    Not where somebody else is at it, or was a moment ago. Raises as `Key` does.
    """
    held = usable(await context.database.read(lambda: held_by(connection)))
    if held.refreshed_at is not None and held.refreshed_at > before:
        return False
    claim = secrets.token_hex(8)
    if not await context.database.run(lambda: _claim(held, claim)):
        return False
    await _renew(context, held, claim)
    return True


async def _lasting(context: Context, held: Held) -> Held:
    """Return a key that lasts a while: this one, or the one it is renewed to, by us or by another process."""
    number, end = held.id, time.monotonic() + WAIT_SECONDS
    claim = secrets.token_hex(8)
    while held.refresh_token is not None and _ends(held, context.clock.now() + RENEW_BEFORE):
        if await context.database.run(lambda held=held: _claim(held, claim)):  # type: ignore[misc]
            try:
                held = await _renew(context, held, claim)
            except (Unavailable, Rejected):
                if _ends(held, context.clock.now() + LAST_MOMENT):
                    raise
                return held
            continue
        held = usable(await context.database.read(lambda: held_by(number)))
        if not _ends(held, context.clock.now() + LAST_MOMENT):
            return held  # Somebody else is at it, and this one still holds.
        if held.renewing is None:
            raise Unavailable(held.problem or f"{held.account} renewed no key", retry_after=AWAY_AGAIN / SECOND)
        if time.monotonic() > end:
            raise Unavailable(f"the key to {held.account} is being renewed", retry_after=1)
        await asyncio.sleep(LOOK_SECONDS)
    return held


def _ends(held: Held, instant: int) -> bool:
    return held.expires_at is not None and held.expires_at <= instant


# --- Renewing -----------------------------------------------------------------------------------


async def _renew(context: Context, held: Held, claim: str) -> Held:
    """Renew a key under a claim and return what holds then; what another process wrote meanwhile stands."""
    told = {"merchant": held.merchant_id, "connection": held.id}
    try:
        grant = await _asked(context, held)
    except Revoked as error:
        reason, now = str(error), context.clock.now()
        if await context.database.run(lambda: _lapse(held, claim, reason, now)):
            log.warning("access_lapsed", **told, reason=reason)
    except OutsideError as error:
        reason = str(error)
        pause = AWAY_AGAIN if isinstance(error, Unavailable) else REFUSED_AGAIN
        await context.database.run(lambda: ask(_PUT_OFF, (held.id, claim, pause, reason)))
        log.warning("key_not_renewed", **told, reason=reason)
        raise
    else:
        now = context.clock.now()
        kept = sealed(context, held.merchant_id, grant)
        scopes = json.dumps(sorted(grant.scopes)) if grant.scopes else None
        written = await context.database.run(lambda: ask(_WRITE, (held.id, claim, *kept, now, scopes)))
        if written[0][0]:
            log.info("key_renewed", **told)
    return usable(await context.database.read(lambda: held_by(held.id)))


async def _asked(context: Context, held: Held) -> Grant:
    now = context.clock.now()
    if held.refresh_token is None or (held.refresh_expires_at is not None and held.refresh_expires_at <= now):
        raise Revoked(f"our access to {held.account} lapsed: it was not renewed for too long")
    opened = _open(context, held, "refresh_token", held.refresh_token)
    app = app_of(context)
    pauses: tuple[float | None, ...] = (*ATTEMPT_PAUSES, None)
    for pause in pauses:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await renew(context.shopify, app, held.account, opened, context.clock.now())
        except TimeoutError:
            error = Unavailable(f"{held.account} took longer than {ATTEMPT_SECONDS:g} s to renew our access")
        except Unavailable as away:
            error = away
        if pause is None or error.retry_after is not None:
            raise error
        await context.shopify.pause(pause)
    raise AssertionError("the last attempt returns or raises")


def app_of(context: Context) -> App:
    """Name our app to Shopify. Raises Unavailable where it is not set up: that is ours to mend, not the shop's."""
    if not context.shopify_key or not context.shopify_secrets:
        raise Unavailable("SHOPIFY_API_KEY and SHOPIFY_API_SECRET are not set", retry_after=HOUR / SECOND)
    return App(context.shopify_key, context.shopify_secrets[0])


Sealed = tuple[str, int | None, str | None, int | None]


def sealed(context: Context, merchant_id: int, grant: Grant) -> Sealed:
    """Seal what Shopify gave for its columns: token, its end, refresh token, its end."""

    def seal(text: str, column: str) -> str:
        return context.vault.seal(text, table="connections", merchant=merchant_id, column=column)

    refresh = None if grant.refresh_token is None else seal(grant.refresh_token, "refresh_token")
    return seal(grant.token, "token"), grant.expires_at, refresh, grant.refresh_expires_at


def _open(context: Context, held: Held, column: str, text: str) -> str:
    return context.vault.open(text, table="connections", merchant=held.merchant_id, column=column)


# --- Steps --------------------------------------------------------------------------------------


def _claim(held: Held, claim: str) -> Steps[bool]:
    if held.refresh_token is None:
        return False
    rows = yield from ask(_CLAIM, (held.id, claim, held.refresh_token))
    return bool(rows[0][0])


def revoke(connection: int, token: str | None, why: str, now: int) -> Steps[bool]:
    """Note that the platform refused a connection's key (`token` is sealed), and say whether access is gone now.

    Only that key is given up: one that was given meanwhile is another, and stands.
    """
    yield from ask(_REVOKE, (connection, token, now, why))
    present = yield from held_by(connection)
    return present is None or present.closed_at is not None or present.revoked_at is not None


def _lapse(held: Held, claim: str, why: str, now: int) -> Steps[bool]:
    rows = yield from ask(_LAPSE, (held.id, claim, now, why))
    return bool(rows[0][0])


_HELD = plain(
    "SELECT id, merchant_id, platform, account, token, token_expires_at, refresh_token, refresh_expires_at,"
    " revoked_at, revoked_why, closed_at, refresh_claim, refresh_problem, refreshed_at"
    " FROM connections WHERE id = ?1"
)
_CLAIM = plain(
    f"UPDATE connections SET refresh_claim = ?2, refresh_after = {{clock}} + {LEASE}"
    # What was renewed since it was read is not renewed again.
    " WHERE id = ?1 AND refresh_token = ?3 AND revoked_at IS NULL AND closed_at IS NULL"
    # What is further off than anybody puts it was written before the database's clock was set back.
    f" AND (refresh_after IS NULL OR refresh_after <= {{clock}} OR refresh_after > {{clock}} + {REFUSED_AGAIN})"
)
# Old and new, access and renewal, in one statement; only by whoever still has the claim.
_WRITE = plain(
    "UPDATE connections SET token = ?3, token_expires_at = ?4, refresh_token = ?5, refresh_expires_at = ?6,"
    " refreshed_at = ?7, scopes = coalesce(?8, scopes), refresh_claim = NULL, refresh_after = NULL,"
    " refresh_problem = NULL"
    " WHERE id = ?1 AND refresh_claim = ?2"
)
_PUT_OFF = plain(
    "UPDATE connections SET refresh_claim = NULL, refresh_after = {clock} + ?3, refresh_problem = ?4"
    " WHERE id = ?1 AND refresh_claim = ?2"
)
_LAPSE = plain(
    "UPDATE connections SET refresh_claim = NULL, refresh_after = NULL, revoked_at = ?3, revoked_why = ?4"
    " WHERE id = ?1 AND refresh_claim = ?2 AND revoked_at IS NULL"
)
_REVOKE = plain(
    "UPDATE connections SET revoked_at = ?3, revoked_why = ?4, refresh_claim = NULL, refresh_after = NULL"
    " WHERE id = ?1 AND token = ?2 AND revoked_at IS NULL"
)
