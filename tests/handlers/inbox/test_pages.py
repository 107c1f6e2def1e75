"""What the receiver answers, and that only what was verified is ever written."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from handlers.inbox import pages
from handlers.inbox.pages import Receiver
from handlers.inbox.work import BELL
from integration.clock import SECOND
from integration.database import writer
from integration.database.packing import unpack
from integration.errors import Unavailable
from integration.meters import REGISTRY
from tests.handlers.inbox.conftest import LAVENDER, MERCHANT, Desk, connect

ORDER = b'{"id": 1001, "note": "na\xc3\xafve"}'
TOKEN = "lavender-stripe-token-0001"
EVENT = b'{"id": "evt_1", "object": "event", "type": "charge.succeeded", "created": 1800000000}'

Post = Callable[..., Awaitable[httpx.Response]]


def signed(body: bytes, secret: str = "present") -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def shopify(body: bytes = ORDER, secret: str = "present", **over: str | None) -> dict[str, str]:
    """Return a delivery's headers; `over` replaces them by name with `_` for `-`, None leaves one out."""
    headers: dict[str, str | None] = {
        "x-shopify-topic": "orders/paid",
        "x-shopify-shop-domain": LAVENDER,
        "x-shopify-webhook-id": "w1",
        "x-shopify-triggered-at": "2026-11-22T08:00:00Z",
        "x-shopify-hmac-sha256": signed(body, secret),
    }
    headers.update({name.replace("_", "-"): value for name, value in over.items()})
    return {name: value for name, value in headers.items() if value is not None}


def counted(source: str, status: int) -> float:
    """Return how many deliveries this process has answered so."""
    name = "regulars_delivery_seconds_count"
    return REGISTRY.get_sample_value(name, {"source": source, "status": str(status)}) or 0.0


@pytest.fixture
def receiver(desk: Desk) -> Receiver:
    return Receiver(Starlette(), desk.context)


@pytest.fixture
async def post(receiver: Receiver) -> AsyncIterator[Post]:
    """Yield what posts to the receiver as ASGI calls it."""
    transport = httpx.ASGITransport(app=receiver)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:

        async def send(
            body: bytes = ORDER, headers: Any = None, path: str = "/webhooks/shopify", method: str = "POST"
        ) -> httpx.Response:
            return await client.request(
                method, path, content=body, headers=shopify(body) if headers is None else headers
            )

        yield send


@pytest.fixture
async def stripe(desk: Desk, post: Post) -> Callable[..., Awaitable[httpx.Response]]:
    """Return what posts an event signed with a secret, at an age in seconds."""
    await seal_secrets(desk, "whsec_first")

    async def send(secret: str = "whsec_first", age: int = 0, token: str = TOKEN, **over: str) -> httpx.Response:
        at = desk.clock.at // SECOND - age
        signature = hmac.new(secret.encode(), b"%d.%b" % (at, EVENT), hashlib.sha256).hexdigest()
        headers = {"stripe-signature": f"t={at},v1={signature}", **over}
        return await post(EVENT, headers, f"/webhooks/stripe/{token}")

    return send


async def seal_secrets(desk: Desk, *secrets: str) -> None:
    """Put webhook secrets of Lavender's endpoint into the database, as the command does."""
    vault = desk.context.vault
    sealed = json.dumps([vault.seal(s, table="connections", merchant=MERCHANT, column="secrets") for s in secrets])
    if await desk.rows("UPDATE connections SET secrets = ?1 WHERE account = ?2", sealed, TOKEN) == [(0,)]:
        await connect(desk.context.database, TOKEN, platform="stripe", secrets=sealed)


async def stored(desk: Desk) -> list[Any]:
    return await desk.rows("SELECT delivery_id FROM events ORDER BY delivery_id")


async def test_a_signed_delivery_is_stored_as_it_came_and_rings(desk: Desk, post: Post) -> None:
    """The row is durable and the bell has rung by the time of the answer."""
    ringing = asyncio.create_task(desk.context.queue.wait(BELL, 10))
    await asyncio.sleep(0)
    assert (await post()).status_code == 200
    assert await ringing
    rows = await desk.rows(
        "SELECT source, connection, delivery_id, topic, merchant_id, received_at, body"
        " FROM events JOIN event_bodies ON event_id = id"
    )
    assert rows == [("shopify", LAVENDER, "w1", "orders/paid", MERCHANT, desk.clock.at, ORDER)]


