"""Deliveries become durable rows, each once; what unknown shops send is kept within limits."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from handlers.inbox import record as recording
from handlers.inbox.jobs import adopt_stragglers
from handlers.inbox.prune import prune_all
from handlers.inbox.record import Delivery, adopt, record_all
from integration.clock import DAY
from tests.handlers.inbox.conftest import LAVENDER, MERCHANT, Desk, connect

NEWCOMER = "newcomer.myshopify.com"


def delivery(number: int, shop: str = LAVENDER, body: bytes = b"{}", at: int = 1) -> Delivery:
    return Delivery("shopify", shop, f"w{number}", "note", None, at, body)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Room for two unknown shops with three deliveries each."""
    monkeypatch.setattr(recording, "MOST_UNKNOWN_SHOPS", 2)
    monkeypatch.setattr(recording, "MOST_UNKNOWN_BYTES", 3 * (recording.ROW_BYTES + 2))
    yield


async def test_the_same_delivery_sixty_four_times_at_once_is_one_row(desk: Desk) -> None:
    """Platforms repeat themselves; every copy is answered with success."""
    database = desk.context.database
    verdicts = await asyncio.gather(*(record_all(database, [delivery(1)]) for _ in range(64)))
    verdicts.append(await record_all(database, [delivery(1), delivery(1)]))
    assert all(all(verdict) for verdict in verdicts)
    assert await desk.rows("SELECT delivery_id, merchant_id FROM events") == [("w1", MERCHANT)]
    assert await desk.rows("SELECT count(*) FROM event_bodies") == [(1,)]


async def test_a_repeat_brings_no_pruned_body_back(desk: Desk) -> None:
    """A body deleted for its age stays deleted when its delivery is repeated later."""
    database = desk.context.database
    await record_all(database, [delivery(1)])
    await desk.rows("UPDATE events SET worked_at = 1, outcome = 'applied'")
    await desk.rows("DELETE FROM event_bodies")
    assert await record_all(database, [delivery(1)]) == [True]
    assert await desk.rows("SELECT count(*) FROM event_bodies") == [(0,)]


async def test_an_unknown_shop_is_kept_until_its_merchant_comes(desk: Desk) -> None:
    """Webhooks arrive before the merchant first opens the app."""
    database = desk.context.database
    await record_all(database, [delivery(1, NEWCOMER), delivery(2, NEWCOMER), delivery(3)])
    assert await desk.rows("SELECT connection, events FROM unknown_shops") == [(NEWCOMER, 2)]
    assert await database.run(lambda: adopt("shopify", NEWCOMER, 9, 5)) == 2
    owners = await desk.rows("SELECT delivery_id, merchant_id FROM events ORDER BY delivery_id")
    assert owners == [("w1", 9), ("w2", 9), ("w3", MERCHANT)]
    assert await desk.rows("SELECT * FROM unknown_shops") == []


async def test_what_slips_in_beside_a_new_connection_is_adopted_by_the_sweep(desk: Desk) -> None:
    """A delivery may be stored between the merchant's adoption and its commit."""
    await record_all(desk.context.database, [delivery(1, NEWCOMER), delivery(2, "other.myshopify.com")])
    await connect(desk.context.database, NEWCOMER, merchant=9)
    await adopt_stragglers(desk.context)
    assert await desk.rows("SELECT merchant_id FROM events ORDER BY id") == [(9,), (None,)]
    assert await desk.rows("SELECT connection FROM unknown_shops") == [("other.myshopify.com",)]


async def test_an_unknown_shop_may_fill_only_its_share(desk: Desk, small_limits: None) -> None:
    """Known shops are not held up by a flood of an unknown one, and a stored delivery may be repeated."""
    database = desk.context.database
    flood = [delivery(n, NEWCOMER) for n in range(5)] + [delivery(9)]
    assert await record_all(database, flood) == [True, True, True, False, False, True]
    assert await record_all(database, [delivery(3, NEWCOMER), delivery(2, NEWCOMER)]) == [False, True]
    assert await desk.rows("SELECT events, bytes FROM unknown_shops") == [(3, 3 * (recording.ROW_BYTES + 2))]


async def test_only_so_many_unknown_shops_are_kept(desk: Desk, small_limits: None) -> None:
    """A third unknown shop is asked to come again later, and may once room has been made."""
    database = desk.context.database
    crowd = [delivery(n, f"shop{n}.myshopify.com", at=1) for n in range(3)]
    assert await record_all(database, crowd) == [True, True, False]
    await prune_all(database, now=8 * DAY)
    assert await desk.rows("SELECT count(*) FROM unknown_shops") == [(0,)]
    assert await record_all(database, crowd[2:]) == [True]


async def test_a_row_the_database_refuses_leaves_its_neighbours_alone(desk: Desk) -> None:
    """Whoever shares a commit with a broken row is stored all the same."""
    database = desk.context.database
    broken: Any = delivery(2)._replace(topic=None)
    assert await record_all(database, [delivery(1), broken, delivery(3)]) == [True, False, True]
    assert await desk.rows("SELECT delivery_id FROM events ORDER BY delivery_id") == [("w1",), ("w3",)]
