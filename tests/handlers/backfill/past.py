"""A tea shop with a past: what it sold before Regulars came, told by its pretend platforms or by webhooks."""

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import stripe

from config.settings import Settings
from config.wiring import opened
from handlers.backfill import jobs
from handlers.backfill.jobs import Done, Foreseen, Plan
from handlers.backfill.store import Run
from handlers.context import Context
from handlers.inbox.record import Delivery as Recorded
from handlers.inbox.record import record_all
from handlers.inbox.work import drain
from handlers.merchants.connections import Wish, add_merchant, connect_stripe
from handlers.merchants.programs import change_program
from handlers.points.audit import audit_books
from integration.clock import DAY, SECOND, Clock
from integration.database.steps import ask, plain
from integration.sandbox.delivery import Delivery as Sent
from integration.sandbox.shopify_api import PretendShopify
from integration.sandbox.shopify_records import Order
from integration.sandbox.stripe import Account
from integration.sandbox.stripe_api import PretendStripe
from integration.shopify.admin import Admin
from integration.stripe.api import StripeApi
from tests.integration.sandbox.conftest import ENDPOINT_SECRETS, open_shop
from tests.integration.sandbox.test_apis import served
from tests.oracle.tellings import Delivery, Programme, Shop
from tests.properties.histories import History
from tests.properties.plays import Stage

NAME = "Marlow & Finch"
EARNING = {"enabled": True, "points_per_unit": "2", "hold_days": 30, "rates": {"USD": "0.5"}}
PROGRAMME = {
    "earning": EARNING,
    "thanks": {"enabled": True, "when": "every"},
    "reviews": {"enabled": True},
}
STRIPE_SECRET = "whsec_of_the_tea_shop"
LIVED = 200 * DAY


