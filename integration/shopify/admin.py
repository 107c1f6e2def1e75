"""Ask Shopify's Admin API, and say in our four words what went wrong when it does not answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Self, TypeVar

import httpx
import msgspec

from integration import meters
from integration.clock import Clock
from integration.errors import Rejected, Revoked, Unavailable, Unreadable
from integration.facts import Order, ShopSeen
from integration.shopify.answers import OrderAnswer, Page, RefundAnswer, ShopAnswer, order_of, shop_of
from integration.shopify.pace import LONGEST_PACE, MOST_ATTEMPTS_AT_LEISURE, Pace
from integration.shopify.shops import exact_domain

API_VERSION = "2026-10"
TIMEOUT_SECONDS = 10.0
MOST_ATTEMPTS = 4  # of one question, when throttled
LONGEST_WAIT = 5.0  # seconds before the next attempt; what takes longer is tried again by the caller
MOST_ANSWER_BYTES = 20_000_000
MOST_PAGES = 40  # of an order's or a refund's lines
MOST_REFUNDS = 100  # as many as the document asks for

_DOCUMENTS = Path(__file__).parent / "documents"

T = TypeVar("T")

Token = str | Callable[[], Awaitable[str]]
"""An access token, or what gives the one that holds now: one that expires is asked for before every question."""


class OrderParts(NamedTuple):
    """An order as Shopify answered it: by pages of its lines, and each refund by pages of its own."""

    pages: list[dict[str, Any]]
    refunds: list[list[dict[str, Any]]]


class Admin:
    """The Admin API of every shop; shop and token come with each question, nothing is remembered between them."""

    def __init__(
        self,
        client: httpx.AsyncClient | None = None,
        base: str = "https://{shop}",
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        pace: Pace | None = None,
    ) -> None:
        self._client = client or httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False)
        self._base = base
        self._clock = clock or Clock()
        self._sleep = sleep
        self.pace = pace

    def at_leisure(self) -> Self:
        """Return a client for a long run through one shop, which asks no faster than the shop's bucket refills.

        It shares this one's connections, and is not to be closed.
        """
        return type(self)(self._client, self._base, self._clock, self._sleep, Pace(self._sleep))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def pause(self, seconds: float) -> None:
        """Wait, as this client does before it asks again."""
        await self._sleep(seconds)

    async def graphql(
        self, shop: str, token: Token, document: str, variables: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask one question of a shop; returns the whole answer, partial data beside its `errors`.

        Waits and asks again when throttled, by the cost Shopify names. Raises Unavailable (throttled too long,
        429, 5xx, no answer), Revoked (401, 404) or Rejected (everything else, errors without data among it).
        """
        most, longest = (MOST_ATTEMPTS_AT_LEISURE, LONGEST_PACE) if self.pace else (MOST_ATTEMPTS, LONGEST_WAIT)
        for attempt in range(1, most + 1):
            answer = await self._in_turn(shop, token, document, variables or {})
            errors = answer.get("errors") or []
            if answer.get("data") or not errors:
                return answer
            wait = _throttled(answer)
            if wait is None:
                raise refusal(shop, errors)
            meters.PLATFORM_THROTTLED.labels("shopify").inc()
            if attempt == most or wait > longest:
                break
            await self._sleep(wait)
        raise Unavailable(f"{shop} answers no more questions for now (throttled)", retry_after=wait)

    async def order(self, shop: str, token: Token, order_id: str) -> Order:
        """Fetch an order as it is now, complete. Raises Rejected where there is none, and as `graphql` does."""
        parts = await self.order_parts(shop, token, order_id)
        try:
            return order_from_parts(parts)
        except Unreadable as error:
            raise Rejected(f"order {order_id} of {shop} cannot be read: {error}") from error

    async def order_parts(self, shop: str, token: Token, order_id: str) -> OrderParts:
        """Fetch all that makes up an order as it is now, as it was answered. Raises as `order` does."""
        pages: list[dict[str, Any]] = []
        after: str | None = None
        for _ in range(MOST_PAGES):
            variables = {"id": f"gid://shopify/Order/{order_id}", "after": after}
            page = await self._one(shop, token, "order", variables, f"order {order_id}")
            if pages and page.get("updatedAt") != pages[0].get("updatedAt"):
                raise Unavailable(f"order {order_id} of {shop} changed while it was read", retry_after=1)
            pages.append(page)
            after = _next(page, "lineItems")
            if after is None:
                break
        else:
            raise Rejected(f"order {order_id} of {shop} has more lines than are read")
        named = [one.get("id") or "" for one in pages[0].get("refunds") or []]
        if len(named) >= MOST_REFUNDS:
            raise Rejected(f"order {order_id} of {shop} has more refunds than are read")
        return OrderParts(pages, [await self._refund(shop, token, gid) for gid in named])

    def download(
        self, url: str, headers: dict[str, str], timeout: float
    ) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        """Open a file that Shopify wrote for us and named; our token is not sent along.

        Raises Rejected for an address that is not HTTPS, unless the shops' own are not either (the sandbox).
        """
        if not url.startswith("https://") and self._base.startswith("https://"):
            raise Rejected("the file's address is not HTTPS")
        return self._client.stream("GET", url, headers=headers, timeout=timeout)

    async def ping(self, shop: str, token: Token) -> ShopSeen:
        """Ask for the shop's own record, which also proves the token. Raises Revoked where it is dead."""
        found = await self._one(shop, token, "shop", {}, "record")
        try:
            return shop_of(msgspec.convert(found, ShopAnswer), self._clock.now())
        except msgspec.ValidationError as error:
            raise Rejected(f"{shop} tells its record in another shape: {error}") from None

    async def _refund(self, shop: str, token: Token, gid: str) -> list[dict[str, Any]]:
        pages: list[dict[str, Any]] = []
        after: str | None = None
        for _ in range(MOST_PAGES):
            page = await self._one(shop, token, "refund", {"id": gid, "after": after}, "refund")
            pages.append(page)
            after = _next(page, "refundLineItems")
            if after is None:
                return pages
        raise Rejected(f"a refund of {shop} has more lines than are read")

    async def _one(self, shop: str, token: Token, name: str, variables: dict[str, Any], what: str) -> dict[str, Any]:
        """Ask for the one object a document names."""
        answer = await self.graphql(shop, token, document(name), variables)
        found = (answer.get("data") or {}).get(name)
        if not isinstance(found, dict):
            errors = answer.get("errors")
            raise refusal(shop, errors) if errors else Rejected(f"{shop} has no such {what}")
        return found

    def address(self, shop: str, path: str) -> str:
        """Return the address of a path on a shop. Raises Rejected where the domain is no shop's."""
        if exact_domain(shop) is None:
            # The address is made of it: anything else would send our secrets elsewhere.
            raise Rejected("that is no shop's domain")
        return self._base.format(shop=shop) + path

    async def post(self, shop: str, path: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, bytes]:
        """Post JSON to a path of a shop's admin; returns status and body, for 200 and for what 400 and 401 explain.

        Raises for every other status and for silence, as `graphql` does.
        """
        request = self._client.build_request(
            "POST",
            self.address(shop, path),
            content=msgspec.json.encode(body),
            headers={"Content-Type": "application/json", "Accept": "application/json", **headers},
        )
        began = perf_counter()
        try:
            response = await self._client.send(request, stream=True)
            try:
                answered = await _whole(response)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            meters.platform_answered("shopify", None, began)
            raise Unavailable(f"{shop} cannot be reached ({type(error).__name__})") from error
        meters.platform_answered("shopify", response.status_code, began)
        if response.status_code not in (200, 400, 401):
            raise _by_status(shop, response)
        return response.status_code, answered

    async def _in_turn(self, shop: str, token: Token, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Ask once, at this client's pace where it has one."""
        if self.pace is None:
            return await self._ask(shop, token, document, variables)
        cost = await self.pace.turn(document)
        try:
            answer = await self._ask(shop, token, document, variables)
            self.pace.saw(document, answer)
        finally:
            self.pace.over(cost)
        return answer

    async def _ask(self, shop: str, token: Token, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        opened = token if isinstance(token, str) else await token()
        path = f"/admin/api/{API_VERSION}/graphql.json"
        asked = {"query": document, "variables": variables}
        status, body = await self.post(shop, path, asked, {"X-Shopify-Access-Token": opened})
        if status == 401:
            raise Revoked(f"{shop} no longer accepts our token")
        if status != 200:
            raise Rejected(f"{shop} answered {status}")
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
        except (ValueError, RecursionError):
            raise Unavailable(f"{shop} answered something that is no JSON object") from None
        return answer


def order_from_parts(parts: OrderParts) -> Order:
    """Read an answered order. Raises Unreadable where it has another shape than was asked for."""
    try:
        pages = msgspec.convert(parts.pages, list[OrderAnswer])
        refunds = msgspec.convert(parts.refunds, list[list[RefundAnswer]])
    except msgspec.ValidationError as error:
        raise Unreadable(f"it is told in another shape: {error}") from None
    if not pages:
        raise Unreadable("nothing was answered")
    return order_of(pages, refunds)


def _next(node: dict[str, Any], lines: str) -> str | None:
    """Where the next page of a node's lines begins; None where there is none."""
    try:
        page = msgspec.convert((node.get(lines) or {}).get("pageInfo") or {}, Page)
    except (AttributeError, msgspec.ValidationError):
        raise Rejected("an answer tells its pages in another shape") from None
    return page.end_cursor if page.has_next_page else None


@cache
def document(name: str) -> str:
    """Return the text of one of our GraphQL documents."""
    return (_DOCUMENTS / f"{name}.graphql").read_text(encoding="utf-8")


async def _whole(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_ANSWER_BYTES:
            raise Rejected(f"{response.url.host} answered more than {MOST_ANSWER_BYTES} bytes")
    return bytes(body)


def _by_status(shop: str, response: httpx.Response) -> Exception:
    """Say in our words what a status means that comes without an explanation."""
    status = response.status_code
    if status in (429, 430):
        return Unavailable(f"{shop} asks us to slow down", retry_after=_seconds(response))
    if status >= 500 or status == 408:
        return Unavailable(f"{shop} answered {status}", retry_after=_seconds(response))
    if status == 404:
        return Revoked(f"{shop} is gone")
    why = {402: "is frozen", 403: "forbids it", 423: "is locked"}.get(status, f"answered {status}")
    return Rejected(f"{shop} {why}")


def _seconds(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 86_400 else None


def _throttled(answer: dict[str, Any]) -> float | None:
    """Return for how many seconds a throttled question has to wait, or None where it was not throttled."""
    if "THROTTLED" not in _codes(answer.get("errors")):
        return None
    try:
        cost = answer["extensions"]["cost"]
        status = cost["throttleStatus"]
        missing = float(cost["requestedQueryCost"]) - float(status["currentlyAvailable"])
        return max(0.1, missing / float(status["restoreRate"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 1.0


def refusal(shop: str, errors: object) -> Exception:
    """Say in our words why a question was answered with errors and without data."""
    codes = _codes(errors)
    if "INTERNAL_SERVER_ERROR" in codes:
        return Unavailable(f"{shop} failed inside")
    if "SHOP_INACTIVE" in codes:
        return Rejected(f"{shop} is inactive")
    if "ACCESS_DENIED" in codes:
        return Rejected(f"{shop} does not let us see that: a scope or an approval is missing")
    return Rejected(f"{shop} refused the question ({', '.join(sorted(codes)) or 'without a code'})")


def _codes(errors: object) -> set[str]:
    if not isinstance(errors, list):
        return set()
    found = [one.get("extensions") for one in errors if isinstance(one, dict)]
    return {str(one.get("code", ""))[:64] for one in found if isinstance(one, dict)} - {""}
