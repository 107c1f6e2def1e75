"""Shopify's bulk operations: have all orders of a shop written to a file, and read that file as it comes."""

from collections.abc import AsyncIterator

import httpx
import msgspec

from integration.clock import to_datetime
from integration.errors import Rejected, Unavailable
from integration.shopify.admin import Admin, document, refusal

DOWNLOAD_SECONDS = 60.0  # without a byte
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


class Bulk:
    """One shop's bulk operations."""

    def __init__(self, admin: Admin, shop: str, token: str) -> None:
        self._admin = admin
        self._shop = shop
        self._token = token

    async def start(self, since: int | None) -> str:
        """Start writing all orders sold since an instant (None: all); returns the operation's id.

        Raises Unavailable while the shop runs as many operations of ours as it may, and as `Admin.graphql` does.
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
            raise Unavailable(f"{self._shop} is writing as many exports as it may; wait until one has ended")
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