class Past:
    """The shop, everybody who tells of it, and the program that was opened for it."""

    def __init__(self, folder: Path, context: Context, clock: Clock, pretend: PretendShopify, account: Account) -> None:
        self.folder, self.context, self.clock = folder, context, clock
        self.pretend, self.account = pretend, account
        (self.shop,) = pretend.shops.values()
        self.exports = pretend.exports[self.shop.domain]
        self.sent: list[Sent] = []
        self.merchant = 0
        self.stripe_token = ""

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, folder: Path, currency: str = "USD") -> AsyncIterator["Past"]:
        """Open the shop, its platforms and the program; nothing has been told yet, and nothing joined."""
        tea = open_shop(currency=currency)
        tea.hands.at -= tea.hands.at % SECOND
        pretend = PretendShopify.of(
            [tea.shop],
            "the-key",
            "the-secret",
        )
        pretend.restored = 1e9
        pretend.seconds = lambda: 0.0
        account = PretendStripe(Account(secrets=ENDPOINT_SECRETS, path="/webhooks/stripe/tok", clock=tea.hands))
        settings = Settings(_env_file=None, database_url=url, data_dir=folder, secret_key="k" * 40)
        clock = Clock()

        async def at_once(_seconds: float) -> None:
            return None

        async with served(pretend.app) as shopify_url, served(account.app) as stripe_url:
            admin = Admin(httpx.AsyncClient(), base=shopify_url + "/{shop}", clock=clock, sleep=at_once)
            api = StripeApi(base=stripe_url, clock=clock, http=stripe.HTTPXClient(timeout=5))
            async with opened(settings, clock=clock, shopify=admin, stripe=api) as context:
                past = cls(folder, context, clock, pretend, account.account)
                past.tea = tea
                yield past

    tea: Any

    async def joins(self, *, token: bool = True, stripe_key: bool = False, ago: int = 0, **earning: Any) -> None:
        """The merchant joins, so long ago, with the programme on from the next second."""
        self._wind()
        at = self.clock.now() - ago
        given = self.pretend.grant(self.shop.domain)["access_token"] if token else None
        wish = Wish(NAME, self.shop.domain, "USD", "UTC", None, "owner@tea.example", given)
        vault, run = self.context.vault, self.context.database.run
        merchant = await run(lambda: add_merchant(wish, vault, at - 2 * SECOND))
        self.merchant = merchant.id
        if stripe_key:
            path = await run(lambda: connect_stripe(merchant.id, STRIPE_SECRET, self.account.api_key, vault, at))
            self.stripe_token = path.rpartition("/")[2]
        await self.sets(at - SECOND, **earning)

    async def sets(self, at: int, **earning: Any) -> None:
        """The merchant sets the programme, in force from the second after."""
        document = {**PROGRAMME, "earning": {**EARNING, **earning}}
        changes = {f"{part}.{key}": value for part, values in document.items() for key, value in values.items()}
        await self.context.database.run(lambda: change_program(self.merchant, changes, at))

    def lives(self) -> None:
        """Half a year of orders: refunds and cancellations, gift cards, tips, tests, unpaid ones, guests."""
        shop, tea, hands = self.shop, self.tea, self.tea.hands
        hands.at -= LIVED
        bo, told = shop.welcome("Bo", "Lind", "bo@example.com")
        self.sent += told
        for week in range(24):
            basket = [(tea.earl_grey, 1 + week % 3), (tea.cup, 1)] + ([(tea.gift_card, 1)] if week % 5 == 0 else [])
            who, mail = (tea.ana, None) if week % 3 else (bo, None)
            if week % 8 == 7:
                who, mail = None, f"guest{week}@example.com"
            order = self._tells(shop.place(
                who, basket, email=mail, discount_minor=100 * (week % 4), shipping_minor=4_90 if week % 2 else 0,
                tip_minor=2_00 if week % 6 == 1 else 0, test=week % 9 == 4,
            ))  # fmt: skip
            hands.pass_seconds(3600)
            if week % 10 != 9:
                self.sent += shop.pay(order)
            hands.pass_seconds(3600)
            if week % 4 == 1:
                self.sent += shop.ship(order)
                hands.pass_seconds(3600)
                self.sent += shop.deliver(order)
            hands.pass_seconds(3600)
            self._has_second_thoughts(order, week)
            hands.pass_seconds(7 * 86_400)
        self.exports.looks = 2

    def _has_second_thoughts(self, order: Order, week: int) -> None:
        line = order.lines[0].id
        if week % 7 == 3:
            self.sent += self.shop.refund(order, {line: 1})
        elif week % 7 == 5:
            self.sent += self.shop.refund(order, {line: 1}, amount_minor=20_00)
            self.tea.hands.pass_seconds(60)
            self.sent += self.shop.refund(order, {}, amount_minor=1_50)
        elif week % 11 == 6:
            self.sent += self.shop.cancel(order)
        elif week % 11 == 8:
            self.sent += self.shop.refund(order, {each.id: each.quantity for each in order.lines})

    def _tells(self, placed: tuple[Order, list[Sent]]) -> Order:
        self.sent += placed[1]
        return placed[0]

    async def hears(self, sent: Iterable[Sent]) -> None:
        """Have webhooks delivered and worked."""
        self._wind()
        now = self.clock.now()
        rows = [Recorded(d.source, self.shop.domain if d.source == "shopify" else self.stripe_token, d.id, d.topic,
                         d.at, now, d.body) for d in sent]  # fmt: skip
        for at in range(0, len(rows), 100):
            assert all(await record_all(self.context.database, rows[at : at + 100]))
        await drain(self.context)

    def plan(self, **changes: Any) -> Plan:
        return Plan(**{"merchant_id": self.merchant, "since": None, "file": None, "folder": self.folder, **changes})

    async def commits(self, **changes: Any) -> Done:
        """Carry a backfill out."""
        self._wind()
        return await jobs.commit(self.context, self.plan(**changes), lambda *_: None)

    async def foresees(self, **changes: Any) -> Foreseen:
        """Look at what a backfill would bring."""
        self._wind()
        return await jobs.preview(self.context, self.plan(**changes), lambda *_: None)

    async def undoes(self, run: int = 1) -> Run:
        """Take a run back."""
        self._wind()
        return await jobs.undo(self.context, self.plan(), run, lambda *_: None)

    async def agrees(self, *, since: int = 0, later: int = 0, **earning: Any) -> None:
        """Insist that the end is what the oracle makes of all webhooks, under a programme in force since then."""
        self._wind(later)
        await drain(self.context)
        programme = Programme(since, {**PROGRAMME, "earning": {**EARNING, **earning}})
        shop = Shop(NAME, "USD", self.shop.domain, self.stripe_token, (programme,))
        history = History(shop, tuple(self._as_told(one) for one in self.sent), frozenset(), True)
        at = self.clock.now()
        await Stage(self.context, self.clock).check(history, at, sending=True)
        self._wind(later)
        findings = await self.context.database.read(
            lambda: audit_books(self.merchant, self.clock.now(), self.context.auditors)
        )
        assert not findings.drifts

    def _as_told(self, sent: Sent) -> Delivery:
        connection = self.shop.domain if sent.source == "shopify" else self.stripe_token
        return Delivery(sent.source, connection, sent.topic, sent.id, json.loads(sent.body), sent.at)

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(await self.context.database.read(lambda: ask(plain(sql), ())))

    async def points(self) -> dict[str, float]:
        """Points by bucket, over everybody, where there are any; tests apart."""
        found: dict[str, float] = {}
        for account, amount in await self.rows("SELECT account, micropoints FROM accounts WHERE micropoints <> 0"):
            if not account.endswith("issued"):
                bucket = ("test " if account.startswith("test:") else "") + account.rpartition(":")[2]
                found[bucket] = found.get(bucket, 0) + amount / 1_000_000
        return found

    async def messages(self) -> list[tuple[Any, ...]]:
        return await self.rows("SELECT kind, state FROM messages ORDER BY key")

    def _wind(self, later: int = 0) -> None:
        self.clock.offset = self.tea.hands.at + later - time.time_ns() // 1000
