"""Posting signed webhooks as a platform does: over connections that are kept, each at its moment, answered or not."""

import asyncio
from types import TracebackType
from typing import Self

from integration.sandbox.delivery import Delivery

ANSWER_SECONDS = 30.0


def written(delivery: Delivery) -> tuple[bytes, bytes]:
    """Write a delivery as it goes over the wire: head and body, so that deliveries of one body can share it."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in delivery.headers.items())
    head = f"POST {delivery.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Length: {len(delivery.body)}\r\n\r\n"
    return head.encode(), delivery.body


class Sender:
    """Kept connections to one web process; `async with Sender(port, 64) as sender`."""

    def __init__(self, port: int, connections: int) -> None:
        self._port, self._connections = port, connections
        self._free: asyncio.LifoQueue[_Line] = asyncio.LifoQueue()

    async def __aenter__(self) -> Self:
        for _ in range(self._connections):
            self._free.put_nowait(await self._line())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while not self._free.empty():
            self._free.get_nowait().close()

    async def _line(self) -> "_Line":
        return (await asyncio.get_running_loop().create_connection(_Line, "127.0.0.1", self._port))[1]

    async def post(self, request: tuple[bytes, bytes]) -> int:
        """Post one request and return the status. OSError when the connection ends, TimeoutError without an answer."""
        line = await self._free.get()
        try:
            if line.is_closed:  # It was not needed for longer than the server keeps one.
                line = await self._line()
            async with asyncio.timeout(ANSWER_SECONDS):
                return await line.post(request)
        finally:
            self._free.put_nowait(line)


class _Line(asyncio.Protocol):
    """One connection; a request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[int] | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            self._read = b""
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))

    async def post(self, request: tuple[bytes, bytes]) -> int:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines(request)
        return await self._answer

    @property
    def is_closed(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0
