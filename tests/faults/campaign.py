"""Many runs of many rows, and the table of what came of them."""

import asyncio
import json
import os
import traceback
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.benchmarks.figures import console, table_of
from tests.faults.machines import Engine, World
from tests.faults.runs import Result, Row, faultless, run

WIDE = 140  # columns of the table where nobody watches
LEFT_ALONE_SECONDS = 240  # a run that takes longer is stuck


async def campaign(
    rows: Sequence[Row], engines: Sequence[Engine], seeds: Sequence[int], results: Path | None = None
) -> list[Result]:
    """Run every row on every engine it is for with every seed; appends each result to a file as JSON."""
    # Rows of one set-up follow each other, for they share a world.
    plan = [(row, engine) for engine in engines for row in rows if engine in row.engines]
    found: list[Result] = []
    with _progress() as progress:
        bar = progress.add_task("", total=len(plan) * len(seeds))
        async with faultless() as reference, AsyncExitStack() as stack:
            worlds = _Worlds(stack)
            for row, engine in plan:
                progress.update(bar, description=f"{row.number} {row.words} ({engine})")
                if reason := row.cannot():
                    progress.console.print(f"Row {row.number} is left out: {reason}")
                    progress.advance(bar, len(seeds))
                    continue
                for seed in seeds:
                    try:
                        world = await worlds.fit_for(row, engine)
                        async with asyncio.timeout(LEFT_ALONE_SECONDS):
                            result = await run(world, reference, row, seed)
                        if not result.passed:
                            world.keep_logs(f"row-{row.number}-{engine}-{seed}")
                    except Exception:
                        # One run that cannot go on must not end a night's campaign.
                        result = Result.unfinished(row.number, seed, engine, traceback.format_exc(limit=-3))
                        await worlds.close()
                    found.append(result)
                    _keep(result, results)
                    if not result.passed:
                        progress.console.print(told(result), style="red", highlight=False, markup=False)
                    progress.advance(bar)
            await worlds.close()
    return found


class _Worlds:
    """The world runs take place in: the one at hand where its set-up is the same, else another."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack, self._world, self._setup = stack, None, ()

    async def fit_for(self, row: Row, engine: Engine) -> World:
        """Return a world set up as a row needs it."""
        setup = (engine, row.environment, row.replaced, row.disk, row.before)
        if self._world is None or setup != self._setup:
            await self.close()
            opening = World.opened(engine, row.environment, replaced=row.replaced, disk=row.disk, before=row.before)
            self._world, self._setup = await self._stack.enter_async_context(opening), setup
        return self._world

    async def close(self) -> None:
        """End the world at hand, if there is one."""
        self._world = None
        await self._stack.aclose()


def told(result: Result) -> str:
    """Say what did not hold, and how to see it again."""
    words = "; ".join(f"{name}: {', '.join(each[:3])}" for name, each in result.broken.items())
    return f"{words}\n  again: python -m tests.faults --row {result.row} --seed {result.seed} --engine {result.engine}"


def table(rows: Iterable[Row], results: Sequence[Result]) -> None:
    """Print a line a row and engine: runs, what held, seconds to heal (median / most), the longest acknowledgement."""
    words = {row.number: row.words for row in rows}
    lines = []
    for key in sorted({(r.row, r.engine) for r in results}):
        mine = [r for r in results if (r.row, r.engine) == key]
        heals = [r.heal for r in mine]
        lines.append(
            (
                f"{key[0]} {words.get(key[0], '')}", key[1], len(mine), sum(r.passed for r in mine),
                sum(r.lost for r in mine), sum(r.doubled for r in mine), sum(r.mails_twice for r in mine),
                f"{median(heals):.1f} / {max(heals):.1f}", f"{max(r.longest_ack for r in mine):.2f}",
                sum(r.refused for r in mine), sum(r.unknown for r in mine),
            )
        )  # fmt: skip
    heads = (
        "fault", "engine", "runs", "passed", "lost", "doubled", "mails again", "heal s", "ack s", "503", "no answer",
    )  # fmt: skip
    out = table_of("Faults: what was acknowledged is there, once", heads, lines)
    (console if console.is_terminal else Console(width=WIDE)).print(out)
    figures: dict[tuple[int, Engine, str], list[float]] = {}
    for result in results:
        for name, value in result.told.items():
            figures.setdefault((result.row, result.engine, name), []).append(value)
    for (row, engine, name), values in sorted(figures.items()):
        console.print(
            f"row {row}, {engine}: {name}: median {median(values):.2f}, most {max(values):.2f}", highlight=False
        )


def load_results(path: Path) -> list[Result]:
    """Read what earlier campaigns appended."""
    return [Result(**json.loads(line)) for line in path.read_text().splitlines()]


def _keep(result: Result, results: Path | None) -> None:
    if results is not None:
        with results.open("a") as file:
            file.write(json.dumps(result._asdict()) + os.linesep)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
