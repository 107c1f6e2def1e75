"""Good bodies sent again: many at once, much later, out of order, under other names, through another door."""

import asyncio
import itertools
import urllib.parse

import pytest

from tests.attacks.target import Target, signed
from tests.journeys.town import Town


@pytest.mark.parametrize("copies", [2, 64])
def test_copies_at_once_are_one_event_and_each_is_answered_with_200(target: Target, copies: int) -> None:
    """The sender lost patience and sent them all together."""
    target.order()
    (first, *_) = target.news()

    async def flood() -> list[int]:
        return await asyncio.gather(*(target.town.post(first) for _ in range(copies)))

    assert set(target.run(flood())) == {200}
    assert target.outcomes() == [("applied", None)]
    assert target.points() == {"pending": 40}


def test_a_copy_thirty_days_later_has_no_effect(target: Target) -> None:
    """The same delivery id, long after it was worked."""
    target.order()
    target.run(target.town.told())
    target.run(target.town.passes(days=30, hours=1))
    for delivery in target.news():
        assert target.run(target.town.post(delivery)) == 200
    assert target.points() == {"available": 40}


def test_five_events_of_one_order_come_to_the_same_end_in_all_120_orders(target: Target) -> None:
    """Created, paid, edited, partly given back (told alone first), sent."""
    ends = set()
    street = target.town.street

    async def play(number: int, order: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
        town = Town(street, street.number(), "once", None)
        await town.open()
        story = town.order(town.ana)
        story.edit(add=None, remove=None)
        story.refund(adjustment=-1000, early=True)
        story.ship()
        wanted = [0, 1, 3, 5, 6]
        chosen = [town.tape.deliveries[place] for place in wanted]
        for place in order:
            assert await town.deliver(chosen[place]) == 200
        await street.idle()
        points = await town.points(town.ana)
        await street.close(town.merchant)
        return tuple(sorted(points.items()))

    for number, order in enumerate(itertools.permutations(range(5))):
        ends.add(target.run(play(number, order)))
    assert ends == {(("pending", 30),)}


def test_a_body_under_another_webhook_id_has_no_second_effect(target: Target) -> None:
    """The id is not signed; the business fact is."""
    raw = target.order()
    for _ in range(3):
        assert target.shopify(raw).status_code == 200
    assert target.points() == {"pending": 40}


def test_a_body_under_another_shops_domain_is_suspect_and_has_no_effect(target: Target) -> None:
    """Neither here nor there."""
    raw = target.order()
    neighbour = Town(target.town.street, target.town.street.number(), "once", None)
    target.run(neighbour.open())
    there = f"corner-{neighbour.number}.myshopify.com"
    assert target.shopify(raw, headers={"X-Shopify-Shop-Domain": there}).status_code == 200
    target.run(target.town.street.idle())
    ((outcome,),) = target.run(neighbour.rows("SELECT outcome FROM events"))
    assert outcome == "suspect"
    assert not target.run(neighbour.rows("SELECT number FROM sales"))
    target.run(target.town.street.close(neighbour.merchant))


@pytest.mark.parametrize(
    "topic",
    [
        "refunds/create", "orders/delete", "fulfillments/create", "fulfillment_events/create", "disputes/create",
        "customers/update", "customers/delete", "customers/merge", "shop/update", "app/uninstalled",
        "customers_email_marketing_consent/update", "customers/redact", "shop/redact",
    ],
)  # fmt: skip
def test_an_order_under_another_topic_has_no_effect(target: Target, topic: str) -> None:
    """The topic is not signed: the body's shape must fit it."""
    raw = target.order()
    assert target.shopify(raw, topic="orders/create").status_code == 200
    assert target.shopify(raw, topic=topic).status_code == 200
    outcomes = target.outcomes()
    assert outcomes[0] == ("applied", None)
    assert outcomes[1][0] in (None, "suspect", "unhandled", "waiting") and outcomes[1][1]
    assert target.points() == {"pending": 40}


@pytest.mark.parametrize(
    "shop", [None, "", "evil.com", "corner.myshopify.com.evil.com", "a b.myshopify.com", "..", "İ"]
)
def test_a_shop_header_that_is_no_shop_is_200_and_belongs_to_nobody(target: Target, shop: str | None) -> None:
    """It is verified, and a resend would be no better."""
    headers = {"X-Shopify-Shop-Domain": shop}
    assert target.shopify(target.order(), headers=headers).status_code == 200
    assert target.outcomes() == []


def test_other_strings_signed_with_the_apps_secret_are_no_webhooks(target: Target) -> None:
    """An OAuth or app proxy query is signed with the same secret; as a body it is set aside and never shown."""
    query = {"code": "0907a61c0c8d55e99db179b68161bc00", "shop": "corner.myshopify.com", "timestamp": "1337178173"}
    for body in (urllib.parse.urlencode(query), "".join(f"{k}={v}" for k, v in sorted(query.items()))):
        answer = target.shopify(body.encode(), headers={"X-Shopify-Hmac-Sha256": signed(body.encode())})
        assert answer.status_code == 200
        assert answer.text == ""
    assert all(outcome is None and reason for outcome, reason in target.outcomes())
    assert not target.run(target.town.rows("SELECT number FROM sales"))


def test_only_posting_counts(target: Target) -> None:
    """A webhook path answers nothing else, and other paths are not there."""
    http = target.town.street.http
    for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        assert target.run(http.request(method, "/webhooks/shopify")).status_code == 405
    assert target.run(http.post("/webhooks/other", content=b"{}")).status_code == 404
