"""Keeps a bulk result's lines on disk until an order's own line and all of its children's are there.

Children come as lines of their own, in any order; a result may be larger than memory, and the connection that
brings it may break. What is on the shelf stays there when the process dies.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from integration.errors import Unreadable
from integration.shopify.bulk_order import order_number

MOST_LINE_BYTES = 5_000_000
MOST_NAMED = 100  # lines that cannot be read, told one by one; the others are counted
LONGEST_REASON = 160

_TABLES = (
    "CREATE TABLE state (source TEXT NOT NULL, taken INTEGER NOT NULL, lines INTEGER NOT NULL, whole INTEGER NOT NULL)",
    "CREATE TABLE pieces (number INTEGER NOT NULL, head BLOB, children BLOB)",
    "CREATE TABLE unread (line INTEGER NOT NULL, why TEXT NOT NULL)",
    "CREATE TABLE buyers (name TEXT PRIMARY KEY) WITHOUT ROWID",
)


class _Line(msgspec.Struct):
    id: str | None = None
    parent: str | None = msgspec.field(name="__parentId", default=None)


_line = msgspec.json.Decoder(_Line)


class Shelved(NamedTuple):
    """The lines of one order; without a head its own line is missing."""

    number: int
    head: bytes | None
    children: list[bytes]


class Shelf:
    """Lines on disk; `source` names the result they are of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._dropped = 0  # bytes of a line that is too long to be kept until its end
        self._connection = _opened(path)
        try:
            row = self._connection.execute("SELECT source, taken, lines, whole FROM state").fetchone()
        except sqlite3.DatabaseError:
            row = None
        self._stands(*(row or ("", 0, 0, 0)))

    def begin(self, source: str) -> None:
        """Hold the lines of a result: those already here, or none where they are another's."""
        self.rewind()
        if self.source == source:
            return
        self.discard()
        self._connection = _opened(self._path)
        with self._connection:
            for statement in _TABLES:
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO state VALUES (?, 0, 0, 0)", (source,))
        self._stands(source, 0, 0, 0)

    def _stands(self, source: str, taken: int, lines: int, whole: int) -> None:
        self.source = source
        self.taken = taken  # bytes, up to the end of a line
        self.lines = lines
        self.is_whole = bool(whole)
        self._orders: int | None = None

    def take(self, piece: bytes) -> None:
        """Put the next bytes of the result on the shelf; the end of an unfinished line waits for the next piece."""
        data = self._rest + piece
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        if end:
            self._put(data[:end])
        if len(self._rest) > MOST_LINE_BYTES:
            self._dropped += len(self._rest)
            self._rest = b""

    def rewind(self) -> None:
        """Forget an unfinished line: the result is read again from byte `taken` on."""
        self._rest, self._dropped = b"", 0

    def finish(self) -> None:
        """Take the result for whole: its last line may lack its end."""
        if self._rest or self._dropped:
            self._put(self._rest)
            self._rest = b""
        with self._connection:
            self._connection.execute("CREATE INDEX IF NOT EXISTS by_number ON pieces (number)")
            self._connection.execute("UPDATE state SET whole = 1")
        self.is_whole = True

    @property
    def orders(self) -> int:
        """How many orders there are, once the result is whole."""
        if self._orders is None:
            counted = "SELECT count(DISTINCT number) FROM pieces WHERE head IS NOT NULL"
            self._orders = int(self._connection.execute(counted).fetchone()[0])
        return self._orders

    def after(self, number: int, limit: int) -> list[Shelved]:
        """Return the next `limit` orders by number, each with all of its lines; only of a whole result."""
        last = self._connection.execute(
            "SELECT max(number) FROM (SELECT DISTINCT number FROM pieces WHERE number > ? ORDER BY number LIMIT ?)",
            (number, limit),
        ).fetchone()[0]
        if last is None:
            return []
        rows = self._connection.execute(
            "SELECT number, head, children FROM pieces WHERE number > ? AND number <= ? ORDER BY number, rowid",
            (number, last),
        )
        return list(_gathered(rows))

    def unread(self) -> tuple[int, list[tuple[int, str]]]:
        """How many lines cannot be read, and the first of them by number, each with why."""
        found = self._connection.execute("SELECT line, why FROM unread ORDER BY line LIMIT ?", (MOST_NAMED,)).fetchall()
        return int(self._connection.execute("SELECT count(*) FROM unread").fetchone()[0]), found

    def add_buyers(self, names: Iterable[str]) -> None:
        """Note who bought."""
        with self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO buyers VALUES (?)", [(name,) for name in names])

    def count_buyers(self) -> int:
        """How many different buyers were noted."""
        return int(self._connection.execute("SELECT count(*) FROM buyers").fetchone()[0])

    def close(self) -> None:
        """Leave everything on disk."""
        self._connection.close()

    def discard(self) -> None:
        """Clear everything away."""
        self._connection.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        heads: dict[int, bytes] = {}
        children: dict[int, list[bytes]] = {}
        unread: list[tuple[int, str]] = []
        dropped, self._dropped = self._dropped, 0
        self.taken += len(data) + dropped
        for body in data.split(b"\n")[: None if not data.endswith(b"\n") else -1]:
            self.lines += 1
            if not body.strip() and not dropped:
                continue
            try:
                if dropped or len(body) > MOST_LINE_BYTES:
                    dropped = 0
                    raise Unreadable(f"it is longer than {MOST_LINE_BYTES} bytes")
                seen = _line.decode(body)
                if seen.parent is None:
                    heads[order_number(seen.id or "")] = body
                else:
                    children.setdefault(order_number(seen.parent), []).append(body)
            except (Unreadable, ValueError) as error:
                unread.append((self.lines, str(error)[:LONGEST_REASON]))
        pieces = [(number, heads.get(number), b"\n".join(children.get(number, ()))) for number in {**heads, **children}]
        with self._connection:
            self._connection.executemany("INSERT INTO pieces VALUES (?, ?, ?)", pieces)
            self._connection.executemany("INSERT INTO unread VALUES (?, ?)", unread)
            self._connection.execute("UPDATE state SET taken = ?, lines = ?", (self.taken, self.lines))


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # It holds names and addresses of buyers: nobody else's to read, SQLite's files beside it included.
    path.touch(mode=0o600)
    connection = sqlite3.connect(path)
    # A shelf that is lost with the machine is filled again; one that is torn must not be.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _gathered(rows: Iterable[Sequence[object]]) -> Iterator[Shelved]:
    order: Shelved | None = None
    for number, head, children in rows:
        assert isinstance(number, int) and isinstance(children, bytes)
        if order is None or order.number != number:
            if order is not None:
                yield order
            order = Shelved(number, None, [])
        if isinstance(head, bytes):
            order = order._replace(head=head)
        order.children.extend(children.split(b"\n") if children else ())
    if order is not None:
        yield order
