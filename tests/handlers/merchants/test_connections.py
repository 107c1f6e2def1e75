"""A merchant joins with a name, money and hours; only fitting credentials are taken, and none is readable."""

import json
from typing import Any

import pytest

from handlers.merchants.connections import (
    MOST_SECRETS,
    Wish,
    add_merchant,
    checked,
    connect_stripe,
    find_merchant,
    merchants_after,
    shop_domain,
)
from handlers.merchants.rules import Refused
from integration.database.steps import Row, ask, plain
from integration.vault import Unsealable, Vault

NOW = 1_790_000_000_000_000
VAULT = Vault(["hats-are-sold-here-by-ada-and-bob-since-1999"])
HATS = Wish(name="Hats", shop="hats", currency="EUR", timezone="Europe/Paris")


@pytest.mark.parametrize(
    "text",
    [
        "hats-by-ada",
        "hats-by-ada.myshopify.com",
        " HATS-by-ada.myshopify.com ",
        "https://hats-by-ada.myshopify.com/",
        "http://hats-by-ada.myshopify.com/admin?x=1",
        "https://admin.shopify.com/store/hats-by-ada/products",
    ],
)
def test_a_shop_is_known_by_any_of_its_addresses(text: str) -> None:
    """What a merchant copies from the browser is good enough."""
    assert shop_domain(text) == "hats-by-ada.myshopify.com"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hats.example.com",
        "-hats",
        "hats by ada",
        "hats.myshopify.com.evil.example",
        "https://evil.example/hats.myshopify.com",
        "hats@myshopify.com",
        "x" * 61,
        "hüte",
    ],
)
def test_what_is_no_shopify_shop_is_refused(text: str) -> None:
    """A foreign host never becomes a connection."""
    with pytest.raises(Refused, match="myshopify"):
        shop_domain(text)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("name", "  ", "name"),
        ("name", "x" * 101, "name"),
        ("name", "a\x00b", "name"),
        ("currency", "EURO", "currency"),
        ("currency", "DEM", "currency"),
        ("currency", "", "currency"),
        ("timezone", "Paris", "time zone"),
        ("timezone", "../../etc/passwd", "time zone"),
        ("country", "FRA", "country"),
        ("email", "ada", "e-mail"),
        ("token", " ", "token"),
    ],
)
def test_a_wrong_part_is_named(part: str, value: str, said: str) -> None:
    """Each part has its own sentence."""
    with pytest.raises(Refused, match=said):
        checked(HATS._replace(**{part: value}))


def test_codes_are_written_in_upper_case() -> None:
    """`eur` and `fr` are understood."""
    wish = checked(HATS._replace(currency="eur", country="fr", name=" The   Hats "))
    assert (wish.currency, wish.country, wish.name) == ("EUR", "FR", "The Hats")


async def test_a_name_and_a_shop_are_taken_once(database: Any) -> None:
    """The second is refused and leaves nothing behind."""
    await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    with pytest.raises(Refused, match="already a merchant named Hats"):
        await database.run(lambda: add_merchant(HATS._replace(shop="other"), VAULT, NOW))
    with pytest.raises(Refused, match=r"hats\.myshopify\.com already belongs to the merchant Hats"):
        await database.run(lambda: add_merchant(HATS._replace(name="Caps"), VAULT, NOW))
    assert [m.name for m in await database.run(lambda: merchants_after(0, 10))] == ["Hats"]


async def test_merchants_are_listed_with_what_connects_them(database: Any) -> None:
    """The shop's domain and the path Stripe sends to are shown; pages go on where the last one ended."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    path = await database.run(lambda: connect_stripe(hats.id, "whsec_hatshats", None, VAULT, NOW))
    caps = await database.run(lambda: add_merchant(HATS._replace(name="Caps", shop=None), VAULT, NOW))
    first, *rest = await database.run(lambda: merchants_after(0, 1))
    assert (first.name, first.shopify, first.stripe, rest) == ("Hats", "hats.myshopify.com", path, [])
    assert [m.id for m in await database.run(lambda: merchants_after(first.id, 1))] == [caps.id]


async def test_an_unknown_merchant_is_one_sentence(database: Any) -> None:
    """Names are looked up as written."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    assert await database.run(lambda: find_merchant("Hats")) == hats.id
    with pytest.raises(Refused, match="no merchant named Shoes"):
        await database.run(lambda: find_merchant("Shoes"))


