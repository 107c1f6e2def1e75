"""Shopify's bulk operations: have all orders of a shop written to a file, and read that file as it comes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from integration.clock import to_datetime
from integration.errors import Rejected, Unavailable
from integration.shopify.admin import Admin, Token, document, refusal
from integration.shopify.bulk_shelf import Shelf

DOWNLOAD_SECONDS = 60.0  # without a byte
PIECE_BYTES = 4_000_000  # put on a shelf at once
MOST_BREAKS = 1_000  # of one download
MOST_EXPORTS = 3  # begun for one collection, where they fail
WAIT_SECONDS = 2.0  # between questions about an export
MOST_WAITS = 10 * 86_400 // 2  # ten days, after which Shopify gives an export up
_SINCE = "1970-01-01T00:00:00Z"  # in the document: everything
_RUNNING = frozenset({"CREATED", "RUNNING", "CANCELING"})


class Operation(msgspec.Struct, rename="camel", frozen=True):
    """A bulk operation as Shopify shows it; its addresses live for seven days."""

    id: str
    status: str
    error_code: str | None = None
    root_object_count: int | str = 0
    file_size: int | str | None = None
    url: str | None = None
    partial_data_url: str | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether it is worth asking again."""
        return self.status in _RUNNING

    @property
    def orders(self) -> int:
        """How many orders it has found so far."""
        return int(self.root_object_count)

    @property
    def size(self) -> int | None:
        """How many bytes its result has."""
        return None if self.file_size is None else int(self.file_size)


class Busy(Unavailable):
    """The shop writes as many exports as it may at once."""


class Step(NamedTuple):
    """How far the collecting of orders is: `operation`, its phase (`export`, in orders; `download`, in bytes)."""

    operation: str
    phase: str
    done: int
    of: int | None


