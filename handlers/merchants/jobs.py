"""What the clock does for merchants: secrets move to the current key, and what was kept its time goes."""

import json
from collections.abc import AsyncIterator

import structlog

from handlers.context import Context
from handlers.merchants import journal, sessions
from handlers.merchants.connections import place
from integration.database.steps import Row, Steps, ask, plain
from integration.vault import Unsealable, Vault

PAGE = 200
MOST_PAGES = 100_000

_CONNECTIONS = plain("SELECT id, merchant_id, secrets, token FROM connections WHERE id > ?1 ORDER BY id LIMIT ?2")
_ONE = plain(
    "SELECT secrets, token FROM connections WHERE id = ?1",
    postgres="SELECT secrets, token FROM connections WHERE id = ?1 FOR UPDATE",
)
_WRITE = plain("UPDATE connections SET secrets = ?2, token = ?3 WHERE id = ?1")

log = structlog.get_logger()


async def reseal(context: Context) -> int:
    """Seal connections' secrets again that an older key of SECRET_KEY sealed; return how many connections.

    What no listed key opens stays as it is and is logged.
    """
    resealed = 0
    async for number, merchant_id, sealed, token in _connections(context):
        if all(context.vault.is_current(one) for one in _all(sealed, token)):
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
    async for _, merchant_id, sealed, token in _connections(context):
        try:
            _opened(merchant_id, sealed, token, context.vault)
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


def _all(sealed: str, token: str | None) -> list[str]:
    return [*json.loads(sealed), *([token] if token else [])]


def _opened(merchant_id: int, sealed: str, token: str | None, vault: Vault) -> tuple[list[str], str | None]:
    secrets = [vault.open(one, **place(merchant_id, "secrets")) for one in json.loads(sealed)]
    return secrets, token and vault.open(token, **place(merchant_id, "token"))


def _reseal(number: int, merchant_id: int, vault: Vault) -> Steps[None]:
    for sealed, token in (yield from ask(_ONE, (number,))):
        secrets, key = _opened(merchant_id, sealed, token, vault)
        again = json.dumps([vault.seal(one, **place(merchant_id, "secrets")) for one in secrets])
        yield from ask(_WRITE, (number, again, key and vault.seal(key, **place(merchant_id, "token"))))


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
