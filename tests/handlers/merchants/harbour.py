"""A shop that installs the app by itself: its pretend Shopify, and two processes of ours on one database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from config.settings import Settings
from config.wiring import opened
from handlers.context import Context
from handlers.inbox.record import Delivery as Recorded
from handlers.inbox.record import record_all
from handlers.inbox.work import drain
from handlers.merchants.install import Arrival, arrive
from handlers.merchants.store import connections
from integration.clock import SECOND, Clock
from integration.database.steps import ask, plain
from integration.sandbox.delivery import Delivery
from integration.sandbox.session_tokens import session_token
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_api import PretendShopify
from integration.shopify.admin import Admin
from integration.shopify.session_tokens import SessionToken, verify

KEY, SECRET = "0123456789abcdef0123456789abcdef", "shpss_the_app_secret_of_the_tea_shop_app"
NOON = 1_795_000_000 * SECOND
TEA = "marlow-finch.myshopify.com"
SCOPES = ("read_orders", "read_customers", "read_fulfillments", "read_locales", "read_legal_policies")


class HandClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.at = NOON

    def now(self) -> int:
        return self.at

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.at += int(seconds * SECOND)


class Silence:
    """Shopify does not answer whoever asks for a token until it is `over`; `begun` once somebody has asked."""

    def __init__(self) -> None:
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def kept(self) -> None:
        """Wait for its end."""
        self.begun.set()
        await self.over.wait()


@dataclass
class Harbour:
    """The tea shop, and the program it arrives at as `here` and as `there`, another process on the same database."""

    clock: HandClock
    shop: Shop
    pretend: PretendShopify
    here: Context = field(init=False)
    there: Context = field(init=False)
    slept: list[float] = field(default_factory=list)
    slow: float = 0.0  # seconds until Shopify gives out a token
    silence: "Silence | None" = None

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the pretend Shopify, after a while where it is slow."""
        if scope["path"].endswith("/access_token"):
            if self.silence is not None:
                await self.silence.kept()
            await asyncio.sleep(self.slow)
        await self.pretend.app(scope, receive, send)

    async def sleep(self, seconds: float) -> None:
        """Wait without waiting."""
        self.slept.append(seconds)

    def session(self, **changes: Any) -> tuple[SessionToken, str]:
        """Open the app in the shop's admin: a verified token, and its text."""
        raw = session_token(self.shop.domain, KEY, SECRET, self.clock.now(), **changes)
        return verify(raw, KEY, [SECRET], self.clock.now()), raw

    async def visit(self, where: Context | None = None, **changes: Any) -> Arrival:
        """Load a page of the app once."""
        return await arrive(where or self.here, *self.session(**changes))

    async def hear(self, deliveries: list[Delivery]) -> None:
        """Have webhooks recorded and worked."""
        told = [
            Recorded("shopify", self.shop.domain, d.id, d.topic, d.at, self.clock.now(), d.body) for d in deliveries
        ]
        assert all(await record_all(self.here.database, told))
        await drain(self.here)

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return await self.here.database.run(lambda: ask(plain(sql), values))

    async def connection(self) -> dict[str, Any]:
        """The shop's connection as it stands."""
        names = [column.name for column in connections.columns]
        (row,) = await self.rows(f"SELECT {', '.join(names)} FROM connections WHERE account = ?1", self.shop.domain)
        return dict(zip(names, row, strict=True))

    async def token(self) -> str:
        """The access token that is kept, opened."""
        one = await self.connection()
        return self.here.vault.open(one["token"], table="connections", merchant=one["merchant_id"], column="token")

    def asked(self, grant: str) -> int:
        """How many times a grant was asked for."""
        return self.pretend.tokens.asked.count(grant)


@asynccontextmanager
async def opened_harbour(url: str, folder: Path) -> AsyncIterator[Harbour]:
    """Open two processes' worth of the program beside one pretend Shopify."""
    clock = HandClock()
    shop = Shop(TEA, secret=SECRET, clock=clock.now, seed=3, name="Marlow & Finch", timezone="Europe/London")
    shop.currency, shop.scopes = "GBP", SCOPES
    pretend = PretendShopify.of([shop], KEY, SECRET)
    pretend.seconds = lambda: clock.now() / SECOND
    harbour = Harbour(clock, shop, pretend)
    settings = Settings(
        _env_file=None,
        database_url=url,
        data_dir=folder,
        public_url="https://regulars.example",
        secret_key="the-secret-key-of-the-harbour-is-long-enough",
        shopify_api_key=KEY,
        shopify_api_secret=SECRET,
    )
    async with AsyncExitStack() as stack:
        for name in ("here", "there"):
            client = httpx.AsyncClient(transport=httpx.ASGITransport(harbour.app))
            admin = Admin(client, base="http://pretend/{shop}", clock=clock, sleep=harbour.sleep)
            setattr(harbour, name, await stack.enter_async_context(opened(settings, clock=clock, shopify=admin)))
        yield harbour
