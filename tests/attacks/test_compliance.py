"""Requests by law that are not what they say: forged, of another shop, sent again, and in the middle of the work."""

import asyncio
import base64
import hashlib
import hmac
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from handlers.privacy import jobs, store
from tests.attacks.target import Target, signed
from tests.journeys.test_forgetting import carried_out
from tests.journeys.town import SHOPIFY_SECRET, Town
from tests.properties.tape import SHOP_DOMAIN, SHOP_ID

TOPICS = ("customers/data_request", "customers/redact", "shop/redact")


@pytest.fixture
def neighbour(target: Target) -> Iterator[Town]:
    """Another shop of the street, with the same app."""
    town = Town(target.town.street, target.town.street.number(), "once", None)
    target.run(town.open())
    yield town
    target.run(town.street.close(town.merchant))


def request(town: Town, topic: str, **over: Any) -> bytes:
    """The bytes Shopify would send a shop about its Ana."""
    body: dict[str, Any] = {"shop_id": SHOP_ID, "shop_domain": SHOP_DOMAIN}
    if topic != "shop/redact":
        orders = "orders_requested" if topic == "customers/data_request" else "orders_to_redact"
        body |= {"customer": {"id": town.ana.shopify, "email": town.ana.email, "phone": None}, orders: []}
    if topic == "customers/data_request":
        body["data_request"] = {"id": 9}
    town.tape.shopify(topic, body | over, town.clock)
    delivery = town.here(town.tape.deliveries.pop())
    return delivery.raw


async def asked(town: Town) -> list[tuple[str, str]]:
    """What a merchant was asked for by law: kind and stage."""
    found = await town.street.context.database.read(lambda: store.newest(town.merchant, 50))
    return [(one.kind, one.stage) for one in found]


async def is_known(town: Town) -> bool:
    """Whether the shop still knows Ana by name."""
    return bool(await town.rows("SELECT email FROM customers", f"AND email = '{town.ana.email}'"))


def sells(target: Target) -> None:
    """Ana bought something, and it was worked."""
    assert target.shopify(target.order()).status_code == 200
    assert target.outcomes() == [("applied", None)]


def forgeries(raw: bytes) -> dict[str, str | None]:
    """Signatures that are none, by what is wrong with them."""
    digest = hmac.new(SHOPIFY_SECRET.encode(), raw, hashlib.sha256)
    query = urllib.parse.urlencode({"shop": SHOP_DOMAIN, "timestamp": "1"})
    return {
        "none": None,
        "empty": "",
        "of another secret": signed(raw, "another secret"),
        "of another body": signed(raw + b" "),
        "of another request": signed(raw[:-1] + b',"more":1}'),
        "in hex": digest.hexdigest(),
        "cut off": base64.b64encode(digest.digest()[:16]).decode(),
        "of a query of the same app": signed(query.encode()),
        "said twice": f"{signed(raw)}, {signed(raw)}",
    }


@pytest.mark.parametrize("topic", TOPICS)
def test_a_forged_request_is_401_and_nobody_hears_of_it(target: Target, topic: str) -> None:
    """Whatever is wrong with its signature: nothing is stored, nothing is asked for, nobody is forgotten."""
    sells(target)
    raw, before = request(target.town, topic), target.kept()
    for what, signature in forgeries(raw).items():
        answer = target.shopify(raw, topic=topic, headers={"X-Shopify-Hmac-Sha256": signature})
        assert answer.status_code == 401, what
    assert target.kept() == before
    target.run(carried_out(target.town.street))
    assert target.run(asked(target.town)) == []
    assert target.run(is_known(target.town)) and target.points() == {"pending": 40}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_request_of_one_shop_under_the_name_of_another_has_no_effect(
    target: Target, neighbour: Town, topic: str
) -> None:
    """Well signed, with the header of a neighbour: suspect there, and not heard here; each knows its Ana."""
    sells(target)
    there = f"corner-{neighbour.number}.myshopify.com"
    raw = request(target.town, topic)
    assert target.shopify(raw, topic=topic, headers={"X-Shopify-Shop-Domain": there}).status_code == 200
    target.run(target.town.street.idle())
    rows = target.run(neighbour.rows("SELECT outcome, reason FROM events"))
    assert [outcome for outcome, _ in rows] == ["suspect"] and rows[0][1]
    target.run(carried_out(target.town.street))
    for town in (target.town, neighbour):
        assert target.run(asked(town)) == []
    assert target.run(is_known(target.town)) and target.points() == {"pending": 40}


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("other", (*TOPICS, "orders/create", "app/uninstalled"))
def test_a_request_under_another_topic_does_not_become_that(target: Target, topic: str, other: str) -> None:
    """The topic is not signed: what was asked for as data is not taken for a forgetting of the shop."""
    sells(target)
    if other == topic:
        return
    assert target.shopify(request(target.town, topic), topic=other).status_code == 200
    target.run(target.town.street.idle())
    target.run(carried_out(target.town.street))
    # A shop that is open is not forgotten, whatever is asked; and a person only by a body that asks for that.
    kinds = {kind for kind, _ in target.run(asked(target.town))}
    assert "customers/redact" not in kinds
    assert target.run(is_known(target.town)) and target.points() == {"pending": 40}


