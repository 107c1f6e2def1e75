"""Puts a backup back: checked as a whole first, then everything replaced in one transaction or nothing."""

import base64
import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import asyncpg
from sqlalchemy import MetaData, Table, make_url

from integration.database.backup import (
    FORMAT,
    MANIFEST,
    ROWS_A_STEP,
    SEAL_BYTES,
    Copied,
    Progress,
    checked_sqlite,
    file_digest,
    is_binary,
    member_name,
    seal,
)
from integration.database.steps import Steps, drive_postgres, drive_sqlite

SQLITE_HEADER = b"SQLite format 3\x00"
LOCK_WAIT_S = 60  # how long to wait for what others are doing to end
MOST_MANIFEST = 1_000_000  # bytes
MOST_LINE = 20_000_000  # bytes of one row: a body of 5 MB in base64, and room
_REVISION = "SELECT version_num FROM alembic_version"

Row = Sequence[Any]


class Unfit(Exception):
    """The backup cannot be put back here, and nothing was changed; the message is one sentence."""


class Source(Protocol):
    """A backup opened for reading: what it says of itself, and the rows of each table."""

    copied: Copied

    def rows(self, table: Table) -> Iterator[Row]: ...


async def restore(
    url: str,
    source: Path,
    tables: MetaData,
    *,
    replace: bool,
    progress: Progress,
    then: Callable[[], Steps[object]] | None = None,
) -> Copied:
    """Replace everything in the migrated database at `url` by a backup of either engine; all or nothing.

    `then` are steps to run in the same transaction, on what was put back.
    A backup of another schema revision is refused, as is a database that is not empty unless `replace`. Others
    may go on reading meanwhile. Raises Unfit for a file that is damaged or no backup, and the driver's error.
    """
    with opened(source, tables) as backup:
        if url.startswith("sqlite"):
            _into_sqlite(Path(make_url(url).database or ""), backup, tables, replace, progress, then)
        else:
            await _into_postgres(url, backup, tables, replace, progress, then)
        return backup.copied


@contextmanager
def opened(source: Path, tables: MetaData) -> Iterator[Source]:
    """Open a backup of either kind once all of it has been checked; Unfit for anything else."""
    try:
        with source.open("rb") as file:
            is_sqlite = file.read(len(SQLITE_HEADER)) == SQLITE_HEADER
    except OSError as error:
        raise Unfit(f"{source} cannot be read: {error.strerror}.") from error
    if is_sqlite:
        # Immutable: nobody writes to a backup, and no journal is made beside it.
        address = f"file:{quote(str(source.absolute()))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            yield _File(connection, source, tables)
    elif zipfile.is_zipfile(source):
        try:
            archive = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, UnicodeDecodeError) as error:  # the second: a name in its list is damaged
            raise Unfit(f"{source} is damaged: {error}.") from error
        with archive:
            yield _Dump(archive, source, tables)
    else:
        raise Unfit(f"{source} is not a backup.")


class _File:
    """A backup of SQLite."""

    def __init__(self, connection: sqlite3.Connection, source: Path, tables: MetaData) -> None:
        self._connection = connection
        try:
            # SQLite reads what is missing of its last page as zeros, and its own check is content with them.
            (whole,) = connection.execute(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            ).fetchone()
            if source.stat().st_size != whole + SEAL_BYTES:
                words = f"it has {source.stat().st_size} bytes instead of {whole + SEAL_BYTES}"
                raise Unfit(f"{source} is damaged or no backup of this program: {words}.")
            with source.open("rb") as file:
                file.seek(whole)
                sealed = file.read()
            if sealed != seal(file_digest(source, whole)):
                raise Unfit(f"{source} is damaged: it is not what its digest says.")
            self.copied = checked_sqlite(connection, tables)
        except (sqlite3.Error, TypeError) as error:
            raise Unfit(f"{source} is damaged or no backup of this program: {error}.") from error

    def rows(self, table: Table) -> Iterator[Row]:
        return self._connection.execute(f'SELECT {_columns(table)} FROM "{table.name}"')


class _Described(NamedTuple):
    columns: list[str]
    rows: int
    sha256: str


