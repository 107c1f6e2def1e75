"""Heads that come by halves: a place is given up in time, and nobody honest is hurried."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from config import connections
from config.connections import PatientProtocol

WHOLE = b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n"


async def greet(_scope: Any, receive: Any, send: Any) -> None:
    """An application that answers once it has the whole request."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    """A server whose patience is short."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    server = uvicorn.Server(
        uvicorn.Config(greet, port=0, http=PatientProtocol, lifespan="off", log_config=None, timeout_keep_alive=60)
    )
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[:2]
    server.should_exit = True
    await running


async def answer(address: tuple[str, int], *parts: bytes, pause: float = 0.0) -> bytes:
    """Send bytes in parts; return all that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


@pytest.mark.parametrize("half", [b"GET", WHOLE[:-2], b"POST / HTTP/1.1\r\nx-shopify-hmac-sha256: abc"])
async def test_half_a_head_is_408_and_the_place_is_free_again(address: tuple[str, int], half: bytes) -> None:
    """However far it came."""
    assert (await answer(address, half)).startswith(b"HTTP/1.1 408 ")


async def test_a_byte_now_and_then_does_not_buy_time(address: tuple[str, int]) -> None:
    """The deadline is the head's, not the byte's: whoever drips it is cut off before it is whole."""
    told = b""
    with contextlib.suppress(ConnectionError):
        told = await answer(address, *(bytes([byte]) for byte in WHOLE), pause=0.05)
    assert b" 200 " not in told


async def test_a_connection_that_never_speaks_is_closed(address: tuple[str, int]) -> None:
    """Without a request there is nothing to answer."""
    assert await answer(address) == b""


async def test_half_a_head_after_an_answer_is_closed_too(address: tuple[str, int]) -> None:
    """The second request on a connection has its own deadline."""
    told = await answer(address, WHOLE, b"GET / HT", pause=0.1)
    assert told.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 408 " in told


async def test_a_head_in_two_parts_and_a_connection_kept_open_are_served(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow network is no attack: in time is in time, and a platform may keep its connection between requests."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 60)
    reader, writer = await asyncio.open_connection(*address)
    for part in (WHOLE[:20], WHOLE[20:]):
        writer.write(part)
        await asyncio.sleep(0.05)
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    await asyncio.sleep(0.4)
    writer.write(WHOLE)
    assert (await asyncio.wait_for(reader.readuntil(b"ok"), 60)).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_slow_body_is_not_hurried_by_the_heads_deadline(address: tuple[str, int]) -> None:
    """Bodies have a deadline of their own."""
    head = b"POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 4\r\nconnection: close\r\n\r\n"
    assert (await answer(address, head + b"no", b"w!", pause=0.5)).startswith(b"HTTP/1.1 200 ")
