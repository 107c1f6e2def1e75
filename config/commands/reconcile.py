"""`regulars reconcile`: asks the platforms what they did not tell us, and takes it in."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from config.commands import Json, execute, show
from handlers.context import Context
from handlers.merchants.connections import find_merchant
from handlers.points.rules import MICRO
from handlers.reconcile import store
from handlers.reconcile.feeds import Run
from handlers.reconcile.jobs import Report, reconcile, summed
from handlers.reconcile.ledger import Sum, add_up
from handlers.reconcile.store import Connected, Look
from integration.clock import from_iso, to_iso

PAGE = 500
MOST_PAGES = 1_000
RECENT = 10  # earlier looks shown, of those that recovered something
WAIT_SECONDS = 20.0  # for the workers to work what was recovered
BUSY_SECONDS = 150.0  # for another look to end: by the clock it takes a minute and a half, killed it holds for two
BUSY_PAUSE_SECONDS = 0.5
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_NAMES = {"shopify": "Shopify", "stripe": "Stripe"}
_THINGS = {"shopify": ("order", "orders"), "stripe": ("sale", "sales")}


def command(
    name: Annotated[str | None, typer.Argument(help="Only this merchant.", metavar="[NAME]")] = None,
    since: Annotated[
        str | None, typer.Option(help="Look from here on: 2026-11-01, an ISO time, or 36h, 7d, 90m ago.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken in.")] = False,
    as_json: Json = False,
) -> None:
    """Ask Shopify and Stripe for what no webhook told of, and take it in as if one had.

    It runs by the clock as well, every quarter of an hour for each shop; where that is at it, this waits and then
    looks itself. Exit 1 where a platform that we have a key for could not be asked.
    """

    async def work(context: Context) -> list[dict[str, Any]]:
        begin = None if since is None else instant(since, context.clock.now())
        only = await context.database.read(lambda: find_merchant(name)) if name is not None else None
        found = await _connections(context, only)
        with _bar(as_json) as told:
            reports = [await _looked(context, one, begin, dry_run, told) for one in found]
        return [await _shown(context, report, dry_run) for report in reports]

    shown = execute(work)
    points = sum(one["points"] or 0 for one in shown)
    recovered = sum(one["recovered"] for one in shown)
    value = {"recovered": recovered, "points": points, "dry_run": dry_run, "connections": shown}
    lines = [line for one in shown for line in _lines(one)]
    show(value, as_json, lines or ["Nothing is connected yet; see `regulars merchant add`."])
    if any(one["state"] in ("away", "refused", "revoked", "busy") for one in shown):
        raise typer.Exit(1)


def instant(text: str, now: int) -> int:
    """Read a day, an ISO time, or how long ago (`36h`); a usage error where it is none or in the future."""
    try:
        if text[-1:] in _UNITS and text[:-1].isdigit():
            found = now - int(timedelta(**{_UNITS[text[-1]]: int(text[:-1])}).total_seconds()) * 1_000_000
        else:
            found = from_iso(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter("write 2026-11-01, an ISO time, or 36h, 7d, 90m ago", param_hint="--since") from None
    if not 0 < found <= now:
        raise typer.BadParameter("that is not in the past", param_hint="--since")
    return found


async def _connections(context: Context, merchant_id: int | None) -> list[Connected]:
    found: list[Connected] = []
    for _ in range(MOST_PAGES):
        after = found[-1].id if found else 0
        page = await context.database.read(lambda last=after: store.connected(merchant_id, last, PAGE))  # type: ignore[misc]
        found += page
        if len(page) < PAGE:
            break
    return found


@contextmanager
def _bar(as_json: bool) -> Iterator[Callable[[Run], None]]:
    """Show on a terminal how far the look at each connection is; how much there is nobody knows before."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal) as bar:
        tasks: dict[int, Any] = {}

        def told(run: Run) -> None:
            words = f"{_title(run.one)}: {run.compared:,} looked at, {run.recovered:,} missed"
            if run.one.id not in tasks:
                tasks[run.one.id] = bar.add_task(words, total=None)
            bar.update(tasks[run.one.id], description=words)

        yield told


