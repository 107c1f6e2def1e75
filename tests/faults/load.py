"""What a fault run sends: drawn histories of several shops, signed, some twice, some late, until acknowledged."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from integration.sandbox.delivery import Delivery
from integration.sandbox.sender import Attempt, Outcome, Sender
from tests.benchmarks.backlog import mixed
from tests.faults.wire import Wire
from tests.oracle.tellings import DAY, Programme, Shop
from tests.oracle.tellings import Delivery as Told
from tests.properties.histories import History, histories
from tests.properties.order_tales import order_story
from tests.properties.payment_tales import payment_story
from tests.properties.plays import SHOPIFY_SECRET, STRIPE_SECRET, Stage
from tests.properties.tape import SHOP_DOMAIN, START, STRIPE_TOKEN, micros
from tests.properties.teller import Teller

DUPLICATES, SHUFFLED = 0.05, 0.10
EXAMPLES = 40  # drawn for a seed; the shortest and those alike are left out
BUSY_STORIES = 12
PATIENCE_SECONDS = 90  # for one delivery to be acknowledged
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 1.0


@st.composite
def busy_shops(draw: st.DrawFn) -> History:
    """Draw a shop with many orders and payments, so that faults find something under way."""
    teller = Teller(draw, {"when": ["every"]})
    shop = teller.shop()
    for number in range(BUSY_STORIES):
        (payment_story if number % 3 == 2 else order_story)(teller)
    return History(shop, tuple(teller.tape.deliveries), frozenset(teller.tape.offered), teller.tape.ticks)


@lru_cache(maxsize=64)
def draw_histories(number: int, least: int) -> tuple[History, ...]:
    """Draw by a seed as many shops' histories as make at least so many deliveries; the same seed draws the same."""
    found: list[History] = []
    for strategy in (busy_shops(), histories()):
        found += _examples(strategy, number)
    dice = random.Random(number)
    dice.shuffle(found)
    chosen: list[History] = []
    for history in found:
        # Where two states of one thing are of one moment a digest decides, and digests differ from shop to shop.
        if history.ticks and len(history.deliveries) > 2 and history.deliveries not in [h.deliveries for h in chosen]:
            chosen.append(history)
        if sum(len(h.deliveries) for h in chosen) >= least:
            break
    return tuple(chosen)


def busy_shop(number: int, deliveries: int) -> History:
    """Make a shop of so many deliveries about ordinary orders, the same for the same number."""
    told = mixed(SHOP_DOMAIN, SHOPIFY_SECRET, micros(START), deliveries, seed=number)
    return ordinary_shop(
        [
            Told("shopify", SHOP_DOMAIN, each.topic, f"busy-{place}", json.loads(each.body), micros(START) + place)
            for place, each in enumerate(told)
        ]
    )


def ordinary_shop(told: Sequence[Told]) -> History:
    """Make a shop with the usual programme of what was delivered to it."""
    document = {
        "earning": {"enabled": True, "points_per_unit": "1.5", "hold_days": 0, "include_tax": True},
        "thanks": {"enabled": True, "when": "every", "delay_minutes": 0},
        "reviews": {"enabled": True, "days_after_delivery": 10},
        "messages": {"window": "always", "cap_hours": 0, "cap_fortnight": 0},
    }
    shop = Shop("Busy", "USD", SHOP_DOMAIN, STRIPE_TOKEN, (Programme(micros(START) - 5 * DAY, document),), 0)
    return History(shop, tuple(told), frozenset(), ticks=True)


def _examples(strategy: st.SearchStrategy[History], number: int) -> list[History]:
    found: list[History] = []

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def take(history: History) -> None:
        found.append(history)

    take()
    return found


def signed(stage: Stage, told: Told) -> Delivery:
    """Sign one delivery as its platform does; its id is that of one shop's one delivery."""
    path, raw, headers = stage.request(told)
    words = {name.decode(): value.decode() for name, value in headers}
    secrets = (STRIPE_SECRET,) if words.pop("stripe-signature", None) else ()
    return Delivery(told.platform, told.topic, name_of(told), path, raw, words, secrets)


def interleaved(dice: random.Random, shops: Sequence[Sequence[Delivery]]) -> list[Delivery]:
    """Bring several shops' deliveries together at random, each shop's in the order they happened."""
    turns = [number for number, each in enumerate(shops) for _ in each]
    dice.shuffle(turns)
    rest = [iter(each) for each in shops]
    return [next(rest[turn]) for turn in turns]


def name_of(told: Told) -> str:
    """Name a delivery as the journal does."""
    return f"{told.platform} {told.connection} {told.delivery_id}"


@dataclass(slots=True)
class Traffic:
    """The platforms' side of one run: an even stream of deliveries, each sent again until one attempt is answered 2xx.

    Attempts go to the web processes in turn, as through a balancer that looks at nobody's health.
    """

    ports: Sequence[int]
    dice: random.Random
    deliveries: Sequence[Delivery]
    seconds: float
    at_once: int = 32
    begun: int = 0  # deliveries whose first attempt has begun
    last_begun_at: float = 0.0
    history: list[Attempt] = field(default_factory=list)
    never: list[str] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def acknowledged(self) -> set[str]:
        """Ids of deliveries of which an attempt was answered with 2xx."""
        return {attempt.delivery.id for attempt in self.history if attempt.outcome == "ok"}

    async def send(self) -> None:
        """Send everything; returns once all is acknowledged or patience is at its end."""
        queue = self._arranged()
        seats = asyncio.Semaphore(self.at_once)
        start = time.monotonic()
        wires = [Wire(port) for port in self.ports]
        async with asyncio.TaskGroup() as group:
            for place, delivery in enumerate(queue):
                pause = start + self.seconds * place / len(queue) - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                await seats.acquire()
                self.begun, self.last_begun_at = place + 1, time.monotonic()
                self._moved.set()
                group.create_task(self._until_ok(place, delivery, seats, wires))
        for wire in wires:
            wire.close()

    def _arranged(self) -> list[Delivery]:
        arranging = Sender("", seed=self.dice.randrange(1 << 30))
        return arranging.arrange(self.deliveries, duplicates=DUPLICATES, shuffled=SHUFFLED)

    async def _until_ok(self, place: int, delivery: Delivery, seats: asyncio.Semaphore, wires: Sequence[Wire]) -> None:
        pause, deadline, turn = FIRST_PAUSE_SECONDS, time.monotonic() + PATIENCE_SECONDS, place
        try:
            while (await self._attempt(wires[turn % len(wires)], delivery)).outcome != "ok":
                if time.monotonic() > deadline:
                    self.never.append(delivery.id)
                    return
                if turn == place:
                    # One that waits to be sent again does not keep the next from being sent.
                    seats.release()
                turn += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            if turn == place:
                seats.release()

    async def _attempt(self, wire: Wire, delivery: Delivery) -> Attempt:
        """Send once and keep what came of it."""
        now, begun = time.time_ns() // 1000, time.perf_counter()
        status, words = await wire.post(delivery, now)
        outcome: Outcome = "unknown" if status is None else "ok" if 200 <= status < 300 else "fail"
        attempt = Attempt(delivery, 0, outcome, status, time.perf_counter() - begun, now, words)
        self.history.append(attempt)
        return attempt

    async def until(self, share: float) -> None:
        """Wait until a share of the deliveries has been sent for the first time."""
        while self.begun < share * len(self.deliveries):
            self._moved.clear()
            await self._moved.wait()
