"""The pretend Shopify behind the shops of a run: their Admin API on loopback, with moods, and what it was asked."""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import MutableMapping
from typing import Any, Self

import uvicorn
from starlette.responses import JSONResponse, Response

from integration.clock import HOUR
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_api import PretendShopify
from tests.benchmarks.backlog import CATALOGUE, FIRST, LAST, Ticking
from tests.faults.load import SHOP_DOMAIN, SHOPIFY_SECRET, ordinary_shop
from tests.oracle.tellings import Delivery as Told
from tests.properties.histories import History
from tests.servers import free_port

HANG_SECONDS = 6.0  # longer than anybody waits for an answer in a fault run
HEADERS = {"Retry-After": "1.0"}


class Platform:
    """One server for the Admin API of every shop (`async with Platform()`); `mood` is what is wrong with it.

    A status is answered to everything, `hang` answers late, `throttle` as out of credit, None as it should.
    """

    def __init__(self) -> None:
        self.pretend = PretendShopify({}, "app", SHOPIFY_SECRET)
        self.mood: int | str | None = None
        self.answered: Counter[tuple[str, int]] = Counter()  # (shop, status)
        self.after_refusal: Counter[str] = Counter()  # calls that came when a shop had answered 401 already
        self.port = free_port()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._answer, host="127.0.0.1", port=self.port, log_config=None, lifespan="off", interface="asgi3"
            )
        )
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]

    @property
    def address(self) -> str:
        """Where the program finds a shop's API, as it writes addresses."""
        return f"http://127.0.0.1:{self.port}/{{shop}}"

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving

    async def _answer(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        shop = str(scope["path"]).split("/")[1]
        self.after_refusal[shop] += bool(self.answered[shop, 401])

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.answered[shop, message["status"]] += 1
            await send(message)

        if self.mood == "hang":
            await asyncio.sleep(HANG_SECONDS)
        if self.mood == "throttle":
            said: Response = JSONResponse({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]})
        elif isinstance(self.mood, int):
            said = Response(status_code=self.mood, headers=HEADERS)
        else:
            await self.pretend.app(scope, receive, counted)
            return
        await said(scope, receive, counted)  # type: ignore[arg-type]


class AskedShop:
    """A shop whose orders the program may ask for: what happened to it an hour ago, delivery by delivery."""

    def __init__(self, seed: int, now: int, orders: int) -> None:
        dice = random.Random(seed)
        self.sandbox = Shop(SHOP_DOMAIN, secret=SHOPIFY_SECRET, clock=Ticking(now - HOUR), seed=seed)
        products = [self.sandbox.stock(title, price) for title, price in CATALOGUE]
        self.told: list[Told] = []
        for number in range(orders):
            person, news = self.sandbox.welcome(dice.choice(FIRST), dice.choice(LAST), f"buyer{number}@shop.example")
            self._tell(news)
            order, news = self.sandbox.place(person, [(dice.choice(products), dice.randint(1, 3))], shipping_minor=490)
            self._tell(news)
            self._tell(self.sandbox.pay(order))
            if dice.random() < 0.7:
                self._tell(self.sandbox.edit(order, add=[(dice.choice(products), 1)]))
            if dice.random() < 0.3:
                self._tell(self.sandbox.refund(order, {next(iter(order.lines)).id: 1}))
        self.history: History = ordinary_shop(self.told)

    def _tell(self, news: list[Delivery]) -> None:
        for each in news:
            number = f"asked-{len(self.told)}"
            self.told.append(Told("shopify", SHOP_DOMAIN, each.topic, number, json.loads(each.body), each.at))
