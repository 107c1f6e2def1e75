"""How long a connection may take to say what it wants: a request's head by halves does not hold a place for ever."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0  # for all of a request's head, and for the first byte on a new connection
_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a deadline for heads; between requests its own keep-alive limit holds.

    A head that comes in one piece, as platforms send them, costs no timer.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Give a new connection a while to say something."""
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline with its connection."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; start the clock where they leave a head unfinished."""
        super().data_received(data)
        if not self._in_head():
            self._stop()
        elif self._late is None:
            self._start()

    def _in_head(self) -> bool:
        # A message that has begun has a scope of its own at once, and a cycle with it once its head is complete.
        return self.cycle is None or self.cycle.scope is not self.scope

    def _start(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _hang_up(self) -> None:
        self._late = None
        if self.transport.is_closing():
            return
        # An answer to an earlier request may still be under way: then ours would be read as a part of it.
        if self.scope is not None and self._in_head() and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(_TOO_LATE)
        self.transport.close()
