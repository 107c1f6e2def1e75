"""What must outlive a restore: a backup brings back whoever was forgotten since it was made."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from handlers.privacy.rules import AGAIN, SHOP, WITHIN
from handlers.privacy.store import EVERYBODY
from integration.database.steps import BIG, TEXT, Row, Steps, ask, insert, plain

FORMAT = 1
MOST = 10_000_000

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