class _Dump:
    """A backup of PostgreSQL."""

    def __init__(self, archive: zipfile.ZipFile, source: Path, tables: MetaData) -> None:
        self._archive = archive
        try:
            manifest = json.loads(self._manifest())
            if manifest["format"] != FORMAT:
                raise Unfit(f"{source} is a backup of format {manifest['format']}; this program reads {FORMAT}.")
            self._described = {name: _Described(**one) for name, one in manifest["tables"].items()}
            self.copied = Copied(manifest["revision"], {name: one.rows for name, one in self._described.items()})
            for table in tables.sorted_tables:
                self._check(table)
        except (KeyError, TypeError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise Unfit(f"{source} is damaged or no backup of this program: {error}.") from error

    def rows(self, table: Table) -> Iterator[Row]:
        binary = [position for position, yes in enumerate(is_binary(table)) if yes]
        for line in self._lines(table):
            row = json.loads(line)
            for position in binary:
                if row[position] is not None:
                    row[position] = base64.b64decode(row[position])
            yield row

    def _manifest(self) -> bytes:
        if self._archive.getinfo(MANIFEST).file_size > MOST_MANIFEST:
            raise ValueError("its manifest is too long")
        return self._archive.read(MANIFEST)

    def _check(self, table: Table) -> None:
        described = self._described[table.name]
        digest, count = hashlib.sha256(), 0
        for line in self._lines(table):
            digest.update(line)
            count += 1
        if (count, digest.hexdigest()) != (described.rows, described.sha256):
            raise ValueError(f"the rows of {table.name} are not those that were written")
        if described.columns != [column.name for column in table.columns]:
            raise ValueError(f"the columns of {table.name} are others")

    def _lines(self, table: Table) -> Iterator[bytes]:
        with self._archive.open(member_name(table.name)) as member:
            while line := member.readline(MOST_LINE):
                if len(line) >= MOST_LINE:
                    raise ValueError(f"a row of {table.name} is too long")
                yield line


# --- Replacing ----------------------------------------------------------------------------------


Then = Callable[[], Steps[object]] | None


def _into_sqlite(path: Path, backup: Source, tables: MetaData, replace: bool, progress: Progress, then: Then) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=LOCK_WAIT_S)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _check_revision(backup, connection.execute(_REVISION).fetchone()[0])
            for table in tables.sorted_tables:
                if not replace and connection.execute(f'SELECT 1 FROM "{table.name}" LIMIT 1').fetchone():
                    raise Unfit(_not_empty(table))
            for table in reversed(tables.sorted_tables):
                connection.execute(f'DELETE FROM "{table.name}"')
            watched = _Watched(backup, progress)
            for table in tables.sorted_tables:
                marks = ", ".join("?" for _ in table.columns)
                connection.executemany(
                    f'INSERT INTO "{table.name}" ({_columns(table)}) VALUES ({marks})', watched.rows(table)
                )
            if then is not None:
                drive_sqlite(then(), connection.cursor())
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


async def _into_postgres(
    url: str, backup: Source, tables: MetaData, replace: bool, progress: Progress, then: Then
) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
            _check_revision(backup, await connection.fetchval(_REVISION))
            names = ", ".join(f'"{table.name}"' for table in tables.sorted_tables)
            await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
            for table in tables.sorted_tables:
                if not replace and await connection.fetchval(f'SELECT 1 FROM "{table.name}" LIMIT 1'):
                    raise Unfit(_not_empty(table))
            await connection.execute(f"TRUNCATE {names}")
            watched = _Watched(backup, progress)
            for table in tables.sorted_tables:
                columns = [column.name for column in table.columns]
                await connection.copy_records_to_table(table.name, records=watched.rows(table), columns=columns)
                await _continue_numbers(connection, table)
            if then is not None:
                await drive_postgres(then(), connection)
        # Freshly filled tables have no statistics, and without them the plans are slow.
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def _check_revision(backup: Source, present: str) -> None:
    if backup.copied.revision != present:
        raise Unfit(
            f"The backup was made at revision {backup.copied.revision}, the database is at {present}: put it"
            " back with the release that made it, then migrate."
        )


async def _continue_numbers(connection: Any, table: Table) -> None:
    """Have a table's own numbering go on after the rows that were put back."""
    for column in table.primary_key.columns:
        sequence = await connection.fetchval("SELECT pg_get_serial_sequence($1, $2)", f'"{table.name}"', column.name)
        if sequence is not None:
            await connection.execute(
                f'SELECT setval($1, coalesce((SELECT max("{column.name}") FROM "{table.name}"), 0) + 1, false)',
                sequence,
            )


class _Watched:
    """Hands on the rows of a backup, telling how many went by."""

    def __init__(self, backup: Source, progress: Progress) -> None:
        self._backup = backup
        self._progress = progress
        self._all = sum(backup.copied.rows.values())
        self._done = 0

    def rows(self, table: Table) -> Iterator[Row]:
        for row in self._backup.rows(table):
            yield row
            self._done += 1
            if self._done % ROWS_A_STEP == 0 or self._done == self._all:
                self._progress(self._done, self._all)


def _columns(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _not_empty(table: Table) -> str:
    return f"The database is not empty ({table.name} has rows); pass --yes to replace everything in it by the backup."
