"""Events are worked once each, whoever crashes, fails, wakes late or works beside."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from handlers.inbox import look as looks
from handlers.inbox import work
from handlers.inbox.claim import MAX_CLAIMS, LostClaim, claim, finish
from handlers.inbox.keys import Key
from handlers.inbox.rules import Told
from handlers.inbox.work import BELL, Worker, drain
from integration.clock import DAY, HOUR, MINUTE, SECOND
from integration.errors import Rejected, Revoked, Unavailable
from integration.facts import Order
from tests.handlers.inbox.conftest import LAVENDER, MERCHANT, Desk, connect, desk_on

HELLO = {"says": "hello"}


def fails_on(*deliveries: str) -> Any:
    """Return what makes the stand-in for sales break on some deliveries."""

    def before(told: Sequence[Told]) -> None:
        for event in told:
            if event.envelope.delivery_id in deliveries:
                raise ZeroDivisionError("poison")

    return before


async def test_every_event_of_several_batches_has_its_effect_once(desk: Desk) -> None:
    """Batches follow each other until nothing is left; a second drain finds nothing."""
    await desk.told(*[HELLO] * 25)
    assert await drain(desk.context, batch=10) == 25
    assert await desk.applied() == {f"d{n}": 1 for n in range(25)}
    assert set((await desk.outcomes()).values()) == {("applied", None)}
    assert await drain(desk.context) == 0


async def test_what_cannot_be_read_is_dead_lettered_at_once_with_a_reason(desk: Desk) -> None:
    """A retry cannot help: the body stays as it came, for a person to look at."""
    await desk.told(b"\xff\xfe not json", {"says": "odd shape"}, {"says": "nothing"}, HELLO)
    await desk.told(HELLO, topic="carts/create")
    await drain(desk.context)
    assert await desk.outcomes() == {
        "d0": ("failed", "unreadable: not JSON"),
        "d1": ("suspect", "another topic's shape"),
        "d2": ("unhandled", "it tells nothing we use"),
        "d3": ("applied", None),
        "d4": ("unhandled", "nothing reads shopify carts/create"),
    }
    assert await desk.rows("SELECT count(*) FROM event_bodies") == [(5,)]


async def test_a_poison_event_leaves_its_neighbours_alone_and_ends_as_a_dead_letter(desk: Desk) -> None:
    """Delays grow; after the last claim a person finds it with the reason, and nobody else was held up."""
    desk.books.before = fails_on("d3")
    await desk.told(*[HELLO] * 6)
    await drain(desk.context)
    assert await desk.applied() == {f"d{n}": 1 for n in (0, 1, 2, 4, 5)}
    waits = []
    while (await desk.outcomes())["d3"][0] is None:
        ((due,),) = await desk.rows("SELECT next_attempt_at FROM events WHERE delivery_id = 'd3'")
        waits.append(due - desk.clock.at)
        desk.clock.at = due
        await drain(desk.context)
    assert waits == sorted(waits) and len(waits) == MAX_CLAIMS - 1 and waits[0] >= SECOND
    outcome, reason = (await desk.outcomes())["d3"]
    assert outcome == "failed" and reason and f"after {MAX_CLAIMS} attempts" in reason
    assert "ZeroDivisionError" in reason and "poison" not in reason
    assert await desk.applied() == {f"d{n}": 1 for n in (0, 1, 2, 4, 5)}


async def test_events_left_by_a_crash_are_reworked_alone_after_the_lease(desk: Desk) -> None:
    """A crasher must not use up its neighbours' attempts, so each of its batch comes by itself."""
    await desk.told(*[HELLO] * 3)
    held = await desk.context.database.run(lambda: claim("dead", desk.clock.now(), 10))
    assert len(held.events) == 3
    assert await drain(desk.context) == 0
    await desk.leases_end()
    sizes: list[int] = []
    desk.books.before = lambda told: sizes.append(len(told))
    await desk.told(HELLO, HELLO)
    await drain(desk.context)
    assert sorted(sizes) == [1, 1, 1, 2]
    assert await desk.applied() == {f"d{n}": 1 for n in range(5)}


