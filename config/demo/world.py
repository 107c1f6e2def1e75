"""The demo's world: the real program with its own database and queue, and the pretend one around it.

Everything between the two goes over the loopback network as it would over the internet: signed webhooks, API
calls and SMTP. What is shown is read from the program's own books.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from config.demo import cast
from config.demo.house import LOOPBACK, House, listener, open_house, serve
from handlers.context import Context
from handlers.merchants.connections import Wish, add_merchant, connect_stripe
from handlers.merchants.programs import change_program
from integration.clock import DAY, SECOND, Clock
from integration.sandbox.delivery import Delivery
from integration.sandbox.mailbox import Mailbox
from integration.sandbox.sender import Attempt, Sender
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_api import PretendShopify
from integration.sandbox.shopify_records import Customer, Order, Product
from integration.sandbox.stripe import Account, Payment
from integration.sandbox.stripe_api import PretendStripe

API_KEY = "demo"
PATIENCE_SECONDS = 10.0  # for the program to come to rest
LOOK_SECONDS = 0.01
MOST_JUMP_DAYS = 365


@dataclass(slots=True)
class World:
    """All there is in the demo; verbs that send webhooks wait for their answers, not for the work behind."""

    house: House
    shop: Shop
    account: Account
    sender: Sender
    mailbox: Mailbox
    merchant: int
    products: list[Product]
    people: list[Customer]
    payments: list[Payment] = field(default_factory=list)
    seeded: int = 0  # attempts that belong to the time before the visitor came

    @property
    def context(self) -> Context:
        return self.house.context

    def now(self) -> int:
        """The shop's time: real, and moved by the visitor."""
        return self.context.clock.now()

    async def tell(self, deliveries: Iterable[Delivery]) -> list[Attempt]:
        """Have the platforms send their webhooks, in order, each until it is answered."""
        return [await self.sender.send(delivery) for delivery in deliveries]

    async def settled(self) -> None:
        """Wait until the program has nothing left to do now; TimeoutError when it does not come to rest."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.house.left():  # noqa: ASYNC110 - it changes in the program's own time
                await asyncio.sleep(LOOK_SECONDS)

    async def pass_time(self, duration: int) -> None:
        """Move the shop's clock forward by microseconds, and have what fell due done at once."""
        if not 0 < duration <= MOST_JUMP_DAYS * DAY:
            raise ValueError(f"the clock moves forward by at most {MOST_JUMP_DAYS} days at once")
        # A lease taken before the jump would look long lost after it.
        await self.settled()
        self.context.clock.offset += duration
        self.house.ring()

    async def account_of(self, email: str) -> dict[str, Any]:
        """What `regulars customer show` shows of a person, or nothing while they are unknown."""
        return await self.house.customer(self.merchant, email)

    async def buy(self, customer: Customer, chosen: Iterable[int]) -> Order:
        """Have somebody order products by position; still to be paid."""
        order, told = self.shop.place(
            customer, [(self.products[each], 1) for each in chosen], shipping_minor=cast.SHIPPING_MINOR
        )
        await self.tell(told)
        return order


@asynccontextmanager
async def open_world(data_dir: Path, *, history: bool = True) -> AsyncIterator[World]:
    """Start everything in this process, seed the shop, and end it all cleanly afterwards."""
    clock = Clock(-cast.HISTORY_DAYS * DAY if history else 0)
    app_secret, webhook_secret = secrets.token_hex(16), f"whsec_{secrets.token_hex(16)}"
    shop = Shop(
        cast.SHOP_DOMAIN,
        secret=app_secret,
        clock=clock.now,
        seed=1,
        name=cast.SHOP_NAME,
        email=cast.SHOP_EMAIL,
        currency=cast.CURRENCY,
        timezone=cast.TIMEZONE,
        country_code=cast.COUNTRY,
        tax_rate=cast.TAX_RATE,
    )
    account = Account(secrets=(webhook_secret,), path="", clock=clock.now, seed=1)
    admin = PretendShopify.of([shop], API_KEY, app_secret)
    async with AsyncExitStack() as stack:
        mailbox = await stack.enter_async_context(Mailbox())
        house = await stack.enter_async_context(
            open_house(
                data_dir,
                smtp_url=mailbox.url,
                shopify_key=API_KEY,
                shopify_secret=app_secret,
                shopify_base=f"{await _served(admin.app, stack)}/{{shop}}",
                stripe_base=await _served(PretendStripe(account).app, stack),
                clock=clock,
            )
        )
        sender = await stack.enter_async_context(Sender(house.url, clock=clock.now))
        products, people = cast.stock(shop), [cast.welcome(shop, part) for part in cast.CAST]
        token = admin.grant(shop.domain)["access_token"]
        merchant, account.path = await _install(house, token, webhook_secret, account.api_key)
        world = World(house, shop, account, sender, mailbox, merchant, products, people)
        if history:
            await _live_through(world)
        world.seeded = len(sender.history)
        yield world


async def _served(app: Starlette, stack: AsyncExitStack) -> str:
    """Serve one of the pretend platforms' APIs on a free port for as long as the stack is open."""
    taken = stack.enter_context(listener())
    await stack.enter_async_context(serve(app, taken))
    return f"http://{LOOPBACK}:{taken.getsockname()[1]}"


async def _install(house: House, token: str, webhook_secret: str, api_key: str) -> tuple[int, str]:
    """Add the merchant, connect both platforms, switch the programme on; return the id and Stripe's path."""
    context = house.context
    wish = Wish(cast.SHOP_NAME, cast.SHOP_DOMAIN, cast.CURRENCY, cast.TIMEZONE, cast.COUNTRY, cast.SHOP_EMAIL, token)
    now = context.clock.now()
    merchant = await context.database.run(lambda: add_merchant(wish, context.vault, now))
    path = await context.database.run(lambda: connect_stripe(merchant.id, webhook_secret, api_key, context.vault, now))
    # In force from the next whole second: a second ago, so that the first order is already under it.
    await context.database.run(lambda: change_program(merchant.id, cast.PROGRAM, now - 2 * SECOND))
    return merchant.id, path


async def _live_through(world: World) -> None:
    """Play the weeks before now, day by day, until the shop's clock is the real one."""
    days = sorted(
        (
            (ago, person, chosen)
            for person, part in zip(world.people, cast.CAST, strict=True)
            for ago, chosen in part.bought
        ),
        key=lambda purchase: -purchase[0],
    )
    for customer, part in zip(world.people, cast.CAST, strict=True):
        if part.bought and part.consents:
            await world.tell(world.shop.change_consent(customer, "subscribed"))
    for ago, customer, chosen in days:
        await _until(world, -ago * DAY)
        order = await world.buy(customer, chosen)
        await world.tell(world.shop.pay(order))
        await world.pass_time(DAY)
        await world.tell(world.shop.ship(order))
        await world.pass_time(DAY)
        await world.tell(world.shop.deliver(order))
        await world.settled()
    await _until(world, 0)


async def _until(world: World, offset: int) -> None:
    """Move the clock to an offset from the real one, where it is not there yet."""
    missing = offset - world.context.clock.offset
    if missing > 0:
        await world.pass_time(missing)
        await world.settled()
