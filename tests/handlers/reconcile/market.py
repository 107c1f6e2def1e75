"""A market of pretend shops whose webhooks may get lost, beside the program that looks after them."""

import json
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import stripe as stripe_library
from sqlalchemy import text

from config.asgi import build
from config.settings import Settings
from config.wiring import opened
from handlers.context import Context
from handlers.inbox.work import drain
from handlers.merchants.connections import Wish, add_merchant, connect_stripe
from handlers.merchants.programs import change_program
from handlers.reconcile import store
from handlers.reconcile.jobs import Report, reconcile, summed
from handlers.reconcile.ledger import Sum
from integration.clock import DAY, MINUTE, SECOND, Clock
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_api import PretendShopify
from integration.sandbox.shopify_records import Customer, Order, Product
from integration.sandbox.stripe import Account
from integration.sandbox.stripe_api import PretendStripe
from integration.shopify.admin import Admin
from integration.stripe.api import StripeApi
from tests.integration.sandbox.test_apis import served
from tests.oracle import tellings
from tests.properties.histories import History
from tests.properties.plays import Stage

APP_SECRET = "shpss_the-app-secret-of-the-market"
ENDPOINT_SECRET = "whsec_the-endpoint-secret-of-the-market"
RESTRICTED_KEY = "rk_live_pretend"
OPENING = 1_790_000_000 * SECOND  # a day in September 2026
PROGRAMME = {
    "earning": {"enabled": True, "points_per_unit": "1", "hold_days": 14},
    "thanks": {"enabled": True, "when": "every", "delay_minutes": 60},
    "messages": {"window": "always", "cap_hours": 0, "cap_fortnight": 0},
}


class Stall:
    """One merchant of the market: their pretend shop, perhaps their Stripe account, and all they were to tell."""

    def __init__(self, market: "Market", number: int) -> None:
        self.market = market
        self.name = f"Stall {number}"
        self.shop = Shop(
            f"stall-{number}.myshopify.com", secret=APP_SECRET, clock=market.clock.tick, seed=number, timezone="UTC"
        )
        self.cup: Product = self.shop.stock("Stoneware cup", 24_00)
        self.tea: Product = self.shop.stock("Earl Grey", 12_50)
        self.people: list[Customer] = [
            self.shop.welcome(name, "Diaz", f"{name.lower()}@{number}.example")[0] for name in ("Ana", "Bo", "Cleo")
        ]
        self.account: Account | None = None
        self.stripe_path = ""
        self.merchant = 0
        self.told: list[Delivery] = []  # all there was to tell, whether it came or not

    @property
    def ana(self) -> Customer:
        return self.people[0]

    def sells(self, person: Customer | None = None, product: Product | None = None) -> tuple[Order, list[Delivery]]:
        """A minute later somebody buys one thing and pays it; returns what is to be told of it."""
        self.market.passes(minutes=1)
        order, told = self.shop.place(person or self.ana, [(product or self.cup, 1)])
        return order, told + self.shop.pay(order)

    async def tells(self, deliveries: Sequence[Delivery], *, lost: Callable[[Delivery], bool] = lambda _: False) -> int:
        """Post webhooks, but for those that get lost for good, and have them worked; returns how many were lost."""
        self.told += deliveries
        gone = 0
        for delivery in deliveries:
            if lost(delivery):
                gone += 1
                continue
            await self.market.post(delivery)
        await drain(self.market.context)
        return gone

    async def loses(self, deliveries: Sequence[Delivery]) -> None:
        """Webhooks that never come."""
        await self.tells(deliveries, lost=lambda _: True)

    async def ends_as_if_nothing_was_lost(self) -> None:
        """Compare balances and postings with the oracle's, which was told everything."""
        shop = tellings.Shop(
            self.name,
            "USD",
            self.shop.domain,
            self.stripe_path.rpartition("/")[2],
            (tellings.Programme(OPENING - 30 * DAY, PROGRAMME),),
            self.shop.id,
            "UTC",
        )
        deliveries = tuple(
            tellings.Delivery(
                d.source,
                self.shop.domain if d.source == "shopify" else d.path.rpartition("/")[2],
                d.topic,
                d.id,
                json.loads(d.body),
                d.at,
            )
            for d in self.told
        )
        history = History(shop, deliveries, frozenset(), ticks=True)
        await Stage(self.market.context, self.market.clock, APP_SECRET).check(
            history, self.market.clock.now(), sending=True
        )

    async def points(self) -> int:
        """Whole points issued less those taken back, over all people."""
        rows = await self.market.rows(
            "SELECT coalesce(sum(micropoints), 0) FROM accounts WHERE merchant_id = :m AND account LIKE 'customer:%'",
            m=self.merchant,
        )
        return int(rows[0][0]) // 1_000_000