@pytest.mark.parametrize("topic", TOPICS)
def test_the_same_request_again_is_the_same_request(target: Target, topic: str) -> None:
    """Many at once, later under other ids, and again once it is done: asked for once, with one receipt."""
    sells(target)
    raw = request(target.town, topic)

    async def flood() -> set[int]:
        headers = {
            "X-Shopify-Hmac-Sha256": signed(raw), "X-Shopify-Topic": topic,
            "X-Shopify-Shop-Domain": f"corner-{target.town.number}.myshopify.com", "X-Shopify-API-Version": "2026-10",
        }  # fmt: skip
        http = target.town.street.http
        answers = await asyncio.gather(*(
            http.post("/webhooks/shopify", content=raw, headers={**headers, "X-Shopify-Webhook-Id": f"same-{n % 4}"})
            for n in range(16)
        ))  # fmt: skip
        return {answer.status_code for answer in answers}

    assert target.run(flood()) == {200}
    target.run(target.town.street.idle())
    first = target.run(asked(target.town))
    assert [kind for kind, _ in first] == [topic]
    target.run(carried_out(target.town.street))
    done = target.run(asked(target.town))
    for _ in range(3):
        assert target.shopify(raw, topic=topic).status_code == 200
        target.run(target.town.passes(days=10))
        target.run(target.town.street.idle())
    target.run(carried_out(target.town.street))
    assert [kind for kind, _ in target.run(asked(target.town))] == [topic]
    if topic != "shop/redact":
        assert [stage for _, stage in done] == ["done"]
        assert target.run(asked(target.town)) == done


def test_an_old_request_sent_again_does_not_forget_who_came_back(target: Target) -> None:
    """Ana is forgotten and buys again, weeks later: the captured request is the same request, not a new one."""
    sells(target)
    raw = request(target.town, "customers/redact")
    assert target.shopify(raw, topic="customers/redact").status_code == 200
    target.run(target.town.street.idle())
    target.run(carried_out(target.town.street))
    assert not target.run(is_known(target.town))
    target.run(target.town.passes(days=40))
    assert target.shopify(target.order()).status_code == 200
    target.run(target.town.street.idle())
    assert target.run(is_known(target.town))
    assert target.shopify(raw, topic="customers/redact").status_code == 200
    target.run(target.town.street.idle())
    target.run(carried_out(target.town.street))
    assert target.run(is_known(target.town))


def test_what_comes_in_the_middle_of_a_forgetting_changes_nothing_of_it(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forged, sent again, and orders of hers that were under way: she is forgotten once, and wholly."""
    sells(target)
    town = target.town
    raw = request(town, "customers/redact")
    assert target.shopify(raw, topic="customers/redact").status_code == 200
    target.run(town.street.idle())
    late, answers = json.loads(target.order()), []
    part = jobs.Work.part

    async def interrupted(self: Any, make: Any) -> Any:
        done = await part(self, make)
        body = json.dumps(late).encode()
        headers = {"X-Shopify-Shop-Domain": f"corner-{town.number}.myshopify.com", "X-Shopify-API-Version": "2026-10"}
        for content, topic, signature, name in (
            (raw, "customers/redact", "forged", "forged"),
            (raw, "customers/redact", signed(raw), f"again-{len(answers)}"),
            (body, "orders/updated", signed(body), f"late-{len(answers)}"),
        ):
            told = {
                **headers,
                "X-Shopify-Topic": topic,
                "X-Shopify-Hmac-Sha256": signature,
                "X-Shopify-Webhook-Id": name,
            }
            answers.append(
                (await town.street.http.post("/webhooks/shopify", content=content, headers=told)).status_code
            )
        return done

    monkeypatch.setattr(jobs.Work, "part", interrupted)
    target.run(carried_out(town.street))
    monkeypatch.undo()
    target.run(town.street.idle())
    target.run(carried_out(town.street))
    assert len(answers) >= 6 and set(answers) == {200, 401}
    assert target.run(asked(town)) == [("customers/redact", "done")]
    names = target.run(town.rows("SELECT first_name, email FROM customers", "AND forgotten_at IS NOT NULL"))
    assert names and all(name == (None, None) for name in names)


def test_a_request_of_a_shop_nobody_knows_asks_nothing_of_those_we_know(target: Target) -> None:
    """Signed by the app's secret, for a shop that never installed it."""
    sells(target)
    for topic in TOPICS:
        raw = request(target.town, topic, shop_id=1, shop_domain="nobody-knows.myshopify.com")
        headers = {"X-Shopify-Shop-Domain": "nobody-knows.myshopify.com"}
        assert target.shopify(raw, topic=topic, headers=headers).status_code == 200
    target.run(target.town.street.idle())
    target.run(carried_out(target.town.street))
    assert target.run(asked(target.town)) == []
    assert target.run(is_known(target.town)) and target.points() == {"pending": 40}
