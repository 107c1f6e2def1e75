"""One shop's flood delays no other, and no worker's clock takes work from another's hands."""

import asyncio
from collections.abc import Sequence

import pytest

from handlers.inbox.claim import LEASE, claim
from handlers.inbox.rules import Told
from handlers.inbox.work import Worker, drain
from integration.clock import HOUR
from integration.database.shares import SHARE
from tests.handlers.inbox.conftest import LAVENDER, MERCHANT, Desk, connect, desk_on

ROSE, ROSES = "rose.myshopify.com", 9
HELLO = {"says": "hello"}


@pytest.fixture
async def two_shops(desk: Desk) -> Desk:
    """Lavender has 300 events waiting when Rose's first comes."""
    await connect(desk.context.database, ROSE, merchant=ROSES)
    await desk.told(*[HELLO] * 300)
    return desk


def batches(desk: Desk) -> list[dict[int, int]]:
    """Note how many events of each merchant every batch holds."""
    seen: list[dict[int, int]] = []

    def before(told: Sequence[Told]) -> None:
        merchants = [event.merchant_id for event in told]
        seen.append({merchant: merchants.count(merchant) for merchant in merchants})

    desk.books.before = before
    return seen


async def test_a_quiet_shop_is_in_the_next_batch_whatever_waits_before_it(two_shops: Desk) -> None:
    """And while it has company, the flood comes in small batches, so that the next wait is short as well."""
    seen = batches(two_shops)
    await two_shops.told(HELLO, shop=ROSE)
    await drain(two_shops.context)
    assert seen[:2] == [{ROSES: 1}, {MERCHANT: SHARE}], "the quiet shop's is committed before the flood's share"
    assert seen[2:] == [{MERCHANT: SHARE}] * 5


async def test_a_flood_alone_comes_in_whole_batches(two_shops: Desk) -> None:
    """Fairness costs nothing where nobody else waits."""
    seen = batches(two_shops)
    await drain(two_shops.context)
    assert seen == [{MERCHANT: 200}, {MERCHANT: 100}]


async def test_two_floods_share_alike(two_shops: Desk) -> None:
    """Who came first has no more than who came second."""
    seen = batches(two_shops)
    await two_shops.told(*[HELLO] * 300, shop=ROSE)
    await drain(two_shops.context)
    assert seen[:6] == [{MERCHANT: SHARE, ROSES: SHARE}] * 6


async def test_a_crashed_event_is_found_beside_a_flood(two_shops: Desk) -> None:
    """It comes alone, before the others, though they never end."""
    held = await two_shops.context.database.run(lambda: claim("dead", two_shops.clock.now(), 1))
    await two_shops.leases_end()
    seen = batches(two_shops)
    await drain(two_shops.context)
    assert seen[0] == {MERCHANT: 1} and len(held.events) == 1
    assert (await two_shops.applied())[held.events[0].envelope.delivery_id] == 1


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_worker_whose_clock_jumps_neither_steals_nor_loses(desk: Desk, jump: int) -> None:
    """Leases are measured by the database's clock, the one time all workers have in common."""
    await desk.told(HELLO, HELLO)
    mine = Worker(desk.context)
    held = await mine._claim(10)
    other = desk_on(desk.context.database)
    other.clock.at += jump
    assert (await Worker(other.context)._claim(10)).events == ()  # theirs is wrong: nothing to steal
    desk.clock.at += jump
    await mine._work(mine._sort(held), 10)  # mine is wrong: nothing is lost
    assert await desk.applied() == {"d0": 1, "d1": 1}
    assert await desk.rows("SELECT max(claims) FROM events") == [(1,)]


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_what_a_crash_left_is_found_by_a_worker_with_a_wrong_clock(desk: Desk, jump: int) -> None:
    """However wrong the dead worker's own clock was, too."""
    await desk.told(HELLO)
    await desk.context.database.run(lambda: claim("dead", desk.clock.now() + HOUR, 10))
    await desk.leases_end()
    desk.clock.at += jump
    await drain(desk.context)
    assert await desk.applied() == {"d0": 1}


async def test_leases_given_before_the_databases_clock_was_set_back_end(desk: Desk) -> None:
    """A lease that seems longer than any can be has ended: waiting an hour for it would be worse than a repeat."""
    await desk.told(HELLO)
    await desk.context.database.run(lambda: claim("dead", desk.clock.now(), 10))
    await desk.rows("UPDATE events SET claimed_until = claimed_until + ?1", HOUR)
    await drain(desk.context)
    assert await desk.applied() == {"d0": 1}
    assert LEASE < HOUR


async def test_workers_beside_each_other_serve_every_shop_once(two_shops: Desk) -> None:
    """Four at once on a flood and ten quiet shops: nothing is lost, nothing done twice, nobody waits in a circle."""
    for number in range(10):
        await connect(two_shops.context.database, f"quiet{number}.myshopify.com", merchant=100 + number)
        await two_shops.told(HELLO, HELLO, shop=f"quiet{number}.myshopify.com")
    worked = await asyncio.gather(*(drain(two_shops.context, batch=60) for _ in range(4)))
    assert sum(worked) == 320
    rows = await two_shops.rows("SELECT merchant_id, count(*), sum(micropoints) FROM accounts GROUP BY merchant_id")
    assert {(merchant, int(count), int(times)) for merchant, count, times in rows} == {
        (MERCHANT, 300, 300),
        *((100 + number, 2, 2) for number in range(10)),
    }
    assert LAVENDER != ROSE
