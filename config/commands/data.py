"""`regulars data`: a merchant's data out as CSV, and the balances of another loyalty app in, after a look at them."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from config.commands import Json, Refused, execute, show
from handlers.context import Context
from handlers.exchange import jobs, store
from handlers.exchange.feeds import export as pieces
from handlers.exchange.jobs import Upload
from handlers.exchange.rules import FILES, points_text
from handlers.exchange.store import Import
from handlers.merchants.connections import find_merchant

LOOK_SECONDS = 0.2
MOST_LOOKS = 100_000  # some hours

app = typer.Typer(
    help="A merchant's data out as CSV, and the balances of another loyalty app in.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The merchant's name.", metavar="NAME")]


@app.command("export")
def export(
    name: Name,
    what: Annotated[str, typer.Argument(help=f"One of {', '.join(FILES)}.", metavar="WHAT")],
    file: Annotated[Path, typer.Argument(help="Where to write it.", metavar="FILE")],
    bom: Annotated[bool, typer.Option("--bom", help="Mark it as UTF-8, which some spreadsheets need.")] = False,
    as_json: Json = False,
) -> None:
    """Write one kind of a merchant's data as CSV: the whole file, or none."""
    if what not in FILES:
        raise typer.BadParameter(f"{what!r} is not one of {', '.join(FILES)}.")
    part = file.with_name(f"{file.name}.part")

    async def work(context: Context) -> int:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        with part.open("wb") as opened:
            async for piece in pieces(context, merchant_id, what, bom=bom):
                opened.write(piece)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
        return file.stat().st_size

    try:
        size = execute(work)
    except OSError as error:
        raise Refused(f"{file} cannot be written ({type(error).__name__}).") from error
    finally:
        part.unlink(missing_ok=True)
    show({"file": str(file), "bytes": size}, as_json, [f"{file}: {size:,} bytes."])


@app.command("import")
def import_(
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(help="CSV with the columns email and points.", metavar="[FILE]")
    ] = None,
    commit: Annotated[bool, typer.Option("--commit", help="Bring it in. Without this it is only looked at.")] = False,
    leave_unknown: Annotated[
        bool, typer.Option("--leave-unknown", help="Leave out addresses nobody has here.")
    ] = False,
    undo: Annotated[int | None, typer.Option(metavar="IMPORT", help="Take back what an import brought.")] = None,
    as_json: Json = False,
) -> None:
    """Look at a file of balances; with --commit bring it in. Nobody is mailed about it."""
    if (file is None) == (undo is None) or (undo is not None and (commit or leave_unknown)):
        raise typer.BadParameter("give a FILE, or --undo IMPORT and nothing else.")

    async def work(context: Context) -> Import:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        if undo is not None:
            now = context.clock.now()
            await context.database.run(lambda: store.begin_undoing(merchant_id, undo, "command", now))
            return await _carried_out(context, merchant_id, undo, as_json)
        assert file is not None
        with file.open("rb") as opened:
            upload = Upload(opened, file.name, "command", "leave" if leave_unknown else "add")
            one = await jobs.read(context, merchant_id, upload)
        if not commit:
            return one
        now = context.clock.now()
        await context.database.run(lambda: store.begin(merchant_id, one.number, "command", now))
        return await _carried_out(context, merchant_id, one.number, as_json)

    try:
        one = execute(work)
    except OSError as error:
        raise Refused(f"{file} cannot be read ({type(error).__name__}).") from error
    show(_shown(one), as_json, _lines(name, one))


async def _carried_out(context: Context, merchant_id: int, number: int, as_json: bool) -> Import:
    """Carry an import out and show how far it is; one that another process carries out is watched."""
    console = Console(stderr=True)
    columns = (TextColumn("Lines"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task("lines")
        for _ in range(MOST_LOOKS):
            running = asyncio.ensure_future(jobs.carry_out(context, merchant_id, number))
            while not running.done():
                await asyncio.wait((running,), timeout=LOOK_SECONDS)
                seen = await context.database.read(lambda: store.find(merchant_id, number))
                if seen is not None:
                    bar.update(task, total=seen.good, completed=seen.moved)
            await running
            one = await context.database.read(lambda: store.find(merchant_id, number))
            if one is not None and one.state in ("done", "undone"):
                return one
            await asyncio.sleep(LOOK_SECONDS)
    raise Refused(f"Import {number} is still under way in another process.")


def _shown(one: Import) -> dict[str, Any]:
    return {
        "import": one.number,
        "state": one.state,
        "file": one.file,
        "encoding": one.encoding,
        "lines": one.lines,
        "good": one.good,
        "known": one.known,
        "points": points_text(one.micropoints),
        "left_out": one.problems,
        "moved": one.moved,
        "taken_back": points_text(one.taken_back),
    }


def _lines(name: str, one: Import) -> list[str]:
    told = f"{one.file}: {one.lines:,} lines, {one.good:,} of them good, with {points_text(one.micropoints)} points"
    lines = [f"{told}; {one.known:,} are of customers known here."]
    if one.problems:
        lines.append("Left out: " + "; ".join(f"{kind} ({count:,})" for kind, count in one.problems.items()) + ".")
    if one.state == "checked":
        lines.append("Nothing was brought in. Do it with --commit; nobody is mailed.")
    elif one.state == "done":
        lines.append(f"Brought in. Take it back with `regulars data import {name!r} --undo {one.number}`.")
    else:
        lines.append(f"Taken back: {points_text(one.taken_back)} points.")
    return lines
