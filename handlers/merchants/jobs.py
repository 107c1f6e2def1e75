"""What the clock does for merchants: renews access, asks shops about themselves, reseals, deletes what is old."""

import json
from collections.abc import AsyncIterator

import structlog

from handlers.context import Context
from handlers.inbox.keys import Key, held_by, renewed
from handlers.merchants import journal, sessions
from handlers.merchants.connections import place
from integration.clock import DAY, HOUR
from integration.database.steps import Row, Steps, ask, plain
from integration.errors import OutsideError, Rejected, Revoked
from integration.shopify import about
from integration.vault import Unsealable, Vault

RENEW_AFTER = 20 * HOUR  # also what nobody asked with: a refresh token that is never used ends after 90 days
MOST_RENEWED = 100  # of one run; the next ones go on
DESCRIBE_AFTER = 30 * DAY
DESCRIBE_AGAIN = 6 * HOUR  # where it failed; meanwhile others have their turn
MOST_DESCRIBED = 50
PAGE = 200
MOST_PAGES = 100_000

TOKENS = ("token", "refresh_token")  # columns of one sealed text each; `secrets` holds a list of them
_COLUMNS = ", ".join(("secrets", *TOKENS))

_CONNECTIONS = plain(f"SELECT id, merchant_id, {_COLUMNS} FROM connections WHERE id > ?1 ORDER BY id LIMIT ?2")
IDLE = plain(
    "SELECT id FROM connections WHERE refresh_token IS NOT NULL AND refreshed_at <= ?1 AND revoked_at IS NULL"
    " AND closed_at IS NULL AND (refresh_after IS NULL OR refresh_after <= {clock}) ORDER BY refreshed_at LIMIT ?2"
)
_UNDESCRIBED = plain(
    "SELECT c.id, c.merchant_id FROM connections c JOIN merchants m ON m.id = c.merchant_id"
    " WHERE c.refresh_token IS NOT NULL"
    " AND c.revoked_at IS NULL AND c.closed_at IS NULL AND coalesce(m.describe_after, 0) <= ?1"
    " ORDER BY coalesce(m.describe_after, 0), c.id LIMIT ?2"
)
_DESCRIBE = plain(
    "UPDATE merchants SET language = coalesce(?2, language), policies = coalesce(?3, policies), described_at = ?4,"
    " describe_after = ?5 WHERE id = ?1"
)
_NOT_DESCRIBED = plain("UPDATE merchants SET describe_after = ?2 WHERE id = ?1")
_MOVED = plain("UPDATE merchants SET email = ?2 WHERE id = ?1 AND email = shop_email AND shop_email <> ?2")
_TOLD = plain("UPDATE merchants SET email = coalesce(email, ?2), shop_email = ?2 WHERE id = ?1")
_ONE = plain(
    f"SELECT {_COLUMNS} FROM connections WHERE id = ?1",
    postgres=f"SELECT {_COLUMNS} FROM connections WHERE id = ?1 FOR UPDATE",
)
_WRITE = plain("UPDATE connections SET secrets = ?2, token = ?3, refresh_token = ?4 WHERE id = ?1")

log = structlog.get_logger()


async def renew(context: Context) -> int:
    """Renew the access to every shop that was not renewed for a day; returns how many were."""
    idle = context.clock.now() - RENEW_AFTER
    count = 0
    for (number,) in await context.database.read(lambda: ask(IDLE, (idle, MOST_RENEWED))):
        try:
            count += await renewed(context, number, idle)
        except (OutsideError, Unsealable) as error:
            # It is noted with the connection, and tried again.
            log.debug("idle_key_not_renewed", connection=number, reason=str(error))
    return count


async def describe_due(context: Context) -> None:
    """Ask every shop about itself that was not asked for a month, or never: its doorbell may have been lost."""
    now = context.clock.now()
    again = now + DESCRIBE_AGAIN
    for number, merchant_id in await context.database.read(lambda: ask(_UNDESCRIBED, (now, MOST_DESCRIBED))):
        try:
            await describe(context, number)
        except (OutsideError, Unsealable) as error:
            log.info("shop_not_described", connection=number, reason=str(error))
            await context.database.run(lambda m=merchant_id: ask(_NOT_DESCRIBED, (m, again)))  # type: ignore[misc]


