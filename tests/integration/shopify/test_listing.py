"""Listing what changed in a shop: in order, by pages, at the shop's own pace, and whole orders as events."""

import httpx
import pytest

from integration.clock import SECOND, from_iso
from integration.errors import Rejected, Revoked, Suspect, Unavailable
from integration.facts import Envelope, OrderSeen
from integration.sandbox.shopify_api import PretendShopify
from integration.sandbox.shopify_records import Order
from integration.shopify import listing as module
from integration.shopify.admin import Admin
from integration.shopify.listing import Listed, Listing
from integration.shopify.pace import LEFT_TO_OTHERS, Pace
from integration.shopify.payloads.disputes import read_dispute
from integration.shopify.payloads.orders import read_order
from integration.shopify.payloads.recovered import TOPIC, read_recovered
from tests.integration.sandbox.conftest import NOON, Tea, open_shop


class Asked:
    """The tea shop, its pretend API by its own clock, and our listing of it."""

    def __init__(self) -> None:
        self.tea: Tea = open_shop()
        self.seconds = 0.0
        self.pretend = PretendShopify.of([self.tea.shop], "the-key", "the-secret")
        self.pretend.seconds = lambda: self.seconds
        self.token = self.pretend.grant(self.tea.shop.domain)["access_token"]
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.pretend.app))
        self.listing = Listing(
            Admin(client, base="http://pretend/{shop}", sleep=self.sleep), self.tea.shop.domain, self.token
        )
        pace = self.listing._admin.pace
        assert pace is not None
        pace._seconds = lambda: self.seconds
        self.pace = pace

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def sells(self, seconds_later: int = 1) -> Order:
        self.tea.hands.pass_seconds(seconds_later)
        order, _ = self.tea.shop.place(self.tea.ana, [(self.tea.cup, 1)])
        self.tea.shop.pay(order)
        return order

    async def listed(self, since: int) -> list[Listed]:
        return [one async for page in self.listing.orders(since) for one in page]


@pytest.fixture
def asked() -> Asked:
    return Asked()


