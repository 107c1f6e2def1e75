"""Nora's and Otto's shops and browsers that may see their pages: with a cookie, or in Shopify's admin.

house = await House(database).open()
nora = await house.signed_in(NORA)          # alone, by cookie
admin = house.embedded("nora.myshopify.com")   # in the admin, by session token
answer = await nora.post("/app/programme", {"rate": "3"})   # the form's token is put in
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from config.asgi import build
from config.topics import TOPICS
from config.wiring import (
    AIMS,
    COUNTS,
    COUPONS,
    FOLLOWERS,
    HOLDERS,
    KINDS,
    ON_RETURN,
    RANKER,
    REWARDS,
    SPENDING,
    TIMELINE,
    settlers,
)
from handlers.context import Context
from handlers.merchants.rules import Program
from handlers.merchants.sessions import new_link
from handlers.privacy.gate import Gate
from handlers.referrals.views import Doorway
from handlers.sales.apply import make_apply
from handlers.tiers.views import View as LadderView
from integration.channels.console import ConsoleChannel
from integration.clock import from_iso
from integration.database.steps import Row, ask, plain
from integration.queue import Queue
from integration.sandbox.session_tokens import OWNER, session_token
from integration.sandbox.shopify_api import PretendShopify
from integration.shopify.admin import Admin
from integration.vault import Vault

HERE = "https://regulars.example"
NORA, OTTO = 1, 2
SHOPS = {NORA: "nora.myshopify.com", OTTO: "otto.myshopify.com"}
KEY, SECRET = "0123456789abcdef0123456789abcdef", "a secret that Shopify and we share"
MONDAY_NOON = from_iso("2026-11-23T11:00:00Z")  # noon in Paris
_FORM_TOKEN = re.compile(r'name="form-token" value="([^"]+)"')


@dataclass(slots=True)
class HeldClock:
    """A clock that stands still until it is turned."""

    instant: int = MONDAY_NOON
    offset: int = 0

    def now(self) -> int:
        """Return the instant it stands at."""
        return self.instant + self.offset


@dataclass(slots=True)
class House:
    """The web application on a database, with two merchants who have a shop each."""

    database: Any
    clock: HeldClock = field(default_factory=HeldClock)
    over: dict[str, Any] = field(default_factory=dict)  # fields of the context
    mail: ConsoleChannel = field(default_factory=lambda: ConsoleChannel(stream=None))
    context: Context = field(init=False)
    app: Any = field(init=False)

    async def open(self) -> "House":
        """Add the merchants and build the application."""
        vault = Vault(["a secret of more than thirty-two characters"])
        gate = Gate(vault)
        apply, resettle = make_apply(settlers(vault), FOLLOWERS, gate, ranker=RANKER)
        # A Shopify that knows none of the shops: a stranger's session token gives us nothing there.
        client = httpx.AsyncClient(transport=httpx.ASGITransport(PretendShopify({}, KEY, SECRET).app))
        nowhere = Admin(client, base="http://shopify/{shop}")
        values: dict[str, Any] = {
            "database": self.database, "queue": Queue(), "clock": self.clock,
            "vault": vault,
            "public_url": HERE, "mail_from": "hello@regulars.example", "shopify_secrets": (SECRET,),
            "shopify_key": KEY, "topics": TOPICS, "settlers": settlers(vault), "apply": apply, "resettle": resettle,
            "channels": {"email": self.mail}, "shopify": nowhere, "stripe": None,
            "kinds": {kind.name: kind for kind in KINDS}, "aims": AIMS, "timeline": TIMELINE,
            "holders": HOLDERS, "privacy": gate, "counts": COUNTS, "spending": SPENDING, "ladder": LadderView(),
            "rewards": {kind.name: kind for kind in REWARDS}, "coupons": COUPONS, "inviting": Doorway(COUPONS),
            "on_return": ON_RETURN,
            **self.over,
        }  # fmt: skip
        self.context = Context(**values)
        self.app = build(self.context)
        for number, name, place in ((NORA, "Nora's Tea", "Europe/Paris"), (OTTO, "Otto's Hats", "America/New_York")):
            currency = "EUR" if number == NORA else "USD"
            await self.does(
                "INSERT INTO merchants (id, name, currency, timezone, country, email, created_at)"
                " VALUES (?1, ?2, ?3, ?4, 'FR', ?5, 0)",
                number, name, currency, place, f"owner{number}@shop.example",
            )  # fmt: skip
            await self.does("INSERT INTO books (merchant_id) VALUES (?1)", number)
            await self.does(
                # Installed: its visits ask Shopify for nothing.
                "INSERT INTO connections (merchant_id, platform, account, refresh_token, created_at, connected_at)"
                " VALUES (?1, 'shopify', ?2, 'sealed', 0, 0)",
                number, SHOPS[number],
            )  # fmt: skip
            await self.does(
                "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document)"
                " VALUES (?1, 1, 0, 0, ?2)",
                number, Program().model_dump_json(),
            )  # fmt: skip
        return self

    async def signed_in(self, merchant: int = NORA, who: str = "link:nora", **headers: str) -> "Visitor":
        """Return a browser that used a one-time link."""
        now = self.clock.now()
        token = await self.database.run(lambda: new_link(merchant, who, self.context.vault, now))
        visitor = self.stranger(**headers)
        answer = await visitor.client.post(f"/app/sign-in/{token}")
        assert answer.status_code == 303, answer.text
        return visitor

    def embedded(self, shop: str = SHOPS[NORA], user_id: str = OWNER, **headers: str) -> "Visitor":
        """Return a browser inside a shop's admin, where App Bridge adds a fresh token to every fetch."""
        visitor = self.stranger(**headers)
        visitor.shop, visitor.user_id = shop, user_id
        return visitor

    def stranger(self, **headers: str) -> "Visitor":
        """Return a browser nobody signed in with."""
        transport = httpx.ASGITransport(app=self.app)
        return Visitor(self, httpx.AsyncClient(transport=transport, base_url=HERE, headers=headers))

    def token(self, shop: str = SHOPS[NORA], user_id: str = OWNER, **changes: Any) -> str:
        """Make a session token of a shop's admin."""
        return session_token(shop, KEY, SECRET, self.clock.now(), user_id, **changes)

    async def does(self, sql: str, *values: Any) -> None:
        """Run a statement written `?1`, `?2`…"""
        await self.database.run(lambda: ask(plain(sql), values))

    async def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run a query written `?1`, `?2`…"""
        return list(await self.database.read(lambda: ask(plain(sql), values)))


@dataclass(slots=True)
class Visitor:
    """One browser; follows no redirect by itself."""

    house: House
    client: httpx.AsyncClient
    shop: str | None = None  # in its admin
    user_id: str = OWNER
    form_token: str | None = None

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Open a page."""
        return await self.client.get(path, headers={**self._bearer(), **headers})

    async def post(
        self, path: str, fields: Mapping[str, Any] | None = None, files: Any = None, **headers: str
    ) -> httpx.Response:
        """Send a form as our own page would: with its token by cookie, with the bearer token in the admin."""
        sent = dict(fields or {})
        if self.shop is None and "form-token" not in sent:
            sent["form-token"] = await self.token()
        return await self.client.post(path, data=sent, files=files, headers={**self._bearer(), **headers})

    async def token(self) -> str:
        """Return the token that forms of this session carry."""
        if self.form_token is None:
            found = _FORM_TOKEN.search((await self.get("/app")).text)
            self.form_token = found[1] if found else ""
        return self.form_token

    def _bearer(self) -> dict[str, str]:
        if self.shop is None:
            return {}
        return {"Authorization": f"Bearer {self.house.token(self.shop, self.user_id)}"}
