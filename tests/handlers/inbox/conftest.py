"""A shop called Lavender on both platforms, a reader that needs no platform, and a worker's context."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from handlers.context import Context
from handlers.inbox.record import Delivery, record_all
from handlers.inbox.rules import Outcome, Resettled, Told
from integration.clock import Clock
from integration.database.engine import Database
from integration.database.steps import Row, Steps, ask, plain
from integration.errors import Suspect, Unreadable
from integration.facts import CustomersMerged, Envelope, LookAgain, Reading, Uninstalled
from integration.queue import Queue
from integration.vault import Vault
from tests.handlers.merchants.conftest import harbour as harbour  # the fixture, for keys of a shop that installed us

LAVENDER = "lavender.myshopify.com"
MERCHANT = 7


class StoppedClock(Clock):
    """A clock that only moves when told to."""

    def __init__(self, now: int) -> None:
        super().__init__()
        self.at = now

    def now(self) -> int:
        return self.at


def read_note(body: bytes, envelope: Envelope) -> Reading:
    """Read `{"says": …, "shop": …, "hosts": …}`; what it says decides what kind of facts it tells."""
    try:
        note = json.loads(body)
    except ValueError:
        raise Unreadable("not JSON") from None
    says = note["says"]
    if says == "odd shape":
        raise Suspect("another topic's shape")
    fact: Any = CustomersMerged(kept_id=says, gone_id=envelope.delivery_id)
    if says == "look":
        fact = LookAgain("order", note.get("id", "1001"))
    if says == "uninstalled":
        fact = Uninstalled(told_at=1)
    facts = () if says == "nothing" else (fact,)
    return Reading(facts, note.get("shop"), tuple(note.get("hosts", ())))


class Books:
    """A stand-in for sales: writes down what was applied, in the transaction that marks it worked."""

    def __init__(self) -> None:
        self.before: Callable[[Sequence[Told]], None] = lambda told: None
        self.resettled = 0
        self.ahead: list[int | None] = []

    def apply(self, told: Sequence[Told], now: int) -> Steps[dict[int, Outcome]]:
        self.before(told)
        for event in told:
            yield from ask(_WRITE, (event.merchant_id, f"applied:{event.envelope.delivery_id}"))
        return {event.event_id: Outcome("applied") for event in told}

    def resettle(self, limit: int, now: int, after: int = 0, ahead: int | None = None, /) -> Steps[Resettled]:
        self.resettled += 1
        self.ahead.append(ahead)
        return Resettled(0)
        yield


_WRITE = plain(
    "INSERT INTO accounts (merchant_id, account, micropoints) VALUES (?1, ?2, 1) ON CONFLICT"
    " (merchant_id, account) DO UPDATE SET micropoints = accounts.micropoints + 1"
)


_LEASES_END = plain("UPDATE events SET claimed_until = 0 WHERE claim IS NOT NULL")


class Desk(NamedTuple):
    """A context with the handles a test moves: its clock, its stand-in for sales."""

    context: Context
    clock: StoppedClock
    books: Books

    async def rows(self, sql: str, *arguments: Any) -> list[Row]:
        """Run a query written `?1`, `?2`…"""
        return await self.context.database.run(lambda: ask(plain(sql), arguments))

    async def told(self, *notes: dict[str, Any] | bytes, shop: str = LAVENDER, **over: Any) -> None:
        """Record deliveries of Lavender's; each note needs a `says`."""
        start = len(await self.rows("SELECT id FROM events"))
        deliveries = []
        for number, note in enumerate(notes, start=start):
            body = note if isinstance(note, bytes) else json.dumps(note).encode()
            delivery = Delivery("shopify", shop, f"d{number}", "note", None, self.clock.now(), body)
            deliveries.append(delivery._replace(**over))
        assert all(await record_all(self.context.database, deliveries))

    async def leases_end(self) -> None:
        """Let every lease run out, as the database's clock does in time."""
        await self.context.database.run(lambda: ask(_LEASES_END, ()))

    async def applied(self) -> dict[str, int]:
        """Return how many times each delivery had its effect."""
        rows = await self.rows("SELECT account, micropoints FROM accounts WHERE merchant_id = ?1", MERCHANT)
        return {name.removeprefix("applied:"): times for name, times in rows}

    async def outcomes(self) -> dict[str, tuple[str | None, str | None]]:
        """Return each delivery's outcome (`failed` for a dead letter, None when open) and its reason."""
        rows = await self.rows("SELECT delivery_id, outcome, failed_at, reason FROM events")
        return {name: (outcome or ("failed" if failed else None), why) for name, outcome, failed, why in rows}


async def connect(
    database: Database, account: str, merchant: int = MERCHANT, platform: str = "shopify", **columns: Any
) -> None:
    """Add a connection row."""
    values = {"secrets": "[]", "hosts": "[]", "token": None, "shop_id": None, **columns}
    statement = plain(
        "INSERT INTO connections (merchant_id, platform, account, secrets, hosts, token, shop_id, created_at,"
        " connected_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0)"
    )
    arguments = (merchant, platform, account, *(values[n] for n in ("secrets", "hosts", "token", "shop_id")))
    await database.run(lambda: ask(statement, arguments))


def desk_on(database: Database, **over: Any) -> Desk:
    """Return a worker's desk on a database."""
    books, clock = Books(), StoppedClock(1_800_000_000_000_000)
    nowhere: Any = None
    context = Context(
        database=database,
        queue=over.pop("queue", Queue()),
        clock=clock,
        vault=Vault(["lavender-" * 5]),
        public_url="http://localhost",
        mail_from=None,
        shopify_secrets=("present", "old"),
        topics={"shopify": {"note": read_note}, "stripe": {"note": read_note}},
        settlers=(),
        apply=books.apply,
        resettle=books.resettle,
        channels={},
        shopify=over.pop("shopify", nowhere),
        stripe=over.pop("stripe", nowhere),
    )
    assert not over
    return Desk(context, clock, books)


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Return a worker's desk with the shop Lavender connected."""
    await connect(database, LAVENDER)
    return desk_on(database)
