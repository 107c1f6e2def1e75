"""The Admin API's client: the same order a webhook tells, and the outside's failures in our four words."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import respx
from graphql import build_client_schema, parse, validate

from handlers.mirror.rules import PEOPLE_AT_ONCE, Change, tagging
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.facts import Envelope, Order, OrderSeen
from integration.sandbox.shopify_api import PretendShopify
from integration.shopify import admin as module
from integration.shopify.admin import Admin, document
from integration.shopify.payloads.orders import read_order
from tests.integration.sandbox.conftest import Tea, open_shop

ENDPOINT = "https://marlow-finch.myshopify.com/admin/api/2026-10/graphql.json"
SHOP = "marlow-finch.myshopify.com"


class Asked:
    """The tea shop, its pretend Admin API, our client, and how long the client slept."""

    def __init__(self, tea: Tea) -> None:
        self.tea = tea
        self.pretend = PretendShopify.of([tea.shop], "the-key", "the-secret")
        self.token = self.pretend.grant(tea.shop.domain)["access_token"]
        self.slept: list[float] = []
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.pretend.app))
        self.admin = Admin(client, base="http://pretend/{shop}", sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def order(self, number: int) -> Order:
        return await self.admin.order(self.tea.shop.domain, self.token, str(number))


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    asked = Asked(open_shop())
    yield asked
    await asked.admin.aclose()


def told(body: bytes) -> Order:
    (fact,) = read_order(body, Envelope("shopify", "orders/updated", "d", 1, 2, "digest")).facts
    assert isinstance(fact, OrderSeen)
    return fact.order


def comparable(order: Order) -> Order:
    """An order without what only a delivery has, and without what only one of the two sides names."""
    lines = tuple(msgspec.structs.replace(line, requires_shipping=True, variant_id=None) for line in order.lines)
    return msgspec.structs.replace(order, digest="", triggered_at=0, lines=lines)


async def test_the_api_tells_the_same_order_as_the_webhook(asked: Asked) -> None:
    """Lines, discounts, taxes, shipping, refunds and parcels come out alike, whoever tells them."""
    tea = asked.tea
    order, _ = tea.shop.place(
        tea.ana,
        [(tea.earl_grey, 3), (tea.cup, 1), (tea.gift_card, 1)],
        discount_minor=5_00,
        shipping_minor=7_00,
        tip_minor=2_00,
    )
    tea.shop.pay(order)
    tea.hands.pass_seconds(60)
    tea.shop.ship(order)
    tea.shop.deliver(order)
    tea.hands.pass_seconds(60)
    deliveries = tea.shop.refund(order, {order.lines[0].id: 1})
    body = next(one.body for one in deliveries if one.topic == "orders/updated")
    assert comparable(await asked.order(order.id)) == comparable(told(body))


async def test_a_long_order_is_read_page_by_page(asked: Asked) -> None:
    """One page holds fifty lines; an order of a hundred and twenty has all of them."""
    tea = asked.tea
    asked.pretend.most_for_one_query = 10_000
    order, _ = tea.shop.place(tea.ana, [(tea.earl_grey, 1)] * 120)
    assert len((await asked.order(order.id)).lines) == 120


async def test_an_order_without_an_end_is_given_up(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are counted, so that a shop that always promises more cannot hold us."""
    monkeypatch.setattr(module, "MOST_PAGES", 2)
    tea = asked.tea
    asked.pretend.most_for_one_query = 10_000
    order, _ = tea.shop.place(tea.ana, [(tea.earl_grey, 1)] * 120)
    with pytest.raises(Rejected, match="more lines"):
        await asked.order(order.id)


async def test_the_shop_tells_its_own_record(asked: Asked) -> None:
    """A ping proves the token and brings the shop's id and domain."""
    shop = await asked.admin.ping(asked.tea.shop.domain, asked.token)
    assert (shop.shop_id, shop.domain) == (str(asked.tea.shop.id), asked.tea.shop.domain)


async def test_a_throttled_question_waits_by_its_cost(asked: Asked) -> None:
    """Throttling comes as a 200; we wait as long as the missing points take, and ask again."""
    asked.pretend.throttle_next = 2
    await asked.admin.ping(asked.tea.shop.domain, asked.token)
    assert len(asked.slept) == 2
    assert all(0 < seconds <= module.LONGEST_WAIT for seconds in asked.slept)


async def test_a_shop_that_always_throttles_is_left_for_later(asked: Asked) -> None:
    """Attempts are counted."""
    asked.pretend.throttle_next = 99
    with pytest.raises(Unavailable) as raised:
        await asked.admin.ping(asked.tea.shop.domain, asked.token)
    assert raised.value.retry_after
    assert len(asked.pretend.calls) == module.MOST_ATTEMPTS


async def test_a_dead_token_is_revoked(asked: Asked) -> None:
    """An uninstall ends the token at once."""
    asked.tea.shop.uninstall()
    with pytest.raises(Revoked):
        await asked.admin.ping(asked.tea.shop.domain, asked.token)


async def test_an_order_that_is_not_there_is_rejected(asked: Asked) -> None:
    """Asking again would not bring it."""
    with pytest.raises(Rejected, match="no such order 404"):
        await asked.order(404)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (401, Revoked), (404, Revoked), (402, Rejected), (403, Rejected), (423, Rejected), (400, Rejected),
        (302, Rejected), (429, Unavailable), (430, Unavailable), (500, Unavailable), (503, Unavailable),
    ],
)  # fmt: skip
@respx.mock
async def test_every_status_has_its_word(status: int, word: type[OutsideError]) -> None:
    """The four words say what to do, so that callers need no HTTP."""
    respx.post(ENDPOINT).respond(status, headers={"Retry-After": "3", "Location": "https://evil.example"})
    with pytest.raises(word) as raised:
        await Admin().ping(SHOP, "shpat_secret")
    assert "shpat_secret" not in str(raised.value)
    if status == 429:
        assert isinstance(raised.value, Unavailable)
        assert raised.value.retry_after == 3


@pytest.mark.parametrize(
    "answer",
    [httpx.ConnectTimeout("slow"), httpx.ReadTimeout("slow"), httpx.ConnectError("down"),
     httpx.Response(200, text="<html>maintenance</html>"), httpx.Response(200, json=["no", "object"])],
)  # fmt: skip
@respx.mock
async def test_no_answer_worth_reading_is_tried_later(answer: httpx.Response | Exception) -> None:
    """Timeouts, broken connections and pages of other kinds pass."""
    if isinstance(answer, Exception):
        respx.post(ENDPOINT).mock(side_effect=answer)
    else:
        respx.post(ENDPOINT).mock(return_value=answer)
    with pytest.raises(Unavailable):
        await Admin().ping(SHOP, "t")


@pytest.mark.parametrize(
    ("code", "word"),
    [("ACCESS_DENIED", Rejected), ("SHOP_INACTIVE", Rejected), ("MAX_COST_EXCEEDED", Rejected),
     ("INTERNAL_SERVER_ERROR", Unavailable), ("undefinedField", Rejected)],
)  # fmt: skip
@respx.mock
async def test_errors_in_a_200_have_their_word(code: str, word: type[OutsideError]) -> None:
    """GraphQL says most of its errors with a 200."""
    respx.post(ENDPOINT).respond(json={"errors": [{"message": "no", "extensions": {"code": code}}]})
    with pytest.raises(word):
        await Admin().ping(SHOP, "t")


@respx.mock
async def test_what_an_approval_hides_does_not_hide_the_order() -> None:
    """Without approval for customer data Shopify sends the rest beside an error; the rest counts."""
    order = {
        "id": "gid://shopify/Order/5", "updatedAt": "2026-11-01T10:00:00Z", "currencyCode": "EUR",
        "displayFinancialStatus": "PAID", "customer": None, "refunds": [], "fulfillments": [], "tags": [],
        "customAttributes": [], "shippingLines": {"nodes": []},
        "lineItems": {"pageInfo": {"hasNextPage": False, "endCursor": None}, "nodes": []},
    }  # fmt: skip
    errors = [{"message": "not approved", "extensions": {"code": "ACCESS_DENIED"}}]
    respx.post(ENDPOINT).respond(json={"data": {"order": order}, "errors": errors})
    seen = await Admin().order(SHOP, "t", "5")
    assert (seen.id, seen.financial_status, seen.buyer.platform_id) == ("5", "paid", None)


@respx.mock
async def test_a_huge_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer has a limit like every body."""
    monkeypatch.setattr(module, "MOST_ANSWER_BYTES", 1000)
    respx.post(ENDPOINT).respond(content=b" " * 2000)
    with pytest.raises(Rejected, match="more than"):
        await Admin().ping(SHOP, "t")


@pytest.mark.parametrize("shop", ["evil.example", "a.myshopify.com/../x", "a.myshopify.com@evil.example", ""])
async def test_a_token_is_sent_to_shops_only(shop: str) -> None:
    """The address is made of the domain, so nothing but a shop's domain becomes one."""
    with pytest.raises(Rejected):
        await Admin().ping(shop, "t")


def test_every_document_is_valid_in_the_pinned_version(admin_schema: dict[str, object]) -> None:
    """A field that the version does not have, or deprecates, would be found by merchants only."""
    schema = build_client_schema(admin_schema, assume_valid=True)  # type: ignore[arg-type]
    names = sorted(path.stem for path in module._DOCUMENTS.glob("*.graphql"))
    assert names
    for name in names:
        assert validate(schema, parse(document(name))) == [], name
    text, variables = tagging([Change(str(place), "gold", place > 3) for place in range(PEOPLE_AT_ONCE)])
    assert validate(schema, parse(text)) == [] and len(variables) == 2 * PEOPLE_AT_ONCE