class Bulk:
    """One shop's bulk operations."""

    def __init__(self, admin: Admin, shop: str, token: Token) -> None:
        self._admin = admin
        self._shop = shop
        self._token = token

    async def start(self, since: int | None) -> str:
        """Start writing all orders sold since an instant (None: all); returns the operation's id.

        Raises Busy while the shop runs as many operations of ours as it may, and as `Admin.graphql` does.
        """
        query = document("bulk_orders")
        if since is not None:
            query = query.replace(_SINCE, f"{to_datetime(since):%Y-%m-%dT%H:%M:%SZ}")
        answer = await self._admin.graphql(self._shop, self._token, document("bulk_start"), {"query": query})
        started = (answer.get("data") or {}).get("bulkOperationRunQuery") or {}
        operation = started.get("bulkOperation") or {}
        if isinstance(operation.get("id"), str):
            return str(operation["id"])
        codes = {str(error.get("code")) for error in started.get("userErrors") or []}
        if codes & {"LIMIT_REACHED", "OPERATION_IN_PROGRESS"}:
            raise Busy(f"{self._shop} is writing as many exports as it may; wait until one has ended")
        if codes:
            raise Rejected(f"{self._shop} does not take the export ({', '.join(sorted(codes))})")
        raise refusal(self._shop, answer.get("errors"))

    async def look(self, operation: str) -> Operation:
        """Ask how far an operation is. Raises Rejected where there is none any more, and as `Admin.graphql`."""
        answer = await self._admin.graphql(self._shop, self._token, document("bulk_look"), {"id": operation})
        found = (answer.get("data") or {}).get("bulkOperation")
        if found is None:
            errors = answer.get("errors")
            raise refusal(self._shop, errors) if errors else Rejected(f"{self._shop} knows no export {operation}")
        try:
            return msgspec.convert(found, Operation)
        except msgspec.ValidationError as error:
            raise Rejected(f"{self._shop} tells its export in another shape: {error}") from None

    async def collect(self, shelf: Shelf, since: int | None, operation: str | None) -> AsyncIterator[Step]:
        """Put all orders sold since an instant on a shelf: have them written, wait for it, and read the result.

        `operation` is one begun earlier for the same orders; each step names the present one, to be kept. A
        download that broke goes on where it was; an export that failed or whose address expired is begun again.
        Raises Rejected where that does not help, and as `Admin.graphql` does.
        """
        if operation is not None and shelf.source == operation and shelf.is_whole:
            return
        why = ""
        for attempt in range(MOST_EXPORTS):
            is_earlier = operation is not None and attempt == 0
            operation = operation or await self._begun(since)
            async for found in self._watched(operation):
                yield Step(operation, "export", found.orders, None)
            if found.status == "COMPLETED":
                shelf.begin(operation)
                try:
                    async for taken in self._fill(shelf, found.url):
                        yield Step(operation, "download", taken, found.size)
                    return
                except Rejected as expired:
                    why = f"Shopify's export cannot be read: {expired}."
            else:
                why = why_it_ended(found)
                if not is_earlier and (found.error_code == "ACCESS_DENIED" or found.status == "CANCELED"):
                    break
            operation = None
        raise Rejected(why)

    async def _begun(self, since: int | None) -> str:
        """Start an export, as soon as the shop writes fewer than it may at once."""
        for _ in range(MOST_WAITS):
            try:
                return await self.start(since)
            except Busy:
                await self._admin.pause(WAIT_SECONDS)
        raise Unavailable(f"{self._shop} is writing as many exports as it may; try again later")

    async def _watched(self, operation: str) -> AsyncIterator[Operation]:
        for _ in range(MOST_WAITS):
            found = await self.look(operation)
            yield found
            if not found.is_running:
                return
            await self._admin.pause(WAIT_SECONDS)
        raise Unavailable(f"{self._shop} does not finish its export; go on with the same command")

    async def _fill(self, shelf: Shelf, url: str | None) -> AsyncIterator[int]:
        """Read a result onto a shelf; yields how many bytes are on it. Without an address there is nothing."""
        for _ in range(MOST_BREAKS):
            shelf.rewind()
            start, piece = shelf.taken, bytearray()
            try:
                async for more in self.read(url, start) if url else _nothing():
                    piece += more
                    if len(piece) >= PIECE_BYTES:
                        shelf.take(bytes(piece))
                        piece.clear()
                        yield shelf.taken
                shelf.take(bytes(piece))
                shelf.finish()
                yield shelf.taken
                return
            except Unavailable:
                shelf.take(bytes(piece))
                if shelf.taken == start:
                    raise
        raise Unavailable(f"the export's connection broke {MOST_BREAKS} times; go on with the same command")

    async def sees_all_orders(self) -> bool:
        """Tell whether the token shows orders of more than 60 days ago. Raises as `Admin.graphql` does."""
        answer = await self._admin.graphql(self._shop, self._token, document("scopes"))
        try:
            scopes = answer["data"]["currentAppInstallation"]["accessScopes"]
            return any(scope["handle"] == "read_all_orders" for scope in scopes)
        except (KeyError, TypeError):
            return False

    async def read(self, url: str, start: int) -> AsyncIterator[bytes]:
        """Read a result from a byte on, in pieces, without any credential.

        Raises Rejected where the address has expired, Unavailable where the connection broke: go on from there.
        """
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            async with self._admin.download(url, headers, DOWNLOAD_SECONDS) as response:
                if response.status_code == 416:
                    return
                if response.status_code in (400, 401, 403, 404, 410):
                    raise Rejected("the export's address has expired")
                if response.status_code not in (200, 206):
                    raise Unavailable(f"the export's address answered {response.status_code}")
                skip = start if response.status_code == 200 else 0
                async for piece in response.aiter_bytes():
                    if skip < len(piece):
                        yield piece[skip:]
                    skip = max(0, skip - len(piece))
        except httpx.HTTPError as error:
            raise Unavailable(f"the export cannot be read on ({type(error).__name__})") from error


def why_it_ended(operation: Operation) -> str:
    """Say in one sentence why an operation brought no whole result."""
    why = {
        "CANCELED": "it was cancelled in the shop",
        "EXPIRED": "its result has expired",
        "ACCESS_DENIED": "the token lacks a scope: read_orders, read_customers and read_products are needed",
        "TIMEOUT": "Shopify took too long over it",
        "INTERNAL_SERVER_ERROR": "Shopify failed inside",
    }
    reason = why.get(operation.error_code or "") or why.get(operation.status) or f"it ended as {operation.status}"
    return f"Shopify did not finish the export: {reason}."


async def collect_file(shelf: Shelf, path: Path) -> AsyncIterator[Step]:
    """Put the lines of a result that was downloaded before on a shelf. Raises Rejected where it cannot be read."""
    try:
        for taken, size in _copied(shelf, path):
            yield Step(shelf.source, "download", taken, size)
    except OSError as error:
        raise Rejected(f"{path} cannot be read: {error.strerror}.") from error


def _copied(shelf: Shelf, path: Path) -> Iterator[tuple[int, int]]:
    """Copy a file onto a shelf; yields how many bytes are on it, and of how many."""
    state = path.stat()
    shelf.begin(f"{path.absolute()} {state.st_size} {state.st_mtime_ns}")
    if shelf.is_whole:
        return
    with path.open("rb") as file:
        file.seek(shelf.taken)
        while piece := file.read(PIECE_BYTES):
            shelf.take(piece)
            yield shelf.taken, state.st_size
    shelf.finish()


async def _nothing() -> AsyncIterator[bytes]:
    for piece in tuple[bytes, ...]():
        yield piece
