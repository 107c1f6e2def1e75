"""The pretend shop's bulk operations: exports of orders as JSONL files, and everything that can go wrong with them."""

import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from integration.sandbox import graph
from integration.sandbox.shopify import Shop

MOST_AT_ONCE = 5
PIECE_BYTES = 16_384

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Export:
    """One bulk operation."""

    number: int
    document: graph.Request
    looks_left: int
    end: str
    result: bytes | None = None
    expired: bool = False

    @property
    def id(self) -> str:
        return f"gid://shopify/BulkOperation/{self.number}"


@dataclass(slots=True)
class Exports:
    """The bulk operations of one shop.

    Each is RUNNING for `looks` questions and then ends as the first of `end_next` says (COMPLETED, FAILED, CANCELED,
    EXPIRED, or PARTIAL: it failed with a part of the data), else COMPLETED. `break_after` lists after how many bytes
    the next downloads break off. `extra` are further lines for the next result. Children come in any order.
    """

    root: Callable[[], graph.Node]
    looks: int = 1
    end_next: list[str] = field(default_factory=list)
    break_after: list[int] = field(default_factory=list)
    extra: list[bytes] = field(default_factory=list)
    others_running: int = 0  # exports of ours that somebody else started
    exports: dict[str, Export] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def fields(self, address: str) -> graph.Node:
        """What documents may ask of bulk operations; results lie below `address`."""

        def start(query: str, **_: Any) -> graph.Node:
            try:
                document = graph.Request(query, {})
            except GraphQLError as error:
                return {"bulkOperation": None, "userErrors": [{"code": "INVALID", "message": str(error)}]}
            running = sum(export.looks_left > 0 for export in self.exports.values())
            if running + self.others_running >= MOST_AT_ONCE:
                refusal = {"code": "LIMIT_REACHED", "message": "Bulk operations limit reached."}
                return {"bulkOperation": None, "userErrors": [refusal]}
            end = self.end_next.pop(0) if self.end_next else "COMPLETED"
            export = Export(next(self._numbers), document, self.looks, end)
            self.exports[export.id] = export
            return {"bulkOperation": self._node(export, address), "userErrors": []}

        def look(id: str) -> graph.Node | None:
            export = self.exports.get(id)
            if export is None:
                return None
            node = self._node(export, address)
            export.looks_left -= 1
            return node

        return {"bulkOperationRunQuery": start, "bulkOperation": look}

    async def serve(self, request: Request) -> Response:
        """Answer with a result, or with what is left of it from a byte on."""
        export = self.exports.get(f"gid://shopify/BulkOperation/{request.path_params['number']}")
        if export is None or export.result is None or export.expired:
            return Response("<Code>ExpiredToken</Code>", 403)
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(export.result):
            return Response(status_code=416)
        end = start + self.break_after.pop(0) if self.break_after else None
        return StreamingResponse(
            _pieces(export.result, start, end), 206 if start else 200, media_type="application/jsonl"
        )

    def _node(self, export: Export, address: str) -> graph.Node:
        is_running = export.looks_left > 0
        if not is_running and export.result is None and export.end in ("COMPLETED", "PARTIAL"):
            export.result = self._written(export)
        whole, url = export.result, f"{address}/{export.number}.jsonl"
        status = "RUNNING" if is_running else "FAILED" if export.end == "PARTIAL" else export.end
        return {
            "__typename": "BulkOperation",
            "id": export.id,
            "status": status,
            "errorCode": "INTERNAL_SERVER_ERROR" if status == "FAILED" else None,
            "rootObjectCount": str(whole.count(b"\n") - whole.count(b'"__parentId"') if whole else 0),
            "fileSize": str(len(whole)) if whole else None,
            "url": url if status == "COMPLETED" and whole else None,
            "partialDataUrl": url if export.end == "PARTIAL" and not is_running else None,
        }

    def _written(self, export: Export) -> bytes:
        """Write the result: one line an object, mixed up; a failed operation's is cut short."""
        lines = [_encode(line) for line in export.document.lines(self.root())] + self.extra
        self.extra = []
        random.Random(export.number).shuffle(lines)  # noqa: S311 - any order will do
        whole = b"".join(line + b"\n" for line in lines)
        return whole[: len(whole) // 2] if export.end == "PARTIAL" else whole


async def _pieces(whole: bytes, start: int, end: int | None) -> AsyncIterator[bytes]:
    stop = len(whole) if end is None else min(end, len(whole))
    for at in range(start, stop, PIECE_BYTES):
        yield whole[at : min(at + PIECE_BYTES, stop)]
    if end is not None:
        raise ConnectionAbortedError("the download broke off, as it was told to")


def shop_exports(shop: Shop, root: Callable[[Shop], graph.Node]) -> Exports:
    """Make the bulk operations of a shop."""
    return Exports(lambda: root(shop))
