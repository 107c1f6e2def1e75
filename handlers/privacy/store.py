"""Requests by law with their deadlines and receipts, what names whom they are about until then, and tombstones."""

import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, text

from handlers.holders import Name
from handlers.privacy.rules import DATA, SAME_REQUEST, WITHIN, Tombstone, digest
from integration.clock import MINUTE, to_iso
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Row, Steps, ask, insert, keyed, plain
from integration.vault import Vault

KEY_BYTES = 32
LEASE = 2 * MINUTE  # of a merchant's requests; renewed with every part that is carried out
MOST_LISTED = 1_000
EVERYBODY = 0  # the merchant whose key names shops

# Names of people are digested under a key of their merchant's own: without it, and SECRET_KEY, a tombstone is nobody's.
privacy_keys = Table(
    "privacy_keys",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("sealed", Text, nullable=False),
    Column("claim", Text),  # who carries out this merchant's requests
    Column("claimed_until", Instant),  # by the database's clock
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),
    Column("forgotten_at", Instant, nullable=False),
    Column("back_at", Instant),  # when the person bought again
    Column("note", Text),  # unsubscribed | refused: holds for whoever has the address again
)

privacy_requests = Table(
    "privacy_requests",
    metadata,
    Column("id", Number().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("merchant_id", Number, nullable=False),
    Column("kind", Text, nullable=False),  # customers/redact, customers/data_request, shop/redact, again
    Column("who", Text, nullable=False),  # shopify, or whoever of the merchant's asked
    Column("digest", Text),  # of the signed body: the same words again are the same request
    Column("asked_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("stage", Text, nullable=False),  # find, search, rest; done, void, held
    Column("numbers", Text, nullable=False, server_default="[]"),  # JSON: our own numbers for the person
    Column("searched", Number, nullable=False, server_default="0"),  # the last event looked through
    Column("search_until", Number, nullable=False, server_default="0"),
    Column("removed", Text, nullable=False, server_default="{}"),  # JSON: holder -> rows
    Column("attempts", Integer, nullable=False, server_default="0"),  # that failed, in a row
    Column("next_at", Instant, nullable=False),
    Column("reason", Text),  # why it failed, is held, or was not carried out
    Column("waits_until", Instant),  # on purpose: for a file to be fetched, or a code to be switched off
    Column("told_at", Instant),  # when the merchant was told that an export is ready
    Column("done_at", Instant),
)
_OPEN = text("done_at IS NULL")
Index(
    "ix_privacy_requests_open",
    privacy_requests.c.due_at,
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)
Index("ix_privacy_requests_merchant", privacy_requests.c.merchant_id, privacy_requests.c.id)

# Whom a request is about, until it is done.
privacy_names = Table(
    "privacy_names",
    metadata,
    Column("request", Number, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),  # as in handlers.holders.Name; event = an event's number
    Column("value", Text, primary_key=True),
    info={"hangs_on": ("request", "privacy_requests", "id")},
)

privacy_files = Table(
    "privacy_files",
    metadata,
    Column("request", Number, primary_key=True, autoincrement=False),
    Column("merchant_id", Number, nullable=False),
    Column("name", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("fetched_at", Instant),
)
Index("ix_privacy_files_merchant", privacy_files.c.merchant_id)


class Request(NamedTuple):
    """One request as its row stands."""

    id: int
    merchant_id: int
    kind: str
    who: str
    asked_at: int
    due_at: int
    stage: str
    numbers: tuple[int, ...]
    searched: int
    search_until: int
    removed: Mapping[str, int]
    attempts: int
    next_at: int
    reason: str | None
    told_at: int | None
    done_at: int | None
    waits_until: int | None = None

    def shown(self) -> dict[str, Any]:
        """The receipt as JSON values: what was asked, by when it is due, and what became of it."""
        return {
            "request": self.id,
            "kind": self.kind,
            "asked_by": self.who,
            "asked_at": to_iso(self.asked_at),
            "due_at": to_iso(self.due_at),
            "done_at": to_iso(self.done_at),
            "state": self.stage if self.stage in ("done", "void", "held") else "open",
            "customers": list(self.numbers),
            "removed": dict(self.removed),
            "reason": self.reason,
        }


# --- Requests -----------------------------------------------------------------------------------


def open_request(
    merchant_id: int, kind: str, who: str, names: Iterable[Name], now: int, numbers: Sequence[int] = (), body: str = ""
) -> Steps[int | None]:
    """Take note of a request and by when it is due; returns its number, None where the same was asked before."""
    if body:
        asked = yield from ask(_SAME, (merchant_id, body, now - SAME_REQUEST))
        if asked:
            return None
    row = (merchant_id, kind, who, body or None, now, now + WITHIN, "find", json.dumps(list(numbers)), now)
    ((number,),) = yield from ask(_ASK, row)
    yield from keep_names(number, names)
    return int(number)


def keep_names(request: int, names: Iterable[Name]) -> Steps[None]:
    """Remember what names somebody until a request is done."""
    yield from ask(_KEEP_NAMES, sorted({(request, kind, value) for kind, value in names}))


def names(merchant_id: int, request: int) -> Steps[list[Name]]:
    """Return what names whoever a merchant's request is about."""
    return [(row[0], row[1]) for row in (yield from ask(_NAMES, (merchant_id, request)))]


def requests(merchant_id: int | None, *, only_open: bool, after: int = 0, limit: int = 100) -> Steps[list[Request]]:
    """List requests of one merchant or of all, the oldest first, those after a number."""
    many = min(limit, MOST_LISTED)
    if merchant_id is None:
        rows = yield from ask(_LIST_OPEN if only_open else _LIST, (after, many))
    else:
        rows = yield from ask(_LIST_OPEN_OF if only_open else _LIST_OF, (merchant_id, after, many))
    return [_request(row) for row in rows]


def request(number: int) -> Steps[Request | None]:
    """Return one request."""
    rows = yield from ask(_ONE, (number,))
    return _request(rows[0]) if rows else None


def newest(merchant_id: int, limit: int) -> Steps[list[Request]]:
    """List a merchant's newest requests, the newest first."""
    return [_request(row) for row in (yield from ask(_NEWEST, (merchant_id, min(limit, MOST_LISTED))))]


def due_of(merchant_id: int, now: int, limit: int) -> Steps[list[Request]]:
    """List a merchant's requests to be carried out now: those for data first, then the oldest."""
    return [_request(row) for row in (yield from ask(_DUE_OF, (merchant_id, now, limit, DATA)))]


def due(now: int, limit: int) -> Steps[list[int]]:
    """List merchants with requests to be carried out now, the most urgent first."""
    rows = yield from ask(_DUE, (now, limit))
    return [row[0] for row in rows]


def write(one: Request) -> Steps[Request]:
    """Write how far a request has come."""
    row = (one.id, one.stage, json.dumps(list(one.numbers)), one.searched, one.search_until, json.dumps(one.removed))
    yield from ask(_WRITE, (*row, one.attempts, one.next_at, one.reason, one.told_at, one.done_at, one.waits_until))
    return one


def finish(one: Request, stage: str, now: int, reason: str | None = None) -> Steps[Request]:
    """End a request: from now on nothing of whom it was about is left here."""
    yield from ask(_FORGET_NAMES, (one.id,))
    return (yield from write(one._replace(stage=stage, done_at=now, reason=reason, waits_until=None)))


def counted(one: Request, holder: str, rows: int) -> Request:
    """Add to what a request has removed."""
    return one if not rows else one._replace(removed={**one.removed, holder: one.removed.get(holder, 0) + rows})


# --- Leases -------------------------------------------------------------------------------------


def claim(merchant_id: int, token: str, vault: Vault) -> Steps[bool]:
    """Lease a merchant's requests; False where somebody is at them."""
    yield from key_of(merchant_id, vault)
    return bool((yield from ask(_CLAIM, (merchant_id, token, LEASE)))[0][0])


def hold(merchant_id: int, token: str) -> Steps[None]:
    """Renew a lease; raises LostLease where somebody else has it by now."""
    if not (yield from ask(_HOLD, (merchant_id, token, LEASE)))[0][0]:
        raise LostLease("another process carries out this merchant's requests by now")


def let_go(merchant_id: int, token: str) -> Steps[None]:
    """End a lease."""
    yield from ask(_LET_GO, (merchant_id, token))


class LostLease(Exception):
    """Somebody else carries the merchant's requests out by now: what was to be written is rolled back."""


# --- Tombstones ---------------------------------------------------------------------------------


def key_of(merchant_id: int, vault: Vault) -> Steps[bytes]:
    """Return the key a merchant's names are digested under, made where there is none."""
    keys = yield from keys_of([merchant_id], vault)
    if merchant_id not in keys:
        fresh = b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        yield from ask(_MAKE_KEY, (merchant_id, vault.seal(fresh, **place(merchant_id))))
        keys = yield from keys_of([merchant_id], vault)
    return keys[merchant_id]


def keys_of(merchant_ids: Iterable[int], vault: Vault) -> Steps[dict[int, bytes]]:
    """Return the keys of those merchants who have one: with nobody forgotten there is none."""
    rows = yield from ask(_KEYS, [(merchant_id,) for merchant_id in sorted(set(merchant_ids))])
    return {merchant_id: _opened(vault, merchant_id, sealed) for merchant_id, sealed in rows}


@lru_cache(maxsize=4096)
def _opened(vault: Vault, merchant_id: int, sealed: str) -> bytes:
    return b64decode(vault.open(sealed, **place(merchant_id)))


def reseal(vault: Vault) -> Steps[int]:
    """Seal keys again that an older key of SECRET_KEY sealed; returns how many."""
    rows = yield from ask(_ALL_KEYS, ())
    old = [(merchant_id, sealed) for merchant_id, sealed in rows if not vault.is_current(sealed)]
    for merchant_id, sealed in old:
        fresh = vault.seal(vault.open(sealed, **place(merchant_id)), **place(merchant_id))
        yield from ask(_RESEAL, (merchant_id, fresh))
    return len(old)


def forget_key(merchant_id: int) -> Steps[None]:
    """Forget a merchant's key: whatever was digested under it means nothing from now on."""
    yield from ask(_FORGET_KEY, (merchant_id,))


def place(merchant_id: int) -> dict[str, Any]:
    """Name the place a merchant's key is sealed to."""
    return {"table": "privacy_keys", "merchant": merchant_id, "column": "sealed"}


def bury(
    merchant_id: int, key: bytes, notes: Mapping[Name, str | None], now: int, *, only_new: bool = False
) -> Steps[None]:
    """Set tombstones for names; each may have a note that outlives the forgetting.

    With `only_new` those that are there stay as they are.
    """
    rows = {digest(key, name): note or "" for name, note in notes.items()}
    statement = _BURY_NEW if only_new else _BURY
    yield from ask(statement, sorted((merchant_id, mark, now, note) for mark, note in rows.items()))


def tombstones_of(wanted: Iterable[tuple[int, str]]) -> Steps[dict[tuple[int, str], Tombstone]]:
    """Return the tombstones at (merchant, digest)."""
    rows = yield from ask(_DEAD, sorted(set(wanted)))
    return {(row[0], row[1]): Tombstone(*row[2:]) for row in rows}


def welcome_back(who: Iterable[tuple[int, str, int]]) -> Steps[None]:
    """Note that whoever goes by (merchant, digest) bought again at an instant."""
    yield from ask(_BACK, sorted(set(who)))


# --- Files --------------------------------------------------------------------------------------


class File(NamedTuple):
    """An export that is ready to be fetched by the merchant."""

    name: str
    content: bytes


def keep_file(one: Request, file: File, now: int, expires_at: int) -> Steps[None]:
    """Keep an export for the merchant to fetch."""
    yield from ask(_KEEP_FILE, (one.id, one.merchant_id, file.name, file.content, now, expires_at))


def fetch(merchant_id: int, request: int, now: int) -> Steps[File | None]:
    """Return a merchant's export and note that it was fetched; None where there is none (any more)."""
    rows = yield from ask(_FETCH, (merchant_id, request, now))
    if not rows:
        return None
    yield from ask(_FETCHED, (merchant_id, request, now))
    return File(rows[0][0], bytes(rows[0][1]))


class Owed(NamedTuple):
    """A data request whose file has not been made, or has not been fetched."""

    request: int
    numbers: frozenset[int]
    is_made: bool


def owed(merchant_id: int, now: int) -> Steps[list[Owed]]:
    """List a merchant's data requests that came to nothing so far: a forgetting would empty them."""
    rows = yield from ask(_OWED, (merchant_id, DATA, now))
    return [Owed(number, frozenset(json.loads(of)), done_at is not None) for number, of, done_at in rows]


def ready(merchant_id: int) -> Steps[frozenset[int]]:
    """Return the requests whose files are there to be fetched."""
    return frozenset(row[0] for row in (yield from ask(_FILES, (merchant_id,))))


def prune_files(now: int) -> Steps[int]:
    """Delete exports that have been kept long enough; returns how many."""
    yield from ask(_UNREAD_LONG, (now, "nobody downloaded the file in the days it was kept"))
    return int((yield from ask(_PRUNE_FILES, (now,)))[0][0])


def forget_files(merchant_id: int, numbers: Iterable[int]) -> Steps[int]:
    """Delete a merchant's exports of these customers; returns how many."""
    mine = set(numbers)
    gone = []
    for number, of in (yield from ask(_FILES, (merchant_id,))):
        if mine & set(json.loads(of)):
            gone.append((number,))
    yield from ask(_UNREAD, [(*one, "the file went, unread, when the person was forgotten") for one in gone])
    touched = yield from ask(_DROP_FILES, gone)
    return touched[0][0] if touched else 0


def _request(row: Row) -> Request:
    found = Request(*row)
    return found._replace(numbers=tuple(json.loads(row[7])), removed=json.loads(row[10]))


_COLUMNS = (
    "r.id, r.merchant_id, r.kind, r.who, r.asked_at, r.due_at, r.stage, r.numbers, r.searched, r.search_until,"
    " r.removed, r.attempts, r.next_at, r.reason, r.told_at, r.done_at, r.waits_until FROM privacy_requests r"
)
_SAME = plain("SELECT id FROM privacy_requests WHERE merchant_id = ?1 AND digest = ?2 AND asked_at > ?3 LIMIT 1")
_ASK = plain(
    "INSERT INTO privacy_requests (merchant_id, kind, who, digest, asked_at, due_at, stage, numbers, next_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id"
)
_KEEP_NAMES = insert("privacy_names", "ON CONFLICT DO NOTHING", request=BIG, kind=TEXT, value=TEXT)
_NAMES = plain(
    "SELECT n.kind, n.value FROM privacy_requests r JOIN privacy_names n ON n.request = r.id"
    " WHERE r.merchant_id = ?1 AND r.id = ?2"
)
_FORGET_NAMES = plain("DELETE FROM privacy_names WHERE request = ?1")
_LIST = plain(f"SELECT {_COLUMNS} WHERE r.id > ?1 ORDER BY r.id LIMIT ?2")
_LIST_OPEN = plain(f"SELECT {_COLUMNS} WHERE r.done_at IS NULL AND r.id > ?1 ORDER BY r.id LIMIT ?2")
_LIST_OF = plain(f"SELECT {_COLUMNS} WHERE r.merchant_id = ?1 AND r.id > ?2 ORDER BY r.id LIMIT ?3")
_LIST_OPEN_OF = plain(
    f"SELECT {_COLUMNS} WHERE r.done_at IS NULL AND r.merchant_id = ?1 AND r.id > ?2 ORDER BY r.id LIMIT ?3"
)
_NEWEST = plain(f"SELECT {_COLUMNS} WHERE r.merchant_id = ?1 ORDER BY r.id DESC LIMIT ?2")
_ONE = plain(f"SELECT {_COLUMNS} WHERE r.id = ?1")
_DUE = plain(
    "SELECT merchant_id FROM privacy_requests WHERE done_at IS NULL AND stage <> 'held' AND next_at <= ?1"
    " GROUP BY merchant_id ORDER BY min(due_at), merchant_id LIMIT ?2"
)
_DUE_OF = plain(
    f"SELECT {_COLUMNS} WHERE r.merchant_id = ?1 AND r.done_at IS NULL AND r.stage <> 'held' AND r.next_at <= ?2"
    " ORDER BY CASE WHEN r.kind = ?4 THEN 0 ELSE 1 END, r.id LIMIT ?3"
)
_WRITE = plain(
    "UPDATE privacy_requests SET stage = ?2, numbers = ?3, searched = ?4, search_until = ?5, removed = ?6,"
    " attempts = ?7, next_at = ?8, reason = ?9, told_at = ?10, done_at = ?11, waits_until = ?12 WHERE id = ?1"
)
_CLAIM = plain(
    "UPDATE privacy_keys SET claim = ?2, claimed_until = {clock} + ?3 WHERE merchant_id = ?1"
    # A lease that seems to last longer was given before the database's clock was set back.
    " AND (claim IS NULL OR claimed_until <= {clock} OR claimed_until > {clock} + ?3)"
)
_HOLD = plain("UPDATE privacy_keys SET claimed_until = {clock} + ?3 WHERE merchant_id = ?1 AND claim = ?2")
_LET_GO = plain("UPDATE privacy_keys SET claim = NULL, claimed_until = NULL WHERE merchant_id = ?1 AND claim = ?2")
_KEYS = keyed(
    "SELECT p.merchant_id, p.sealed FROM {keys} k CROSS JOIN privacy_keys p WHERE p.merchant_id = k.merchant_id",
    merchant_id=BIG,
)
_ALL_KEYS = plain("SELECT merchant_id, sealed FROM privacy_keys ORDER BY merchant_id")
_RESEAL = plain("UPDATE privacy_keys SET sealed = ?2 WHERE merchant_id = ?1")
_FORGET_KEY = plain("DELETE FROM privacy_keys WHERE merchant_id = ?1")
_MAKE_KEY = plain("INSERT INTO privacy_keys (merchant_id, sealed) VALUES (?1, ?2) ON CONFLICT (merchant_id) DO NOTHING")
_BURY = insert(
    "tombstones",
    # An older note is not lost where the person is forgotten again.
    "ON CONFLICT (merchant_id, digest) DO UPDATE SET forgotten_at = excluded.forgotten_at, back_at = NULL,"
    " note = CASE WHEN excluded.note = '' THEN tombstones.note ELSE excluded.note END",
    merchant_id=BIG,
    digest=TEXT,
    forgotten_at=BIG,
    note=TEXT,
)
_BURY_NEW = insert("tombstones", "ON CONFLICT DO NOTHING", merchant_id=BIG, digest=TEXT, forgotten_at=BIG, note=TEXT)
_DEAD = keyed(
    "SELECT t.merchant_id, t.digest, t.forgotten_at, t.back_at, t.note FROM {keys} k CROSS JOIN tombstones t"
    " WHERE t.merchant_id = k.merchant_id AND t.digest = k.digest",
    merchant_id=BIG,
    digest=TEXT,
)
_BACK = keyed(
    "UPDATE tombstones SET back_at = coalesce(tombstones.back_at, k.at) FROM {keys} k"
    " WHERE tombstones.merchant_id = k.merchant_id AND tombstones.digest = k.digest",
    merchant_id=BIG,
    digest=TEXT,
    at=BIG,
)
_KEEP_FILE = plain(
    "INSERT INTO privacy_files (request, merchant_id, name, content, made_at, expires_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (request) DO UPDATE SET content = excluded.content"
)
_FETCH = plain("SELECT name, content FROM privacy_files WHERE merchant_id = ?1 AND request = ?2 AND expires_at > ?3")
_FETCHED = plain("UPDATE privacy_files SET fetched_at = ?3 WHERE merchant_id = ?1 AND request = ?2")
_PRUNE_FILES = plain("DELETE FROM privacy_files WHERE expires_at <= ?1")
_FILES = plain(
    "SELECT f.request, r.numbers FROM privacy_files f"
    " JOIN privacy_requests r ON r.id = f.request AND r.merchant_id = f.merchant_id WHERE f.merchant_id = ?1"
)
_OWED = plain(
    "SELECT r.id, r.numbers, r.done_at FROM privacy_requests r"
    " LEFT JOIN privacy_files f ON f.request = r.id AND f.merchant_id = r.merchant_id"
    " WHERE r.merchant_id = ?1 AND r.kind = ?2"
    " AND (r.done_at IS NULL OR (f.fetched_at IS NULL AND f.expires_at > ?3)) ORDER BY r.id"
)
_UNREAD = keyed(
    "UPDATE privacy_requests SET reason = k.reason FROM {keys} k WHERE privacy_requests.id = k.request"
    " AND EXISTS (SELECT 1 FROM privacy_files f WHERE f.request = k.request AND f.fetched_at IS NULL)",
    request=BIG,
    reason=TEXT,
)
_UNREAD_LONG = plain(
    "UPDATE privacy_requests SET reason = ?2 WHERE id IN"
    " (SELECT f.request FROM privacy_files f WHERE f.expires_at <= ?1 AND f.fetched_at IS NULL)"
)
_DROP_FILES = keyed("DELETE FROM privacy_files WHERE request IN (SELECT k.request FROM {keys} k)", request=BIG)
