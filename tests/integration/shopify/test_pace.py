"""A shop is asked no faster than its bucket refills, also by many questions side by side."""

import asyncio

import httpx

from integration.errors import Unavailable
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_api import PretendShopify
from integration.shopify.admin import Admin
from integration.shopify.pace import LEFT_TO_OTHERS, Pace

QUESTION = "mutation Off($id: ID!) { discountCodeDeactivate(id: $id) { codeDiscountNode { id } userErrors { field } } }"


class Asked:
    """A pretend shop that goes by a clock of its own, and what asks it at leisure."""

    def __init__(self) -> None:
        self.seconds = 0.0
        shop = Shop("side.myshopify.com", secret="s", clock=lambda: 0)
        shop.scopes = ("write_discounts",)
        self.pretend = PretendShopify.of([shop], "the-key", "the-secret")
        self.pretend.seconds = lambda: self.seconds
        self.token = self.pretend.grant(shop.domain)["access_token"]
        self.shop = shop.domain
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.pretend.app))
        pace = Pace(self.sleep, lambda: self.seconds)
        self.admin = Admin(client, base="http://pretend/{shop}", sleep=self.sleep, pace=pace)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    async def ask(self) -> None:
        await self.admin.graphql(self.shop, self.token, QUESTION, {"id": "gid://shopify/DiscountCodeNode/1"})


async def test_questions_side_by_side_are_never_throttled() -> None:
    """Five hundred mutations, twenty at a time: the bucket is used up to what is left to others, and no further."""
    asked = Asked()
    seats = asyncio.Semaphore(20)

    async def one() -> None:
        async with seats:
            await asked.ask()
            assert asked.pretend._bucket(asked.shop) >= 2000 * LEFT_TO_OTHERS - 20 * 13

    await asyncio.gather(*(one() for _ in range(500)))
    assert asked.pretend.throttled == {}
    spent = asked.pretend.spent[asked.shop]
    assert spent == 500 * 13
    # Never asked for less than the bucket gives either: what it held at first, and what came back since.
    assert spent >= 0.95 * (2000 * (1 - LEFT_TO_OTHERS) + asked.seconds * 100) - 50


async def test_the_first_question_is_asked_alone() -> None:
    """Nobody knows how much there is before it was answered; one that fails lets the next try."""
    asked = Asked()
    asked.pretend.fail_next = [503]
    outcomes = await asyncio.gather(*(asked.ask() for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [Unavailable, type(None), type(None)]


async def test_what_is_throttled_all_the_same_is_asked_again() -> None:
    """Somebody else took from the bucket."""
    asked = Asked()
    asked.pretend.throttle_next = 2
    await asked.ask()
    assert asked.pretend.throttled == {asked.shop: 2}
    assert asked.seconds > 2 * 500 / 100, "until there is again what is left to others"