async def test_orders_come_by_their_last_change_page_by_page(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, the oldest change first, and none from before."""
    monkeypatch.setattr(module, "ORDERS_A_PAGE", 3)
    orders = [asked.sells() for _ in range(8)]
    asked.tea.hands.pass_seconds(5)
    asked.tea.shop.retag(orders[2], "vip")
    found = await asked.listed(orders[1].updated_at)
    wanted = [*orders[1:2], *orders[3:], orders[2]]
    assert [one.id for one in found] == [str(order.id) for order in wanted]
    assert found[-1] == Listed(str(orders[2].id), asked.tea.hands.at, "paid", None, None)
    assert asked.listing.calls == 3


async def test_an_order_that_changes_while_it_is_paged_hides_none_of_its_neighbours(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves to the end and is seen there again."""
    monkeypatch.setattr(module, "ORDERS_A_PAGE", 2)
    orders = [asked.sells() for _ in range(5)]
    seen: list[str] = []
    async for page in asked.listing.orders(NOON):
        if not seen:
            asked.sells(10)
            asked.tea.shop.retag(orders[0], "vip")
        seen += [one.id for one in page]
    assert set(seen) >= {str(order.id) for order in orders}
    assert seen[0] == str(orders[0].id) == seen[-1]


async def test_a_whole_order_reads_as_its_webhook_does(asked: Asked) -> None:
    """Lines, refunds and money are the same facts, as of when it was fetched."""
    order = asked.sells()
    told = asked.tea.shop.refund(order, {order.lines[0].id: 1})
    whole = await asked.listing.whole(str(order.id))
    (fetched,) = read_recovered(whole.body, Envelope("shopify", TOPIC, "d", 77, 78, "")).facts
    (sent,) = read_order(
        next(one.body for one in told if one.topic == "orders/updated"), Envelope("shopify", "", "d", 1, 2, "")
    ).facts
    assert isinstance(fetched, OrderSeen) and isinstance(sent, OrderSeen)
    assert fetched.order.triggered_at == 77
    assert fetched.order.digest == whole.order.digest
    for name in ("id", "updated_at", "financial_status", "refunds", "total_minor", "buyer"):
        assert getattr(fetched.order, name) == getattr(sent.order, name), name
    again = await asked.listing.whole(str(order.id))
    assert again.order.digest == whole.order.digest


@pytest.mark.parametrize("body", [b"{}", b'{"id": 1, "line_items": []}', b'{"recovered": null}'])
def test_a_signed_body_under_the_topic_of_fetched_orders_is_suspect_or_unreadable(body: bytes) -> None:
    """Headers are unsigned: a captured webhook may come under any topic."""
    with pytest.raises(Exception, match=r"not an order we fetched|Expected") as raised:
        read_recovered(body, Envelope("shopify", TOPIC, "d", 1, 2, ""))
    assert isinstance(raised.value, Suspect) or type(raised.value).__name__ == "Unreadable"


async def test_disputes_are_listed_as_their_webhooks_bodies(asked: Asked) -> None:
    """With the scope for it; without, that is said in words."""
    order = asked.sells()
    dispute, told = asked.tea.shop.open_dispute(order)
    with pytest.raises(Rejected, match="scope"):
        _ = [one async for page in asked.listing.disputes(0) for one in page]
    asked.tea.shop.scopes += ("read_shopify_payments_disputes",)
    (listed,) = [one async for page in asked.listing.disputes(0) for one in page]
    envelope = Envelope("shopify", "disputes/create", "d", 1, 2, "")
    assert read_dispute(listed.body, envelope) == read_dispute(told[0].body, envelope)
    assert (listed.id, listed.status) == (str(dispute.id), "needs_response")
    assert not [one async for page in asked.listing.disputes(dispute.initiated_at + SECOND) for one in page]


async def test_a_long_run_leaves_a_share_of_the_bucket_to_others(asked: Asked) -> None:
    """Asked two hundred times in a row the bucket is never below that share, and nothing is throttled."""
    order = asked.sells()
    lowest = 2000.0
    for _ in range(200):
        await asked.listing.whole(str(order.id))
        lowest = min(lowest, asked.pretend._bucket(asked.tea.shop.domain))
    assert lowest >= 2000 * LEFT_TO_OTHERS
    assert asked.pace.calls == len(asked.pretend.calls) == 200
    assert asked.pace.waited > 0


async def test_a_throttled_run_waits_as_long_as_the_cost_says(asked: Asked) -> None:
    """Somebody else emptied the bucket: the question is asked again until it is answered."""
    order = asked.sells()
    asked.pretend.throttle_next = 5
    assert (await asked.listed(order.updated_at))[0].id == str(order.id)
    assert asked.listing.calls == 6
    assert asked.seconds > 0


@pytest.mark.parametrize(("status", "error"), [(401, Revoked), (429, Unavailable), (503, Unavailable), (402, Rejected)])
async def test_failures_are_told_in_our_words(asked: Asked, status: int, error: type[Exception]) -> None:
    """As for any other question."""
    asked.pretend.fail_next = [status]
    with pytest.raises(error):
        await asked.listed(0)
    assert asked.listing.calls == 1


async def test_an_answer_of_another_shape_is_refused(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, and not as a failure of ours."""

    async def odd(*_: object) -> dict[str, object]:
        return {"data": {"orders": {"pageInfo": {"hasNextPage": False}, "nodes": [{"id": 1}]}}}

    monkeypatch.setattr(asked.listing._admin, "graphql", odd)
    with pytest.raises(Rejected, match="another shape"):
        await asked.listed(0)


def test_a_pace_without_costs_waits_for_nothing() -> None:
    """An answer that tells no cost is no reason to stop."""
    pace = Pace()
    pace.saw("{ shop }", {"data": {}})
    assert pace._restored == 0


def test_times_are_asked_in_whole_seconds() -> None:
    """The platform counts in seconds; a fraction would hide what happened in that second."""
    assert module._iso(from_iso("2026-11-01T10:00:00Z") + 999_999) == "2026-11-01T10:00:00Z"