async def test_an_event_that_kills_its_worker_every_time_is_given_up_by_count(desk: Desk) -> None:
    """Claims are counted before the work, so a crash counts without anyone left to count it."""
    await desk.told(HELLO)
    for number in range(MAX_CLAIMS):
        held = await desk.context.database.run(lambda n=number: claim(f"dead{n}", desk.clock.now(), 10))
        assert [event.claims for event in held.events] == [number + 1]
        await desk.leases_end()
    await drain(desk.context)
    assert await desk.outcomes() == {"d0": ("failed", f"its worker ended {MAX_CLAIMS} times without an outcome")}
    assert await desk.applied() == {}


async def test_a_worker_that_wakes_late_does_no_harm(desk: Desk) -> None:
    """The event has been worked by another meanwhile; the late one's whole transaction is rolled back."""
    await desk.told(HELLO, HELLO)
    late = Worker(desk.context)
    held = await late._claim(10)
    batch = late._sort(held)
    await desk.leases_end()
    await drain(desk.context)
    await late._work(batch, 10)
    assert await desk.applied() == {"d0": 1, "d1": 1}
    with pytest.raises(LostClaim):
        await desk.context.database.run(lambda: finish(held.token, [*batch.endings, _ended(held)], 1))


def _ended(held: Any) -> Any:
    from handlers.inbox.claim import Ending

    return Ending(held.events[0].id, "applied", None)


async def test_two_workers_at_once_never_do_one_event_twice(desk: Desk) -> None:
    """Claims of several workers never overlap, on either engine."""
    await desk.told(*[HELLO] * 60)
    worked = await asyncio.gather(*(drain(desk.context, batch=7) for _ in range(4)))
    assert sum(worked) == 60
    assert await desk.applied() == {f"d{n}": 1 for n in range(60)}
    assert await desk.rows("SELECT max(claims) FROM events") == [(1,)]


async def test_a_stopped_worker_finishes_its_batch_and_claims_no_more(desk: Desk) -> None:
    """A deploy leaves nothing leased behind, so nothing waits for a lease to end."""
    await desk.told(*[HELLO] * 30)
    stop = asyncio.Event()
    desk.books.before = lambda told: stop.set()
    await Worker(desk.context, batch=10).turns(stop)
    assert len(await desk.applied()) == 20  # the batch under way, and the one its transaction claimed
    assert await desk.rows("SELECT count(*) FROM events WHERE claim IS NOT NULL") == [(0,)]


