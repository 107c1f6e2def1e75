"""Faults of the program's own processes: killed, stopped, restarted, poisoned, flooded, short of room, at odd times."""

import asyncio
import signal
import time
from pathlib import Path

from tests.faults.load import busy_shop, name_of, signed
from tests.faults.machines import LEASE_SECONDS, Machine
from tests.faults.program import POISON
from tests.faults.runs import Run
from tests.oracle.tellings import Delivery as Told
from tests.properties.tape import START, micros

PATIENCE_SECONDS = 15.0
LONGEST_DRAIN_SECONDS = 10.0
FLOOD = 800
CLOCK_NOTICED_SECONDS = 1  # after which a shifted clock is seen by every process
CLOCK_LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")

RECEIVER_POINTS = (
    "receive.before_read", "receive.verified", "record.before_commit", "record.committed", "receive.answered",
)  # fmt: skip
WORKER_POINTS = (
    "work.claimed", "work.applied", "work.before_commit", "work.committed", "send.before", "send.accepted",
    "send.recorded",
)  # fmt: skip


async def nothing(run: Run) -> None:
    """Row 0: only what the sender does, duplicates and disorder."""
    await run.until(1, 1)


async def killed_at(run: Run, machine: Machine, fault: str) -> None:
    """Arm a fault that ends a process, and wait until it has; it is killed where it is if it never comes there."""
    deaths = machine.deaths
    machine.arm(fault)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while machine.deaths == deaths:
                await asyncio.sleep(0.02)
    except TimeoutError:
        run.told["never came to its point"] = 1
        machine.send(signal.SIGKILL)
    run.over()


async def receiver_killed(run: Run) -> None:
    """Row 1: at a point between reading and answering, or anywhere."""
    await run.until(0.05, 0.4)
    machine = run.dice.choice(run.world.webs)
    point = run.dice.choice([*RECEIVER_POINTS, "anywhere"])
    if point == "anywhere":
        machine.send(signal.SIGKILL)
        run.over()
    else:
        await killed_at(run, machine, f"{point}:kill:{run.dice.randint(1, 8)}")


async def worker_killed(run: Run) -> None:
    """Row 2: after the claim, in the transaction, before and after its commit, before and after a mail is taken."""
    await run.until(0.05, 0.3)
    point = run.dice.choice([*WORKER_POINTS, "anywhere"])
    machine = run.dice.choice(run.world.workers)
    if point == "anywhere":
        machine.send(signal.SIGKILL)
        run.over()
    else:
        await killed_at(run, machine, f"{point}:kill:1")


async def writer_killed(run: Run) -> None:
    """Row 3: with many waiting for one commit."""
    await run.until(0.05, 0.4)
    fault = run.dice.choice(("record.before_commit", "record.committed"))
    await killed_at(run, run.dice.choice(run.world.webs), f"{fault}:kill:{run.dice.randint(1, 3)}")


# --- the clock ---


def clock_library() -> str | None:
    """Find what shows a process another time, or None."""
    for pattern in CLOCK_LIBRARIES:
        for path in Path("/").glob(pattern.removeprefix("/")):
            return str(path)
    return None


def clock_cannot() -> str:
    """Say what is missing to set a process's clock."""
    return "" if clock_library() else "libfaketime is not installed (Debian: apt-get install faketime)."


def clock_environment(folder: Path) -> dict[str, str]:
    """Have processes read their time's shift from a file, and leave the steady clock alone."""
    set_clock(folder, "+0")
    return {
        "LD_PRELOAD": clock_library() or "",
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        # Opening the file at every look at the clock would cost more than the program's work.
        "FAKETIME_CACHE_DURATION": f"{CLOCK_NOTICED_SECONDS}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Else the library shortens waits by the steady clock as well: the interpreter's own for its lock then spin.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


def set_clock(folder: Path, shift: str) -> None:
    """Shift the processes' time by so many seconds, in one step: half a file is no time."""
    draft = folder / "clock.draft"
    draft.write_text(shift)
    draft.replace(folder / "clock")


async def clock_jumps(run: Run) -> None:
    """Row 12: an hour forward or back, and right again."""
    await run.until(0.1, 0.4)
    shift = run.dice.choice(("+3600", "-3600"))
    set_clock(run.world.folder, shift)
    await run.for_a_while(CLOCK_NOTICED_SECONDS + 1, CLOCK_NOTICED_SECONDS + 3)
    set_clock(run.world.folder, "+0")
    await run.for_a_while(CLOCK_NOTICED_SECONDS, CLOCK_NOTICED_SECONDS)
    run.over()


# --- poison, floods, restarts, stalls ---


async def poisoned(run: Run) -> None:
    """Row 23: an event that kills its worker, keeps it for ever, or always fails; its neighbours are worked."""
    await run.until(0.05, 0.3)
    what = run.dice.choice(("kill", "raise", "loop"))
    _, shop = run.shops[0]
    told = Told("shopify", shop.shop.domain, POISON, "poison", {"poison": what}, micros(START))
    run.given_up.add(name_of(told))
    await run.send([signed(run.world.stage, told)])


async def flooded(run: Run) -> None:
    """Row 24: one shop's orders all at once, beside others that go on as ever."""
    await run.until(0.1, 0.2)
    quiet = [shop.shop.domain for _, shop in run.shops]
    begun = time.monotonic()
    await run.another(busy_shop(run.dice.randrange(1 << 20), FLOOD))
    run.told["seconds to take the flood"] = time.monotonic() - begun
    await run.until(1, 1)
    waits = await run.world.waits(quiet)
    run.told["quiet shops' slowest event s"] = waits[-1]
    run.told["quiet shops' median event s"] = waits[len(waits) // 2]


async def restarted(run: Run) -> None:
    """Row 25: every process in turn told to end, and started again by its platform."""
    await run.until(0.05, 0.2)
    for machine in run.world.machines.values():
        deaths = machine.deaths
        machine.send(signal.SIGTERM)
        took = await machine.ended(within=2 * LONGEST_DRAIN_SECONDS)
        run.told["longest drain s"] = max(took, run.told.get("longest drain s", 0.0))
        if took > LONGEST_DRAIN_SECONDS:
            run.broken.append(f"{machine.name} took {took:.1f} s to end")
        while machine.deaths == deaths or not machine.is_up:
            await asyncio.sleep(0.02)
        await run.world.answers()
    run.over()


async def stalled(run: Run) -> None:
    """Row 26: a worker stopped in the middle for longer than its lease, and going on as if nothing had been."""
    await run.until(0.05, 0.3)
    machine = run.dice.choice(run.world.workers)
    point = run.dice.choice((*WORKER_POINTS, "anywhere"))
    if point == "anywhere":
        machine.send(signal.SIGSTOP)
    else:
        machine.arm(f"{point}:stop:1")
        await machine.stopped(PATIENCE_SECONDS)
    await run.for_a_while(LEASE_SECONDS + 0.5, LEASE_SECONDS + 2)
    machine.send(signal.SIGCONT)
    run.over()
