"""Two merchants and two Stripe accounts, on each engine; Stripe is a pretend one over real HTTP."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe as stripe_library
from sqlalchemy import text

from config.asgi import build
from config.settings import Settings
from config.wiring import opened
from handlers.context import Context
from handlers.inbox.work import drain
from handlers.merchants.connections import Wish, add_merchant
from handlers.merchants.programs import change_program
from integration.clock import SECOND, Clock
from integration.sandbox.delivery import Delivery
from integration.sandbox.stripe import Account
from integration.sandbox.stripe_api import PretendStripe, PretendStripes
from integration.stripe.api import StripeApi
from tests.integration.sandbox.test_apis import served

PUBLIC = "https://regulars.example"
ADAS_KEY, BOBS_KEY = "rk_live_51AdaSellsHats0001", "rk_live_51BobSellsCaps0002"
EVERYTHING = {
    "charge_read", "customer_read", "dispute_read", "event_read", "payment_intent_read", "checkout_session_read",
    "invoice_read", "webhook_write",
}  # fmt: skip


@dataclass
class Street:
    """The program, Ada's and Bob's shops, and their Stripe accounts."""

    context: Context
    ada: int
    bob: int
    adas: PretendStripe
    bobs: PretendStripe
    http: httpx.AsyncClient

    async def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        async with self.context.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(sql), values)]

    async def deliver(self, deliveries: list[Delivery]) -> list[int]:
        """Post an account's webhooks and have them worked; returns the answers."""
        answers = []
        for each in deliveries:
            headers = each.headers_at(self.context.clock.now())
            answers.append((await self.http.post(each.path, content=each.body, headers=headers)).status_code)
        await drain(self.context)
        return answers


@pytest.fixture
async def street(database_url: str, data_dir: Path) -> AsyncIterator[Street]:
    """Everything open; nobody is connected yet."""
    clock = Clock()
    adas = PretendStripe(
        Account(secrets=("whsec_x",), path="/", clock=clock.now, seed=1, api_key=ADAS_KEY, name="Ada's hats")
    )
    bobs = PretendStripe(Account(secrets=("whsec_y",), path="/", clock=clock.now, seed=2, api_key=BOBS_KEY))
    adas.permissions, bobs.permissions = set(EVERYTHING), set(EVERYTHING)
    settings = Settings(
        _env_file=None,
        database_url=database_url,
        data_dir=data_dir,
        public_url=PUBLIC,
        secret_key="the-secret-key-of-the-street-is-long-enough",
        shopify_api_secret="shpss_of-the-street",
    )
    async with served(PretendStripes([adas, bobs])) as base:
        api = StripeApi(base=base, clock=clock, http=stripe_library.HTTPXClient(timeout=20))
        async with opened(settings, clock=clock, stripe=api) as context:
            ada, bob = await _joined(context, "Ada"), await _joined(context, "Bob")
            receiver = build(context)
            transport = httpx.ASGITransport(receiver)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url=PUBLIC) as http:
                yield Street(context, ada, bob, adas, bobs, http)
                await receiver.drained()


async def _joined(context: Context, name: str) -> int:
    now = context.clock.now()
    wish = Wish(name, None, "USD", "America/New_York")
    merchant = await context.database.run(lambda: add_merchant(wish, context.vault, now))
    on: dict[str, object] = {"earning.enabled": True, "earning.points_per_unit": "1", "earning.hold_days": 0}
    await context.database.run(lambda: change_program(merchant.id, on, now - 2 * SECOND))
    return merchant.id
