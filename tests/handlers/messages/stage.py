"""Nora's tea shop on a real database with a real mail server: orders in, mails out, and a clock to turn."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any, cast

import httpx
import msgspec

from config.asgi import build
from config.wiring import AIMS
from handlers.context import Context
from handlers.inbox.rules import Told
from handlers.merchants.rules import Program
from handlers.messages.falls import PointsDown
from handlers.messages.sending import send_due
from handlers.points.letters import PointsExpiring
from handlers.points.settle import PointsSettler, follow
from handlers.privacy.gate import Gate
from handlers.reviews.letters import Reminder, Request
from handlers.reviews.settle import ReviewsSettler
from handlers.sales.apply import make_apply
from handlers.thanks.letters import ThankYou
from handlers.thanks.settle import ThanksSettler
from handlers.tiers.letters import LETTERS as TIER_LETTERS
from handlers.tiers.settle import TierRanker
from handlers.tiers.settle import follow as follow_tiers
from integration.channels import Channel
from integration.channels.console import ConsoleChannel
from integration.clock import DAY, HOUR, from_iso
from integration.database.steps import ask, plain
from integration.facts import (
    Buyer,
    Charge,
    ChargeSeen,
    ConsentSeen,
    Envelope,
    Fact,
    Fulfilment,
    FulfilmentSeen,
    Order,
    OrderLine,
    OrderRefund,
    OrderSeen,
    Reading,
    RefundLine,
)
from integration.vault import Vault

MONDAY_NOON = from_iso("2026-11-23T11:00:00Z")  # noon in Paris
PROGRAM: dict[str, Any] = {
    "earning": {"enabled": True, "points_per_unit": "1", "hold_days": 0},
    "thanks": {"enabled": True, "when": "every", "delay_minutes": 60},
    "reviews": {"enabled": True},
    "messages": {"window": "always", "cap_hours": 0, "cap_fortnight": 0, "from_address": "nora@tea.example"},
}
ELSA = Buyer(
    platform_id="70",
    email="elsa@home.example",
    customer_email="elsa@home.example",
    email_verified=True,
    first_name="Elsa",
    last_name="Berg",
)
VAULT = Vault(["a secret of more than thirty-two characters"])
OOLONG = OrderLine("1", 1, 1, 1_800, product_id="11", title="High Mountain Oolong")
TEAPOT = OrderLine("2", 1, 1, 4_200, product_id="12", title="Cast-iron teapot")


@dataclass(slots=True)
class TurnedClock:
    """A clock that stands still until it is turned."""

    instant: int = MONDAY_NOON
    offset: int = 0

    def now(self) -> int:
        return self.instant + self.offset


@dataclass(slots=True)
class Stage:
    """One shop and everything around it."""

    database: Any
    channel: Channel = field(default_factory=lambda: ConsoleChannel(stream=None))
    clock: TurnedClock = field(default_factory=TurnedClock)
    program: dict[str, Any] = field(default_factory=lambda: {k: dict(v) for k, v in PROGRAM.items()})
    versions: int = 0
    events: int = 0
    context: Context = field(init=False)

    async def open(self) -> "Stage":
        settlers = [PointsSettler(), ThanksSettler(), ReviewsSettler()]
        apply, resettle = make_apply(settlers, [follow, follow_tiers], Gate(VAULT), ranker=TierRanker())
        kinds = [ThankYou(), Request(), Reminder(), PointsDown(), PointsExpiring(), *TIER_LETTERS]
        self.context = Context(
            database=self.database,
            queue=cast(Any, SimpleNamespace(ring=lambda _bell: None)),
            clock=cast(Any, self.clock),
            vault=VAULT,
            public_url="https://regulars.example",
            mail_from="hello@regulars.example",
            shopify_secrets=(),
            topics={},
            settlers=settlers,
            apply=apply,
            resettle=resettle,
            channels={"email": self.channel},
            shopify=cast(Any, None),
            stripe=cast(Any, None),
            kinds={kind.name: kind for kind in kinds},
            aims=AIMS,
        )
        await self.does(
            "INSERT INTO merchants (id, name, currency, timezone, country, email, created_at)"
            " VALUES (1, 'Nora''s Tea', 'EUR', 'Europe/Paris', 'FR', 'nora@tea.example', 0)"
        )
        await self.does("INSERT INTO books (merchant_id) VALUES (1)")
        await self.does(
            "INSERT INTO connections (merchant_id, platform, account, created_at, connected_at)"
            " VALUES (1, 'shopify', 'nora.myshopify.com', 0, 0), (1, 'stripe', 'token', 0, 0)"
        )
        await self.set(self.program, at=0)
        return self

    async def set(self, changes: dict[str, Any], at: int | None = None) -> None:
        """Write a new version of the programme, in force at once."""
        for section, values in changes.items():
            self.program[section] = {**self.program.get(section, {}), **values}
        self.versions += 1
        at = self.clock.now() if at is None else at
        document = Program.model_validate(self.program).model_dump_json()
        await self.does(
            "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document)"
            " VALUES (1, ?1, ?2, ?2, ?3)",
            self.versions,
            at - at % 1_000_000,
            document,
        )

    async def hears(self, *facts: Fact) -> None:
        """Work one event for each fact, as one batch."""
        told, now = self.told(*facts), self.clock.now()
        await self.database.run(lambda: self.context.apply(told, now))

    def told(self, *facts: Fact) -> list[Told]:
        """Make one event for each fact, as the worker would have read it now."""
        told, now = [], self.clock.now()
        for fact in facts:
            self.events += 1
            envelope = Envelope("shopify", "any", str(self.events), now, now, "digest")
            told.append(Told(self.events, 1, "nora.myshopify.com", envelope, Reading((fact,))))
        return told

    async def settles(self) -> int:
        """Settle what the clock made due."""
        now = self.clock.now()
        return (await self.database.run(lambda: self.context.resettle(100, now, 0))).sales

    async def sends(self) -> int:
        """Send what is due by now; returns how many messages were looked at."""
        return await send_due(self.context)

    async def later(self, by: int) -> None:
        """Turn the clock forward and send what became due."""
        self.clock.instant += by
        await self.sends()

    async def leases_end(self) -> None:
        """Let every claim run out, as the database's clock does in time."""
        await self.does("UPDATE messages SET claimed_until = 0 WHERE state = 'sending'")

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """A browser that knows the program's own pages."""
        transport = httpx.ASGITransport(app=build(self.context))
        return httpx.AsyncClient(transport=transport, base_url="https://regulars.example", headers=headers)

    async def does(self, sql: str, *values: Any) -> None:
        await self.database.run(lambda: ask(plain(sql), values))

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(await self.database.read(lambda: ask(plain(sql), values)))

    async def messages(self, kind: str | None = None) -> dict[str, tuple[str, str | None]]:
        """State and reason of each message by key."""
        rows = await self.rows("SELECT key, state, reason, kind FROM messages ORDER BY key")
        return {key: (state, reason) for key, state, reason, of in rows if kind in (None, of)}

    async def states(self, kind: str | None = None) -> dict[str, str]:
        return {key: state for key, (state, _) in (await self.messages(kind)).items()}

    async def due(self, key: str) -> int:
        rows = await self.rows("SELECT due_at FROM messages WHERE key = ?1", key)
        return int(rows[0][0])

    @property
    def mails(self) -> Sequence[EmailMessage]:
        assert isinstance(self.channel, ConsoleChannel)
        return list(self.channel.mailbox)

    def order(self, number: str = "1001", **changes: object) -> OrderSeen:
        """A paid order of Elsa's, sold now, going to Paris."""
        known: dict[str, object] = {
            "id": number,
            "name": f"#{number}",
            "updated_at": self.clock.now(),
            "currency": "EUR",
            "processed_at": self.clock.now(),
            "financial_status": "paid",
            "total_minor": 6_000,
            "lines": tuple(msgspec.structs.replace(line, id=f"{number}{line.id}") for line in (OOLONG, TEAPOT)),
            "buyer": ELSA,
            "country": "FR",
        }
        return OrderSeen(Order(**{**known, **changes}))  # type: ignore[arg-type]

    def refunded(self, seen: OrderSeen, *, number: str = "9", keep: int = 0) -> OrderSeen:
        """The same order with all but the first `keep` lines given back now."""
        order, now = seen.order, self.clock.now()
        lines = tuple(
            line if position < keep else msgspec.structs.replace(line, current_quantity=0)
            for position, line in enumerate(order.lines)
        )
        back = tuple(RefundLine(line.id, 1, line.price_minor) for line in order.lines[keep:])
        money = sum(line.subtotal_minor for line in back)
        refund = OrderRefund(number, now, back, money_minor=money, created_at=now)
        status = "refunded" if keep == 0 else "partially_refunded"
        return OrderSeen(
            msgspec.structs.replace(order, updated_at=now + 1, lines=lines, refunds=(refund,), financial_status=status)
        )

    def parcel(self, order: str = "1001", number: str = "5", **changes: object) -> FulfilmentSeen:
        """A parcel that left now."""
        now = self.clock.now()
        known: dict[str, object] = {
            "id": number,
            "updated_at": now,
            "status": "success",
            "created_at": now,
            "country": "FR",
        }
        return FulfilmentSeen(order, Fulfilment(**{**known, **changes}))  # type: ignore[arg-type]


__all__ = [
    "DAY",
    "ELSA",
    "HOUR",
    "MONDAY_NOON",
    "OOLONG",
    "TEAPOT",
    "Buyer",
    "Charge",
    "ChargeSeen",
    "ConsentSeen",
    "Stage",
    "asyncio",
]