async def _looked(
    context: Context, one: Connected, begin: int | None, dry: bool, told: Callable[[Run], None]
) -> Report:
    """Look at a connection, after whoever is at it now has ended: what that look leaves out is wanted here."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        report = await reconcile(context, one, since=begin, dry=dry, told=told)
        has_begun = report.run is not None
        if report.state != "busy" or has_begun or time.monotonic() > end:
            return report
        await asyncio.sleep(BUSY_PAUSE_SECONDS)


async def _shown(context: Context, report: Report, dry: bool) -> dict[str, Any]:
    one, run, mark = report.one, report.run, report.mark
    total = Sum(0, 0) if run is None or dry else await summed(context, run, WAIT_SECONDS)
    recent = await _recent(context, one, dry)
    quiet_since = mark.quiet_since if mark else None
    return {
        "merchant": one.merchant,
        "platform": one.platform,
        "state": report.state,
        "reason": report.reason,
        "since": to_iso(run.since) if run else None,
        "compared": run.compared if run else 0,
        "recovered": run.recovered if run else 0,
        # Unknown until a worker has worked what was recovered.
        "sales": total.sales if total else None,
        "points": total.micropoints // MICRO if total else None,
        "skipped": run.skipped if run else 0,
        "calls": run.calls if run else 0,
        "last_webhook_at": to_iso(mark.heard_at) if mark else None,
        "quiet_since": to_iso(quiet_since),
        "quiet_why": mark.quiet_why if mark and quiet_since is not None else None,
        "recent": [_look(look) for look in recent],
        "dry_run": dry,
    }


async def _recent(context: Context, one: Connected, dry: bool) -> list[Look]:
    """Return the newest looks that recovered something, added up as far as that can be done by now."""
    recent = await context.database.read(lambda: store.looks(one, RECENT, recovering=True))
    open_looks = [look.started_at for look in recent if look.micropoints is None]
    if dry or not open_looks:
        return recent
    for at in open_looks:
        await context.database.run(lambda at=at: add_up(one.merchant_id, one.id, at))  # type: ignore[misc]
    return await context.database.read(lambda: store.looks(one, RECENT, recovering=True))


def _look(look: Look) -> dict[str, Any]:
    return {
        "started_at": to_iso(look.started_at),
        "ended_at": to_iso(look.ended_at),
        "compared": look.compared,
        "recovered": look.recovered,
        "sales": look.sales,
        "points": None if look.micropoints is None else look.micropoints // MICRO,
        "reason": look.reason,
    }


def _title(one: Connected) -> str:
    return f"{one.merchant}, {_NAMES[one.platform]}"


def _lines(one: dict[str, Any]) -> Iterator[str]:
    title = f"{one['merchant']}, {_NAMES[one['platform']]}"
    if one["state"] == "ok" or one["recovered"]:
        yield f"{title}: {_came_to(one)} ({one['compared']:,} looked at since {one['since']})."
    if one["state"] != "ok":
        word = {"no_key": "skipped", "revoked": "skipped", "busy": "skipped"}.get(one["state"], "not asked to the end")
        yield f"{title}: {word}: {one['reason']}."
    elif one["skipped"]:
        yield f"{title}: {_counted(one['skipped'], 'order', 'orders')} could not be read."
    if one["quiet_since"]:
        yield f"{title}: webhooks have been quiet since {one['quiet_since']}. {one['quiet_why']}"


def _came_to(one: dict[str, Any]) -> str:
    recovered, things = one["recovered"], _THINGS[one["platform"]]
    if not recovered:
        return "nothing was missed"
    if one["dry_run"]:
        return f"{_counted(recovered, 'event', 'events')} would be taken in"
    if one["sales"] is None:
        events = _counted(recovered, "event", "events")
        return f"{events} recovered; their points are known once a worker has worked them"
    return f"{_counted(one['sales'], *things)} recovered, {_counted(one['points'], 'point', 'points')}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
