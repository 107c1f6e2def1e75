"""Ana at her own page: with the link of a letter, with one she was mailed, and at the shop's own address."""

import re
from collections.abc import Mapping
from typing import Any

import httpx

from config.asgi import build
from handlers.account.views import see
from integration.clock import DAY
from integration.database.steps import ask, plain
from integration.sandbox.storefront import forwarded
from tests.handlers.reconcile.market import APP_SECRET
from tests.handlers.rewards.counter import Counter

HERE = "http://localhost:8000"
_KEY = re.compile(r'name="key" value="([^"]+)"')


class Guest:
    """One browser of one person."""

    def __init__(self, counter: Counter) -> None:
        self.counter, self.context = counter, counter.context
        transport = httpx.ASGITransport(build(counter.context))  # type: ignore[arg-type]
        self.http = httpx.AsyncClient(transport=transport, base_url=HERE, headers={"Accept-Language": "en"})

    def link(self, customer: int = 0, days: int = 90, merchant: int = 0) -> str:
        """The link of a letter."""
        until = self.context.clock.now() + days * DAY
        whose = customer or self.counter.ana
        return "/c/me/" + self.context.vault.sign("me", merchant or self.counter.stall.merchant, whose, until)

    async def mailed(self, **fields: str) -> str:
        """Ask for a fresh link with the one of a letter, and return the address it has in the mail."""
        before = len(self.mails)
        answer = await self.http.post(f"{self.link()}/mail", data=fields)
        assert answer.status_code == 200
        assert len(self.mails) == before + 1
        return self.address_in(self.mails[-1])

    async def comes_in(self, **fields: str) -> httpx.Response:
        """Open a fresh link and go where it leads."""
        answer = await self.http.post(await self.mailed(**fields))
        assert answer.status_code == 303
        return await self.http.get(answer.headers["location"])

    @property
    def mails(self) -> list[Any]:
        return list(self.context.channels["email"].mailbox)  # type: ignore[attr-defined]

    @staticmethod
    def address_in(mail: Any) -> str:
        """Read the fresh link of a mail."""
        found = re.search(re.escape(HERE) + r"(/c/open/[\w.-]+)", mail.get_body(("plain",)).get_content())
        assert found
        return found[1]

    async def redeems(self, reward: str = "five") -> httpx.Response:
        """Confirm a reward in the session."""
        asked = await self.http.get("/c/account/redeem", params={"reward": reward})
        fields = {"reward": reward, "steps": "1", "key": key_in(asked)}
        return await self.http.post("/c/account/redeem", data=fields)

    def shops(self, path: str = "", who: str = "", secret: str = APP_SECRET, **asked: str) -> str:
        """An address as Shopify forwards it: of the shop, by who is signed in there."""
        shop, now = self.counter.stall.shop.domain, self.context.clock.now()
        return f"/proxy{path}?{forwarded(shop, who, now, secret, **asked)}"

    async def does(self, sql: str, *values: object) -> None:
        """Run a statement written `?1`, `?2`…"""
        await self.context.database.run(lambda: ask(plain(sql), values))

    @property
    def ana_there(self) -> str:
        """Ana's number at the shop."""
        return str(self.counter.stall.ana.id)

    async def at_shop(self, path: str = "", who: str | None = None, **asked: str) -> httpx.Response:
        """Look at a page at the shop's own address."""
        return await self.http.get(self.shops(path, self.ana_there if who is None else who, **asked))

    async def posts_at_shop(self, path: str, fields: Mapping[str, str], who: str | None = None) -> httpx.Response:
        """Send a form at the shop's own address."""
        return await self.http.post(self.shops(path, self.ana_there if who is None else who), data=dict(fields))

    async def second(self) -> int:
        """Somebody else of the same shop, with 1,000 points and an address."""
        bo = self.counter.stall.people[1]
        _, told = self.counter.stall.sells(bo)
        await self.counter.stall.tells(told)
        rows = await self.counter.market.rows("SELECT number FROM customers WHERE shopify_id = :i", i=str(bo.id))
        await self.counter.gives(1_000, rows[0][0])
        return int(rows[0][0])

    async def seen(self) -> Any:
        """What Ana's page is made of."""
        now, merchant = self.context.clock.now(), self.counter.stall.merchant
        return await self.context.database.read(lambda: see(self.context, merchant, self.counter.ana, now))


def key_in(answer: httpx.Response, act: str | None = None) -> str:
    """Read the key of a page's form, of the only one or of the one that goes to `act`."""
    text = answer.text if act is None else answer.text[answer.text.index(f'/{act}"') :]
    found = _KEY.search(text)
    assert found, answer.text
    return found[1]
