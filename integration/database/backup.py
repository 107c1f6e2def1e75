"""Copies a whole database into one file while others write to it: one moment, everything, checked."""

import base64
import hashlib
import json
import os
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import MetaData, Table, make_url

FORMAT = 1
MANIFEST = "manifest.json"
FILE_MODE = 0o600  # it holds people's names and addresses
PAGES_A_STEP = 2_000
ROWS_A_STEP = 500
BODIES_A_STEP = 20  # rows with a body weigh up to 5 MB each
BYTES_A_STEP = 1 << 20
SEAL_BYTES = 81
COMPRESSION = 1  # the fastest: a backup of JSON is small enough

Progress = Callable[[int, int], None]
"""Told how much is done, of how much in all (pages or rows; for PostgreSQL an estimate)."""


class Copied(NamedTuple):
    """What a backup holds: the schema's revision and how many rows each table has."""

    revision: str
    rows: dict[str, int]


async def back_up(url: str, target: Path, tables: MetaData, progress: Progress) -> Copied:
    """Write everything in the database at `url` to the file `target`, replacing it only once it is whole.

    SQLite gives an SQLite file that ends with its own digest, PostgreSQL a zip of one JSON row a line with a manifest
    of counts and digests.
    Writers are not held up. Raises the driver's error, OSError for the file.
    """
    with _drafted(target) as draft:
        if url.startswith("sqlite"):
            return _copy_sqlite(Path(make_url(url).database or ""), draft, tables, progress)
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _dump(connection, draft, tables, progress)
        finally:
            await connection.close()


@contextmanager
def _drafted(target: Path) -> Iterator[Path]:
    """Let the caller write a draft beside `target`; put it in place durably, or leave nothing behind."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    try:
        yield draft
        _sync(draft)
        draft.replace(target)
        _sync(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- SQLite -------------------------------------------------------------------------------------


def _copy_sqlite(source: Path, draft: Path, tables: MetaData, progress: Progress) -> Copied:
    copied = _copied_sqlite(source, draft, tables, progress)
    # SQLite does not read past the pages its header counts, so the file says itself what it must be.
    digest = file_digest(draft, draft.stat().st_size)
    with draft.open("ab") as file:
        file.write(seal(digest))
    return copied


def file_digest(path: Path, size: int) -> str:
    """Compute the SHA-256 of the first `size` bytes of a file, in hexadecimal."""
    digest, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left and (part := file.read(min(BYTES_A_STEP, left))):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def seal(digest: str) -> bytes:
    """Write what stands behind the last page of an SQLite backup: always `SEAL_BYTES` long."""
    return b"regulars sha256 %s\n" % digest.encode()


def _copied_sqlite(source: Path, draft: Path, tables: MetaData, progress: Progress) -> Copied:
    with (
        closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True, isolation_level=None)) as original,
        closing(sqlite3.connect(draft, isolation_level=None)) as copy,
    ):
        # A read transaction held open shows one moment: without it each write of another process would make
        # the copying start again.
        original.execute("BEGIN")
        original.execute("SELECT count(*) FROM sqlite_master").fetchone()
        original.backup(copy, pages=PAGES_A_STEP, sleep=0, progress=lambda _, left, of: progress(of - left, of))
        original.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode=DELETE")
        return checked_sqlite(copy, tables)


def checked_sqlite(copy: sqlite3.Connection, tables: MetaData) -> Copied:
    """Check an SQLite file page by page and count its rows; raises sqlite3.DatabaseError where it is damaged."""
    (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        # SQLite puts a headline above its finding; the finding is the last line.
        raise sqlite3.DatabaseError(f"the file is damaged: {verdict.splitlines()[-1]}")
    (revision,) = copy.execute("SELECT version_num FROM alembic_version").fetchone()
    counts = {
        table.name: int(copy.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0])
        for table in tables.sorted_tables
    }
    return Copied(revision, counts)


# --- PostgreSQL ---------------------------------------------------------------------------------


async def _dump(connection: Any, draft: Path, tables: MetaData, progress: Progress) -> Copied:
    revision = await connection.fetchval("SELECT version_num FROM alembic_version")
    estimate = await connection.fetchval(
        "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class"
        " WHERE relkind = 'r' AND relname = ANY($1)",
        [table.name for table in tables.sorted_tables],
    )
    described: dict[str, dict[str, Any]] = {}
    done = 0
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive:
        for table in tables.sorted_tables:
            columns = [column.name for column in table.columns]
            digest, count = hashlib.sha256(), 0
            quoted = ", ".join(f'"{name}"' for name in columns)
            with archive.open(member_name(table.name), "w", force_zip64=True) as member:
                async for row in connection.cursor(f'SELECT {quoted} FROM "{table.name}"', prefetch=rows_a_step(table)):
                    line = written(tuple(row))
                    digest.update(line)
                    member.write(line)
                    count += 1
                    if count % ROWS_A_STEP == 0:
                        progress(done + count, max(estimate, done + count))
            done += count
            described[table.name] = {"columns": columns, "rows": count, "sha256": digest.hexdigest()}
        manifest = {"format": FORMAT, "revision": revision, "tables": described}
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
    progress(done, done)
    return Copied(revision, {name: one["rows"] for name, one in described.items()})


def member_name(table: str) -> str:
    """The name of a table's file inside a dump."""
    return f"tables/{table}.jsonl"


def rows_a_step(table: Table) -> int:
    """How many rows of a table to hold in memory at once."""
    return BODIES_A_STEP if any(is_binary(table)) else ROWS_A_STEP


def is_binary(table: Table) -> Sequence[bool]:
    """Tell for each column of a table whether it holds bytes."""
    return [column.type.python_type is bytes for column in table.columns]


def written(row: tuple[Any, ...]) -> bytes:
    """Write one row as a line of JSON; bytes as base64."""
    return json.dumps(row, default=_binary, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _binary(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"a row holds a {type(value).__name__}, which no backup can write")
