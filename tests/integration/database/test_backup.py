"""A backup is one moment of everything, made while others write, and what is put back is that moment."""

import asyncio
import itertools
import sqlite3
import stat
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData

from config.migrate import declared
from handlers.inbox.record import Delivery, record_all
from handlers.points.audit import audit_books
from handlers.points.seal import seal_all
from integration.database import backup
from integration.database.backup import SEAL_BYTES, Copied, back_up
from integration.database.engine import Database
from integration.database.restore import Unfit, restore
from integration.database.steps import Row, ask, plain
from tests.handlers.points.books import NOW, open_books, post

_EVENTS = plain("SELECT e.id, e.delivery_id, b.body FROM events e JOIN event_bodies b ON b.event_id = e.id")
_LATER = plain("UPDATE alembic_version SET version_num = '9999'")


@pytest.fixture
def tables() -> MetaData:
    return declared()


@pytest.fixture
async def elsewhere(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[Database]:
    """A second, empty database of the same engine."""
    async with opened(request, database.dialect, tmp_path) as other:
        yield other


@asynccontextmanager
async def opened(request: pytest.FixtureRequest, dialect: str, folder: Path) -> AsyncIterator[Database]:
    with ExitStack() as stack:
        if dialect == "sqlite":
            make: Callable[[Path], str] = request.getfixturevalue("sqlite_database")
            url = make(folder / "elsewhere")
        else:
            url = stack.enter_context(request.getfixturevalue("postgres_databases").lent())
        other = await Database.open(url, folder)
        try:
            yield other
        finally:
            await other.close()


def delivery(name: str, body: bytes = b'{"id": 1}\x00\xff') -> Delivery:
    return Delivery("shopify", "hats.myshopify.com", name, "orders/paid", None, NOW, body)


async def rows(database: Database, statement: Any = _EVENTS) -> list[Row]:
    return await database.read(lambda: ask(statement, ()))


async def put_back(database: Database, file: Path, tables: MetaData, *, replace: bool = False) -> Copied:
    return await restore(database.url, file, tables, replace=replace, progress=lambda *_: None)


async def test_a_backup_under_load_is_one_moment(
    database: Database,
    elsewhere: Database,
    tables: MetaData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events and postings written all the while are in it whole or not at all, and the books agree."""
    monkeypatch.setattr(backup, "PAGES_A_STEP", 5)  # many steps, so that many writes fall between them
    hats = await open_books(database, "Hats")
    file = tmp_path / "hats.backup"
    stop = asyncio.Event()
    written: list[str] = []

    async def receive() -> None:
        for n in itertools.count():
            if stop.is_set():
                return
            await record_all(database, [delivery(f"{n}-{k}", b"x" * 6_000) for k in range(20)])
            written.append(str(n))

    async def work() -> None:
        while not stop.is_set():
            await post(database, hats, [("program:issued", f"customer:{k}:pending", 3) for k in range(20)])

    async def copy() -> tuple[int, Copied, int]:
        while len(written) < 10:
            await asyncio.sleep(0)
        before = len(written)
        # In a thread of its own, as the command runs in a process of its own.
        copied = await asyncio.to_thread(lambda: asyncio.run(back_up(database.url, file, tables, lambda *_: None)))
        after = len(written)
        while len(written) == after:
            await asyncio.sleep(0)
        stop.set()
        return before, copied, after

    _, _, (before, copied, after) = await asyncio.gather(receive(), work(), copy())
    assert before * 20 <= copied.rows["events"] <= (after + 1) * 20
    await put_back(elsewhere, file, tables)
    restored = await rows(elsewhere)
    assert len(restored) == copied.rows["events"] == copied.rows["event_bodies"]
    assert len(restored) % 20 == 0
    findings = await elsewhere.read(lambda: audit_books(hats, NOW))
    assert findings.drifts == []
    assert findings.entries == copied.rows["ledger_entries"] > 0


async def test_everything_comes_back_as_it_was(
    database: Database, elsewhere: Database, tables: MetaData, tmp_path: Path
) -> None:
    """Bytes, texts and seals are the same, and new rows are numbered after the old ones."""
    hats = await open_books(database, "Hütte & Söhne „Hats“")
    await post(database, hats, [("program:issued", "customer:1:pending", 3)] * 3)
    await seal_all(database, NOW)
    await record_all(database, [delivery("first"), delivery("second", b"")])
    file = tmp_path / "backup"
    copied = await back_up(database.url, file, tables, lambda *_: None)
    assert await put_back(elsewhere, file, tables) == copied
    assert await rows(elsewhere) == await rows(database)
    assert (await elsewhere.read(lambda: audit_books(hats, NOW))).sealed == 3
    await record_all(elsewhere, [delivery("second", b""), delivery("third")])
    assert [row[1] for row in sorted(await rows(elsewhere))] == ["first", "second", "third"]
    assert await open_books(elsewhere, "Caps") > hats


@pytest.mark.parametrize(("origin", "target"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
async def test_a_backup_moves_a_shop_to_the_other_engine(
    request: pytest.FixtureRequest, tables: MetaData, tmp_path: Path, origin: str, target: str
) -> None:
    """Who outgrows one machine takes everything along, seals and all."""
    async with opened(request, origin, tmp_path) as database:
        hats = await open_books(database, "Hats")
        await post(database, hats, [("program:issued", "customer:1:pending", 3)] * 3)
        await seal_all(database, NOW)
        await record_all(database, [delivery("first")])
        await back_up(database.url, tmp_path / "backup", tables, lambda *_: None)
        before = await rows(database)
    async with opened(request, target, tmp_path) as database:
        await put_back(database, tmp_path / "backup", tables)
        assert await rows(database) == before
        findings = await database.read(lambda: audit_books(hats, NOW))
        assert (findings.sealed, findings.drifts) == (3, [])


async def test_a_database_in_use_is_replaced_only_when_told_to(
    database: Database, tables: MetaData, tmp_path: Path
) -> None:
    """Without the word nothing is touched; with it what came after the backup is gone, for who runs too."""
    await record_all(database, [delivery("first")])
    await back_up(database.url, tmp_path / "backup", tables, lambda *_: None)
    await record_all(database, [delivery("second")])
    with pytest.raises(Unfit, match="not empty"):
        await put_back(database, tmp_path / "backup", tables)
    assert len(await rows(database)) == 2
    await put_back(database, tmp_path / "backup", tables, replace=True)
    assert [row[1] for row in await rows(database)] == ["first"]


async def test_a_damaged_backup_changes_nothing(database: Database, tables: MetaData, tmp_path: Path) -> None:
    """Each byte that matters is checked before anything is replaced."""
    await record_all(database, [delivery(f"{n}", bytes([n]) * 5_000) for n in range(40)])
    good = tmp_path / "backup"
    await back_up(database.url, good, tables, lambda *_: None)
    raw = good.read_bytes()
    spoilt = tmp_path / "spoilt"
    for damaged in (
        raw[: len(raw) // 2],
        raw[:-2_000],
        raw[:6_000] + b"\xff" * 3_000 + raw[9_000:],
        raw[: -len(raw) // 3] + b"\xff" * 40 + raw[-len(raw) // 3 + 40 :],
        b"",
        b"PK\x03\x04",
    ):
        spoilt.write_bytes(damaged)
        with pytest.raises(Unfit) as refused:
            await put_back(database, spoilt, tables, replace=True)
        assert "\n" not in str(refused.value)
    assert len(await rows(database)) == 40


async def test_one_changed_byte_of_a_copy_is_found(
    sqlite_database: Callable[[Path], str], tables: MetaData, tmp_path: Path
) -> None:
    """A letter changed in somebody's order breaks no page; any SQLite tool still opens what is whole."""
    database = await Database.open(sqlite_database(tmp_path / "shop"), tmp_path)
    try:
        await record_all(database, [delivery("first", b"one thousand hats")])
        good, spoilt = tmp_path / "backup", tmp_path / "spoilt"
        await back_up(database.url, good, tables, lambda *_: None)
        with sqlite3.connect(good) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
        raw = good.read_bytes()
        for damaged in (raw.replace(b"one thousand hats", b"two thousand hats"), raw[:-SEAL_BYTES], raw[:-1] + b"!"):
            assert damaged != raw
            spoilt.write_bytes(damaged)
            with pytest.raises(Unfit, match="damaged"):
                await put_back(database, spoilt, tables, replace=True)
        await put_back(database, good, tables, replace=True)
    finally:
        await database.close()


async def test_a_backup_with_rows_taken_out_is_refused(
    postgres_database: str, tables: MetaData, tmp_path: Path
) -> None:
    """A dump's manifest holds the digest of each table, so a rewritten archive does not pass."""
    database = await Database.open(postgres_database, tmp_path)
    try:
        await record_all(database, [delivery("first"), delivery("second")])
        file, forged = tmp_path / "backup", tmp_path / "forged"
        await back_up(database.url, file, tables, lambda *_: None)
        with zipfile.ZipFile(file) as source, zipfile.ZipFile(forged, "w") as target:
            for name in source.namelist():
                raw = source.read(name)
                target.writestr(name, raw.splitlines(keepends=True)[0] if name == "tables/events.jsonl" else raw)
        with pytest.raises(Unfit, match="events"):
            await put_back(database, forged, tables, replace=True)
        assert len(await rows(database)) == 2
    finally:
        await database.close()


@pytest.mark.parametrize("content", [b"not a backup", b""])
async def test_another_file_is_not_taken_for_a_backup(
    database: Database, tables: MetaData, tmp_path: Path, content: bytes
) -> None:
    """Whatever is given, the answer is a sentence."""
    other = tmp_path / "holiday.jpg"
    other.write_bytes(content)
    with pytest.raises(Unfit, match="not a backup"):
        await put_back(database, other, tables)
    with pytest.raises(Unfit, match="cannot be read"):
        await put_back(database, tmp_path / "nowhere", tables)


async def test_another_programs_database_is_not_taken_for_a_backup(
    database: Database, tables: MetaData, tmp_path: Path
) -> None:
    """An SQLite file is not enough; it has to be ours."""
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(Unfit, match="no backup of this program"):
        await put_back(database, other, tables)


async def test_a_backup_of_another_revision_is_refused(database: Database, tables: MetaData, tmp_path: Path) -> None:
    """Rows are only put back into tables they were made for."""
    file = tmp_path / "backup"
    await back_up(database.url, file, tables, lambda *_: None)
    await database.run(lambda: ask(_LATER, ()))
    with pytest.raises(Unfit, match="revision"):
        await put_back(database, file, tables)


async def test_a_backup_is_its_owners_and_replaces_the_former_whole(
    database: Database, tables: MetaData, tmp_path: Path
) -> None:
    """It holds people's addresses; and a nightly one of the same name is never half-written."""
    file = tmp_path / "backup"
    await back_up(database.url, file, tables, lambda *_: None)
    first = file.stat().st_ino
    await back_up(database.url, file, tables, lambda *_: None)
    assert file.stat().st_ino != first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []
