"""The pretend platforms' API endpoints answer real clients: Stripe's own library, and plain HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
import stripe
import uvicorn
from starlette.applications import Starlette

from integration.facts import ChargeSeen
from integration.sandbox.shopify_api import PretendShopify
from integration.sandbox.stripe import Account
from integration.sandbox.stripe_api import PretendStripe
from integration.shopify.admin import Admin
from integration.stripe.api import StripeApi
from tests.integration.sandbox.conftest import Tea
from tests.integration.sandbox.test_shopify import order_in

ORDER = """
query One($id: ID!, $lines: Int = 5) {
  order(id: $id) {
    ...money
    lineItems(first: $lines) { nodes { title left: currentQuantity product { id } } pageInfo { hasNextPage } }
    refunds(first: 3) { id totalRefundedSet { shopMoney { amount currencyCode } } }
    customer { defaultEmailAddress { emailAddress marketingState } }
  }
}
fragment money on Order { id displayFinancialStatus currentTotalPriceSet { shopMoney { amount } } }
"""


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


class Caller:
    """A client of the pretend Admin API."""

    def __init__(self, tea: Tea) -> None:
        self.domain = tea.shop.domain
        self.api = PretendShopify.of([tea.shop], "the-key", "the-secret")
        self.token = self.api.grant(self.domain)["access_token"]
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.api.app), base_url="http://shopify")

    async def ask(self, query: str, **variables: object) -> httpx.Response:
        return await self.client.post(
            f"/{self.domain}/admin/api/2026-10/graphql.json",
            json={"query": query, "variables": variables},
            headers={"X-Shopify-Access-Token": self.token},
        )


async def test_an_order_is_answered_as_the_document_selects_it(tea: Tea) -> None:
    """Fragments, aliases, defaults and connections come out, with the cost beside the data."""
    order, _ = tea.shop.place(tea.ana, [(tea.earl_grey, 2), (tea.cup, 1)])
    tea.shop.pay(order)
    tea.shop.refund(order, {order.lines[1].id: 1})
    answer = (await Caller(tea).ask(ORDER, id=f"gid://shopify/Order/{order.id}")).json()
    seen = answer["data"]["order"]
    assert seen["displayFinancialStatus"] == "PARTIALLY_REFUNDED"
    assert seen["currentTotalPriceSet"]["shopMoney"] == {"amount": "27.50"}
    assert [line["left"] for line in seen["lineItems"]["nodes"]] == [2, 0]
    assert seen["refunds"][0]["totalRefundedSet"]["shopMoney"]["amount"] == "26.40"
    assert seen["customer"]["defaultEmailAddress"]["marketingState"] == "NOT_SUBSCRIBED"
    cost = answer["extensions"]["cost"]
    assert cost["throttleStatus"]["currentlyAvailable"] < cost["throttleStatus"]["maximumAvailable"]


async def test_an_order_asked_for_is_the_order_that_was_told(tea: Tea) -> None:
    """Our own documents get the same facts from the API that the webhook carried, throttled once on the way."""
    order, _ = tea.shop.place(
        tea.ana,
        [(tea.earl_grey, 2), (tea.cup, 1), (tea.gift_card, 1)],
        shipping_minor=5_00,
        discount_minor=4_90,
        tip_minor=3_00,
    )
    for verb in (tea.shop.pay, tea.shop.ship, tea.shop.deliver):
        verb(order)
    told = order_in(tea.shop.refund(order, {order.lines[0].id: 1}, shipping_minor=2_00, amount_minor=20_00))
    caller = Caller(tea)
    caller.api.throttle_next = 1
    admin = Admin(caller.client, base="http://shopify/{shop}")
    asked = await admin.order(caller.domain, caller.token, str(order.id))
    assert len(caller.api.calls) == 3  # throttled, the order, its refund
    assert msgspec.structs.replace(asked, digest=told.order.digest, triggered_at=told.order.triggered_at) == told.order
    assert (await admin.ping(caller.domain, caller.token)).shop_id == str(tea.shop.id)


async def test_throttling_is_a_200_without_data(tea: Tea) -> None:
    """The code says THROTTLED, and the next query is answered."""
    caller = Caller(tea)
    caller.api.throttle_next = 1
    answer = await caller.ask("{ shop { name } }")
    assert answer.status_code == 200
    assert "data" not in answer.json()
    assert answer.json()["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert (await caller.ask("{ shop { name } }")).json()["data"] == {"shop": {"name": "Pretend Shop"}}


async def test_a_field_nobody_provides_is_named(tea: Tea) -> None:
    """A document the pretend shop cannot answer is seen at once."""
    answer = (await Caller(tea).ask("{ shop { favouriteColour } }")).json()
    assert "favouriteColour" in answer["errors"][0]["message"]


async def test_orders_are_paged_in_a_window_of_time(tea: Tea) -> None:
    """Oldest change first, page by page, and none from outside the window."""
    for _ in range(3):
        tea.shop.place(tea.ana, [(tea.cup, 1)])
        tea.hands.pass_seconds(60)
    caller, names, after = Caller(tea), [], None
    query = "query P($a: String, $q: String) { orders(first: 2, after: $a, query: $q, sortKey: UPDATED_AT)"
    query += " { nodes { name } pageInfo { hasNextPage endCursor } } }"
    while True:
        page = (await caller.ask(query, a=after, q="updated_at:<'2030-01-01T00:00:00Z'")).json()["data"]["orders"]
        names += [node["name"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert names == ["#1001", "#1002", "#1003"]
    late = (await caller.ask(query, q="updated_at:>='2030-01-01T00:00:00Z'")).json()
    assert late["data"]["orders"]["nodes"] == []


@pytest.fixture
async def client(account: Account) -> AsyncIterator[tuple[stripe.StripeClient, PretendStripe]]:
    api = PretendStripe(account)
    async with served(api.app) as url:
        api.url = url
        yield (
            stripe.StripeClient(
                account.api_key, base_addresses={"api": url}, http_client=stripe.HTTPXClient(timeout=5)
            ),
            api,
        )


async def test_stripes_library_reads_objects_and_expands(
    account: Account, client: tuple[stripe.StripeClient, PretendStripe]
) -> None:
    """A charge with its customer, the refunds of a charge, the invoice of a payment."""
    stripes, _ = client
    ana, _ = account.welcome("Ana Diaz", "ana@example.com")
    payment, _ = account.bill(ana, 27_49)
    assert payment is not None and payment.invoice is not None
    account.refund(payment, 10_00)
    charge = await stripes.v1.charges.retrieve_async(payment.charge["id"], {"expand": ["customer"]})
    assert (charge.amount_refunded, charge.customer.email) == (10_00, "ana@example.com")
    refunds = await stripes.v1.refunds.list_async({"charge": payment.charge["id"]})
    assert [each.amount for each in refunds.data] == [10_00]
    asked = {"payment": {"type": "payment_intent", "payment_intent": payment.id}}
    links = await stripes.v1.invoice_payments.list_async(asked)
    assert [each.invoice for each in links.data] == [payment.invoice["id"]]


async def test_our_own_client_looks_at_a_charge_with_its_refunds(
    account: Account, client: tuple[stripe.StripeClient, PretendStripe]
) -> None:
    """What the worker asks for where an event told too little: the charge, and each refund by its id."""
    _, pretend = client
    payment, _ = account.checkout(27_49, email="ana@example.com")
    first, _ = account.refund(payment, 10_00)
    account.refund(payment, 5_00)
    account.move_refund(payment, first, "failed")
    api = StripeApi(base=pretend.url)
    try:
        (fact,) = await api.look(account.api_key, "charge", payment.charge["id"])
    finally:
        await api.aclose()
    assert isinstance(fact, ChargeSeen)
    assert (fact.charge.captured_minor, fact.charge.refunded_minor) == (27_49, 5_00)
    assert {(each.amount_minor, each.status) for each in fact.refunds} == {(10_00, "failed"), (5_00, "succeeded")}


async def test_stripes_library_pages_through_events(
    account: Account, client: tuple[stripe.StripeClient, PretendStripe]
) -> None:
    """Every event once, newest first, of the types asked for."""
    stripes, _ = client
    told = [each for _ in range(15) for each in account.pay(10_00)[1]]
    charges = [each.id for each in told if each.topic == "charge.succeeded"]
    found = await stripes.v1.events.list_async({"types": ["charge.succeeded"], "limit": 4})
    assert [event.id async for event in found.auto_paging_iter()] == charges[::-1]


async def test_stripes_errors_have_their_kinds(
    account: Account, client: tuple[stripe.StripeClient, PretendStripe]
) -> None:
    """Unknown, throttled and revoked are told apart by the library."""
    stripes, api = client
    with pytest.raises(stripe.InvalidRequestError, match="No such charge"):
        await stripes.v1.charges.retrieve_async("ch_unknown")
    api.fail_next = [429]
    with pytest.raises(stripe.RateLimitError):
        await stripes.v1.accounts.retrieve_current_async()
    api.revoked = True
    with pytest.raises(stripe.AuthenticationError):
        await stripes.v1.accounts.retrieve_current_async()
