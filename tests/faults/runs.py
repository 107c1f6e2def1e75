"""One run: shops are welcomed, their deliveries sent, a fault happens meanwhile, and the end is checked."""

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from config.migrate import upgrade
from integration.clock import SECOND
from integration.sandbox.delivery import Delivery
from tests.faults.checker import Findings, check, is_idle
from tests.faults.load import Traffic, draw_histories, interleaved, signed
from tests.faults.machines import ENGINES, HASTE, Engine, Replaced, World
from tests.faults.wire import NEVER
from tests.properties.histories import History
from tests.properties.plays import Stage

LEAST_DELIVERIES = 150
SECONDS = 2.5  # over which they are sent
IDLE_SECONDS = 90.0
AHEAD = 7 * SECOND  # what is tried again, or looked at again when a claim has ended, belongs to the run
LOOK_SECONDS = 0.05
LONGEST_ACK_SECONDS = 5.0


class Row(NamedTuple):
    """One row of the matrix: what is done to a running program, and how that program is set up."""

    number: int
    words: str
    inject: Callable[["Run"], Awaitable[None]]
    engines: tuple[Engine, ...] = ENGINES
    at_once: int = 32
    environment: Callable[[Path], Mapping[str, str]] | None = None
    replaced: Replaced = HASTE
    disk: int = 0  # megabytes of a disk of its own
    mails_may_repeat: bool = False
    may_hang: bool = False  # a stopped process answers nobody
    may_refuse: frozenset[int] = frozenset({503})
    keeps_journal: bool = True  # what was acknowledged since a backup is not in it
    disorder: bool = False  # nothing comes in the order it happened
    before: tuple[str, ...] = ()  # a command that starts the program's processes
    cannot: Callable[[], str] = str  # why this machine cannot run it; "" where it can


class Result(NamedTuple):
    """What came of one run."""

    row: int
    seed: int
    engine: Engine
    passed: bool
    lost: int
    doubled: int
    mails_twice: int
    heal: float  # seconds from the end of fault and load until nothing was left to do
    longest_ack: float
    refused: int
    unknown: int
    deliveries: int
    deaths: int
    broken: dict[str, list[str]]
    told: dict[str, float]  # figures a row adds
    log: dict[str, int]  # errors the program logged
    unthanked: list[str]  # sales without a note: for a person to look at

    @classmethod
    def unfinished(cls, row: int, seed: int, engine: Engine, why: str) -> "Result":
        """A run that did not come to its end."""
        return cls(row, seed, engine, False, 0, 0, 0, 0.0, 0.0, 0, 0, 0, 0, {"runner": [why]}, {}, {}, [])


