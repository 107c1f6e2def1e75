"""What Shopify has been told of whom, whose card may have changed, and how far a merchant's ledger was followed."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import Column, Index, Integer, Table, Text, text

from handlers.mirror.rules import SCOPE, touched
from integration.clock import DAY, MINUTE
from integration.database.schema import Instant, Number, metadata
from integration.database.shares import due_by_merchant
from integration.database.steps import BIG, TEXT, Row, Steps, ask, insert, keyed, plain

MOST_ENTRIES = 2_000  # of the ledger followed in one transaction
PAGE = 500  # customers looked over in one transaction
SWEEP_EVERY = DAY  # everybody is looked over: a tier can be lost without an entry in the ledger
LEASE = 5 * MINUTE

mirrors = Table(
    "mirrors",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("account", Text, primary_key=True),  # the customer's number at Shopify
    Column("customer", Number),  # ours; null = forgotten: what Shopify was told is taken away, and this row with it
    Column("digest", Text),  # of the card Shopify has; null = none
    Column("has_tier", Integer, nullable=False, server_default="0"),  # whether a tier is part of it
    Column("due_at", Instant),  # since when it may have changed; null = it has not
    Column("tag", Text),  # of their tier, as far as we know; null = none
    Column("tag_state", Text),  # adding = may not be there yet, ours = we added it, found = it was there already
)
_TO_LOOK = text("due_at IS NOT NULL")
Index(
    "ix_mirrors_due",
    mirrors.c.merchant_id,
    mirrors.c.due_at,
    mirrors.c.account,
    sqlite_where=_TO_LOOK,
    postgresql_where=_TO_LOOK,
)
Index("ix_mirrors_customer", mirrors.c.customer, mirrors.c.merchant_id)

mirror_marks = Table(
    "mirror_marks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("entry", Number, nullable=False),  # of the ledger, the last one followed
    Column("version", Number, nullable=False),  # of the programme everybody was last looked over under
    Column("swept_at", Instant, nullable=False),
    Column("swept_after", Number),  # the customer a look over everybody goes on behind; null = it is done
    Column("form", Integer, nullable=False, server_default="0"),  # of the definitions the shop has
    Column("busy_until", Instant, nullable=False, server_default="0"),  # told by one worker at a time, or put off
)


class Behind(NamedTuple):
    """A merchant whose ledger, programme or day has moved on."""

    merchant_id: int
    entry: int
    version: int


class Due(NamedTuple):
    """One customer of the shop whose card may have changed."""

    account: str
    customer: int | None
    digest: str | None
    has_tier: bool
    due_at: int
    tag: str | None
    tag_state: str | None


_SHOWS = (
    "FROM connections c JOIN books b ON b.merchant_id = c.merchant_id"
    " LEFT JOIN mirror_marks m ON m.merchant_id = c.merchant_id"
    " WHERE c.platform = 'shopify' AND c.mode = 'live' AND c.closed_at IS NULL AND c.revoked_at IS NULL"
    f" AND c.token IS NOT NULL AND c.scopes LIKE '%\"{SCOPE}\"%'"
)
_VERSION = "coalesce((SELECT max(p.version) FROM program_versions p WHERE p.merchant_id = c.merchant_id), 0)"
_BEHIND = plain(
    f"SELECT c.merchant_id, coalesce(m.entry, 0), {_VERSION} {_SHOWS}"
    " AND c.merchant_id > ?1 AND (m.merchant_id IS NULL OR b.next_entry - 1 > m.entry OR m.swept_at <= ?2"
    f" OR m.swept_after IS NOT NULL OR m.version <> {_VERSION}) ORDER BY c.merchant_id LIMIT ?3"
)
_CONNECTION = plain(
    f"SELECT c.id, c.account, coalesce(m.form, 0) {_SHOWS} AND c.merchant_id = ?1 ORDER BY c.id LIMIT 1"
)
_BEGIN = plain(
    "INSERT INTO mirror_marks (merchant_id, entry, version, swept_at, swept_after) VALUES (?1, 0, ?2, ?3, 0)"
    " ON CONFLICT (merchant_id) DO UPDATE SET version = excluded.version, swept_at = excluded.swept_at,"
    " swept_after = 0 WHERE mirror_marks.version <> excluded.version OR mirror_marks.swept_at <= ?4"
)
_ENTRIES = plain(
    "SELECT number, source, destination FROM ledger_entries WHERE merchant_id = ?1 AND number > ?2"
    " ORDER BY number LIMIT ?3"
)
_ADVANCE = plain("UPDATE mirror_marks SET entry = ?3 WHERE merchant_id = ?1 AND entry = ?2")
_SWEEP = plain(
    "SELECT c.number FROM customers c WHERE c.merchant_id = ?1 AND c.number > ?2 AND c.merged_into IS NULL"
    " AND (EXISTS (SELECT 1 FROM accounts a WHERE a.merchant_id = c.merchant_id"
    " AND a.account = 'customer:' || c.number || ':available') OR EXISTS (SELECT 1 FROM standings t"
    " WHERE t.merchant_id = c.merchant_id AND t.customer = c.number) OR EXISTS (SELECT 1 FROM mirrors r"
    " WHERE r.customer = c.number AND r.merchant_id = c.merchant_id AND r.tag IS NOT NULL)) ORDER BY c.number LIMIT ?3"
)
_SWEPT_AFTER = plain("SELECT swept_after FROM mirror_marks WHERE merchant_id = ?1")
_SWEPT = plain("UPDATE mirror_marks SET swept_after = ?3 WHERE merchant_id = ?1 AND swept_after = ?2")
_ROOTS = keyed(
    "SELECT coalesce(c.merged_into, c.number) FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.number",
    merchant_id=BIG,
    number=BIG,
)
_ACCOUNTS = keyed(
    "SELECT k.number, c.shopify_id FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.number AND c.shopify_id IS NOT NULL"
    " UNION SELECT k.number, c.shopify_id FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merged_into = k.number AND c.merchant_id = k.merchant_id AND c.shopify_id IS NOT NULL",
    merchant_id=BIG,
    number=BIG,
)
_STIR = insert(
    "mirrors",
    "ON CONFLICT (merchant_id, account) DO UPDATE SET customer = excluded.customer, due_at = excluded.due_at",
    merchant_id=BIG,
    account=TEXT,
    customer=BIG,
    due_at=BIG,
)
DUE = due_by_merchant(
    "mirrors",
    "due_at",
    "account",
    "t.due_at IS NOT NULL",
    ("t.account", "t.customer", "t.digest", "t.has_tier", "t.due_at", "t.tag", "t.tag_state", "t.merchant_id AS owner"),
)
_CLAIM = plain("UPDATE mirror_marks SET busy_until = ?3 WHERE merchant_id = ?1 AND busy_until <= ?2")
_LEAVE = plain("UPDATE mirror_marks SET busy_until = ?2 WHERE merchant_id = ?1")
_DEFINED = plain("UPDATE mirror_marks SET form = ?2 WHERE merchant_id = ?1")
_TOLD = keyed(
    "UPDATE mirrors SET digest = k.digest, has_tier = k.has_tier,"
    " due_at = CASE WHEN mirrors.due_at = k.due_at THEN NULL ELSE mirrors.due_at END"
    " FROM {keys} k WHERE mirrors.merchant_id = k.merchant_id AND mirrors.account = k.account",
    merchant_id=BIG,
    account=TEXT,
    digest=TEXT,
    has_tier=BIG,
    due_at=BIG,
)
_TAGGED = keyed(
    "UPDATE mirrors SET tag = k.tag, tag_state = k.tag_state FROM {keys} k"
    " WHERE mirrors.merchant_id = k.merchant_id AND mirrors.account = k.account",
    merchant_id=BIG,
    account=TEXT,
    tag=TEXT,
    tag_state=TEXT,
)
_CLEARED = keyed(
    "DELETE FROM mirrors WHERE customer IS NULL"
    " AND (merchant_id, account) IN (SELECT k.merchant_id, k.account FROM {keys} k)",
    merchant_id=BIG,
    account=TEXT,
)


def behind(after: int, now: int, limit: int) -> Steps[list[Behind]]:
    """List merchants who let us tell Shopify, and whose customers have to be looked at."""
    return [Behind(*row) for row in (yield from ask(_BEHIND, (after, now - SWEEP_EVERY, limit)))]


def begin(one: Behind, now: int) -> Steps[None]:
    """Begin to look over everybody, where the programme is new or a day has passed."""
    yield from ask(_BEGIN, (one.merchant_id, one.version, now, now - SWEEP_EVERY))


def follow(merchant_id: int, entry: int, now: int) -> Steps[int | None]:
    """Note whose points the next entries moved; returns the last one followed, None where that was all."""
    rows = yield from ask(_ENTRIES, (merchant_id, entry, MOST_ENTRIES))
    if not rows:
        return None
    moved = touched([account for _, source, destination in rows for account in (source, destination)])
    yield from stir(merchant_id, moved, now)
    last: int = rows[-1][0]
    yield from ask(_ADVANCE, (merchant_id, entry, last))
    return last if len(rows) == MOST_ENTRIES else None


def sweep(merchant_id: int, after: int, now: int) -> Steps[int | None]:
    """Note a page of all customers with points; returns the last one, None where that was all."""
    numbers = [row[0] for row in (yield from ask(_SWEEP, (merchant_id, after, PAGE)))]
    yield from stir(merchant_id, numbers, now)
    last = numbers[-1] if len(numbers) == PAGE else None
    yield from ask(_SWEPT, (merchant_id, after, last))
    return last


def swept_after(merchant_id: int) -> Steps[int | None]:
    """Return behind whom the look over everybody goes on; None where it is done."""
    rows = yield from ask(_SWEPT_AFTER, (merchant_id,))
    return rows[0][0] if rows else None


def stir(merchant_id: int, numbers: Collection[int], now: int) -> Steps[None]:
    """Note that the cards of these customers may have changed, under every number they have at Shopify."""
    roots = yield from ask(_ROOTS, [(merchant_id, number) for number in sorted(numbers)])
    found = yield from ask(_ACCOUNTS, sorted({(merchant_id, root) for (root,) in roots}))
    yield from ask(_STIR, sorted({(merchant_id, account, root, now) for root, account in found}))


def heard(merchant_id: int, numbers: Collection[int], now: int) -> Steps[None]:
    """Note that these customers have another tier by now, where a shop is told of such."""
    if (yield from connection_of(merchant_id)) is not None:
        yield from stir(merchant_id, numbers, now)


def connection_of(merchant_id: int) -> Steps[tuple[int, str, int] | None]:
    """Return connection, shop and the form of its definitions; None where we may not tell it anything."""
    rows = yield from ask(_CONNECTION, (merchant_id,))
    return rows[0] if rows else None


def claim(merchant_id: int, now: int) -> Steps[bool]:
    """Take a merchant for a while; False where another worker has them, or they are put off."""
    return bool((yield from ask(_CLAIM, (merchant_id, now, now + LEASE)))[0][0])


def leave(merchant_id: int, until: int) -> Steps[None]:
    """Let go of a merchant; nobody tells their shop anything until an instant."""
    yield from ask(_LEAVE, (merchant_id, until))


def defined(merchant_id: int, form: int) -> Steps[None]:
    """Keep that the shop has the definitions."""
    yield from ask(_DEFINED, (merchant_id, form))


def told(merchant_id: int, rows: Iterable[tuple[Due, str | None, bool]]) -> Steps[None]:
    """Keep what Shopify has by now; what was stirred meanwhile stays due."""
    keys = [(merchant_id, due.account, digest, int(has_tier), due.due_at) for due, digest, has_tier in rows]
    yield from ask(_TOLD, keys)


def tagged(merchant_id: int, rows: Iterable[tuple[str, str | None, str | None]]) -> Steps[None]:
    """Keep which tag each (account, tag, state) has, or will have: `adding` is written before Shopify is asked."""
    yield from ask(_TAGGED, sorted((merchant_id, *row) for row in rows))


def cleared(merchant_id: int, accounts: Iterable[str]) -> Steps[None]:
    """Forget the numbers at Shopify of people who are forgotten, now that nothing stands there."""
    yield from ask(_CLEARED, [(merchant_id, account) for account in accounts])


def due_of(row: Row) -> Due:
    """Read a row of `DUE`."""
    account, customer, digest, has_tier, due_at, tag, tag_state, _ = row
    return Due(account, customer, digest, bool(has_tier), due_at, tag, tag_state)
