"""Ana, who brings friends to her shop, and the friends."""

from typing import Any

from config.wiring import COUPONS
from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from handlers.points.audit import audit_books
from handlers.points.seal import seal_all
from handlers.referrals import codes, jobs, store
from handlers.referrals.codes import Code, Link
from handlers.referrals.store import Referral
from handlers.referrals.views import Doorway, welcome
from integration.sandbox.shopify_records import Customer, Order
from tests.handlers.rewards.counter import Counter

TERMS = {"enabled": True, "points": 1_000, "gift": "amount_off", "gift_value": "10", "min_order": "20"}


class Circle:
    """What tests of referrals speak to."""

    def __init__(self, counter: Counter) -> None:
        self.counter, self.market, self.context, self.stall = counter, counter.market, counter.context, counter.stall
        self.door = Doorway(COUPONS)
        self.link: Link
        self.code: Code  # a friend's, asked for and made

    async def open(self, **terms: Any) -> "Circle":
        """Switch referrals on, give Ana her link, and have a friend ask for a code."""
        await self.counter.sets(referrals=TERMS | terms)
        self.market.passes(minutes=1)
        self.link = await self.invites(self.counter.ana)
        self.code = await self.asks()
        return self

    async def shop(self) -> Shop:
        """The merchant as settlers see them."""
        return (await self.context.database.read(lambda: shops([self.stall.merchant])))[self.stall.merchant]

    async def invites(self, customer: int) -> Link:
        """Have a customer ask for their link."""
        shop, now = await self.shop(), self.market.clock.now()
        await self.context.database.run(lambda: self.door.invite(shop, customer, now))
        return (await self.context.database.read(lambda: codes.links_of([(self.stall.merchant, customer)])))[-1]

    async def wants(self, link: Link | None = None, asker: str = "") -> Code:
        """Somebody with a link asks for a code of their own."""
        shop, now = await self.shop(), self.market.clock.now()
        return await self.context.database.run(lambda: welcome(shop, link or self.link, asker, now))

    async def asks(self, link: Link | None = None) -> Code:
        """Somebody asks for a code, and it is made."""
        wanted = await self.wants(link)
        await jobs.make(self.context)
        return await self.now(wanted)

    async def now(self, code: Code) -> Code:
        """What a code is by now."""
        found = await self.context.database.read(lambda: codes.code_of(code.merchant_id, code.code))
        assert found is not None
        return found

    async def friend(self, name: str, email: str | None = None, **more: Any) -> Customer:
        """Somebody opens a record in the shop."""
        person, told = self.stall.shop.welcome(name, "Vance", email or f"{name.lower()}@friends.example", **more)
        await self.stall.tells(told)
        return person

    def buys(self, who: Customer, code: str | None = None, units: int = 1) -> tuple[Order, list[Any]]:
        """A minute later somebody buys cups, with a code or without; returns what is to be told of it."""
        self.market.passes(minutes=1)
        shop = self.stall.shop
        off = {"discount_minor": 10_00, "discount_code": code} if code is not None else {}
        order, told = shop.place(who, [(self.stall.cup, units)], **off)
        return order, told + shop.pay(order)

    async def comes(self, name: str = "Finn", link: Link | None = None, **more: Any) -> tuple[Customer, Order]:
        """A friend comes, asks for a code and buys with it."""
        who = await self.friend(name, **more)
        order, told = self.buys(who, (await self.asks(link)).code)
        await self.stall.tells(told)
        await self.looks()
        return who, order

    async def looks(self) -> None:
        """The clock looks after referrals."""
        await jobs.look_due(self.context)
        await jobs.make(self.context)

    async def rows(self) -> list[Referral]:
        """All referrals, by order."""
        return await self.context.database.read(lambda: store.after(self.stall.merchant, 0, 1000))

    async def fates(self) -> list[tuple[str, str]]:
        """What became of each."""
        return [(row.state, row.why) for row in await self.rows()]

    async def ana_has(self) -> tuple[int, int]:
        """Whole points for friends that wait, and that Ana can spend."""
        rows = await self.rows()
        return sum(r.pending for r in rows) // 1_000_000, sum(r.available for r in rows) // 1_000_000

    async def is_sound(self) -> None:
        """The books agree with themselves, and every referral with its points."""
        now = self.market.clock.now()
        await seal_all(self.context.database, now)
        found = await self.context.database.read(lambda: audit_books(self.stall.merchant, now, self.context.auditors))
        assert found.drifts == []
