"""The counter at which points are spent: a pretend shop, its customer Ana, and what the ledger says."""

import asyncio
from typing import Any

from config.wiring import REWARDS
from handlers.context import Context
from handlers.inbox.work import drain
from handlers.merchants.programs import change_program
from handlers.points.adjust import adjust
from handlers.points.audit import audit_books
from handlers.rewards import changes, store
from handlers.rewards.changes import Wish
from handlers.rewards.jobs import Rounds, lapse
from handlers.rewards.kinds import spent
from handlers.rewards.store import Redemption
from integration.clock import SECOND
from integration.sandbox.shopify_discounts import Discount
from integration.sandbox.shopify_records import Order
from tests.handlers.reconcile.market import Market, Stall

FIVE = {"name": "5 off", "kind": "amount_off", "points": 500, "value": "5", "min_order": "10"}
SCOPES = ("read_orders", "read_customers", "read_fulfillments", "write_discounts")
PLATFORMS = {kind.name: kind.platform for kind in REWARDS}


async def ask_once(context: Context) -> int:
    """Have the platforms asked once for what is due, some of every merchant's; returns how many rewards that were."""
    async with asyncio.TaskGroup() as group:
        rounds = Rounds(context, asyncio.Event(), group)
        await rounds.begin()
        begun = rounds.under_way
    return sum(each.result() for each in begun)


class Counter:
    """What tests of rewards speak to."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.context = market.context
        self.stall: Stall
        self.ana = 0
        self.ana_at_stripe = ""

    async def open(self) -> "Counter":
        """Open the shop, have Ana buy something, give her 1,000 points, and offer five off for 500."""
        self.stall = await self.market.open_stall()
        self.stall.shop.scopes = SCOPES
        _, told = self.stall.sells()
        await self.stall.tells(told)
        rows = await self.market.rows("SELECT customer FROM sales WHERE merchant_id = :m", m=self.stall.merchant)
        self.ana = rows[0][0]
        await self.gives(1_000)
        await self.offers(five=FIVE)
        return self

    async def knows_stripe(self) -> None:
        """Connect the merchant's Stripe account, where Ana has a record by the same address."""
        await self.market.connect_stripe(self.stall)
        assert self.stall.account is not None
        person, told = self.stall.account.welcome("Ana Diaz", self.stall.ana.email)
        self.ana_at_stripe = person["id"]
        await self.stall.tells(told)

    async def offers(self, *, enabled: bool = True, **catalogue: Any) -> None:
        """Put rewards into the programme."""
        settings = {"rewards.enabled": enabled, "rewards.catalogue": catalogue}
        now = self.market.clock.now() - SECOND
        await self.context.database.run(lambda: change_program(self.stall.merchant, settings, now))

    async def sets(self, **parts: Any) -> None:
        """Change parts of the programme, from now on."""
        settings = {f"{part}.{key}": value for part, keys in parts.items() for key, value in keys.items()}
        now = self.market.clock.now() - SECOND
        await self.context.database.run(lambda: change_program(self.stall.merchant, settings, now))

    async def gives(self, points: int, customer: int = 0) -> None:
        """Give a customer points to spend, or take some."""
        now, who = self.market.clock.now(), customer or self.ana
        await self.context.database.run(lambda: adjust(self.stall.merchant, who, points, "A gift", None, now))

    async def redeems(self, reward: str = "five", key: str = "first", steps: int = 1, who: int = 0) -> Redemption:
        """Have Ana want a reward."""
        wish = Wish(self.stall.merchant, who or self.ana, reward, steps, key)
        now = self.market.clock.now()
        return await self.context.database.run(lambda: changes.redeem(wish, PLATFORMS, now))

    async def asks(self) -> int:
        """Ask the platforms for what is due, once."""
        return await ask_once(self.context)

    async def has(self, reward: str = "five", key: str = "first", steps: int = 1) -> Redemption:
        """Have Ana want a reward and get it."""
        wanted = await self.redeems(reward, key, steps)
        await self.asks()
        return await self.now(wanted)

    async def now(self, redemption: Redemption) -> Redemption:
        """What a redemption is by now."""
        found = await self.context.database.read(lambda: store.one(redemption.merchant_id, redemption.number))
        assert found is not None
        return found

    async def looks(self) -> None:
        """An hour passes, and what is left of money is looked at."""
        self.market.passes(hours=1)
        await spent.look_due(self.context)
        await self.asks()

    async def cancels(self, redemption: Redemption) -> Redemption:
        """Have Ana give a reward back."""
        now = self.market.clock.now()
        await self.context.database.run(lambda: changes.cancel(self.stall.merchant, redemption.number, self.ana, now))
        await self.asks()
        return await self.now(redemption)

    async def lapses(self) -> None:
        """The clock looks after what has lapsed."""
        await lapse(self.context)
        await self.asks()

    async def spends(self, redemption: Redemption, *, units: int = 2) -> Order:
        """Have Ana buy cups with her code and pay."""
        self.market.passes(minutes=1)
        shop = self.stall.shop
        bought = [(self.stall.cup, units)]
        order, told = shop.place(self.stall.ana, bought, discount_minor=5_00, discount_code=redemption.code)
        await self.stall.tells(told + shop.pay(order))
        return order

    async def points(self) -> tuple[int, int, int]:
        """Whole points Ana can spend, that are set aside for her, and that all customers have spent."""
        rows = await self.market.rows(
            "SELECT account, micropoints FROM accounts WHERE merchant_id = :m", m=self.stall.merchant
        )
        kept = {name: micropoints // 1_000_000 for name, micropoints in rows}
        mine = (kept.get(f"customer:{self.ana}:{bucket}", 0) for bucket in ("available", "reserved"))
        return (*mine, kept.get("program:redeemed", 0))  # type: ignore[return-value]

    def discounts(self) -> list[Discount]:
        """The discounts the shop has."""
        return list(self.stall.shop.discounts.all.values())

    async def is_sound(self) -> None:
        """The books agree with themselves, and every reward with its points."""
        await drain(self.context)
        now = self.market.clock.now()
        found = await self.context.database.read(lambda: audit_books(self.stall.merchant, now, self.context.auditors))
        assert found.drifts == []
