"""`regulars audit`, `backup` and `restore`: whether the books agree, and keeping a copy of everything."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer
from rich.console import Console
from rich.progress import Progress as Bar
from sqlalchemy.exc import SQLAlchemyError

from config import migrate, settings
from config.commands import Json, Refused, execute, show
from handlers.context import Context
from handlers.merchants.connections import Merchant, find_merchant, merchants_after
from handlers.merchants.jobs import unopened
from handlers.messages.restored import note_restore
from handlers.points.audit import Findings, audit_books
from handlers.privacy.kept import Kept, carry_over
from handlers.privacy.kept import parse as parse_kept
from handlers.privacy.kept import read as read_kept
from handlers.reconcile.store import let_go
from handlers.watch.store import tell
from integration.clock import Clock
from integration.database.backup import Copied, Progress, back_up
from integration.database.engine import address
from integration.database.restore import Unfit
from integration.database.restore import restore as put_back
from integration.database.steps import Steps

PAGE = 500
MOST_PAGES = 1_000_000

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def audit(
    merchant: Annotated[str | None, typer.Option(help="Only this merchant's books.")] = None,
    as_json: Json = False,
) -> None:
    """Recompute every balance, seal and target from what is written; exit 1 and a list where one differs."""

    async def work(context: Context) -> list[tuple[Merchant, Findings]]:
        only = await context.database.read(lambda: find_merchant(merchant)) if merchant is not None else None
        found: list[tuple[Merchant, Findings]] = []
        last = 0 if only is None else only - 1
        for _ in range(MOST_PAGES):
            page = await context.database.read(
                lambda after=last: merchants_after(after, 1 if only is not None else PAGE)  # type: ignore[misc]
            )
            for one in page:
                now = context.clock.now()
                findings = await context.database.read(
                    lambda number=one.id, now=now: audit_books(number, now, context.auditors)  # type: ignore[misc]
                )
                drifts = len(findings.drifts) + findings.unnamed
                await context.database.run(
                    lambda number=one.id, now=now, n=drifts: tell("audit", str(number), now, n, whole=True)  # type: ignore[misc]
                )
                found.append((one, findings))
            if only is not None or len(page) < PAGE:
                break
            last = page[-1].id
        return found

    found = execute(work)
    drifts = sum(len(findings.drifts) + findings.unnamed for _, findings in found)
    report = {"drifts": drifts, "merchants": [_found(*one) for one in found]}
    show(report, as_json, _report(found, drifts))
    if drifts:
        raise typer.Exit(1)


def backup(file: File, as_json: Json = False) -> None:
    """Copy everything into one file, while the program runs; an older file of the name is replaced."""
    url = _address()
    with _bar("Copying", as_json) as progress, _in_words(f"Nothing was written to {file}"):
        copied = asyncio.run(back_up(url, file.absolute(), migrate.declared(), progress))

    async def keep(context: Context) -> None:
        now = context.clock.now()
        await context.database.run(lambda: tell("backup", "last", now, _count(copied)))

    execute(keep)
    lines = [
        f"{_count(copied)} rows are in {file}.",
        "The key that opens tokens is not: keep SECRET_KEY, or secret_key in DATA_DIR, somewhere else.",
    ]
    show({"file": str(file.absolute()), **copied._asdict()}, as_json, lines)


def restore(
    file: File,
    yes: Annotated[bool, typer.Option("--yes", help="Replace what is in the database now.")] = False,
    moved: Annotated[
        bool, typer.Option("--moved", help="Nothing ran since the backup: what came due meanwhile still goes out.")
    ] = False,
    tombstones: Annotated[
        Path | None,
        typer.Option(help="Who was forgotten, as `regulars privacy tombstones` wrote it; default: as it says here."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a backup back, of either engine: all of it, or nothing where it is damaged.

    Messages that came due since the backup was made may have gone out; they are not sent again. Whoever was forgotten
    since is forgotten again.
    """
    url = _address()
    with _bar("Putting back", as_json) as progress, _in_words("Nothing was put back"):
        migrate.upgrade(url)
        now = Clock().now()
        forgotten = _forgotten(tombstones)

        def then() -> Steps[None]:
            yield from let_go()
            yield from carry_over(forgotten, now)
            if not moved:
                yield from note_restore(now)

        copied = asyncio.run(put_back(url, file, migrate.declared(), replace=yes, progress=progress, then=then))
    closed = execute(unopened)
    lines = [
        f"{_count(copied)} rows are back from {file}.",
        "Run `regulars reconcile` now: it asks the platforms for what came since the backup was made.",
    ]
    if closed:
        lines.append(f"{closed} connections need the SECRET_KEY the backup was made under: put that back as well.")
    show({**copied._asdict(), "connections_without_key": closed}, as_json, lines)


def _forgotten(file: Path | None) -> Kept:
    """Read who must stay forgotten: from a file, or from the database that is about to be replaced."""
    if file is None:
        return execute(lambda context: context.database.read(read_kept))
    try:
        return parse_kept(file.read_bytes())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Refused(f"{file} holds no tombstones of `regulars privacy tombstones`.") from error


def _address() -> str:
    loaded = settings.load()
    try:
        return address(loaded.database_url, loaded.data_dir)
    except ValueError as error:
        raise Refused(str(error)) from error


@contextlib.contextmanager
def _bar(words: str, as_json: bool) -> Iterator[Progress]:
    """Show how far it is on a terminal; nothing for programs."""
    console = Console(stderr=True)
    with Bar(console=console, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


@contextlib.contextmanager
def _in_words(failed: str) -> Iterator[None]:
    """Turn what goes wrong with files and databases into one sentence, without an address or a password."""
    try:
        yield
    except Unfit as error:
        raise Refused(str(error)) from error
    except (OSError, sqlite3.Error) as error:
        raise Refused(f"{failed}: {getattr(error, 'strerror', None) or error}.") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
        raise Refused(f"{failed}: the database refused ({type(error).__name__}).") from error


def _count(copied: Copied) -> int:
    return sum(copied.rows.values())


def _found(merchant: Merchant, findings: Findings) -> dict[str, Any]:
    return {
        "merchant": merchant.name,
        "entries": findings.entries,
        "sealed": findings.sealed,
        "accounts": findings.accounts,
        "sales": findings.sales,
        "behind": findings.behind,
        "seal": findings.head,
        "drifts": [drift._asdict() for drift in findings.drifts],
        "unnamed": findings.unnamed,
    }


def _report(found: list[tuple[Merchant, Findings]], drifts: int) -> Iterator[str]:
    for merchant, findings in found:
        for drift in findings.drifts:
            yield f"{merchant.name}, {drift.where}: {drift.words}"
        if findings.unnamed:
            yield f"{merchant.name}: and {findings.unnamed} more."
    entries = sum(findings.entries for _, findings in found)
    sales = sum(findings.sales for _, findings in found)
    verdict = f"{drifts} things do not agree" if drifts else "Everything agrees"
    yield f"{verdict}: {len(found)} merchants, {entries} entries, {sales} sales."