class Market:
    """The program on one database, the pretend platforms, and a clock that only moves by hand."""

    def __init__(self, clock: "HandClock", pretend: PretendShopify) -> None:
        self.clock = clock
        self.pretend = pretend
        self.context: Context
        self.http: httpx.AsyncClient
        self.stripe_api: PretendStripe | None = None
        self.slept = 0.0
        self.stalls: list[Stall] = []

    def passes(self, **time: float) -> None:
        """Time passes (`days=3, minutes=1`)."""
        units = {"days": DAY, "hours": 60 * MINUTE, "minutes": MINUTE, "seconds": SECOND}
        self.clock.at += int(sum(units[unit] * amount for unit, amount in time.items()))

    async def sleep(self, seconds: float) -> None:
        """Wait without waiting: the pretend bucket goes by the same clock."""
        self.slept += seconds

    async def open_stall(self, *, token: bool = True, stripe: bool = False) -> Stall:
        """Have a merchant join, with a programme in force and, unless told otherwise, keys to ask with."""
        stall = Stall(self, len(self.stalls) + 1)
        self.stalls.append(stall)
        self.pretend.shops[stall.shop.domain] = stall.shop
        run, vault, joined = self.context.database.run, self.context.vault, self.clock.now()
        granted = self.pretend.grant(stall.shop.domain)["access_token"] if token else None
        wish = Wish(stall.name, stall.shop.domain, "USD", "UTC", "US", None, granted)
        stall.merchant = (await run(lambda: add_merchant(wish, vault, joined))).id
        changes = {f"{part}.{key}": value for part, keys in PROGRAMME.items() for key, value in keys.items()}
        await run(lambda: change_program(stall.merchant, changes, OPENING - 30 * DAY - SECOND))
        if stripe:
            await self.connect_stripe(stall, RESTRICTED_KEY if token else None)
        return stall

    async def connect_stripe(self, stall: Stall, key: str | None = RESTRICTED_KEY) -> None:
        """Have a merchant connect the market's Stripe account."""
        assert self.stripe_api is not None
        run, vault, now = self.context.database.run, self.context.vault, self.clock.now()
        path = await run(lambda: connect_stripe(stall.merchant, ENDPOINT_SECRET, key, vault, now))
        stall.account, stall.stripe_path = self.stripe_api.account, path
        stall.account.path = path

    async def post(self, delivery: Delivery) -> None:
        """Deliver one webhook to the receiver."""
        headers = delivery.headers_at(self.clock.now())
        answer = await self.http.post(delivery.path, content=delivery.body, headers=headers)
        assert answer.status_code == 200, answer.text

    async def connections(self, stall: Stall | None = None) -> list[store.Connected]:
        """What can be looked at, of one merchant or of all."""
        merchant = stall.merchant if stall else None
        return await self.context.database.read(lambda: store.connected(merchant, 0, 1000))

    async def reconcile(self, stall: Stall | None = None, **how: Any) -> list[Report]:
        """Look at every connection once, and work what was recovered."""
        reports = [await reconcile(self.context, one, **how) for one in await self.connections(stall)]
        await drain(self.context)
        return reports

    async def sum(self, report: Report) -> Sum | None:
        """What a look came to, once it is worked."""
        assert report.run is not None
        return await summed(self.context, report.run, 5)

    async def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        async with self.context.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(sql), values)]

    async def events(self, where: str = "recovered = 1") -> int:
        """How many events there are of a kind."""
        return int((await self.rows(f"SELECT count(*) FROM events WHERE {where}"))[0][0])


class HandClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.at = OPENING

    def now(self) -> int:
        return self.at

    def tick(self) -> int:
        """Tell the time to who must not do two things at one instant."""
        self.at += 1_000
        return self.at


