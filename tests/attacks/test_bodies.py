"""Bodies that are too large, too slow, torn, packed, or no JSON anybody can use."""

import asyncio
import gzip
import json
import time

import pytest

from tests.attacks.target import Target, event, signed

LIMIT = 5_000_000


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, gzip"])
def test_a_packed_body_is_415_and_not_unpacked(target: Target, encoding: str) -> None:
    """A bomb of a few bytes stays a few bytes."""
    bomb, before = gzip.compress(b"0" * 10_000_000), target.kept()
    assert target.shopify(bomb, headers={"Content-Encoding": encoding}).status_code == 415
    assert target.stripe(event(), header="t=1,v1=ab").status_code == 401
    assert target.kept() == before


def test_identity_is_no_encoding(target: Target) -> None:
    """Some proxies say so."""
    assert target.shopify(target.order(), headers={"Content-Encoding": "identity"}).status_code == 200


def test_a_large_order_of_600_kb_is_taken_and_worked(target: Target) -> None:
    """Peers refuse it for ever."""
    raw = target.order()
    body = json.loads(raw)
    line = body["line_items"][0]
    body["line_items"] = [{**line, "id": line["id"] + n, "price": "1.00", "price_set": None} for n in range(700)]
    body["note"] = "x" * 500_000
    raw = json.dumps(body).encode()
    assert 600_000 < len(raw) < 1_000_000
    assert target.shopify(raw).status_code == 200
    assert target.outcomes() == [("applied", None)]
    assert target.points() == {"pending": 700}


def test_a_body_over_the_limit_is_413(target: Target) -> None:
    """Not announced, it is counted as it comes, and cut off."""
    before = target.kept()
    head = b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % 1_000_000 + b"x" * 1_000_000 + b"\r\n"
    assert target.run(_raw(target, head + chunk * 6)).startswith(b"HTTP/1.1 413")
    assert target.kept() == before


def test_fifty_megabytes_announced_are_refused_before_they_are_sent(target: Target) -> None:
    """Not one byte of the body is waited for: whoever did would answer 408, as below."""
    head = "POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n"
    assert target.run(_raw(target, head.encode())).startswith(b"HTTP/1.1 413")


def test_a_body_that_dribbles_in_is_cut_off_after_five_seconds(target: Target) -> None:
    """The socket is not kept for a sender who takes for ever."""
    begun = time.monotonic()
    head = "POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    assert target.run(_raw(target, head.encode())).startswith(b"HTTP/1.1 408")
    assert 4 < time.monotonic() - begun < 30


def test_a_sender_who_hangs_up_leaves_nothing_behind(target: Target) -> None:
    """Half a body and a closed connection."""
    before = target.kept()

    async def hang_up() -> None:
        _, port = _address(target)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    target.run(hang_up())
    assert target.shopify(target.order()).status_code == 200
    assert target.kept() == before + 1


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "9" * 30])
def test_a_length_that_is_no_number_is_refused(target: Target, length: str) -> None:
    """By the server or by the receiver, with a 4xx."""
    head = f"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    assert target.run(_raw(target, head.encode()))[9:10] == b"4"


def test_a_chunked_body_is_taken(target: Target) -> None:
    """Without an announced length, as HTTP allows."""
    raw = target.order()

    async def send() -> int:
        async def chunks():  # type: ignore[no-untyped-def]
            for start in range(0, len(raw), 1000):
                yield raw[start : start + 1000]

        headers = {
            "X-Shopify-Hmac-Sha256": signed(raw),
            "X-Shopify-Topic": "orders/create",
            "X-Shopify-Shop-Domain": f"corner-{target.town.number}.myshopify.com",
            "X-Shopify-Webhook-Id": "chunked",
        }
        return (await target.town.street.http.post("/webhooks/shopify", content=chunks(), headers=headers)).status_code

    assert target.run(send()) == 200
    assert target.points() == {"pending": 40}


