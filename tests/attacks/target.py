"""What an attack is aimed at: sends any bytes under any headers, and counts what was kept of them."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import httpx
import stripe
from sqlalchemy import text

from integration.clock import SECOND
from tests.journeys.town import SHOPIFY_SECRET, STRIPE_SECRET, Town
from tests.oracle.tellings import Delivery


class Target:
    """One shop of the running program; every method waits for its answer."""

    def __init__(self, town: Town, runner: asyncio.Runner) -> None:
        self.town, self.runner = town, runner
        self._sent = 0

    # --- sending ---

    def shopify(self, raw: bytes, *, headers: Mapping[str, str | None] | None = None, **more: Any) -> httpx.Response:
        """Post bytes with a good signature; `headers` replaces or (None) removes single ones."""
        self._sent += 1
        sent: dict[str, str | None] = {
            "X-Shopify-Hmac-Sha256": signed(raw, more.pop("secret", SHOPIFY_SECRET)),
            "X-Shopify-Topic": more.pop("topic", "orders/create"),
            "X-Shopify-Shop-Domain": f"corner-{self.town.number}.myshopify.com",
            "X-Shopify-Webhook-Id": f"attack-{self._sent}",
            "X-Shopify-API-Version": "2026-10",
            **(headers or {}),
        }
        pairs = [(name.encode(), value.encode()) for name, value in sent.items() if value is not None]
        return self.post("/webhooks/shopify", raw, pairs, **more)

    def stripe(self, raw: bytes, *, header: str | None = None, age: int = 0, **more: Any) -> httpx.Response:
        """Post bytes with a good Stripe signature of some age in seconds, or with another header."""
        if header is None:
            at = self.town.street.clock.now() // SECOND - age
            header = stripe_signature(raw, more.pop("secret", STRIPE_SECRET), at)
        return self.post(f"/webhooks/stripe/{self.town.stripe_token}", raw, {"Stripe-Signature": header}, **more)

    def post(self, path: str, raw: bytes, headers: Any, **more: Any) -> httpx.Response:
        return self.run(self.town.street.http.post(path, content=raw, headers=headers, **more))

    def run(self, work: Any) -> Any:
        return self.runner.run(_awaited(work))

    # --- what came of it ---

    def order(self, **more: Any) -> bytes:
        """The bytes of an order of Ana's, at 40.00."""
        self.town.order(self.town.ana, **more)
        return self.news()[-1].raw

    def news(self) -> list[Delivery]:
        """Everything that happened in the shop, as it would be delivered."""
        return [self.town.here(delivery) for delivery in self.town.tape.deliveries]

    def kept(self) -> int:
        """How many rows the database holds of events, of this shop or of nobody."""
        return int(self.run(self._count("SELECT count(*) FROM events")))

    def outcomes(self) -> list[tuple[str | None, str | None]]:
        """How the shop's events ended: (outcome, reason), an outcome of None being a dead letter."""
        self.run(self.town.street.idle())
        rows = self.run(self.town.rows("SELECT outcome, reason, worked_at, failed_at FROM events", "ORDER BY id"))
        assert all((worked is None) != (failed is None) for _, _, worked, failed in rows)
        return [(outcome, reason) for outcome, reason, _, _ in rows]

    def points(self) -> dict[str, int]:
        """Ana's points once all is worked."""
        self.run(self.town.street.idle())
        found: dict[str, int] = self.run(self.town.points(self.town.ana))
        return found

    async def _count(self, statement: str) -> int:
        async with self.town.street.context.engine.connect() as connection:
            return int((await connection.execute(text(statement))).scalar_one())


def signed(raw: bytes, secret: str = SHOPIFY_SECRET) -> str:
    """Shopify's signature of bytes."""
    return base64.b64encode(hmac.new(secret.encode(), raw, hashlib.sha256).digest()).decode()


def stripe_signature(raw: bytes, secret: str, at: int) -> str:
    """Stripe's signature header for bytes, made by Stripe's own library where the bytes are text."""
    try:
        return stripe.WebhookSignature.generate_signature_header(raw.decode(), secret, at)
    except UnicodeDecodeError:
        return f"t={at},v1={hmac.new(secret.encode(), b'%d.' % at + raw, hashlib.sha256).hexdigest()}"


def event(**changes: Any) -> bytes:
    """The bytes of a Stripe event about a charge of 40.00 by Bo, changed at the top where named."""
    charge = {
        "id": "ch_attack", "object": "charge", "amount": 4000, "amount_captured": 4000, "amount_refunded": 0,
        "billing_details": {"email": "bo@attack.example"}, "captured": True, "created": 1_791_000_000,
        "currency": "usd", "customer": None, "livemode": True, "metadata": {}, "payment_intent": "pi_attack",
        "status": "succeeded", "paid": True,
    }  # fmt: skip
    told = {
        "id": "evt_attack", "object": "event", "api_version": "2026-10-28.endive", "created": 1_791_000_000,
        "data": {"object": charge}, "livemode": True, "type": "charge.succeeded", **changes,
    }  # fmt: skip
    return json.dumps(told).encode()


async def _awaited(work: Any) -> Any:
    return await work