async def describe(context: Context, connection: int) -> None:
    """Ask a shop for its address, its language and its policies; what it does not show us stays as it was.

    A shop's address changes with its owner: who was let in by link before is out, unless somebody chose an address.
    """
    held = await context.database.read(lambda: held_by(connection))
    if held is None:
        return
    key = Key(context, connection)
    email = language = policies = None
    try:
        try:
            email = (await context.shopify.ping(held.account, key)).email
        except Rejected as error:
            log.info("address_not_told", connection=connection, reason=str(error))
        try:
            language = await about.language(context.shopify, held.account, key)
        except Rejected as error:
            log.info("language_not_told", connection=connection, reason=str(error))
        try:
            policies = json.dumps(await about.policies(context.shopify, held.account, key))
        except Rejected as error:
            log.info("policies_not_told", connection=connection, reason=str(error))
    except Revoked as error:
        await key.give_up(error)
        raise
    told, now = (held.merchant_id, language, policies), context.clock.now()

    def keep() -> Steps[bool]:
        yield from ask(_DESCRIBE, (*told, now, now + DESCRIBE_AFTER))
        if email is None:
            return False
        moved = yield from ask(_MOVED, (held.merchant_id, email))
        yield from ask(_TOLD, (held.merchant_id, email))
        if moved[0][0]:
            yield from sessions.end_sessions(held.merchant_id, now)
        return bool(moved[0][0])

    if await context.database.run(keep):
        log.warning("shop_has_another_address", merchant=held.merchant_id)


async def reseal(context: Context) -> int:
    """Seal connections' secrets again that an older key of SECRET_KEY sealed; return how many connections.

    What no listed key opens stays as it is and is logged.
    """
    resealed = 0
    async for number, merchant_id, sealed, *tokens in _connections(context):
        if all(context.vault.is_current(one) for one in (*json.loads(sealed), *filter(None, tokens))):
            continue
        try:
            await context.database.run(
                lambda n=number, m=merchant_id: _reseal(n, m, context.vault)  # type: ignore[misc]
            )
            resealed += 1
        except Unsealable as error:
            log.error("secret_cannot_be_resealed", connection=number, reason=str(error))
    return resealed


async def unopened(context: Context) -> int:
    """Count the connections with a secret that no listed key opens, as after a restore without its key."""
    count = 0
    async for _, merchant_id, sealed, *tokens in _connections(context):
        try:
            _opened(merchant_id, sealed, tokens, context.vault)
        except Unsealable:
            count += 1
    return count


async def _connections(context: Context) -> AsyncIterator[Row]:
    last = 0
    for _ in range(MOST_PAGES):
        rows = await context.database.read(lambda after=last: ask(_CONNECTIONS, (after, PAGE)))  # type: ignore[misc]
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        last = rows[-1][0]


def _opened(
    merchant_id: int, sealed: str, tokens: list[str | None], vault: Vault
) -> tuple[list[str], list[str | None]]:
    secrets = [vault.open(one, **place(merchant_id, "secrets")) for one in json.loads(sealed)]
    pairs = zip(TOKENS, tokens, strict=True)
    return secrets, [one and vault.open(one, **place(merchant_id, column)) for column, one in pairs]


def _reseal(number: int, merchant_id: int, vault: Vault) -> Steps[None]:
    for sealed, *tokens in (yield from ask(_ONE, (number,))):
        secrets, opened = _opened(merchant_id, sealed, tokens, vault)
        again = json.dumps([vault.seal(one, **place(merchant_id, "secrets")) for one in secrets])
        pairs = zip(TOKENS, opened, strict=True)
        kept = [one and vault.seal(one, **place(merchant_id, column)) for column, one in pairs]
        yield from ask(_WRITE, (number, again, *kept))


async def prune(context: Context) -> int:
    """Delete links and sessions that open nothing any more, and journal entries older than they are kept."""
    now, deleted = context.clock.now(), 0
    for _ in range(MOST_PAGES):
        some = await context.database.run(lambda: sessions.prune(now))
        some += await context.database.run(lambda: journal.prune(now))
        deleted += some
        if not some:
            break
    return deleted
