"""`regulars backfill`: award a shop's history, after a look at what that brings, and take it back again."""

import gc
import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.progress import Task as BarTask

from config import settings
from config.commands import Json, Refused, execute, show
from config.commands.run import COLLECT_AFTER
from handlers.backfill import jobs
from handlers.backfill.jobs import Done, Foreseen, Plan
from handlers.backfill.rules import Totals
from handlers.backfill.store import Run
from handlers.context import Context
from handlers.merchants.books import shops
from handlers.merchants.connections import find_merchant
from integration.clock import SECOND
from integration.errors import Unavailable

LINE_EVERY_SECONDS = 1.0  # of progress for programs
MEGABYTE = 1_000_000
PHASES = {
    "export": "Shopify writes the orders",
    "download": "Reading them (MB)",
    "orders": "Orders",
    "charges": "Stripe's charges",
    "disputes": "Stripe's disputes",
    "undo": "Taking back",
}

Name = Annotated[str, typer.Argument(help="The merchant's name.", metavar="NAME")]


def backfill(
    name: Name,
    since: Annotated[str | None, typer.Option(help="Only what was sold from this day on, such as 2025-01-31.")] = None,
    file: Annotated[Path | None, typer.Option(help="A bulk operation's result that was downloaded before.")] = None,
    commit: Annotated[bool, typer.Option("--commit", help="Do it. Without this nothing is kept.")] = False,
    undo: Annotated[int | None, typer.Option(metavar="RUN", help="Take back what a run awarded.")] = None,
    as_json: Json = False,
) -> None:
    """Award what was sold before Regulars came: shows what that brings, then does it with --commit."""
    if undo is not None and (commit or since or file):
        raise typer.BadParameter("--undo takes a run back and goes with no other option but --json.")
    progress = _Progress(as_json)

    async def work(context: Context) -> Foreseen | Done | Run:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        shop = (await context.database.read(lambda: shops([merchant_id])))[merchant_id]
        plan = Plan(merchant_id, _instant(since, shop.timezone), file, settings.load().data_dir)
        if undo is not None:
            return await jobs.undo(context, plan, undo, progress.show)
        if commit:
            return await jobs.commit(context, plan, progress.show)
        return await jobs.preview(context, plan, progress.show)

    # What is loaded by now lives as long as the command, and need not be looked through again and again.
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    with progress:
        try:
            found = execute(work)
        except Unavailable as error:
            raise Refused(f"{str(error).rstrip('.')}. The same command goes on from where it was.") from error
    if isinstance(found, Foreseen):
        show(_foreseen(found), as_json, _foreseen_lines(name, found))
    elif isinstance(found, Done):
        show(_run(found.run) | {"notes": list(found.notes)}, as_json, _done_lines(name, found))
    else:
        points = found.totals.taken_back // 1_000_000
        show(_run(found), as_json, [f"Backfill {found.number} of {name} is undone: {points:,} points were taken back."])


def _instant(day: str | None, timezone: str) -> int | None:
    """Read a day as its first moment in the shop's own time zone."""
    if day is None:
        return None
    try:
        moment = datetime.fromisoformat(day)
    except ValueError:
        raise Refused(f"{day!r} is not a day; write one such as 2025-01-31.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(timezone))
    return int(moment.timestamp()) * SECOND


# --- Progress -----------------------------------------------------------------------------------


class _Progress:
    """How far it is: a bar with rate and time left in a terminal, a line a second for programs, else nothing."""

    def __init__(self, as_json: bool) -> None:
        console = Console(stderr=True)
        self._as_json = as_json
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            disable=as_json or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._phase, self._began, self._at_first, self._told = "", 0.0, 0, 0.0

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, phase: str, done: int, of: int | None) -> None:
        """Show how much of a phase is done."""
        if self._as_json:
            self._tell(phase, done, of)
            return
        if phase == "download":
            done, of = done // MEGABYTE, of and of // MEGABYTE
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(PHASES[phase], total=of)
        self._bar.update(self._tasks[phase], completed=done, total=of)

    def _tell(self, phase: str, done: int, of: int | None) -> None:
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began, self._at_first, self._told = phase, now, done, 0.0
        if now - self._told < LINE_EVERY_SECONDS:
            return
        self._told = now
        rate = (done - self._at_first) / (now - self._began) if now > self._began else 0.0
        left = round((of - done) / rate) if of is not None and rate else None
        line = {"phase": phase, "done": done, "of": of, "per_second": round(rate), "seconds_left": left}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


class _Rate(TextColumn):
    """How many a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: BarTask) -> Any:
        """Write the rate of a task."""
        self.text_format = f"{task.speed:,.0f}/s" if task.speed else ""
        return super().render(task)


# --- What is told in the end --------------------------------------------------------------------


def _foreseen(found: Foreseen) -> dict[str, Any]:
    return {
        "state": "foreseen",
        **found.totals.shown(),
        "seconds": None if found.seconds is None else round(found.seconds, 1),
        "earning_is_off": found.is_off,
        "notes": list(found.notes),
    }


def _run(run: Run) -> dict[str, Any]:
    return {"run": run.number, "state": run.state, "program_version": run.version, **run.totals.shown()}


def _foreseen_lines(name: str, found: Foreseen) -> Iterator[str]:
    totals = found.totals
    yield f"{name}: {_sold(totals)}, {totals.customers:,} buyers of orders; {totals.sales:,} are new here."
    yield f"They would bring {totals.micropoints // 1_000_000:,} points."
    if totals.earning_nothing:
        yield f"Bringing nothing: {_counted(totals.earning_nothing)}."
    yield from _left_out(totals)
    yield from found.notes
    if found.is_off:
        yield (
            "Earning is off: these are the rates as they are set. Switch it on first, with"
            f" `regulars merchant program {name!r} --set earning.enabled=true`."
        )
    elif found.seconds is not None:
        yield f"It would take about {max(1, round(found.seconds)):,} seconds, beside the time to fetch the orders."
    yield "Nothing was kept and nobody is mailed about old orders. Do it with --commit."


def _done_lines(name: str, done: Done) -> Iterator[str]:
    run, totals = done.run, done.run.totals
    yield (
        f"Backfill {run.number} of {name} is done: {_sold(totals)}, {totals.micropoints // 1_000_000:,} points for what"
        f" was sold, {totals.customers:,} new customers."
    )
    yield f"What was sold before earning was switched on earned under programme version {run.version}."
    yield from _left_out(totals)
    yield from done.notes
    yield f"Take it back with `regulars backfill {name!r} --undo {run.number}`."


def _left_out(totals: Totals) -> Iterator[str]:
    if totals.by_sums:
        yield f"Of {totals.by_sums:,} orders only the sums of their refunds are known; their points go by those."
    if totals.skipped:
        yield f"Left out: {_counted(totals.skipped)}."
        yield from (f"  {example}" for example in totals.examples)


def _sold(totals: Totals) -> str:
    parts = [f"{totals.orders:,} orders"] + ([f"{totals.charges:,} charges"] if totals.charges else [])
    return " and ".join(parts)


def _counted(reasons: dict[str, int]) -> str:
    return "; ".join(
        f"{why} ({count:,})" for why, count in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    )
