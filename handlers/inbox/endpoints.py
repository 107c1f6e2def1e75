"""The webhook secrets behind a Stripe path's token, kept at hand for a short while."""

import asyncio
import json
from typing import NamedTuple

from handlers.context import Context
from integration.clock import SECOND
from integration.database.steps import ask, plain
from integration.errors import Unavailable
from integration.vault import Unsealable

KEEP = 60 * SECOND
READ_SECONDS = 0.8  # then who sends is told to come again
READ_AGAIN_AFTER = SECOND  # one forger must not make every request a query
MOST_KEPT = 10_000


class _Endpoint(NamedTuple):
    secrets: tuple[str, ...]
    read_at: int
    read_again_at: int


class Endpoints:
    """Finds the secrets of an endpoint; what a command changed is noticed at the next signature that fails."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, _Endpoint] = {}

    async def secrets(self, token: str) -> tuple[str, ...] | None:
        """Return the secrets of a path's token, None for an unknown one.

        Raises Unavailable where they are not at hand and the database is away.
        """
        known = self._known.get(token)
        now = self._context.clock.now()
        if known is not None and 0 <= now - known.read_at < KEEP:
            return known.secrets
        try:
            return await self._read(token, now, 0)
        except Unavailable:
            if known is None:
                raise
            return known.secrets

    async def read_again(self, token: str) -> tuple[str, ...] | None:
        """Return the secrets as they are now, because a signature failed: they may just have been changed."""
        known = self._known.get(token)
        now = self._context.clock.now()
        if known is not None and 0 <= now - known.read_again_at < READ_AGAIN_AFTER:
            return known.secrets
        return await self._read(token, now, now)

    async def _read(self, token: str, now: int, read_again_at: int) -> tuple[str, ...] | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                rows = await self._context.database.read(lambda: ask(_SECRETS, (token,)))
        except TimeoutError:
            raise Unavailable("The database takes too long to tell an endpoint's secrets.") from None
        if not rows:
            self._known.pop(token, None)
            return None
        secrets = tuple(self._open(merchant, sealed) for merchant, sealed in _each(rows))
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known[token] = _Endpoint(secrets, now, read_again_at)
        return secrets

    def _open(self, merchant_id: int, sealed: str) -> str:
        try:
            return self._context.vault.open(sealed, table="connections", merchant=merchant_id, column="secrets")
        except Unsealable as error:
            # Closed, not open: without its secret nothing can be verified, and nothing is refused for good.
            raise Unavailable(str(error)) from error


def _each(rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(merchant, sealed) for merchant, listed in rows for sealed in json.loads(listed)]


_SECRETS = plain("SELECT merchant_id, secrets FROM connections WHERE platform = 'stripe' AND account = ?1 ORDER BY id")
