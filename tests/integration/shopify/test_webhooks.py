"""Shopify's signatures, by our verifier and by Shopify's own package, and the headers nobody signs."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shopify_app import ShopifyApp

from integration.facts import Envelope
from integration.shopify.shops import shop_domain
from integration.shopify.webhooks import UNNAMED, envelope, read_headers, verify

SECRET, OLD_SECRET = "shpss_now", "shpss_before"
BODY = b'{"id":1,"title":"Th\xc3\xa9"}'


def sign(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def test_the_present_and_the_old_secret_both_verify() -> None:
    """While a secret rolls over, Shopify may sign with the old one for up to an hour."""
    assert verify(BODY, sign(BODY), [SECRET, OLD_SECRET])
    assert verify(BODY, sign(BODY, OLD_SECRET).encode(), [SECRET, OLD_SECRET])
    assert not verify(BODY, sign(BODY, OLD_SECRET), [SECRET])


def test_one_changed_byte_does_not_verify() -> None:
    """The raw bytes are signed: a line's end or a re-written body is another body."""
    for changed in (BODY + b"\n", b"\xef\xbb\xbf" + BODY, BODY.replace(b"1", b"2"), b""):
        assert not verify(changed, sign(BODY), [SECRET])


GOOD = sign(BODY)


@pytest.mark.parametrize(
    "header",
    [
        None, "", " ", "=", "é", "\udcff", b"\xff\xfe", GOOD[:-1], GOOD + "=", GOOD + "A", " " + GOOD, GOOD + "\n",
        f"{GOOD}, {GOOD}", f"{GOOD},{GOOD}", base64.b64decode(GOOD).hex(), base64.b64decode(GOOD).hex().upper(),
        GOOD.lower(), GOOD.replace("=", ""), "A" * 100_000, base64.b64encode(b"short").decode(), "sha256=" + GOOD,
    ],
)  # fmt: skip
def test_no_header_but_the_right_one_verifies(header: str | bytes | None) -> None:
    """Missing, empty, two at once, hexadecimal, padded, cut or foreign: False, and never an exception."""
    assert verify(BODY, header, [SECRET]) is False


def test_a_blank_secret_signs_nothing() -> None:
    """A setting left empty must not accept what anybody can sign."""
    for blank in ("", " "):
        assert not verify(BODY, sign(BODY, blank), [blank])
    assert not verify(BODY, GOOD, [])


def test_bodies_that_are_no_text_verify() -> None:
    """Bytes are not decoded before they are known to be Shopify's."""
    body = b"\xff\x00\xfe"
    assert verify(body, sign(body), [SECRET])


@given(header=st.binary(max_size=80) | st.text(max_size=80))
def test_no_header_makes_it_raise(header: bytes | str) -> None:
    """Anybody can send any header."""
    assert verify(BODY, header, [SECRET]) is False


@given(body=st.text(max_size=200))
def test_shopifys_own_package_agrees(body: str) -> None:
    """What our signer signs, Shopify's package accepts; what it refuses, we refuse."""
    app = ShopifyApp(client_id="key", client_secret=SECRET, old_client_secret=OLD_SECRET)
    raw = body.encode("utf-8", "replace")
    for header in (sign(raw), sign(raw, OLD_SECRET), sign(raw, "another"), sign(raw + b" ")):
        theirs = app.verify_webhook_req({
            "method": "POST", "url": "https://app.example/webhooks/shopify", "body": raw.decode(),
            "headers": {"X-Shopify-Hmac-Sha256": header, "X-Shopify-Shop-Domain": "a.myshopify.com"},
        })  # fmt: skip
        assert verify(raw, header, [SECRET, OLD_SECRET]) is theirs.ok


HEADERS = [
    (b"host", b"app.example"),
    (b"x-shopify-topic", b"orders/paid"),
    (b"x-shopify-hmac-sha256", GOOD.encode()),
    (b"x-shopify-shop-domain", b"Marlow-Finch.myshopify.com"),
    (b"x-shopify-webhook-id", b"b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
    (b"x-shopify-triggered-at", b"2026-11-03T09:30:00.123456789Z"),
    (b"x-shopify-api-version", b"2026-10"),
]


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [pair for pair in HEADERS if pair[0] != name]


def test_headers_are_read_from_what_a_server_hands_over() -> None:
    """Names in lower case and values in bytes, as ASGI has them."""
    headers = read_headers(HEADERS)
    assert headers.shop == "marlow-finch.myshopify.com"
    assert headers.topic == "orders/paid"
    assert verify(BODY, headers.signature, [SECRET])
    assert envelope(headers, BODY, 9) == Envelope(
        source="shopify", topic="orders/paid", delivery_id="b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        triggered_at=1_793_698_200_123_456, received_at=9,
    )  # fmt: skip


def test_a_delivery_without_an_id_is_known_by_its_body() -> None:
    """So that sending it again is still one delivery."""
    filed = envelope(read_headers(without(b"x-shopify-webhook-id")), BODY, 9)
    assert filed.delivery_id == hashlib.sha256(BODY).hexdigest()
    assert envelope(read_headers(without(b"x-shopify-topic")), BODY, 9).topic == UNNAMED


@pytest.mark.parametrize("name", [b"x-shopify-shop-domain", b"x-shopify-hmac-sha256", b"x-shopify-topic"])
def test_a_header_told_twice_is_not_believed(name: bytes) -> None:
    """Two claims are none, the same one twice too."""
    twice = [*HEADERS, next(pair for pair in HEADERS if pair[0] == name)]
    headers = read_headers(twice)
    field = {b"x-shopify-shop-domain": "shop", b"x-shopify-hmac-sha256": "signature", b"x-shopify-topic": "topic"}
    assert getattr(headers, field[name]) is None


@pytest.mark.parametrize(
    "domain",
    [b"", b"evil.example", b"x.myshopify.com.evil.example", b"a b.myshopify.com", b"-a.myshopify.com",
     b"a.myshopify.com/..", b"u@a.myshopify.com", b"a.b.myshopify.com", "ä.myshopify.com".encode(), b"a" * 300],
)  # fmt: skip
def test_only_a_shops_own_domain_names_a_shop(domain: bytes) -> None:
    """Everything else belongs to nobody."""
    headers = [*without(b"x-shopify-shop-domain"), (b"x-shopify-shop-domain", domain)]
    assert read_headers(headers).shop is None


@pytest.mark.parametrize("text", [b"yesterday", b"", b"\xff", b"9" * 400, b"0001-01-01T00:00:00+23:59"])
def test_a_strange_time_is_no_time(text: bytes) -> None:
    """The header is a hint; it cannot make a delivery fail."""
    headers = [*without(b"x-shopify-triggered-at"), (b"x-shopify-triggered-at", text)]
    assert (read_headers(headers).triggered_at or 0) <= 0


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("marlow-finch", "marlow-finch.myshopify.com"), (" Marlow-Finch.myshopify.com ", "marlow-finch.myshopify.com"),
        ("https://marlow-finch.myshopify.com/admin?x=1", "marlow-finch.myshopify.com"),
        ("a.myshopify.com.", "a.myshopify.com"), ("a.myshopify.com\nevil", None), ("shop.example", None),
        ("", None), (None, None), ("-a", None), ("a.myshopify.com:443", None), ("x" * 500, None),
    ],
)  # fmt: skip
def test_a_shop_has_one_name(text: str | None, domain: str | None) -> None:
    """However a person pastes it."""
    assert shop_domain(text) == domain
