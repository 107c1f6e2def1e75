"""What must outlive a restore: a backup brings back whoever was forgotten since it was made, and they are found."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from handlers.holders import Name
from handlers.privacy import store
from handlers.privacy.rules import AGAIN, SHOP, WITHIN, digest
from handlers.privacy.store import EVERYBODY, Request
from integration.database.steps import BIG, TEXT, Row, Steps, ask, insert, plain

if TYPE_CHECKING:
    from handlers.privacy.jobs import Work

FORMAT = 1
MOST = 10_000_000
NAMES_AT_ONCE = 1_000  # of a restored backup, compared with tombstones
MOST_PAGES = 1_000_000

_KEYS = plain("SELECT merchant_id, sealed FROM privacy_keys ORDER BY merchant_id")
_STONES = plain("SELECT merchant_id, digest, forgotten_at, back_at, note FROM tombstones LIMIT ?1")
_REQUESTS = plain(
    "SELECT id, merchant_id, kind, who, digest, asked_at, due_at, stage, numbers, removed, reason, told_at, done_at"
    " FROM privacy_requests ORDER BY id LIMIT ?1"
)
_NAMES = plain("SELECT request, kind, value FROM privacy_names LIMIT ?1")
_MERCHANTS = plain("SELECT id, created_at FROM merchants")

_PUT_KEYS = insert(
    "privacy_keys",
    "ON CONFLICT (merchant_id) DO UPDATE SET sealed = excluded.sealed",
    merchant_id=BIG,
    sealed=TEXT,
)
_PUT_STONES = insert(
    "tombstones",
    "ON CONFLICT (merchant_id, digest) DO UPDATE SET forgotten_at = excluded.forgotten_at, back_at = excluded.back_at,"
    " note = excluded.note",
    merchant_id=BIG,
    digest=TEXT,
    forgotten_at=BIG,
    back_at=BIG,
    note=TEXT,
)
_PUT_REQUESTS = insert(
    "privacy_requests",
    "ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at,"
    " stage = excluded.stage, numbers = excluded.numbers, removed = excluded.removed,"
    " reason = excluded.reason, told_at = excluded.told_at, done_at = excluded.done_at",
    id=BIG,
    merchant_id=BIG,
    kind=TEXT,
    who=TEXT,
    digest=TEXT,
    asked_at=BIG,
    due_at=BIG,
    stage=TEXT,
    numbers=TEXT,
    removed=TEXT,
    reason=TEXT,
    told_at=BIG,
    done_at=BIG,
    next_at=BIG,
)
_PUT_NAMES = insert("privacy_names", "ON CONFLICT DO NOTHING", request=BIG, kind=TEXT, value=TEXT)
_DONE_NAMES = plain(
    "DELETE FROM privacy_names WHERE request IN (SELECT r.id FROM privacy_requests r WHERE r.done_at IS NOT NULL)"
)
# What was made of people before they were forgotten came back as well.
_NO_FILES = plain("DELETE FROM privacy_files WHERE ?1 > 0")
_AGAIN = insert(
    "privacy_requests",
    merchant_id=BIG,
    kind=TEXT,
    who=TEXT,
    asked_at=BIG,
    due_at=BIG,
    stage=TEXT,
    next_at=BIG,
)
_NUMBER_ON = plain(
    "SELECT 1",
    postgres="SELECT setval(pg_get_serial_sequence('privacy_requests', 'id'),"
    " (SELECT coalesce(max(id), 0) + 1 FROM privacy_requests), false)",
)

_IDENTITIES = plain(
    "SELECT i.kind, i.value, i.customer, c.created_at FROM customer_identities i"
    " JOIN customers c ON c.merchant_id = i.merchant_id AND c.number = i.customer"
    " WHERE i.merchant_id = ?1 AND (i.kind, i.value, i.customer) > (?2, ?3, ?4)"
    " ORDER BY i.kind, i.value, i.customer LIMIT ?5"
)
_SALE_NAMES = plain(
    "SELECT i.platform, i.kind, i.value FROM sale_identities i"
    " WHERE i.merchant_id = ?1 AND (i.platform, i.kind, i.value) > (?2, ?3, ?4)"
    " ORDER BY i.platform, i.kind, i.value LIMIT ?5"
)


class Kept(NamedTuple):
    """Everything that has to be carried over, as rows."""

    merchants: list[Row]  # by number and by when they joined: another database has others
    keys: list[Row]
    stones: list[Row]
    requests: list[Row]
    names: list[Row]


def read() -> Steps[Kept]:
    """Read who was forgotten and what is asked for, from the database that is to be replaced or might be lost."""
    merchants = yield from ask(_MERCHANTS, ())
    keys = yield from ask(_KEYS, ())
    stones = yield from ask(_STONES, (MOST,))
    requests = yield from ask(_REQUESTS, (MOST,))
    names = yield from ask(_NAMES, (MOST,))
    return Kept(merchants, keys, stones, requests, names)


def carry_over(told: Kept, now: int) -> Steps[int]:
    """Put what was read into the database that was put back, and ask for everybody to be forgotten once more.

    Only of merchants who are the same there, by number and by when they joined. Returns of how many merchants
    somebody is to be looked for.
    """
    here: dict[int, int] = dict((yield from ask(_MERCHANTS, ())))
    same = {number for number, joined in told.merchants if here.get(number) == joined} | {EVERYBODY}
    yield from ask(_PUT_KEYS, sorted(key for key in told.keys if key[0] in same))
    stones = sorted(row for row in told.stones if row[0] in same)
    yield from ask(_PUT_STONES, stones)
    yield from ask(_PUT_REQUESTS, [(*_as_asked(row, now), now) for row in told.requests if row[1] in same])
    known = {row[0] for row in told.requests if row[1] in same}
    yield from ask(_PUT_NAMES, sorted(row for row in told.names if row[0] in known))
    yield from ask(_DONE_NAMES, ())
    yield from ask(_NUMBER_ON, ())
    looked_for = sorted({row[0] for row in stones if row[0]})
    yield from ask(_NO_FILES, (len(looked_for),))
    yield from ask(_AGAIN, [(m, AGAIN, "restore", now, now + WITHIN, "find", now) for m in looked_for])
    return len(looked_for)


def _as_asked(row: Row, now: int) -> Row:
    """Have a request that was under way begin anew, and a shop be forgotten again that was forgotten since.

    What had been done was done in another database.
    """
    number, merchant_id, kind, who, digest, asked_at, due_at, stage, *rest, told_at, done_at = row
    if kind == SHOP and stage == "done" and merchant_id:
        due_at, stage, told_at, done_at = now + WITHIN, "confirmed", None, None
    elif done_at is None and stage not in ("held", "confirmed"):
        stage = "find"
    return (number, merchant_id, kind, who, digest, asked_at, due_at, stage, *rest, told_at, done_at)


def write(told: Kept) -> bytes:
    """Write what `read` returned as a file; it holds digests, sealed keys, and whom open requests name."""
    return json.dumps({"format": FORMAT, **told._asdict()}).encode()


def parse(content: bytes) -> Kept:
    """Read what `write` wrote; raises ValueError for anything else."""
    found = json.loads(content)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError("it is not a file of tombstones")
    return Kept(*(_rows(found[name]) for name in Kept._fields))


def _rows(listed: Iterable[list[object]]) -> list[Row]:
    return [tuple(row) for row in listed]


# --- Whoever is back ----------------------------------------------------------------------------


async def whoever_is_back(work: "Work", one: Request) -> Request:
    """Find everybody in the books who was forgotten since the backup was made, by the digests of their names.

    Who came to be known after their forgetting bought again, and is somebody new. The books are read page by page:
    they are not locked for as long as that takes.
    """
    database, merchant_id = work.context.database, one.merchant_id
    key = (await database.read(lambda: store.keys_of([merchant_id], work.context.vault)))[merchant_id]
    numbers: set[int] = set()
    names: list[Name] = []
    last: Row | None = ("", "", 0)
    for _ in range(MOST_PAGES):
        some, last = await database.read(lambda after=last: _dead_people(merchant_id, key, after))  # type: ignore[misc]
        numbers |= some
        if last is None:
            break
    last = ("", "", "")
    for _ in range(MOST_PAGES):
        few, last = await database.read(lambda after=last: _dead_sales(merchant_id, key, after))  # type: ignore[misc]
        names += few
        if last is None:
            break
    return await work.part(partial(_found_back, one, tuple(sorted(numbers)), names))


def _dead_people(merchant_id: int, key: bytes, after: Row) -> Steps[tuple[set[int], Row | None]]:
    rows = yield from ask(_IDENTITIES, (merchant_id, *after, NAMES_AT_ONCE))
    marks = {(merchant_id, digest(key, (row[0], row[1]))): row for row in rows}
    dead = yield from store.tombstones_of(marks)
    numbers = {marks[mark][2] for mark, stone in dead.items() if marks[mark][3] <= stone.forgotten_at}
    return numbers, (rows[-1][:3] if len(rows) == NAMES_AT_ONCE else None)


def _dead_sales(merchant_id: int, key: bytes, after: Row) -> Steps[tuple[list[Name], Row | None]]:
    rows = yield from ask(_SALE_NAMES, (merchant_id, *after, NAMES_AT_ONCE))
    named = {(merchant_id, digest(key, (f"{p}:{k}", v))): (f"{p}:{k}", v) for p, k, v in rows}
    names = [named[mark] for mark in (yield from store.tombstones_of(named))]
    return names, (rows[-1] if len(rows) == NAMES_AT_ONCE else None)


def _found_back(one: Request, numbers: tuple[int, ...], names: Sequence[Name], now: int) -> Steps[Request]:
    yield from store.keep_names(one.id, names)
    if not numbers and not names:
        return (yield from store.finish(one, "done", now))
    return (yield from store.write(one._replace(numbers=numbers)))
