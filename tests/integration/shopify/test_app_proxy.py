"""A forwarded request is believed by its signature alone, read in one way only, and not for long."""

import re
from urllib.parse import urlencode

import pytest

from integration.clock import SECOND
from integration.errors import Forged
from integration.shopify.app_proxy import read_forwarded, signature

SECRET = "hush"
AT = 1_317_327_555
SHOP = "shop-name.myshopify.com"
TOLD = {"shop": SHOP, "logged_in_customer_id": "1", "path_prefix": "/apps/regulars", "timestamp": str(AT)}
KNOWN = {"reward": re.compile(r"[a-z0-9-]+"), "number": re.compile(r"[0-9]{1,18}")}
VECTOR = [
    ("extra", "1"),
    ("extra", "2"),
    ("shop", SHOP),
    ("path_prefix", "/apps/awesome_reviews"),
    ("timestamp", str(AT)),
]


def signed(secret: str = SECRET, **told: str) -> str:
    """Write a query as Shopify forwards it."""
    pairs = list({**TOLD, **told}.items())
    return urlencode([*pairs, ("signature", signature(pairs, secret))])


def read(query: str, now: int = AT * SECOND, secrets: tuple[str, ...] = (SECRET,)):
    """Read a forwarded query."""
    return read_forwarded(query, secrets, KNOWN, now)


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        ("1", "4c68c8624d737112c91818c11017d24d334b524cb5c2b8ba08daa056f7395ddb"),
        ("", "e072b6d7e6622d85912a5214b860d3100dc1e73d9bc29f43796ac8c9ff8093cb"),
    ],
)
def test_shopifys_own_examples_give_the_same_signature(customer: str, expected: str) -> None:
    """Repeats are joined with a comma, and an empty value counts."""
    assert signature([*VECTOR, ("logged_in_customer_id", customer)], SECRET) == expected


def test_who_is_signed_in_is_read_from_a_signed_query() -> None:
    """Shop, customer, where we stand, and what is asked of us; nobody signed in is a guest."""
    found = read(signed(reward="five"))
    assert found == (SHOP, "1", "/apps/regulars", AT * SECOND, {"reward": "five"})
    assert read(signed(logged_in_customer_id="")).customer is None


def test_the_secret_before_the_last_rotation_still_signs() -> None:
    """Shopify may sign with it for a while; after that it does not."""
    assert read(signed("old"), secrets=(SECRET, "old")).shop == SHOP
    with pytest.raises(Forged):
        read(signed("old"))


FIVE = signed(reward="five")
ATTACKS = {
    "no signature": urlencode(TOLD),
    "an empty signature": urlencode({**TOLD, "signature": ""}),
    "a signature of another form": FIVE[:-1] + "G",
    "a changed customer": FIVE.replace("logged_in_customer_id=1", "logged_in_customer_id=2"),
    "a changed shop": FIVE.replace("shop-name", "other-shop"),
    "a parameter added after signing": FIVE + "&number=5",
    "a parameter left out": FIVE.replace("reward=five&", ""),
    "a boundary shifted": FIVE.replace("logged_in_customer_id=1", "logged_in_customer_id=").replace(
        "path_prefix=%2F", "path_prefix=1%2F"
    ),
    "a customer hidden in a known parameter": signed(reward="fivelogged_in_customer_id=2"),
    "two pairs written as one": urlencode(
        {
            "logged_in_customer_id": "1path_prefix=/apps/regulars",
            **{name: TOLD[name] for name in ("shop", "timestamp")},
            "signature": signature(list(TOLD.items()), SECRET),
        }
    ),
    "a parameter nobody knows": signed(utm="x"),
    "a known parameter of another shape": signed(number="-1"),
    "no shop": signed(shop=""),
    "a shop elsewhere": signed(shop="evil.example"),
    "a customer that is no number": signed(logged_in_customer_id="1 OR 1"),
    "a prefix that leads away": signed(path_prefix="//evil.example/x"),
    "too early": signed(timestamp=str(AT + 91)),
    "too late": signed(timestamp=str(AT - 91)),
    "no time": signed(timestamp=""),
    "the secret of another app": signed("other"),
    "an endless query": signed(reward="a" * 5_000),
    "too many parameters": FIVE + "&a=1" * 30,
    **{
        f"{name} twice": f"{signed()}&{name}={value}"
        for name, value in (("shop", SHOP), ("timestamp", str(AT)), ("signature", "0" * 64))
    },
    "the customer twice": signed() + "&logged_in_customer_id=2",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_but_what_shopify_signed_a_moment_ago_is_believed(name: str) -> None:
    """Whatever was changed, added, left out, repeated or shifted."""
    with pytest.raises(Forged):
        read(ATTACKS[name])


def test_without_a_secret_nobody_is_believed() -> None:
    """A program that does not know its secret is closed."""
    for secrets in ((), ("",), (" ",)):
        with pytest.raises(Forged):
            read(signed(""), secrets=secrets)


def test_repeats_are_refused_although_they_are_signed() -> None:
    """What one program reads as the first and another as the last is read by nobody."""
    pairs = [*TOLD.items(), ("reward", "a"), ("reward", "b")]
    with pytest.raises(Forged):
        read(urlencode([*pairs, ("signature", signature(pairs, SECRET))]))
