"""The platforms' connections to one web process: kept between deliveries, and cheap for whoever sends hundreds."""

import asyncio

from integration.sandbox.delivery import Delivery

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
NEVER = "no answer"  # of a process that took a request and said nothing

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wire:
    """Posts to one port of this machine; a whole HTTP client would take more of it than what is looked at."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def post(self, delivery: Delivery, now: int) -> tuple[int | None, str]:
        """Send once, signed at `now`; returns the status, or None and what happened instead."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await self._connection()
        except (OSError, TimeoutError) as error:
            return None, type(error).__name__
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                writer.write(written(delivery, now))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
                said = await reader.readexactly(int(length or 0))
        except TimeoutError:
            writer.transport.abort()
            return None, NEVER
        except (OSError, asyncio.IncompleteReadError) as error:
            writer.transport.abort()
            return None, type(error).__name__
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head[9:12]), said[:200].decode(errors="replace")

    def close(self) -> None:
        """Hang up."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _connection(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)


def written(delivery: Delivery, now: int) -> bytes:
    """Write one delivery as an HTTP/1.1 request, signed at `now` (microseconds)."""
    lines = [f"POST {delivery.path} HTTP/1.1", "Host: regulars.example", f"Content-Length: {len(delivery.body)}"]
    lines += [f"{name}: {value}" for name, value in delivery.headers_at(now).items()]
    return "\r\n".join([*lines, "", ""]).encode() + delivery.body
