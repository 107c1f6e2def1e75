"""A shop that sells cups and tea, has put some of it into a collection, and gives more points for what is in there."""

from typing import Any

from sqlalchemy import text

from handlers.collections.jobs import look
from handlers.inbox.work import drain
from handlers.merchants.collections import Seen, seen_of
from handlers.merchants.programs import change_program
from handlers.points.audit import audit_books
from integration.clock import SECOND
from integration.sandbox.shopify_collections import Collection, Collections
from integration.sandbox.shopify_records import Order, Product
from tests.handlers.reconcile.market import Market, Stall

CAMPAIGN = {"name": "Winter", "starts": "2026-09-01", "ends": "2026-12-31", "multiplier": "2"}


class Shelf:
    """What tests of collections speak to."""

    def __init__(self, market: Market) -> None:
        self.market, self.context = market, market.context
        self.stall: Stall
        self.shop: Collections
        self.winter: Collection

    async def open(self) -> "Shelf":
        """Open the shop with its cup in a collection."""
        self.stall = await self.market.open_stall()
        self.stall.shop.scopes = (*self.stall.shop.scopes, "read_products")
        self.shop = self.market.pretend.shelves(self.stall.shop)
        self.winter = self.shop.make("Winter goods", [self.stall.cup])
        return self

    async def campaign(self, *collections: object, **changes: Any) -> None:
        """Write a campaign for what is in collections: twice the points, which are one a dollar."""
        named = [str(one) for one in collections or (self.winter.id,)]
        settings = {"earning.campaigns.winter": {**CAMPAIGN, "collections": named, **changes}}
        now = self.market.clock.now() - SECOND
        await self.context.database.run(lambda: change_program(self.stall.merchant, settings, now))

    async def reads(self) -> int:
        """The clock comes round, and what came of it is worked."""
        done = await look(self.context)
        await drain(self.context)
        return done

    async def sells(self, product: Product | None = None) -> Order:
        """Ana buys something a minute later."""
        order, told = self.stall.sells(product=product)
        await self.stall.tells(told)
        return order

    async def earned(self, order: Order) -> int:
        """Micropoints an order has posted to Ana, net."""
        rows = await self.market.rows(
            "SELECT e.source, e.micropoints FROM ledger_entries e JOIN sale_identities i"
            " ON i.merchant_id = e.merchant_id AND i.sale = e.sale"
            " WHERE e.merchant_id = :m AND i.platform = 'shopify' AND i.kind = 'order' AND i.value = :o"
            " AND (e.source = 'program:issued' OR e.destination = 'program:issued')",
            m=self.stall.merchant,
            o=str(order.id),
        )
        return sum(amount if source == "program:issued" else -amount for source, amount in rows)

    async def seen(self, collection: Collection | None = None) -> Seen:
        """What is known of a collection."""
        found = await self.context.database.read(lambda: seen_of(self.stall.merchant))
        return found[str((collection or self.winter).id)]

    async def due_in(self) -> float | None:
        """In how many minutes the collection is read next; None = no more."""
        rows = await self.market.rows("SELECT due_at FROM collections WHERE merchant_id = :m", m=self.stall.merchant)
        return None if rows[0][0] is None else (rows[0][0] - self.market.clock.now()) / (60 * SECOND)

    async def inside(self) -> set[str]:
        """Products that lie in a collection now, as far as we know."""
        rows = await self.market.rows(
            "SELECT product FROM collection_products WHERE merchant_id = :m AND until_at IS NULL", m=self.stall.merchant
        )
        return {row[0] for row in rows}

    async def settles_all_again(self) -> None:
        """Have everything settled once more."""
        async with self.context.engine.begin() as connection:
            await connection.execute(text("UPDATE sales SET settle_at = 0"))
        await drain(self.context)

    async def is_in_order(self) -> None:
        """The books hold what the sales are worth."""
        found = await self.context.database.read(lambda: audit_books(self.stall.merchant, self.market.clock.now()))
        assert not found.drifts and not found.behind, found.drifts
