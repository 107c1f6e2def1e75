"""Signed bodies made to cost time: what they take of the loop that answers everybody, and of the worker behind it."""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from handlers.inbox.work import drain
from integration.clock import SECOND
from tests.attacks.target import signed, stripe_signature
from tests.integration.shopify.bodies import encoded, order
from tests.visits import SECRET, House

LIMIT = 5_000_000
PIECE = 64 * 1024  # bytes of a body that a server hands on at once
MOST_LOOP_SECONDS = 0.050
SLACK = 1.5  # beside an ordinary body as large, on a machine that is slow itself
TRIES = 3  # a machine that is busy with something else has its caches full of it
PATH_TOKEN, STRIPE_SECRET = "nora-stripe-token-0001", "whsec_of_noras_tea_shop_and_nobody_elses"
M61 = 2**61 - 1  # Python's integers that differ by it share a hash


def keys(make: Callable[[int], bytes], fits: int = LIMIT) -> bytes:
    """An object of as many keys as the limit lets in, after what makes it an order."""
    parts, size, number = [], 40, 0
    while size < fits - 40:
        parts.append(make(number))
        size += len(parts[-1]) + 1
        number += 1
    return b'{"id":1,"line_items":[],' + b",".join(parts[:-1]) + b"}"


HEAVY: dict[str, Callable[[], bytes]] = {
    "a million keys": lambda: b"{" + b",".join([b'"":0'] * 999_990) + b"}",
    "as many different keys as there is room for": lambda: keys(lambda n: b'"%x":0' % n),
    "keys that collide as integers": lambda: keys(lambda n: b'"%d":0' % (n * M61)),
    "keys that collide as sums": lambda: keys(
        lambda n: b'"%s":0' % b"".join(b"Aa" if n >> bit & 1 else b"BB" for bit in range(19))
    ),
    "100,000 levels": lambda: b"[" * 100_000 + b"]" * 100_000,
    "100,000 levels of objects": lambda: b'{"line_items":' * 100_000 + b"0" + b"}" * 100_000,
    "2,500,000 levels": lambda: b"[" * (LIMIT // 2) + b"]" * (LIMIT // 2),
    "levels that never close": lambda: b'{"id":1,"line_items":' + b"[" * (LIMIT - 50),
    "an integer of 100,000 digits": lambda: b'{"id":' + b"9" * 100_000 + b',"line_items":[]}',
    "an integer of millions of digits": lambda: b'{"line_items":[],"id":' + b"9" * (LIMIT - 40) + b"}",
    "millions of digits of a price": lambda: b'{"id":1,"line_items":[{"id":2,"quantity":1,"price":"'
    + b"9" * (LIMIT - 100) + b'"}]}',
    "a float of millions of digits": lambda: b'{"id":1,"line_items":[],"x":0.' + b"1" * (LIMIT - 60) + b"e400}",
    "many huge floats": lambda: b'{"id":1,"line_items":[' + b",".join([b"1e400"] * 800_000) + b"]}",
    "floats of long exponents": lambda: b'{"id":1,"line_items":[],"x":1e' + b"9" * (LIMIT - 60) + b"}",
    "a text of escapes": lambda: b'{"id":1,"line_items":[],"name":"' + rb"\u0041" * 800_000 + b'"}',
    "an order of 40,000 lines": lambda: large(40_000),
}  # fmt: skip
"""By what they are; all within the limit."""


def large(lines: int) -> bytes:
    """An order as a platform writes it, of so many lines."""
    body = order()
    line = {key: body["line_items"][0][key] for key in ("id", "quantity", "price", "title")}
    body["line_items"] = [{**line, "id": line["id"] + n, "price": "0.01"} for n in range(lines)]
    return encoded(body)


def ordinary() -> bytes:
    """The largest order within the limit, as a platform would write it: what everything else is measured by."""
    body = order()
    body["note"] = "Please leave it with the neighbours. " * 130_000
    raw = encoded(body)
    assert 0.9 * LIMIT < len(raw) <= LIMIT
    return raw


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's shop, with a Stripe account."""
    house = await House(database).open()
    sealed = house.context.vault.seal(STRIPE_SECRET, table="connections", merchant=1, column="secrets")
    await house.does(
        "INSERT INTO connections (merchant_id, platform, account, secrets, created_at, connected_at)"
        " VALUES (1, 'stripe', ?1, ?2, 0, 0)",
        PATH_TOKEN, json.dumps([sealed]),
    )  # fmt: skip
    return house


async def post(house: House, source: str, raw: bytes, number: int) -> int:
    """Have a body come in piece by piece, as a server hands it on; return the answer's status."""
    headers = {"x-shopify-topic": "orders/create", "x-shopify-shop-domain": "nora.myshopify.com",
               "x-shopify-webhook-id": f"heavy-{number}", "x-shopify-hmac-sha256": signed(raw, SECRET)}  # fmt: skip
    path = "/webhooks/shopify"
    if source == "stripe":
        headers = {"stripe-signature": stripe_signature(raw, STRIPE_SECRET, house.clock.now() // SECOND)}
        path = f"/webhooks/stripe/{PATH_TOKEN}"
    headers["content-length"] = str(len(raw))
    pieces = [raw[start : start + PIECE] for start in range(0, len(raw), PIECE)]
    said: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}  # fmt: skip
    await house.app(scope, receive, send)
    return int(said[0]["status"])


async def longest_turn(work: Awaitable[Any]) -> tuple[Any, float]:
    """Return what work gives, and the longest time it took of the loop's own thread without letting others in.

    In seconds of that thread's processor time: a busy machine does not count.
    """
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    heart = asyncio.create_task(beat())
    await asyncio.sleep(0)
    try:
        return await work, longest
    finally:
        heart.cancel()


async def heaviest_turn(house: House, source: str, raw: bytes, number: int, enough: float) -> float:
    """Post a body, up to TRIES times while it takes more than enough; returns what it took at best."""
    least = math.inf
    for again in range(TRIES):
        status, turn = await longest_turn(post(house, source, raw, number * TRIES + again))
        assert status == 200
        least = min(least, turn)
        if least <= enough:
            break
    return least


async def test_no_body_holds_up_those_who_wait_beside_it(house: House) -> None:
    """Through both doors: 200, and of the loop's time no more than 50 ms, or what an ordinary order as large takes."""
    slow: dict[tuple[str, str], float] = {}
    for number, source in enumerate(("shopify", "stripe")):
        usual = await heaviest_turn(house, source, ordinary(), number, MOST_LOOP_SECONDS)
        for place, (what, make) in enumerate(HEAVY.items(), 2):
            raw = make()
            assert len(raw) <= LIMIT, what
            enough = max(MOST_LOOP_SECONDS, SLACK * usual)
            turn = await heaviest_turn(house, source, raw, 100 * place + number, enough)
            if turn > enough:
                slow[source, what] = turn
    assert slow == {}


async def test_more_than_the_limit_is_not_looked_at(house: House) -> None:
    """The size comes first: a million keys with names of their own are 413, and nothing is kept."""
    raw = b"{" + b",".join(b'"key%06d":0' % n for n in range(1_000_000)) + b"}"
    for number, source in enumerate(("shopify", "stripe")):
        status, turn = await longest_turn(post(house, source, raw, number))
        assert status == 413 and turn < MOST_LOOP_SECONDS
    assert await house.rows("SELECT count(*) FROM events") == [(0,)]


async def test_the_worker_sets_them_aside_and_goes_on(house: House) -> None:
    """Each ends dead or without effect, with a reason; the order that came last is worked, and is the only sale."""
    number = 0
    for what, make in HEAVY.items():
        for source in ("shopify", "stripe"):
            number += 1
            assert await post(house, source, make(), number) == 200, what
    assert await post(house, "shopify", encoded(order()), number + 1) == 200
    begun = time.process_time()
    await drain(house.context)
    assert time.process_time() - begun < 30
    rows = await house.rows("SELECT outcome, reason, worked_at, failed_at FROM events ORDER BY id")
    assert len(rows) == number + 1
    assert rows[-1][0] == "applied"
    for outcome, reason, worked_at, failed_at in rows[:-1]:
        assert (worked_at is None) != (failed_at is None)
        assert outcome in (None, "suspect", "unhandled") and reason
    assert await house.rows("SELECT count(*) FROM sales") == [(1,)]


async def test_an_order_of_9000_lines_is_worked_beside_others(house: House) -> None:
    """It is an order, however long: it is worked, whole, and its neighbour is."""
    assert await post(house, "shopify", large(9_000), 1) == 200
    small = order(id=77, name="#77")
    assert await post(house, "shopify", encoded(small), 2) == 200
    await drain(house.context)
    assert await house.rows("SELECT outcome FROM events") == [("applied",)] * 2