@dataclass
class Run:
    """What a row's fault is given: the machines, the dice of the seed, and the traffic under way."""

    world: World
    dice: random.Random
    traffic: Traffic
    shops: list[tuple[History, History]]  # as drawn, as they happen here
    told: dict[str, float] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    healed_at: float = 0.0
    stalled: float = 0.0  # seconds
    broken: list[str] = field(default_factory=list)  # what the row itself found not to hold

    async def until(self, least: float, most: float) -> None:
        """Wait until a share of the traffic between two bounds has been sent."""
        await self.traffic.until(self.dice.uniform(least, most))

    def over(self) -> None:
        """Note that the fault is over now."""
        self.healed_at = time.monotonic()

    async def watch(self) -> None:
        """Note for how long this process itself stood still at most, on a machine that others use too."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
            self.stalled = max(self.stalled, time.monotonic() - begun - LOOK_SECONDS)

    async def idle(self) -> None:
        """Wait until nothing is left to do, as the run itself does in the end."""
        await _idle(self.world)

    async def for_a_while(self, least: float, most: float) -> None:
        """Let time pass, between two bounds in seconds."""
        await asyncio.sleep(self.dice.uniform(least, most))

    async def another(self, history: History) -> None:
        """Welcome another shop and send all that happens to it, as fast as it is taken."""
        mine = await self.world.stage.welcome(history)
        self.shops.append((history, mine))
        await self.send([signed(self.world.stage, told) for told in mine.deliveries])

    async def send(self, deliveries: list[Delivery]) -> None:
        """Send more deliveries, each until it is acknowledged, beside the traffic."""
        more = Traffic(self.traffic.ports, self.dice, deliveries, 0.0, history=self.traffic.history)
        await more.send()
        self.traffic.never += more.never


async def run(world: World, reference: Stage, row: Row, seed: int) -> Result:
    """Run one row with one seed in a world of its engine."""
    dice = random.Random(f"{row.number} {seed}")
    shops = [(drawn, await world.stage.welcome(drawn)) for drawn in draw_histories(seed, LEAST_DELIVERIES)]
    deliveries = interleaved(dice, [[signed(world.stage, told) for told in shop.deliveries] for _, shop in shops])
    if row.disorder:
        dice.shuffle(deliveries)
    traffic = Traffic(world.ports, dice, deliveries, SECONDS, row.at_once)
    this = Run(world, dice, traffic, shops)
    mails, deaths, marks = len(world.mailbox.mails), world.deaths, _log_ends(world)
    sending, watching = asyncio.create_task(traffic.send()), asyncio.create_task(this.watch())
    try:
        await row.inject(this)
    finally:
        world.heal()
    over = this.healed_at or time.monotonic()
    await sending
    idle = await _idle(world)
    watching.cancel()
    heal = max(0.0, time.monotonic() - max(over, traffic.last_begun_at))
    found = await check(
        world.stage,
        reference,
        shops,
        traffic.acknowledged if row.keeps_journal else (),
        world.mailbox.mails[mails:],
        frozenset(this.given_up),
    )  # fmt: skip
    if not idle:
        found.note("I5", f"still at work {IDLE_SECONDS} s after the fault")
    if found.unthanked:
        # Which note goes out also depends on what was known when it was due: reported, for a person to look at.
        this.told["sales without a note"] = len(found.unthanked)
    for words in this.broken:
        found.note("fault", words)
    _judge(row, traffic, this.stalled, found)
    return _result(row, seed, world, traffic, found, heal, world.deaths - deaths, this.told, _errors(world, marks))


async def _idle(world: World) -> bool:
    """Wait until nothing is left to do, twice in a row: what falls due between two looks shows at the second."""
    end = time.monotonic() + IDLE_SECONDS
    while time.monotonic() < end:
        if await is_idle(world.stage, AHEAD) and await is_idle(world.stage, AHEAD):
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False


def _judge(row: Row, traffic: Traffic, stalled: float, found: Findings) -> None:
    for never in traffic.never:
        found.note("I7", f"never acknowledged: {never}")
    if found.mails_twice and not row.mails_may_repeat:
        found.note("I6", f"{found.mails_twice} mails came twice")
    # Seconds in which this process itself did not get on are nobody's answer.
    slow = [a for a in traffic.history if a.status is not None and a.took > LONGEST_ACK_SECONDS + stalled]
    if slow and not row.may_hang:
        longest = max(attempt.took for attempt in slow)
        found.note("I7", f"{len(slow)} answers took more than {LONGEST_ACK_SECONDS} s, at most {longest:.1f}")
    hung = [a for a in traffic.history if a.outcome == "unknown" and a.answer == NEVER]
    if hung and not row.may_hang:
        found.note("I7", f"{len(hung)} requests were never answered")
    odd = Counter(a.status for a in traffic.history if a.outcome == "fail" and a.status not in row.may_refuse)
    if odd:
        found.note("I7", f"refused with {dict(odd)}")


def _result(
    row: Row,
    seed: int,
    world: World,
    traffic: Traffic,
    found: Findings,
    heal: float,
    deaths: int,
    told: dict[str, float],
    log: dict[str, int],
) -> Result:
    outcomes = Counter(attempt.outcome for attempt in traffic.history)
    longest = max((a.took for a in traffic.history if a.outcome == "ok"), default=0.0)
    return Result(
        row.number, seed, world.engine, not found.broken, found.lost, found.doubled, found.mails_twice, heal, longest,
        outcomes["fail"], outcomes["unknown"], len(traffic.deliveries), deaths, found.broken, told, log,
        found.unthanked,
    )  # fmt: skip


def _log_ends(world: World) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in world.folder.glob("*.log")}


def _errors(world: World, marks: Mapping[str, int]) -> dict[str, int]:
    """Count what the processes logged as errors since the marks, by event; lines that are no JSON are tracebacks."""
    found: Counter[str] = Counter()
    for path in world.folder.glob("*.log"):
        with path.open("rb") as log:
            log.seek(marks.get(path.name, 0))
            for line in log:
                if not line.startswith(b"{"):
                    found["not JSON"] += 1
                    continue
                said = json.loads(line)
                if said.get("level") == "error":
                    found[" ".join(str(said[key]) for key in ("event", "error", "loop") if key in said)] += 1
    return dict(found)


@asynccontextmanager
async def faultless() -> AsyncIterator[Stage]:
    """Open a program of its own that no fault happens to, for the ends to compare with."""
    with tempfile.TemporaryDirectory(prefix="regulars-faultless-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'regulars.db'}"
        await asyncio.to_thread(upgrade, url)
        async with Stage.opened(url, folder) as stage:
            stage.clock.offset = 0
            yield stage
