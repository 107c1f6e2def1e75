"""Seals new ledger entries with a chained digest, so that a later change of any of them shows."""

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from handlers.context import Context
from handlers.merchants.books import lock_books
from integration.database.engine import Database
from integration.database.steps import Row, Steps, ask, plain

MOST_ENTRIES = 5_000  # under one seal
MOST_MERCHANTS = 1_000  # looked at in one query
MOST_ROUNDS = 10_000  # seals in one run
NOTHING = "0" * 64  # what the first seal of a merchant is chained to

ENTRY_COLUMNS = "number, key, sale, source, destination, micropoints, reason, detail, at"
MICROPOINTS = 5  # position of the amount in a row of these columns

_BEHIND = plain(
    "SELECT b.merchant_id FROM books b WHERE b.merchant_id > ?1 AND b.next_entry - 1 >"
    " (SELECT coalesce(max(s.last_entry), 0) FROM ledger_seals s WHERE s.merchant_id = b.merchant_id)"
    " ORDER BY b.merchant_id LIMIT ?2"
)
_LAST = plain("SELECT last_entry, digest FROM ledger_seals WHERE merchant_id = ?1 ORDER BY last_entry DESC LIMIT 1")
_UNSEALED = plain(
    f"SELECT {ENTRY_COLUMNS} FROM ledger_entries WHERE merchant_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3"
)
_WRITE = plain(
    "INSERT INTO ledger_seals (merchant_id, last_entry, entries, micropoints, digest, at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
)


class Seal(NamedTuple):
    """What one seal says: up to which entry, how many and how much since the one before, and their digest."""

    after_entry: int  # last entry of the seal before; 0 = none
    last_entry: int
    entries: int
    micropoints: int
    digest: str


async def seal_new_entries(context: Context) -> int:
    """Seal what every merchant's ledger gained since the last run; return how many seals that took."""
    return await seal_all(context.database, context.clock.now())


async def seal_all(database: Database, now: int) -> int:
    """Seal new entries of all merchants, a few thousand at a time; return how many seals that took."""
    made, merchant_id = 0, 0
    while made < MOST_ROUNDS:
        behind = await database.read(lambda after=merchant_id: ask(_BEHIND, (after, MOST_MERCHANTS)))  # type: ignore[misc]
        if not behind:
            return made
        for (merchant_id,) in behind:
            while made < MOST_ROUNDS and await _seal_next(database, merchant_id, now):
                made += 1
    return made


async def _seal_next(database: Database, merchant_id: int, now: int) -> bool:
    """Seal the next entries of one merchant; False where none are left.

    Reading and hashing happen outside the write lock. Entries are numbered under the books' lock, so what is
    visible has no holes that a transaction under way could still fill.
    """
    seal = await database.read(lambda: draft(merchant_id))
    return seal is not None and await database.run(lambda: _write(merchant_id, seal, now))


def draft(merchant_id: int) -> Steps[Seal | None]:
    """Work out the next seal of a merchant's ledger; None where every entry has one."""
    rows = yield from ask(_LAST, (merchant_id,))
    after, digest = rows[0] if rows else (0, NOTHING)
    entries = yield from ask(_UNSEALED, (merchant_id, after, MOST_ENTRIES))
    if not entries:
        return None
    total = sum(entry[MICROPOINTS] for entry in entries)
    return Seal(after, entries[-1][0], len(entries), total, chained(digest, entries))


def chained(digest: str, entries: Iterable[Row]) -> str:
    """Return the hexadecimal SHA-256 of a former digest and rows of `ENTRY_COLUMNS`, in their order."""
    running = hashlib.sha256(digest.encode())
    for entry in entries:
        running.update(written(entry))
    return running.hexdigest()


def linked(head: str, entry: Row) -> str:
    """Return the ledger's head after one more entry: the hexadecimal SHA-256 of the head before and the entry.

    `entry` is a row of `ENTRY_COLUMNS`. The head is kept in the merchant's books with every posting, so that the
    audit finds a change, a deletion or an insertion before any seal is made.
    """
    return hashlib.sha256(head.encode() + written(entry)).hexdigest()


def written(entry: Row) -> bytes:
    """Write one entry as the bytes that are sealed: JSON without spaces, one line."""
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _write(merchant_id: int, seal: Seal, now: int) -> Steps[bool]:
    yield from lock_books([merchant_id])
    rows = yield from ask(_LAST, (merchant_id,))
    if (rows[0][0] if rows else 0) != seal.after_entry:
        # Another process sealed meanwhile: its seal stands, and the next draft follows it.
        return True
    yield from ask(_WRITE, (merchant_id, *seal[1:], now))
    return True
