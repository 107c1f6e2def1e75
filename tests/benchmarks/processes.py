"""What two and four worker processes make of the backlog one makes, on one PostgreSQL and one Valkey; all end alike."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from config.wiring import opened
from integration.clock import SECOND
from tests.benchmarks.figures import console, figure, show
from tests.benchmarks.machines import cpu_seconds, cpu_seconds_below, machine_busy_seconds
from tests.benchmarks.scale import QUEUE, SET_ASIDE, Installation, installed
from tests.benchmarks.worker import POSTGRES_FLOOR, fill

PROCESSES = (1, 2, 4)
SHOPS = (1, 20)  # whose backlog it is
TEMPLATE = "filled"
QUIET_SECONDS = 1.0  # after the last process is up, before the backlog is due
LOOK_SECONDS = 0.05
MOST_SECONDS = 120

# By names that are the same in every run: our own numbers are given in the order in which things are seen.
_BALANCES = """
    SELECT a.merchant_id, coalesce(c.shopify_id || ':' || split_part(a.account, ':', 3), a.account), sum(a.micropoints)
    FROM accounts a LEFT JOIN customers c ON c.merchant_id = a.merchant_id
        AND a.account LIKE 'customer:%' AND c.number::text = split_part(a.account, ':', 2)
    WHERE a.micropoints <> 0 GROUP BY 1, 2 ORDER BY 1, 2
"""
_LEFT = "SELECT 1 FROM events WHERE coalesce(worked_at, failed_at) IS NULL AND merchant_id IS NOT NULL LIMIT 1"
_LAST = "SELECT max(worked_at) AS at, count(*) FILTER (WHERE outcome <> 'applied') AS odd FROM events"


class Run(NamedTuple):
    """One backlog worked by some processes."""

    per_second: float
    worker_us: float  # CPU an event, of all worker processes together
    engines_us: float  # the same of PostgreSQL and Valkey
    ours: float  # share of all cores that these and nothing else kept busy
    busy: float  # share of all cores that anything did


def measure(repetitions: int) -> bool:
    """Measure and print; tells whether one process reached its floor and every run ended with the same balances."""
    rows, held = [], True
    with installed() as machines:
        for shops in SHOPS:
            machines.create(TEMPLATE)
            events = asyncio.run(_fill(machines, shops))
            machines.execute(TEMPLATE, SET_ASIDE, "VACUUM ANALYZE events")
            runs: dict[int, list[Run]] = {}
            ends = []
            for repetition in range(repetitions):
                for processes in PROCESSES:
                    run, end = _run(machines, processes, events)
                    runs.setdefault(processes, []).append(run)
                    ends.append(end)
                    console.print(
                        f"  {repetition + 1}/{repetitions}  {shops:>2} shops, {processes} processes"
                        f" {run.per_second:>7,.0f} events/s,"
                        f" cores {run.busy:.0%} busy, {run.ours:.0%} with this",
                        highlight=False,
                    )
            machines.drop(TEMPLATE)
            if any(end != ends[0] for end in ends):
                held = False
                console.print("[bold red]Not every run ended with the same balances.[/]")
            for processes, several in runs.items():
                rate = figure([run.per_second for run in several])
                floor = f"≥ {POSTGRES_FLOOR:,}" if processes == 1 else ""
                held &= processes > 1 or rate.middle >= POSTGRES_FLOOR
                cost = (figure([getattr(run, name) for run in several]) for name in ("worker_us", "engines_us"))
                busy = " of ".join(
                    f"{figure([100 * x for x in each]).middle:.0f}"
                    for each in zip(*((r.ours, r.busy) for r in several), strict=True)
                )
                rows.append((f"{shops} shop{'s' * (shops > 1)}", processes, rate, floor, *cost, busy))
    heads = ("backlog of", "processes", "events/s", "floor", "workers, µs an event", "engines, µs", "of busy cores, %")
    show("Workers on one PostgreSQL and one Valkey: audited, the same balances in every run", heads, rows)
    return held


async def _fill(machines: Installation, shops: int) -> int:
    """Store a backlog of some shops in the database that every run copies."""
    async with opened(machines.settings(TEMPLATE)) as context:
        events, _ = await fill(context, shops)
    return events


def _run(machines: Installation, processes: int, events: int) -> tuple[Run, list[tuple[Any, ...]]]:
    """Let processes at a copy of the backlog at one moment, when all are up; returns also the balances it ends with."""
    machines.create("run", TEMPLATE)
    with ExitStack() as stack:
        pids = [stack.enter_context(machines.worker("run")) for _ in range(processes)]
        time.sleep(QUIET_SECONDS)
        machines.execute("run", QUEUE)
        due = time.time()
        before = _cpu(pids)
        machines.ring()
        machines.ask("run", _worked)
        workers, engines, busy, idle = (b - a for a, b in zip(before, _cpu(pids), strict=True))
    last = machines.fetch("run", _LAST)[0]
    if last["odd"]:
        raise SystemExit(f"{last['odd']} of {events} events were not applied.")
    audited = machines.audit("run")
    balances = [tuple(row) for row in machines.fetch("run", _BALANCES)]
    if not balances or not sum(merchant["entries"] for merchant in audited["merchants"]):
        raise SystemExit("Nothing was earned.")
    machines.drop("run")
    seconds = last["at"] / SECOND - due
    cores = busy + idle
    run = Run(
        events / seconds, workers / events * 1e6, engines / events * 1e6, (workers + engines) / cores, busy / cores
    )
    return run, balances


def _cpu(pids: Sequence[int]) -> tuple[float, float, float, float]:
    """Read the seconds of CPU of the workers, of the engines, of everything, and those left over."""
    workers = sum(map(cpu_seconds, pids))
    return (workers, cpu_seconds_below(os.getpid()) - workers, *machine_busy_seconds())


async def _worked(connection: Any) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while await connection.fetch(_LEFT):
        if time.monotonic() > deadline:
            raise SystemExit(f"The backlog was not worked within {MOST_SECONDS} seconds.")
        await asyncio.sleep(LOOK_SECONDS)
