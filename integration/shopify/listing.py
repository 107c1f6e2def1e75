"""Lists what changed in one shop, oldest change first, and fetches an order whole, as an event would carry it."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from integration.clock import SECOND, to_datetime
from integration.errors import Rejected, Unreadable
from integration.facts import Order
from integration.shopify.admin import Admin, Token, document, order_from_parts, refusal
from integration.shopify.answers import FULFILMENT, Page
from integration.shopify.payloads.recovered import wrapped
from integration.shopify.values import instant_of, named_id, word_of

ORDERS_A_PAGE = 250  # as many as Shopify gives; nothing but plain fields is asked of each
DISPUTES_A_PAGE = 50
MOST_PAGES = 4_000  # of one listing: a million orders; the next run goes on from there
MOST_BODY_BYTES = 5_000_000  # as of a webhook


class Listed(NamedTuple):
    """An order's state in brief, in the words of an Order fact."""

    id: str
    updated_at: int
    financial_status: str | None
    fulfillment_status: str | None
    cancelled_at: int | None


class Whole(NamedTuple):
    """An order as it is now, and the body that `read_recovered` reads it from."""

    order: Order
    body: bytes


class DisputeListed(NamedTuple):
    """A dispute as it is now, as the body `read_dispute` reads."""

    id: str
    status: str
    body: bytes


class _Node(msgspec.Struct, rename="camel"):
    id: str
    updated_at: str
    cancelled_at: str | None = None
    display_financial_status: str | None = None
    display_fulfillment_status: str | None = None


class _Nodes(msgspec.Struct, rename="camel"):
    page_info: Page
    nodes: list[_Node]


class _Amount(msgspec.Struct, rename="camel"):
    amount: str
    currency_code: str


class _Named(msgspec.Struct):
    id: str


class _Dispute(msgspec.Struct, rename="camel"):
    id: str
    type: str
    status: str
    initiated_at: str
    amount: _Amount
    finalized_on: str | None = None
    order: _Named | None = None


class _Disputes(msgspec.Struct, rename="camel"):
    page_info: Page
    nodes: list[_Dispute]


class Listing:
    """What one shop tells when asked, at a pace that leaves room for others; for one run through it."""

    def __init__(self, admin: Admin, shop: str, token: Token) -> None:
        self._admin = admin.at_leisure()
        self._shop = shop
        self._token = token

    @property
    def calls(self) -> int:
        """How many questions were asked so far, those asked again for being throttled too."""
        return self._admin.pace.calls if self._admin.pace else 0

    async def orders(self, since: int) -> AsyncIterator[list[Listed]]:
        """List orders changed at or after an instant, oldest change first, a page at a time.

        Shopify shows the last 60 days of orders without the scope read_all_orders. Raises as `Admin.graphql`.
        """
        asked = {"first": ORDERS_A_PAGE, "query": f"updated_at:>='{_iso(since)}'"}
        async for found in self._pages("orders_changed", "orders", asked):
            yield [_listed(node) for node in self._read(found, _Nodes).nodes]

    async def disputes(self, since: int) -> AsyncIterator[list[DisputeListed]]:
        """List disputes that began at or after an instant, each as it is now, a page at a time.

        Raises Rejected where the app may not read them (the scope is read_shopify_payments_disputes).
        """
        asked = {"first": DISPUTES_A_PAGE, "query": f"initiated_at:>='{_iso(since)}'"}
        async for found in self._pages("disputes_begun", "disputes", asked):
            # A dispute of no order has nobody's points to do with.
            yield [_dispute(node) for node in self._read(found, _Disputes).nodes if node.order is not None]

    async def whole(self, order_id: str) -> Whole:
        """Fetch an order whole, as it is now. Raises as `Admin.order`."""
        parts = await self._admin.order_parts(self._shop, self._token, order_id)
        body = wrapped(parts)
        if len(body) > MOST_BODY_BYTES:
            raise Rejected(f"order {order_id} of {self._shop} is larger than {MOST_BODY_BYTES} bytes")
        try:
            return Whole(order_from_parts(parts), body)
        except Unreadable as error:
            raise Rejected(f"order {order_id} of {self._shop} cannot be read: {error}") from error

    async def _pages(self, name: str, connection: str, asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        after: str | None = None
        for _ in range(MOST_PAGES):
            answer = await self._admin.graphql(self._shop, self._token, document(name), {**asked, "after": after})
            found = (answer.get("data") or {}).get(connection)
            if not isinstance(found, dict):
                raise refusal(self._shop, answer.get("errors"))
            yield found
            page = self._read(found.get("pageInfo"), Page)
            if not page.has_next_page or page.end_cursor is None:
                return
            after = page.end_cursor

    def _read(self, found: object, form: type[Any]) -> Any:
        try:
            return msgspec.convert(found, form)
        except msgspec.ValidationError as error:
            raise Rejected(f"{self._shop} tells its list in another shape: {error}") from None


def _listed(node: _Node) -> Listed:
    try:
        return Listed(
            named_id(node.id, "an order"),
            instant_of(node.updated_at) or 0,
            word_of(node.display_financial_status),
            FULFILMENT.get(node.display_fulfillment_status or ""),
            instant_of(node.cancelled_at),
        )
    except Unreadable as error:
        raise Rejected(f"a listed order cannot be read: {error}") from error


def _dispute(node: _Dispute) -> DisputeListed:
    assert node.order is not None
    body = {
        "id": named_id(node.id, "a dispute"),
        "order_id": named_id(node.order.id, "a disputed order"),
        "type": node.type.lower(),
        "amount": node.amount.amount,
        "currency": node.amount.currency_code,
        "status": node.status.lower(),
        "initiated_at": node.initiated_at,
        "finalized_on": node.finalized_on,
    }
    return DisputeListed(str(body["id"]), node.status.lower(), msgspec.json.encode(body))


def _iso(instant: int) -> str:
    return f"{to_datetime(instant - instant % SECOND):%Y-%m-%dT%H:%M:%SZ}"