class _Eager(stripe_library.HTTPXClient):
    """Stripe's client, which asks again at once: nothing happens at a pretend platform while one waits."""

    def _sleep_time_seconds(self, num_retries: int) -> float:
        return 0.0


@asynccontextmanager
async def opened_market(url: str, folder: Path, redis_url: str | None = None) -> AsyncIterator[Market]:
    """Open the program and the platforms on one database."""
    clock = HandClock()
    pretend = PretendShopify({}, "the-key", "the-secret")
    market = Market(clock, pretend)
    begun = time.monotonic()
    # Throttling by real time would be slept through for real; here a second of the bucket passes with every sleep.
    pretend.seconds = lambda: time.monotonic() - begun + market.slept
    account = Account(
        secrets=(ENDPOINT_SECRET,), path="/", clock=clock.now, seed=5, api_key=RESTRICTED_KEY, currency="usd"
    )
    market.stripe_api = PretendStripe(account)
    settings = Settings(
        _env_file=None,
        database_url=url,
        redis_url=redis_url,
        data_dir=folder,
        secret_key="the-secret-key-of-the-market-is-long-enough",
        shopify_api_secret=APP_SECRET,
        shopify_api_key="the-key",
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(pretend.app))
    admin = Admin(client, base="http://pretend/{shop}", clock=clock, sleep=market.sleep)
    async with served(market.stripe_api.app) as stripe_url:
        api = StripeApi(base=stripe_url, clock=clock, http=_Eager(timeout=5))
        async with opened(settings, clock=clock, shopify=admin, stripe=api) as context:
            market.context = context
            receiver = build(context)
            transport = httpx.ASGITransport(receiver)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://market") as http:
                market.http = http
                yield market
                await receiver.drained()


class Days:
    """What happens in a shop over some days, by a seed: sales, parcels, refunds, edits, cancellations, disputes."""

    def __init__(self, stall: Stall, seed: int) -> None:
        self.stall = stall
        self.random = random.Random(seed)
        self.orders: list[Order] = []
        self.payments: list[Any] = []

    def step(self) -> list[Delivery]:
        """One thing happens, a few minutes after the last; returns what is to be told."""
        self.stall.market.passes(seconds=self.random.randrange(1, 1800))
        shop, dice = self.stall.shop, self.random.random()
        if self.stall.account is not None and self.random.random() < 0.3:
            return self._pays()
        if dice < 0.5 or not self.orders:
            order, told = shop.place(
                self.random.choice([*self.stall.people, None]),
                [(self.random.choice([self.stall.cup, self.stall.tea]), self.random.randrange(1, 4))],
                email="guest@market.example",
                shipping_minor=self.random.choice([0, 5_00]),
                discount_minor=self.random.choice([0, 0, 2_00]),
            )
            self.orders.append(order)
            return told + shop.pay(order)
        order = self.random.choice(self.orders[-20:])
        line = order.goods[0]
        if order.cancelled_at is not None:
            return shop.retag(order, "seen")
        if dice < 0.65 and line.current_quantity:
            return shop.refund(order, {line.id: 1})
        if dice < 0.75:
            return shop.refund(order, amount_minor=1_00)
        if dice < 0.85 and not order.fulfillments:
            return shop.ship(order)
        if dice < 0.9:
            return shop.edit(order, add=[(self.stall.tea, 1)])
        if dice < 0.95:
            return shop.cancel(order)
        return shop.retag(order, "vip")

    def _pays(self) -> list[Delivery]:
        account = self.stall.account
        assert account is not None
        dice = self.random.random()
        if dice < 0.6 or not self.payments:
            email = f"{self.random.choice(['dan', 'eve', 'flo'])}@market.example"
            payment, told = account.checkout(self.random.randrange(5_00, 90_00), email=email)
            self.payments.append(payment)
            return told
        payment = self.random.choice(self.payments)
        left = payment.charge["amount_captured"] - payment.charge["amount_refunded"]
        if dice < 0.85 and left > 1_00:
            return account.refund(payment, 1_00)[1]
        if dice < 0.95 and not payment.charge["disputed"]:
            return account.open_dispute(payment)[1]
        return account.pay(3_00, email="dan@market.example")[1]
