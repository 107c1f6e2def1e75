"""What somebody has who gets at the database: sealed columns, whose texts are worth nothing in another place."""

import json
from itertools import permutations
from typing import Any

import pytest

from handlers.inbox.endpoints import Endpoints
from handlers.inbox.keys import Key
from handlers.merchants.connections import connect_stripe
from handlers.merchants.jobs import reseal, unopened
from handlers.privacy import store as privacy
from integration.clock import SECOND
from integration.database.schema import metadata
from integration.vault import Unsealable, Vault
from tests.attacks.target import stripe_signature
from tests.visits import NORA, OTTO, House

NOW = 1_790_000_000 * SECOND
TOKENS = {NORA: "shpat_noras", OTTO: "shpat_ottos"}
ENDPOINT = {NORA: "whsec_noras_endpoint", OTTO: "whsec_ottos_endpoint"}
RESTRICTED = {NORA: "rk_live_noras", OTTO: "rk_live_ottos"}
SEALED = {"connections.secrets", "connections.token", "connections.refresh_token", "privacy_keys.sealed"}
EVENT = b'{"id": "evt_1", "object": "event", "type": "charge.succeeded", "created": 1800000000, "data": {"object": {}}}'


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops with every kind of secret there is."""
    house = await House(database).open()
    vault = house.context.vault
    for shop, token in TOKENS.items():
        kept = (
            vault.seal(token, table="connections", merchant=shop, column="token"),
            vault.seal(f"shprt_{shop}", table="connections", merchant=shop, column="refresh_token"),
        )
        await house.does("UPDATE connections SET token = ?2, refresh_token = ?3 WHERE merchant_id = ?1", shop, *kept)
        await database.run(lambda m=shop: connect_stripe(m, ENDPOINT[m], RESTRICTED[m], vault, NOW))
        await database.run(lambda m=shop: privacy.key_of(m, vault))
    return house


async def connections(house: House, platform: str) -> dict[int, Any]:
    """By merchant: (id, merchant, account, token, refresh token, secrets)."""
    rows = await house.rows(
        "SELECT id, merchant_id, account, token, refresh_token, secrets FROM connections WHERE platform = ?1", platform
    )
    return {row[1]: row for row in rows}


async def test_nothing_secret_lies_in_the_clear(house: House) -> None:
    """In no column of any table; what is sealed stands in these columns, and each in its own."""
    words = [*TOKENS.values(), *ENDPOINT.values(), *RESTRICTED.values(), "shprt_"]
    sealed = set()
    for table in metadata.sorted_tables:
        names = list(table.columns.keys())
        for row in await house.rows(f"SELECT {', '.join(names)} FROM {table.name}"):
            assert not any(word in str(row) for word in words), table.name
            sealed |= {f"{table.name}.{name}" for name, value in zip(names, row, strict=True) if "v1." in str(value)}
    assert sealed == SEALED


async def test_another_shops_token_in_ones_row_is_worth_nothing(house: House) -> None:
    """Swapped by whoever can write the database: it does not open, so nothing is asked of any platform with it."""
    before = await connections(house, "shopify")
    for one, other in permutations(before):
        await house.does("UPDATE connections SET token = ?2 WHERE id = ?1", before[one][0], before[other][3])
    for name, (number, *_) in before.items():
        with pytest.raises(Unsealable, match="changed or belongs somewhere else") as refused:
            await Key(house.context, number)()
        assert not any(token in str(refused.value) for token in TOKENS.values()), name
    assert await unopened(house.context) == len(before)
    assert await reseal(house.context) == 0


async def test_ones_own_secret_in_another_column_is_worth_nothing(house: House) -> None:
    """Even of the same shop: an access token is not taken for what renews it, nor for what signs its webhooks."""
    vault = house.context.vault
    for platform in ("shopify", "stripe"):
        for _, merchant, _, token, refresh, secrets in (await connections(house, platform)).values():
            texts = {"token": [token], "refresh_token": [refresh] if refresh else [], "secrets": json.loads(secrets)}
            texts["sealed"] = []
            for column, others in texts.items():
                for place in texts:
                    for table in ("connections", "privacy_keys"):
                        for one in others:
                            if (table, place) != ("connections", column):
                                with pytest.raises(Unsealable):
                                    vault.open(one, table=table, merchant=merchant, column=place)
    for number, sealed in await house.rows("SELECT merchant_id, sealed FROM privacy_keys"):
        assert vault.open(sealed, table="privacy_keys", merchant=number, column="sealed")
        for other in range(1, 6):
            if other != number:
                with pytest.raises(Unsealable):
                    vault.open(sealed, table="privacy_keys", merchant=other, column="sealed")


async def test_another_shops_endpoint_secret_lets_no_delivery_in(house: House) -> None:
    """Nora's path with Otto's secret in her row: neither a delivery signed by Otto's secret nor by hers is taken."""
    before = await connections(house, "stripe")
    endpoints = Endpoints(house.context)
    assert await endpoints.secrets(before[NORA][2]) == (ENDPOINT[NORA],)
    for one, other in permutations(before):
        await house.does("UPDATE connections SET secrets = ?2 WHERE id = ?1", before[one][0], before[other][5])
    browser = house.stranger().client
    for secret in ENDPOINT.values():
        header = stripe_signature(EVENT, secret, house.clock.now() // SECOND)
        path = f"/webhooks/stripe/{before[NORA][2]}"
        answer = await browser.post(path, content=EVENT, headers={"Stripe-Signature": header})
        assert answer.status_code in (401, 404, 503)
    assert await house.rows("SELECT count(*) FROM events") == [(0,)]


async def test_a_copy_of_the_database_without_its_key_opens_nothing(house: House) -> None:
    """Each sealed text, with any key but the one in the environment."""
    stranger = Vault(["quite another secret of thirty-two characters"])
    for platform in ("shopify", "stripe"):
        for _, merchant, _, token, refresh, secrets in (await connections(house, platform)).values():
            for column, texts in (("token", [token]), ("refresh_token", [refresh]), ("secrets", json.loads(secrets))):
                for one in filter(None, texts):
                    with pytest.raises(Unsealable, match="no longer lists"):
                        stranger.open(one, table="connections", merchant=merchant, column=column)
