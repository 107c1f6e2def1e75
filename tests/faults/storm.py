"""Two web and two worker processes on PostgreSQL and Redis under an even load, killed at random all the while."""

import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from integration.sandbox.delivery import Delivery
from integration.sandbox.sender import Attempt
from tests.benchmarks.figures import console, show
from tests.faults.checker import Findings, check, is_idle
from tests.faults.load import Traffic, busy_shop, draw_histories, interleaved, signed
from tests.faults.machines import HASTE, Engine, World
from tests.faults.runs import LONGEST_ACK_SECONDS, faultless
from tests.faults.wire import NEVER
from tests.oracle.tellings import Shop
from tests.properties.histories import History, elsewhere
from tests.properties.plays import Stage

WAVE_SECONDS = 30.0
SHOP_DELIVERIES = 400
DRAWN_DELIVERIES = 200  # of each wave: shops where everything happens
KILL_EVERY_SECONDS = (2.0, 8.0)
IDLE_SECONDS = 300.0
AT_ONCE = 64
# Leases and pauses as in production, but for a mail's: five minutes after the last kill nothing else would happen.
REPLACED = tuple(each for each in HASTE if each[0].startswith("handlers.messages"))


@dataclass
class Storm:
    """What happened so far; shops are drawn again from their seeds when their end is checked."""

    attempts: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    took: list[float] = field(default_factory=list)
    slow: int = 0
    hung: int = 0
    odd: Counter[int] = field(default_factory=Counter)
    never: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    def add(self, traffic: Traffic) -> None:
        """Count the attempts of a wave, and let go of them."""
        for attempt in traffic.history:
            self._count(attempt)
        self.never += traffic.never
        self.sent += len(traffic.deliveries)

    def _count(self, attempt: Attempt) -> None:
        self.attempts[attempt.outcome] += 1
        if attempt.outcome == "ok":
            self.acknowledged.add(attempt.delivery.id)
            self.took.append(attempt.took)
        if attempt.status is not None and attempt.took > LONGEST_ACK_SECONDS:
            self.slow += 1
        if attempt.outcome == "unknown" and attempt.answer == NEVER:
            self.hung += 1
        if attempt.status is not None and attempt.status not in (200, 503):
            self.odd[attempt.status] += 1


async def storm(seed: int, minutes: float, rate: int, engine: Engine) -> bool:
    """Run it and print what came of it; tells whether every invariant held."""
    dice, this = random.Random(seed), Storm()
    welcomed: list[tuple[int, list[Shop]]] = []
    async with faultless() as reference, World.opened(engine, replaced=REPLACED) as world:
        stop = asyncio.Event()
        killing = asyncio.create_task(_kill(world, dice, this, stop))
        end, wave = time.monotonic() + 60 * minutes, 1
        coming = asyncio.create_task(_prepared(world, seed * 1000 + wave, rate))
        while time.monotonic() < end:
            ready = await coming
            wave += 1
            # The next shops move in while these are busy, so that the load goes on.
            coming = asyncio.create_task(_prepared(world, seed * 1000 + wave, rate))
            traffic = Traffic(world.ports, dice, ready.deliveries, len(ready.deliveries) / rate, AT_ONCE)
            await traffic.send()
            this.add(traffic)
            welcomed.append((ready.number, ready.shops))
            console.print(f"  {this.sent:,} delivered, {sum(this.kills.values())} killed, {dict(this.attempts)}")
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        stop.set()
        await killing
        over = time.monotonic()
        idle = await _idle(world.stage)
        heal = time.monotonic() - over
        found = await _checked(world, reference, welcomed, this, rate)
        if not idle:
            found.note("I5", f"still at work after {IDLE_SECONDS} s")
    _print(this, found, heal, minutes)
    return not found.broken


class Wave(NamedTuple):
    """Half a minute's load: the seed its shops are drawn from, the shops, and their deliveries, signed."""

    number: int
    shops: list[Shop]
    deliveries: list[Delivery]


async def _prepared(world: World, number: int, rate: int) -> Wave:
    shops = [await world.stage.welcome(history) for history in await asyncio.to_thread(_drawn, number, rate)]

    def sign() -> list[Delivery]:
        each = [[signed(world.stage, told) for told in shop.deliveries] for shop in shops]
        return interleaved(random.Random(number), each)

    return Wave(number, [shop.shop for shop in shops], await asyncio.to_thread(sign))


def _drawn(number: int, rate: int) -> list[History]:
    """Draw the shops of one wave."""
    busy = max(1, int(rate * WAVE_SECONDS - DRAWN_DELIVERIES) // SHOP_DELIVERIES)
    return [
        *draw_histories(number, DRAWN_DELIVERIES),
        *(busy_shop(number * 100 + n, SHOP_DELIVERIES) for n in range(busy)),
    ]


async def _kill(world: World, dice: random.Random, this: Storm, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            async with asyncio.timeout(dice.uniform(*KILL_EVERY_SECONDS)):
                await stop.wait()
        except TimeoutError:
            machine = dice.choice(list(world.machines.values()))
            if machine.is_up:
                machine.send(signal.SIGKILL)
                this.kills[machine.name] += 1


async def _idle(stage: Stage) -> bool:
    end = time.monotonic() + IDLE_SECONDS
    while time.monotonic() < end:
        if await is_idle(stage) and await is_idle(stage):
            return True
        await asyncio.sleep(0.2)
    return False


async def _checked(
    world: World, reference: Stage, welcomed: list[tuple[int, list[Shop]]], this: Storm, rate: int
) -> Findings:
    """Check every shop of every wave, one wave after the other, so that memory holds one."""
    found = Findings()
    for number, shops in welcomed:
        drawn = _drawn(number, rate)
        pairs = [
            (history, elsewhere(history, int(shop.name.rpartition(" ")[2]), shop.stripe_token))
            for history, shop in zip(drawn, shops, strict=True)
        ]
        part = await check(world.stage, reference, pairs, this.acknowledged, world.mailbox.mails)
        found.add(part)
    for never in this.never:
        found.note("I7", f"never acknowledged: {never}")
    if this.slow:
        found.note("I7", f"{this.slow} answers took more than {LONGEST_ACK_SECONDS} s")
    if this.odd:
        found.note("I7", f"refused with {dict(this.odd)}")
    return found


def _print(this: Storm, found: Findings, heal: float, minutes: float) -> None:
    took = sorted(this.took)
    rows = [
        ("minutes", f"{minutes:g}"),
        ("deliveries", f"{this.sent:,}"),
        ("attempts", dict(this.attempts)),
        ("processes killed", dict(this.kills)),
        ("acknowledged and lost, effects missing", found.lost),
        ("stored or counted twice", found.doubled),
        ("mails that came again", found.mails_twice),
        ("ack ms, median / 99 % / most", " / ".join(f"{1000 * t:.0f}" for t in _three(took))),
        ("requests that hung", this.hung),
        ("seconds until nothing was left to do", f"{heal:.1f}"),
        ("what did not hold", {name: len(each) for name, each in found.broken.items()} or "nothing"),
    ]
    show("Killed at random under load", ("", "figure"), rows)
    for name, each in found.broken.items():
        console.print(name, *each[:5], sep="\n  ", highlight=False, markup=False)


def _three(took: list[float]) -> tuple[float, float, float]:
    return took[len(took) // 2], took[int(len(took) * 0.99)], took[-1]
