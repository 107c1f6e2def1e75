"""Every address that webhooks come to: whoever cannot sign is refused, and leaves no trace."""

from typing import Any

import pytest

from integration.database.schema import metadata
from tests.config.test_routes import stripe_of_otto
from tests.visits import OTTO, House

# Before the table of routes, by handlers/inbox/pages.py: what a stranger gets for each.
WEBHOOKS: dict[tuple[str, str], int] = {
    ("POST", "/webhooks/shopify"): 401,
    ("POST", "/webhooks/stripe/ottos-path"): 401,
    ("POST", "/webhooks/stripe/guessed-path"): 404,
    ("POST", "/webhooks/stripe/"): 404,
    ("POST", "/webhooks/stripe/ottos-path/more"): 404,
    **{
        (verb, path): 405
        for verb in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")
        for path in ("/webhooks/shopify", "/webhooks/stripe/ottos-path", "/webhooks/stripe/guessed-path")
    },
    **{
        (verb, path): 404
        for verb in ("GET", "POST")
        for path in ("/webhooks", "/webhooks/", "/webhooks/shopify/", "/webhooks/stripe", "/webhooks/paypal")
    },
}
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"X-Shopify-Hmac-Sha256": "", "Stripe-Signature": ""},
    {"X-Shopify-Hmac-Sha256": "AAAA", "Stripe-Signature": "t=1,v1=00", "X-Shopify-Topic": "orders/paid",
     "X-Shopify-Shop-Domain": "otto.myshopify.com", "X-Shopify-Webhook-Id": "1", "X-Shopify-Triggered-At": "now"},
)  # fmt: skip


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops on each engine; Otto has a Stripe account connected."""
    house = await House(database).open()
    await stripe_of_otto(house)
    return house


async def test_webhooks_take_what_is_signed_and_nothing_else(house: House) -> None:
    """Whatever a stranger sends there, and a signed-in merchant's browser: refused, and not a row is written."""
    secret = house.context.vault.seal("whsec_ottos", table="connections", merchant=OTTO, column="secrets")
    await house.does("UPDATE connections SET secrets = ?1 WHERE id = 7", f'["{secret}"]')
    visitors = [house.stranger().client, (await house.signed_in(OTTO)).client]
    tables = sorted(metadata.tables)
    before = [sorted(map(str, await house.rows(f"SELECT * FROM {table}"))) for table in tables]
    for (verb, path), status in WEBHOOKS.items():
        for headers in HEADERS:
            for client in visitors:
                answer = await client.request(verb, path, headers=headers, content=b'{"id": 1, "note": "Otto"}')
                assert answer.status_code == status, (verb, path, headers)
                assert "Otto" not in answer.text and "set-cookie" not in answer.headers
                assert not answer.headers.get("content-type", "").startswith("text/html")
                assert answer.headers.get("allow") == ("POST" if status == 405 else None)
    assert [sorted(map(str, await house.rows(f"SELECT * FROM {table}"))) for table in tables] == before