async def test_events_a_shop_sent_before_joining_become_the_merchants(database: Any) -> None:
    """They are claimable from now on; those of another shop stay where they are."""
    event = plain(
        "INSERT INTO events (source, connection, delivery_id, topic, received_at, next_attempt_at)"
        " VALUES ('shopify', ?1, ?2, 'orders/paid', ?3, ?3)"
    )
    await database.run(lambda: ask(event, ("hats.myshopify.com", "first", NOW)))
    await database.run(lambda: ask(event, ("caps.myshopify.com", "second", NOW)))
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    read = plain("SELECT delivery_id, merchant_id FROM events ORDER BY id")
    rows: list[Row] = await database.run(lambda: ask(read, ()))
    assert rows == [("first", hats.id), ("second", None)]


async def stripe_row(database: Any) -> Row:
    read = plain("SELECT account, secrets, token FROM connections WHERE platform = 'stripe'")
    rows: list[Row] = await database.run(lambda: ask(read, ()))
    assert len(rows) == 1
    return rows[0]


async def test_stripe_secrets_overlap_while_they_are_rolled(database: Any) -> None:
    """A further secret goes in front under the same path; the oldest make room; none is doubled."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    given = [f"whsec_number_{n}" for n in range(MOST_SECRETS + 2)]
    paths = {
        await database.run(lambda: connect_stripe(hats.id, secret, None, VAULT, NOW))  # noqa: B023
        for secret in [*given, given[-2]]
    }
    account, sealed, _ = await stripe_row(database)
    assert paths == {f"/webhooks/stripe/{account}"}
    assert len(account) >= 32
    place = {"table": "connections", "merchant": hats.id, "column": "secrets"}
    opened = [VAULT.open(one, **place) for one in json.loads(sealed)]
    assert opened == [given[-2], given[-1], given[-3], given[-4]]


async def test_no_credential_can_be_read_from_the_database(database: Any) -> None:
    """Secrets and keys are sealed, for this merchant's column only."""
    await database.run(lambda: add_merchant(HATS._replace(token="shpat_abcdef"), VAULT, NOW))
    caps = await database.run(lambda: add_merchant(HATS._replace(name="Caps", shop=None), VAULT, NOW))
    await database.run(lambda: connect_stripe(caps.id, "whsec_caps", "rk_live_caps", VAULT, NOW))
    read = plain("SELECT secrets, token FROM connections ORDER BY id")
    stored = await database.run(lambda: ask(read, ()))
    assert not any(word in str(stored) for word in ("whsec_", "rk_live", "shpat"))
    with pytest.raises(Unsealable):
        VAULT.open(stored[0][1], table="connections", merchant=caps.id, column="token")
    assert VAULT.open(stored[1][1], table="connections", merchant=caps.id, column="token") == "rk_live_caps"


async def test_a_new_key_replaces_the_old_one_and_no_key_leaves_it(database: Any) -> None:
    """Adding a secret does not lose the key."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    place = {"table": "connections", "merchant": hats.id, "column": "token"}
    for key, kept in (
        (None, None),
        ("rk_test_one", "rk_test_one"),
        (None, "rk_test_one"),
        ("rk_live_2222", "rk_live_2222"),
    ):
        await database.run(lambda: connect_stripe(hats.id, "whsec_hats", key, VAULT, NOW))  # noqa: B023
        _, _, token = await stripe_row(database)
        assert (token and VAULT.open(token, **place)) == kept


@pytest.mark.parametrize(
    ("secret", "key", "said"),
    [
        ("", None, "whsec_"),
        ("   ", None, "whsec_"),
        ("whsec_", None, "whsec_"),
        ("whsec_with space", None, "whsec_"),
        ("sk_live_1234", None, "whsec_"),
        ("whsec_hats", "sk_live_1234", "restricted key"),
        ("whsec_hats", "pk_live_1234", "rk_live_"),
        ("whsec_hats", "", "rk_live_"),
    ],
)
async def test_credentials_that_are_not_what_they_should_be_are_refused(
    database: Any, secret: str, key: str | None, said: str
) -> None:
    """A blank secret would let anyone in, and a secret key may do more than we should be able to."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    with pytest.raises(Refused, match=said):
        await database.run(lambda: connect_stripe(hats.id, secret, key, VAULT, NOW))
    assert (await database.run(lambda: merchants_after(0, 1)))[0].stripe is None
