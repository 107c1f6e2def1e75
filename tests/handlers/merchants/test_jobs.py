"""Secrets move to the current key by themselves, so that a rotated one can be dropped."""

import json
from types import SimpleNamespace
from typing import Any

from handlers.merchants.connections import Wish, add_merchant, connect_stripe
from handlers.merchants.jobs import reseal, unopened
from integration.database.steps import ask, plain
from integration.vault import Vault

NOW = 1_790_000_000_000_000
OLD = "an-old-secret-of-more-than-thirty-two-characters"
NEW = "a-new-secret-of-more-than-thirty-two-characters!"
STORED = plain("SELECT merchant_id, secrets, token FROM connections ORDER BY id")


def context(database: Any, *keys: str) -> Any:
    return SimpleNamespace(database=database, vault=Vault(keys))


async def test_after_a_run_the_old_key_is_needed_no_more(database: Any) -> None:
    """Every secret opens with the new key alone, and a second run finds nothing to do."""
    before = Vault([OLD])
    for name in ("Hats", "Caps"):
        wish = Wish(name, name.lower(), "EUR", "UTC", token=f"shpat_{name}")
        merchant = await database.run(lambda wish=wish: add_merchant(wish, before, NOW))
        for secret in ("whsec_first", "whsec_second"):
            await database.run(lambda m=merchant.id, s=secret: connect_stripe(m, s, "rk_live_key", before, NOW))
    assert await reseal(context(database, NEW, OLD)) == 4
    assert await reseal(context(database, NEW, OLD)) == 0
    opened = []
    for merchant, sealed, token in await database.run(lambda: ask(STORED, ())):
        place = {"table": "connections", "merchant": merchant}
        opened += [Vault([NEW]).open(one, **place, column="secrets") for one in json.loads(sealed)]
        opened.append(Vault([NEW]).open(token, **place, column="token"))
    stripe = ["whsec_second", "whsec_first", "rk_live_key"]
    assert opened == ["shpat_Hats", *stripe, "shpat_Caps", *stripe]


async def test_what_no_key_opens_is_left_as_it_is(database: Any) -> None:
    """A key dropped too early harms nothing that its return would not mend."""
    wish = Wish("Hats", "hats", "EUR", "UTC", token="shpat_hats")
    await database.run(lambda: add_merchant(wish, Vault([OLD]), NOW))
    before = await database.run(lambda: ask(STORED, ()))
    assert await reseal(context(database, NEW)) == 0
    assert [await unopened(context(database, key)) for key in (NEW, OLD)] == [1, 0]
    assert await database.run(lambda: ask(STORED, ())) == before