async def test_many_at_once_share_commits_and_each_is_stored(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever arrives while a commit is in flight shares the next one."""
    batches: list[int] = []
    original = pages.record_all

    async def counted(database: Any, deliveries: Any) -> Any:
        batches.append(len(deliveries))
        return await original(database, deliveries)

    monkeypatch.setattr(pages, "record_all", counted)
    answers = await asyncio.gather(*(post(headers=shopify(x_shopify_webhook_id=f"w{n}")) for n in range(200)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await stored(desk)) == sum(batches) == 200
    assert len(batches) < 20


@pytest.mark.parametrize(
    "over",
    [
        {"x_shopify_hmac_sha256": None},
        {"x_shopify_hmac_sha256": ""},
        {"x_shopify_hmac_sha256": signed(ORDER, "somebody else's")},
        {"x_shopify_hmac_sha256": hmac.new(b"present", ORDER, hashlib.sha256).hexdigest()},
        {"x_shopify_hmac_sha256": signed(ORDER).lower()},
        {"x_shopify_hmac_sha256": signed(ORDER + b"\n")},
        {"x_shopify_hmac_sha256": signed(json.dumps(json.loads(ORDER)).encode())},
        {"x_shopify_hmac_sha256": "é"},
    ],
    ids=["none", "empty", "other secret", "hex", "lower case", "newline", "written anew", "not ASCII"],
)
async def test_a_forged_delivery_is_401_and_nothing_is_written(desk: Desk, post: Post, over: Any) -> None:
    """Not even a row that says so: a counter is all a forger can move."""
    before, taken = counted("shopify", 401), counted("shopify", 200)
    headers = [(k.encode(), v.encode("latin-1")) for k, v in shopify(**over).items()]
    answer = await post(headers=headers)
    assert answer.status_code == 401 and b"1001" not in answer.content
    assert await stored(desk) == [] and await desk.rows("SELECT * FROM unknown_shops") == []
    assert (counted("shopify", 401), counted("shopify", 200)) == (before + 1, taken)


async def test_two_signature_headers_are_none(desk: Desk, post: Post) -> None:
    """Even if both are right: no platform sends two."""
    headers = [*shopify().items(), ("x-shopify-hmac-sha256", signed(ORDER))]
    assert (await post(headers=headers)).status_code == 401
    assert await stored(desk) == []


async def test_the_old_secret_still_signs_during_a_rotation(post: Post) -> None:
    """Shopify may sign with the old one for up to an hour."""
    assert (await post(headers=shopify(secret="old"))).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[" * 100_000, b'{"a": NaN, "b": 1e400, "c": "\\ud800"}', b"\xef\xbb\xbf{}", b"\x00"]
)
async def test_any_signed_body_is_200_and_kept_raw(desk: Desk, post: Post, body: bytes) -> None:
    """A retry cannot make it readable; what is kept can be looked at."""
    assert (await post(body)).status_code == 200
    assert [unpack(*row) for row in await desk.rows("SELECT body, size FROM event_bodies")] == [body]


async def test_a_delivery_without_its_headers_is_kept_for_nobody(desk: Desk, post: Post) -> None:
    """Verified, so 200; but it belongs to no shop and no topic. A repeat is one delivery all the same."""
    for _ in range(2):
        answer = await post(headers={"x-shopify-hmac-sha256": signed(ORDER)})
        assert answer.status_code == 200
    digest = hashlib.sha256(ORDER).hexdigest()
    rows = await desk.rows("SELECT connection, delivery_id, topic, merchant_id FROM events")
    assert rows == [("", digest, "unnamed", None)]


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("br", 415), ("identity", 200), ("", 200)])
async def test_a_body_is_never_decoded(desk: Desk, post: Post, encoding: str, status: int) -> None:
    """The signature is over the bytes as they come; a bomb stays folded."""
    assert (await post(headers=shopify(content_encoding=encoding))).status_code == status
    assert len(await stored(desk)) == (status == 200)


async def test_five_megabytes_are_taken_and_one_byte_more_is_not(desk: Desk, post: Post) -> None:
    """Real orders stay far below; peers refuse at a tenth of it."""
    body = b" " * pages.MOST_BODY_BYTES
    assert (await post(body)).status_code == 200
    assert (await post(body + b" ")).status_code == 413
    assert len(await stored(desk)) == 1


@pytest.mark.parametrize("path", ["/webhooks/shopify", f"/webhooks/stripe/{TOKEN}"])
async def test_only_a_post_is_a_webhook(post: Post, path: str) -> None:
    """A browser that looks is told so, and nothing else."""
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        answer = await post(b"", {}, path, method)
        assert answer.status_code == 405 and answer.headers["allow"] == "POST"


async def test_a_database_that_is_away_is_503_with_a_time(
    post: Post, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform sends it again; a 200 would lose it."""

    async def away(*_: Any) -> Any:
        raise Unavailable("PostgreSQL restarts")

    monkeypatch.setattr(pages, "record_all", away)
    answer = await post()
    assert answer.status_code == 503 and answer.headers["retry-after"] == "2"


async def test_our_own_mistakes_are_503_never_500(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for a resend loses nothing."""

    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(pages, "record_all", broken)
    assert (await post()).status_code == 503


async def test_a_queue_that_is_full_answers_503_at_once(
    receiver: Receiver, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk must not gather requests until memory is gone."""
    release = asyncio.Event()

    async def slow(_: Any, deliveries: Any) -> Any:
        await release.wait()
        return [True] * len(deliveries)

    monkeypatch.setattr(pages, "record_all", slow)
    monkeypatch.setattr(writer, "MOST_PENDING", 3)
    waiting = [asyncio.create_task(post(headers=shopify(x_shopify_webhook_id=f"w{n}"))) for n in range(3)]
    while receiver._commits._pending < 3:
        await asyncio.sleep(0)
    # Those before it wait for what only happens below.
    assert (await post()).status_code == 503
    release.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_a_commit_that_takes_too_long_is_503_before_the_sender_hangs_up(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row may still be stored later: then the resend is a duplicate."""
    release = asyncio.Event()

    async def slow(_: Any, deliveries: Any) -> Any:
        await release.wait()
        return [True] * len(deliveries)

    monkeypatch.setattr(pages, "record_all", slow)
    monkeypatch.setattr(writer, "COMMIT_DEADLINE_SECONDS", 0.05)
    assert (await post()).status_code == 503
    release.set()


# --- Stripe -------------------------------------------------------------------------------------


async def test_a_stripe_event_is_filed_by_its_own_words(desk: Desk, stripe: Any) -> None:
    """Its id and type are signed, unlike Shopify's headers."""
    assert (await stripe()).status_code == 200
    rows = await desk.rows("SELECT source, connection, delivery_id, topic, merchant_id, triggered_at FROM events")
    assert rows == [("stripe", TOKEN, "evt_1", "charge.succeeded", MERCHANT, 1_800_000_000 * SECOND)]


@pytest.mark.parametrize("age", [301, -301])
async def test_a_signature_outside_five_minutes_is_401(desk: Desk, stripe: Any, age: int) -> None:
    """Both ways: too old and too far ahead."""
    assert (await stripe(age=age)).status_code == 401
    assert (await stripe(age=age - 2 if age > 0 else age + 2)).status_code == 200


async def test_an_unknown_token_is_404_and_a_wrong_secret_401(desk: Desk, stripe: Any) -> None:
    """Nothing is stored of either."""
    assert (await stripe(token="nobody-lives-here-0001")).status_code == 404
    assert (await stripe(token="..%2f..%2fetc")).status_code == 404
    assert (await stripe(secret="whsec_guess")).status_code == 401
    assert await stored(desk) == []


async def test_a_rotated_secret_works_at_once(desk: Desk, stripe: Any) -> None:
    """Secrets are kept at hand, but read again before anybody is refused."""
    assert (await stripe()).status_code == 200
    await seal_secrets(desk, "whsec_second", "whsec_first")
    assert (await stripe("whsec_second")).status_code == 200
    assert (await stripe("whsec_first")).status_code == 200


async def test_forgers_do_not_make_every_request_a_query(desk: Desk, stripe: Any) -> None:
    """Secrets are read again at most once a second."""
    await stripe()
    reads = 0
    original = desk.context.database.read

    async def counted(make: Any) -> Any:
        nonlocal reads
        reads += 1
        return await original(make)

    desk.context.database.read = counted  # type: ignore[method-assign]
    for _ in range(10):
        assert (await stripe("whsec_guess")).status_code == 401
    assert reads == 1


async def test_known_secrets_outlive_a_database_that_is_away(desk: Desk, stripe: Any) -> None:
    """Stripe's deliveries are verified from memory; whether they can be stored is another question."""
    await stripe()
    desk.clock.at += 100 * SECOND

    async def away(_: Any) -> Any:
        raise Unavailable("PostgreSQL restarts")

    desk.context.database.read = away  # type: ignore[method-assign]
    assert (await stripe()).status_code == 200
    assert (await stripe(token="not-at-hand-token-01")).status_code == 503


async def test_an_event_that_is_none_is_kept_and_dead_lettered(desk: Desk, post: Post, stripe: Any) -> None:
    """Signed by the right secret, so 200; nobody can read it, so it ends as a dead letter."""
    from handlers.inbox.work import drain

    body, at = b"[1, 2", desk.clock.at // SECOND
    signature = hmac.new(b"whsec_first", b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
    answer = await post(body, {"stripe-signature": f"t={at},v1={signature}"}, f"/webhooks/stripe/{TOKEN}")
    assert answer.status_code == 200
    await drain(desk.context)
    assert list((await desk.outcomes()).values()) == [("failed", "unreadable: not an event")]


# --- On a real socket ---------------------------------------------------------------------------


@pytest.fixture
async def address(receiver: Receiver) -> AsyncIterator[tuple[str, int]]:
    """Yield host and port of the receiver behind a real server."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(receiver, port=0, lifespan="off", access_log=False, log_config=None)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[:2]
    server.should_exit = True
    await serving


async def converse(address: tuple[str, int], *pieces: bytes, hang_up: bool = False) -> bytes:
    """Send pieces over a connection; returns what comes back until the other side closes or a line came."""
    reader, out = await asyncio.open_connection(*address)
    for piece in pieces:
        out.write(piece)
        await out.drain()
    if hang_up:
        out.close()
        await out.wait_closed()
        return b""
    answer = await asyncio.wait_for(reader.readline(), 60)
    out.close()
    return answer


def head(length: int | None, headers: dict[str, str], *more: str) -> bytes:
    lines = ["POST /webhooks/shopify HTTP/1.1", "Host: shop", *(f"{k}: {v}" for k, v in headers.items()), *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_too_large_is_refused_before_it_is_sent(address: Any, desk: Desk) -> None:
    """The announced length is enough to refuse: nobody uploads 50 MB for a 413."""
    assert b" 413 " in await converse(address, head(50_000_000, shopify()))
    assert await stored(desk) == []


async def test_a_chunked_body_is_counted_as_it_comes(address: Any, desk: Desk) -> None:
    """No length is announced; the limit holds all the same, and a proper one is taken."""
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    start = head(None, shopify(), "Transfer-Encoding: chunked")
    assert b" 413 " in await converse(address, start, *[chunk] * 6)
    proper = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ORDER), ORDER)
    assert b" 200 " in await converse(address, start, proper)


async def test_a_body_that_trickles_is_cut_off(address: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte a second must not hold a connection for ever."""
    monkeypatch.setattr(pages, "BODY_SECONDS", 0.2)
    assert b" 408 " in await converse(address, head(len(ORDER), shopify()), ORDER[:5])
    assert await stored(desk) == []


async def test_a_sender_that_hangs_up_half_way_leaves_nothing(address: Any, desk: Desk, receiver: Receiver) -> None:
    """A body shorter than announced is no body; the next sender is served."""
    await converse(address, head(len(ORDER) + 5, shopify()), ORDER, hang_up=True)
    assert b" 200 " in await converse(address, head(len(ORDER), shopify(x_shopify_webhook_id="w2")), ORDER)
    assert await stored(desk) == [("w2",)]


@pytest.mark.parametrize("more", ["Content-Length: 3", "Transfer-Encoding: chunked"])
async def test_two_ideas_of_a_length_are_refused(address: Any, desk: Desk, more: str) -> None:
    """What a proxy before us and we read differently could smuggle a request."""
    assert b" 400 " in await converse(address, head(len(ORDER), shopify(), more), ORDER)
    assert await stored(desk) == []