async def test_the_loop_wakes_for_the_bell_and_settles_by_the_clock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ring is answered long before the sweep would look."""
    monkeypatch.setattr(work, "SWEEP_SECONDS", 60)
    stop, worked = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    desk.books.before = lambda told: loop.call_soon_threadsafe(worked.set) and None
    running = asyncio.create_task(work.work_for_ever(desk.context, stop))
    while BELL not in desk.context.queue._bells:
        await asyncio.sleep(0)
    await desk.told(HELLO)
    desk.context.queue.ring(BELL)
    async with asyncio.timeout(50):
        await worked.wait()
        stop.set()
        while not running.done():
            desk.context.queue.ring(BELL)
            await asyncio.sleep(0.01)
    await running
    assert await desk.applied() == {"d0": 1}
    assert desk.books.resettled >= 1


async def test_a_database_that_goes_away_costs_no_attempt(desk: Desk) -> None:
    """The batch in hand is done when the database is back, under the same claim."""
    await desk.told(HELLO)
    away = [Unavailable("PostgreSQL restarts"), Unavailable("PostgreSQL restarts")]

    def before(told: Sequence[Told]) -> None:
        if away:
            raise away.pop()

    desk.books.before = before
    await drain(desk.context)
    assert await desk.applied() == {"d0": 1}
    assert await desk.rows("SELECT claims FROM events") == [(1,)]


# --- Whose body is it ---------------------------------------------------------------------------


async def test_a_body_of_another_shop_has_no_effect(desk: Desk) -> None:
    """Headers are unsigned: the shop id learned from the first body decides about all later ones."""
    await connect(desk.context.database, "rose.myshopify.com", merchant=9, shop_id="99", hosts='["rose.example"]')
    await desk.told({"says": "a", "shop": "11", "hosts": ["lavender.example", LAVENDER]})
    await drain(desk.context)
    assert await desk.rows("SELECT shop_id, hosts FROM connections WHERE account = ?1", LAVENDER) == [
        ("11", json.dumps(["lavender.example", LAVENDER]))
    ]
    await desk.told(
        {"says": "b", "shop": "12"},
        {"says": "c", "shop": "11", "hosts": ["rose.myshopify.com"]},
        {"says": "d", "shop": "11", "hosts": ["rose.example"]},
        {"says": "e", "shop": "11", "hosts": ["www.lavender.example"]},
    )
    await drain(desk.context)
    outcomes = await desk.outcomes()
    assert [outcomes[f"d{n}"][0] for n in range(5)] == ["applied", "suspect", "suspect", "suspect", "applied"]
    assert outcomes["d1"][1] == "the body is of shop 12, the connection of shop 11"
    assert await desk.applied() == {"d0": 1, "d4": 1}


async def test_a_shop_id_that_is_another_merchants_is_never_learned(desk: Desk) -> None:
    """A captured body replayed under a new shop's name must not become that shop's identity."""
    await connect(desk.context.database, "rose.myshopify.com", merchant=9, shop_id="99")
    await desk.told({"says": "a", "shop": "99"})
    await drain(desk.context)
    assert (await desk.outcomes())["d0"] == ("suspect", "the body is of shop 99, which is another merchant's")
    assert await desk.rows("SELECT shop_id FROM connections WHERE account = ?1", LAVENDER) == [(None,)]


# --- Asking the platform ------------------------------------------------------------------------


class Shop:
    """A stand-in for Shopify's Admin API: answers, or raises what it is given."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, str]] = []

    async def order(self, shop: str, token: Key, number: str) -> Order:
        self.asked.append((shop, await token(), number))
        return await self._answer()

    async def ping(self, shop: str, token: Key) -> None:
        await token()
        await self._answer()

    async def _answer(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def tokened(database: Any) -> Any:
    """Return what makes a desk whose shop has an API token and gives these answers."""

    async def make(*answers: Any) -> tuple[Desk, Shop]:
        shop = Shop(*answers)
        desk = desk_on(database, shopify=shop)
        token = desk.context.vault.seal("shpat_lavender", table="connections", merchant=MERCHANT, column="token")
        await connect(database, LAVENDER, token=token)
        return desk, shop

    return make


ORDER = Order(id="1001", updated_at=1, currency="EUR")


async def test_an_event_that_says_too_little_is_completed_by_asking(tokened: Any) -> None:
    """The order is asked for with the shop's own token and applied like any other fact."""
    desk, shop = await tokened(ORDER)
    told: list[Told] = []
    desk.books.before = told.extend
    await desk.told({"says": "look"})
    await drain(desk.context)
    assert shop.asked == [(LAVENDER, "shpat_lavender", "1001")]
    assert [event.reading.facts[0].order for event in told] == [ORDER]  # type: ignore[union-attr]
    assert await desk.outcomes() == {"d0": ("applied", None)}


async def test_without_a_key_an_event_waits_visibly(desk: Desk) -> None:
    """There is nobody to ask; the event that tells more will come."""
    await desk.told({"says": "look"})
    await drain(desk.context)
    assert await desk.outcomes() == {"d0": ("waiting", "tells too little of order 1001, and we have no key to ask")}


async def test_a_platform_that_is_away_is_asked_again_later(tokened: Any) -> None:
    """Only this event waits; it is put back with a growing delay."""
    desk, _ = await tokened(Unavailable("Shopify is slow"), ORDER)
    await desk.told({"says": "look"}, HELLO)
    await drain(desk.context)
    assert await desk.outcomes() == {"d0": (None, "Shopify is slow"), "d1": ("applied", None)}
    desk.clock.at += HOUR
    await drain(desk.context)
    assert (await desk.outcomes())["d0"] == ("applied", None)


async def test_access_taken_away_is_remembered_and_not_tried_again(tokened: Any) -> None:
    """One refused call is enough: later events wait without a call."""
    desk, shop = await tokened(Revoked("401"))
    await desk.told({"says": "look"})
    await drain(desk.context)
    await desk.told({"says": "look", "id": "1002"})
    await drain(desk.context)
    outcomes = await desk.outcomes()
    assert [outcomes[f"d{n}"][0] for n in range(2)] == ["waiting", "waiting"]
    assert len(shop.asked) == 1
    assert await desk.rows("SELECT revoked_at FROM connections") == [(desk.clock.at,)]


async def test_events_that_wait_together_ask_no_more_once_access_was_taken_away(tokened: Any) -> None:
    """They were claimed with a key that was good then; who has the turn looks again. Another process asks once."""
    desk, shop = await tokened(Revoked("401"), Revoked("401"))
    await desk.told(*[{"says": "look"}] * 12)
    await asyncio.gather(drain(desk.context, batch=6), drain(desk.context, batch=6))
    assert {outcome for outcome, _ in (await desk.outcomes()).values()} == {"waiting"}
    assert len(shop.asked) <= 2
    before = len(shop.asked)
    await desk.told(*[{"says": "look"}] * 12)
    await drain(desk.context)
    assert len(shop.asked) == before


async def test_an_event_whose_turn_does_not_come_is_put_off_without_counting_an_attempt(
    tokened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shop is asked one thing at a time; a lease must not run out over the wait."""
    desk, shop = await tokened(ORDER, ORDER)
    monkeypatch.setattr(looks, "TURN_SECONDS", 0.0)
    await desk.told({"says": "look"}, {"says": "look"})
    await drain(desk.context)
    assert sorted((await desk.outcomes()).values(), key=str) == [
        ("applied", None),
        (None, "many events wait for their platform to be asked"),
    ]
    assert await desk.rows("SELECT claims FROM events WHERE worked_at IS NULL") == [(0,)]
    desk.clock.at += 10 * SECOND
    await drain(desk.context)
    assert (set((await desk.outcomes()).values()), len(shop.asked)) == ({("applied", None)}, 2)


async def test_an_object_that_is_gone_is_not_asked_for_again(tokened: Any) -> None:
    """The platform's no is final, and said."""
    desk, _ = await tokened(Rejected("no such order"))
    await desk.told({"says": "look"})
    await drain(desk.context)
    assert await desk.outcomes() == {"d0": ("waiting", "order 1001 cannot be looked up: no such order")}


@pytest.mark.parametrize(("answer", "outcome"), [(None, "suspect"), (Revoked("401"), "applied")])
async def test_an_uninstall_counts_only_once_a_call_has_failed(tokened: Any, answer: Any, outcome: str) -> None:
    """`shop/update` has the same body, and the topic is not signed."""
    desk, _ = await tokened(answer)
    await desk.told({"says": "uninstalled"})
    await drain(desk.context)
    assert (await desk.outcomes())["d0"][0] == outcome
    assert len(await desk.applied()) == (outcome == "applied")


async def test_old_events_are_worked_first(desk: Desk) -> None:
    """The order of working is the order of arrival, whatever the order of storing."""
    now = desk.clock.at
    await desk.told(HELLO, received_at=now - 1)
    await desk.told(HELLO, received_at=now - DAY)
    order: list[str] = []
    desk.books.before = lambda told: order.extend(event.envelope.delivery_id for event in told)
    await drain(desk.context, batch=1)
    assert order == ["d1", "d0"]


async def test_what_came_while_the_clock_stood_ahead_is_worked_once_it_is_right(desk: Desk) -> None:
    """An hour too far and back again: nothing waits for that hour, neither for this worker nor for the next."""
    right = desk.clock.at
    worker = Worker(desk.context)
    await worker.resettle(at_once=True)
    for number, waits_for in ((1, worker), (2, Worker(desk.context))):
        desk.clock.at = right + HOUR
        await desk.told(HELLO)
        await worker.resettle(at_once=True)
        desk.clock.at = right + number
        await waits_for.resettle(at_once=True)
        await waits_for.turns()
        assert len(await desk.applied()) == number
    # Sales that were to be settled at once then are settled now, by the worker that saw both instants.
    assert [at for at in desk.books.ahead if at] == [right + HOUR + MINUTE]