UNREADABLE = {
    "nothing": b"",
    "no JSON": b"not json at all",
    "half of it": b'{"id": 1, "line_items": [',
    "a list": b"[1, 2, 3]",
    "a text": b'"orders"',
    "a number": b"42",
    "null": b"null",
    "not a number": b'{"id": NaN, "line_items": []}',
    "wrong types": b'{"id": {}, "line_items": "many", "updated_at": 5, "currency": []}',
    "a lone surrogate": b'{"id": 1, "email": "\\ud800", "line_items": [], "updated_at": "2026-01-01T00:00:00Z"}',
    "a NUL": b'{"id": 1, "name": "a\\u0000b", "line_items": [], "updated_at": "2026-01-01T00:00:00Z"}',
    "a huge float": b'{"id": 1e400, "line_items": [], "updated_at": "2026-01-01T00:00:00Z", "currency": "USD"}',
    "no updated_at": b'{"id": 1, "line_items": [], "currency": "USD"}',
    "no time": b'{"id": 1, "line_items": [], "currency": "USD", "updated_at": "yesterday"}',
    "not UTF-8": b'{"id": 1, "name": "\xff\xfe"}',
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 levels inside": b'{"id":1,"line_items":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 100,000 digits": b'{"id": ' + b"9" * 100_000 + b', "line_items": []}',
    "a price of 100,000 digits": b'{"id": 1, "currency": "USD", "updated_at": "2026-01-01T00:00:00Z",'
    b' "line_items": [{"id": 2, "quantity": 1, "price": "' + b"9" * 100_000 + b'"}]}',
    "an amount without end": b'{"id": 1, "currency": "USD", "updated_at": "2026-01-01T00:00:00Z",'
    b' "line_items": [{"id": 2, "quantity": 1, "price": "Infinity"}]}',
    "a quantity of 10^30": b'{"id": 1, "currency": "USD", "updated_at": "2026-01-01T00:00:00Z",'
    b' "line_items": [{"id": 2, "quantity": 1000000000000000000000000000000, "price": "1.00"}]}',
    "the same key twice": b'{"id": 1, "id": 2, "currency": "USD", "line_items": [], "updated_at": "x"}',
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_signed_body_nobody_can_read_is_200_kept_and_set_aside(target: Target, raw: bytes) -> None:
    """A retry could not help: it is answered with 200, dead with a reason (or of no shape), and no effect."""
    assert target.shopify(raw, topic="orders/create").status_code == 200
    ((outcome, reason),) = target.outcomes()
    assert outcome in (None, "suspect") and reason
    assert not target.run(target.town.rows("SELECT number FROM sales"))


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_signed_stripe_body_nobody_can_read_is_200_kept_and_set_aside(target: Target, raw: bytes) -> None:
    """The same through the other door."""
    assert target.stripe(raw).status_code == 200
    ((outcome, reason),) = target.outcomes()
    assert outcome in (None, "unhandled", "suspect") and reason
    assert not target.run(target.town.rows("SELECT number FROM sales"))


def test_hundreds_of_thousands_of_keys_do_not_keep_the_neighbours_order(target: Target) -> None:
    """What reads them reads only what it needs; what their answer costs is measured in test_heavy_bodies.py."""
    keys = b",".join(b'"k%d":0' % n for n in range(300_000))
    raw = b'{"id":1,"line_items":[],' + keys + b"}"
    assert len(raw) < LIMIT
    assert target.shopify(raw).status_code == 200
    assert target.shopify(target.order()).status_code == 200
    assert target.points() == {"pending": 40}


def test_keys_made_to_collide_cost_no_more_than_others(target: Target) -> None:
    """Python's text hashes are seeded; integers as keys of our own are not read from bodies."""
    keys = b",".join(b'"%d":0' % (n * (2**61 - 1)) for n in range(20_000))
    assert target.shopify(b'{"id":1,"line_items":[],' + keys + b"}").status_code == 200
    assert len(target.outcomes()) == 1


@pytest.mark.parametrize("topic", ["products/update", "orders/of_next_year", "", "Ω", "x" * 300, "../../etc/passwd"])
def test_an_unknown_topic_is_200_and_marked_unhandled(target: Target, topic: str) -> None:
    """No retry storm, no lost subscription."""
    answer = target.shopify(target.order(), headers={"X-Shopify-Topic": topic})
    assert answer.status_code == 200
    ((outcome, reason),) = target.outcomes()
    assert outcome == "unhandled" and reason


@pytest.mark.parametrize("version", ["2019-04", "unstable", "2031-01", "none at all"])
def test_an_unknown_api_version_is_read_as_far_as_it_can_be(target: Target, version: str) -> None:
    """The shape decides, not the label."""
    assert target.shopify(target.order(), headers={"X-Shopify-API-Version": version}).status_code == 200
    assert target.points() == {"pending": 40}


def test_a_word_of_next_year_in_a_known_field_earns_nothing_and_breaks_nothing(target: Target) -> None:
    """An unknown financial status is not paid."""
    target.order(status="paid_with_moonbeams")
    for delivery in target.news():
        assert target.shopify(delivery.raw, topic=delivery.topic).status_code == 200
    assert {outcome for outcome, _ in target.outcomes()} == {"applied"}
    assert target.points() == {}


def test_an_unknown_stripe_type_is_200_and_marked_unhandled(target: Target) -> None:
    """So is one whose object is of another kind than its name says."""
    assert target.stripe(event(type="moon.landed")).status_code == 200
    ((outcome, _),) = target.outcomes()
    assert outcome == "unhandled"


def test_missing_fields_are_missing_and_nothing_else(target: Target) -> None:
    """Without approval Shopify leaves personal data out: the sale is unclaimed."""
    body = json.loads(target.order())
    for key in ("email", "contact_email", "customer", "shipping_address", "order_status_url", "customer_locale"):
        del body[key]
    assert target.shopify(json.dumps(body).encode()).status_code == 200
    assert target.outcomes() == [("applied", None)]
    assert target.run(target.town.unclaimed()) == {"pending": 40}


def _address(target: Target) -> tuple[str, int]:
    url = target.town.street.http.base_url
    return url.host, url.port or 80


async def _raw(target: Target, sent: bytes) -> bytes:
    """Send bytes as they are; return the answer's first line and what comes with it."""
    _, port = _address(target)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(200), 60)
    writer.close()
    return answer
