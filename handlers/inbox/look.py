"""Asking the platform what an event left out, outside any transaction and within a time limit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from handlers.context import Context
from handlers.inbox.claim import connection_now
from handlers.inbox.keys import Key
from handlers.inbox.rules import Connection, Outcome
from integration.errors import Rejected, Revoked, Unavailable
from integration.facts import Fact, LookAgain, OrderSeen, Reading, Uninstalled
from integration.shopify.grants import NotInstalled

LOOK_SECONDS = 12  # within a lease, as is this and the wait for a turn
TURN_SECONDS = 15
# Questions to one connection at once, of one process. Shopify's smallest plan gives some three a second; Stripe gives
# a hundred, and an account may be set up to tell every event as a reference only.
AT_ONCE = {"shopify": 1, "stripe": 8}
MOST_LOOKS_AN_EVENT = 5


class NoTurn(Exception):
    """Others asked the same connection for so long that this question has to come back later."""


class Turns:
    """Whose turn it is to ask each connection: who has it looks whether the key is still good, then asks.

    So a shop that takes our access away hears at most one more question from each other process.
    """

    def __init__(self) -> None:
        self._gates: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, connection: Connection) -> AsyncIterator[None]:
        """Wait for a turn and hold it; NoTurn where that takes too long."""
        gate = self._gates.get(connection.id)
        if gate is None:
            gate = self._gates[connection.id] = asyncio.Semaphore(AT_ONCE[connection.platform])
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await gate.acquire()
        except TimeoutError:
            raise NoTurn("many events wait for their platform to be asked") from None
        try:
            yield
        finally:
            gate.release()


def must_look(connection: Connection, reading: Reading) -> bool:
    """Tell whether a reading cannot be applied before the platform has been asked."""
    return any(
        isinstance(fact, LookAgain) or (isinstance(fact, Uninstalled) and _can_confirm(connection))
        for fact in reading.facts
    )


async def look(context: Context, connection: Connection, reading: Reading) -> tuple[Reading, Outcome | None]:
    """Ask for every fact that says to look again, if the key is still good; returns the fuller reading.

    With an Outcome, that is what became of the event although the facts that are left are applied. Raises
    Unavailable where the platform cannot answer now.
    """
    key = Key(context, connection.id)
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            at_hand = await context.database.read(lambda: connection_now(connection))
            return await _look(context, at_hand or connection._replace(token=None), reading, key)
    except TimeoutError:
        raise Unavailable(f"{connection.platform} took longer than {LOOK_SECONDS} s to answer") from None
    except Revoked as error:
        if not await key.give_up(error):
            raise Unavailable("the key was replaced while we asked with it") from None
        return _without_looks(reading), Outcome("waiting", f"our access was taken away: {error}")


async def _look(context: Context, connection: Connection, reading: Reading, key: Key) -> tuple[Reading, Outcome | None]:
    facts: list[Fact] = []
    outcome: Outcome | None = None
    for number, fact in enumerate(reading.facts):
        if isinstance(fact, Uninstalled) and _can_confirm(connection):
            if not await _access_is_gone(context, connection, key):
                return Reading(()), Outcome("suspect", "the shop still answers to our token")
            facts.append(fact)
        elif not isinstance(fact, LookAgain):
            facts.append(fact)
        elif connection.token is None or connection.revoked_at is not None:
            outcome = Outcome("waiting", f"tells too little of {fact.kind} {fact.id}, and we have no key to ask")
        elif number >= MOST_LOOKS_AN_EVENT:
            outcome = Outcome("waiting", f"asks for more than {MOST_LOOKS_AN_EVENT} objects")
        else:
            try:
                facts.extend(await _ask(context, connection, fact, key))
            except Rejected as error:
                outcome = Outcome("waiting", f"{fact.kind} {fact.id} cannot be looked up: {error}")
    return Reading(tuple(facts), reading.shop_id, reading.hosts), outcome


async def _ask(context: Context, connection: Connection, fact: LookAgain, key: Key) -> Sequence[Fact]:
    if connection.platform == "stripe":
        facts: Sequence[Fact] = await context.stripe.look(await key(), fact.kind, fact.id)
        return facts
    return [OrderSeen(await context.shopify.order(connection.account, key, fact.id))]


async def _access_is_gone(context: Context, connection: Connection, key: Key) -> bool:
    """Ask the shop: an uninstall ends our token at once, and `shop/update` has the same body.

    A shop that signs with our secret and yet does not know our app has uninstalled it.
    """
    try:
        await context.shopify.ping(connection.account, key)
    except (Revoked, NotInstalled):
        return True
    return False


def _can_confirm(connection: Connection) -> bool:
    return connection.platform == "shopify" and connection.token is not None and connection.revoked_at is None


def _without_looks(reading: Reading) -> Reading:
    kept = tuple(fact for fact in reading.facts if not isinstance(fact, LookAgain))
    return Reading(kept, reading.shop_id, reading.hosts)
