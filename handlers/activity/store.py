"""A merchant's events page by page, found by order or delivery, replayed; and pairs of sales held to be one."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from handlers.activity.rules import sought_names
from handlers.inbox.replay import replay
from integration.database.packing import unpack
from integration.database.steps import BIG, TEXT, Row, Sql, Steps, ask, keyed, plain

PAGE = 30
MOST_SCANNED = 20_000  # events looked through for one page, where a filter fits few of them
MOST_SEARCHED = 100  # found by one search
MOST_CONSIDERED = 200  # events that went amiss, of which a search looks into some
MOST_READ = 50  # bodies that are looked into
MOST_READ_BYTES = 256 * 1024  # of one body, unpacked: a few kilobytes can hold megabytes
MOST_REPLAYED = 10_000  # dead letters, at one press of a button
MOST_COUNTED = 1_000
REPLAYED_AT_ONCE = 200
NEWEST = 2**62


class Event(NamedTuple):
    """One event and what became of it, without its body."""

    id: int
    source: str
    topic: str
    delivery_id: str
    state: str
    reason: str | None
    claims: int
    received_at: int
    ended_at: int | None
    next_attempt_at: int
    recovered: int
    order: str | None  # what the shop calls the sale it told of
    customer: int | None  # whose that is


class Page(NamedTuple):
    """One page, the newest first; `before` is where the next one begins, None = this was the last."""

    events: list[Event]
    before: int | None


class Body(NamedTuple):
    """What an event said, as it came; None where it is gone or damaged."""

    raw: bytes | None
    is_damaged: bool


class Twins(NamedTuple):
    """A payment held to be the same purchase as an order: the order earned, the payment did not."""

    number: int  # of the payment's sale
    payment: str
    sold_at: int | None
    total_minor: int
    currency: str | None
    order: str | None
    customer: int | None


def events(merchant_id: int, before: int | None, state: str | None = None, limit: int = PAGE) -> Steps[Page]:
    """List a merchant's events, of one state (or `amiss`: all that need a look) or of all, the newest first.

    A page may hold fewer than `limit` although there are more: then `before` says where to look on.
    """
    begin = NEWEST if before is None else before
    if state is None:
        rows = yield from ask(_PAGE, (merchant_id, begin, limit + 1))
    elif state in _AMISS:
        rows = yield from ask(_AMISS[state], (merchant_id, begin, limit + 1))
    else:
        rows = yield from ask(_FILTERED, (merchant_id, begin, state, limit + 1))
    found = [Event(*row) for row in rows[:limit]]
    if len(rows) > limit:
        return Page(found, found[-1].id)
    if state is None or state in _AMISS:
        return Page(found, None)
    end = yield from ask(_SCANNED, (merchant_id, begin))
    return Page(found, end[0][0] if end else None)


def search(merchant_id: int, text: str) -> Steps[list[Event]]:
    """Find events by an order's number or id, a payment's id, or a delivery's id, the newest first.

    Orders lead to the events that told of them; what went amiss has not come so far, and is looked into itself.
    """
    names = sought_names(text)
    if not names:
        return []
    sales: set[int] = set()
    for number, absorbed in (yield from ask(_BY_NAME, [(merchant_id, name) for name in names])):
        sales |= {number, *_numbers(absorbed)}
    wanted = text.strip()
    ids = [(merchant_id, platform, kind, wanted) for platform, kind in _NAMED_BY]
    for number, absorbed in (yield from ask(_BY_IDENTITY, ids)):
        sales |= {number, *_numbers(absorbed)}
    rows = yield from ask(_OF_SALES, [(merchant_id, sale) for sale in sorted(sales)])
    rows += yield from ask(_BY_DELIVERY, (merchant_id, wanted))
    rows += yield from _amiss_with(merchant_id, names[0].removeprefix("#"))
    found = {row[0]: Event(*row) for row in rows}
    return [found[number] for number in sorted(found, reverse=True)][:MOST_SEARCHED]


def event_of(merchant_id: int, number: int) -> Steps[Event | None]:
    """Return one event of a merchant's; None where they have none of that number."""
    rows = yield from ask(_ONE, (merchant_id, number))
    return Event(*rows[0]) if rows else None


def body_of(merchant_id: int, number: int) -> Steps[Body]:
    """Return the body of a merchant's event as it came."""
    rows = yield from ask(_BODY, (merchant_id, number))
    if not rows:
        return Body(None, False)
    body = _unpacked(*rows[0])
    return Body(body, body is None)


def count_failed(merchant_id: int) -> Steps[int]:
    """Count a merchant's dead letters, up to MOST_COUNTED."""
    return int((yield from ask(_COUNT_FAILED, (merchant_id, MOST_COUNTED)))[0][0])


def replay_one(merchant_id: int, number: int, now: int) -> Steps[bool]:
    """Have one of a merchant's ended events worked again; False where it cannot be (see `inbox.replay`)."""
    return bool((yield from replay([number], now, merchant_id)))


def replay_failed(merchant_id: int, before: int | None, now: int) -> Steps[tuple[int, int | None]]:
    """Have some of a merchant's dead letters worked again, the newest first.

    Returns how many, and before which to go on (None = that were all). Those without a body are left.
    """
    begin = NEWEST if before is None else before
    rows = yield from ask(_FAILED, (merchant_id, begin, REPLAYED_AT_ONCE))
    replayed = yield from replay([row[0] for row in rows], now, merchant_id)
    return len(replayed), rows[-1][0] if len(rows) == REPLAYED_AT_ONCE else None


def twins(merchant_id: int, before: int | None, limit: int = PAGE) -> Steps[tuple[list[Twins], int | None]]:
    """List payments held to be an order of the shop told twice, the newest first, and before which to go on."""
    rows = yield from ask(_TWINS, (merchant_id, NEWEST if before is None else before, limit + 1))
    found = [Twins(*row) for row in rows[:limit]]
    return found, found[-1].number if len(rows) > limit else None


def _amiss_with(merchant_id: int, text: str) -> Steps[list[Row]]:
    """Find, among the newest events that went amiss, those whose body holds a text as a value of its own.

    No more is unpacked than MOST_READ bodies of MOST_READ_BYTES each.
    """
    rows = yield from ask(_AMISS_BODIES, (merchant_id, MOST_CONSIDERED, MOST_READ_BYTES, MOST_READ))
    pattern = re.compile(rb'["#:]\s*#?' + re.escape(text.encode()) + rb'["\s,}\]]', re.IGNORECASE)
    held = [row[0] for row in rows if pattern.search(_unpacked(row[1], row[2]) or b"")]
    return (yield from ask(_LISTED, [(merchant_id, number) for number in held]))


def _unpacked(stored: bytes, size: int | None) -> bytes | None:
    """Return a body as it came; None where it is damaged, which is no reason not to show the others."""
    try:
        return unpack(stored, size)
    except ValueError:
        return None


def _numbers(absorbed: str) -> Sequence[int]:
    return [int(number) for number in re.findall(r"\d+", absorbed)]


# --- Statements ---------------------------------------------------------------------------------

_NAMED_BY = (
    ("shopify", "order"),
    ("stripe", "payment"),
    ("stripe", "charge"),
    ("stripe", "session"),
    ("stripe", "invoice"),
)
_STATE = "CASE WHEN e.failed_at IS NOT NULL THEN 'failed' WHEN e.worked_at IS NOT NULL THEN e.outcome ELSE 'open' END"
_COLUMNS = (
    f"SELECT e.id, e.source, e.topic, e.delivery_id, {_STATE}, e.reason, e.claims, e.received_at,"
    " coalesce(e.worked_at, e.failed_at), e.next_attempt_at, e.recovered, o.name, o.customer"
)
_NAMED = (
    " LEFT JOIN sales s ON s.merchant_id = e.merchant_id AND s.number = e.sale"
    " LEFT JOIN sales o ON o.merchant_id = s.merchant_id AND o.number = coalesce(s.merged_into, s.number)"
)
_OWN = "e.merchant_id = ?1 AND e.id < ?2"
_IS_AMISS = "(e.failed_at IS NOT NULL OR e.outcome = 'suspect' OR e.outcome = 'waiting')"


def _page(where: str) -> Sql:
    inner = f"SELECT e.* FROM events e WHERE {where} ORDER BY e.id DESC LIMIT ?3"
    return plain(f"{_COLUMNS} FROM ({inner}) e{_NAMED} ORDER BY e.id DESC")


_PAGE = _page(_OWN)
# Each by the index of what went amiss, however much went well.
_AMISS = {
    "amiss": _page(f"{_OWN} AND {_IS_AMISS}"),
    "failed": _page(f"{_OWN} AND {_IS_AMISS} AND e.failed_at IS NOT NULL"),
    "suspect": _page(f"{_OWN} AND {_IS_AMISS} AND e.failed_at IS NULL AND e.outcome = 'suspect'"),
    "waiting": _page(f"{_OWN} AND {_IS_AMISS} AND e.failed_at IS NULL AND e.outcome = 'waiting'"),
}
_FILTERED = plain(
    f"{_COLUMNS} FROM (SELECT n.* FROM (SELECT e.* FROM events e WHERE {_OWN} ORDER BY e.id DESC"
    f" LIMIT {MOST_SCANNED}) n WHERE {_STATE.replace('e.', 'n.')} = ?3 ORDER BY n.id DESC LIMIT ?4) e{_NAMED}"
    " ORDER BY e.id DESC"
)
_SCANNED = plain(f"SELECT e.id FROM events e WHERE {_OWN} ORDER BY e.id DESC LIMIT 1 OFFSET {MOST_SCANNED - 1}")
_ONE = plain(f"{_COLUMNS} FROM events e{_NAMED} WHERE e.id = ?2 AND e.merchant_id = ?1")
_LISTED = keyed(
    f"{_COLUMNS} FROM {{keys}} k CROSS JOIN events e{_NAMED} WHERE e.id = k.id AND e.merchant_id = k.merchant_id",
    merchant_id=BIG,
    id=BIG,
)
_BODY = plain(
    "SELECT b.body, b.size FROM events e JOIN event_bodies b ON b.event_id = e.id"
    " WHERE e.id = ?2 AND e.merchant_id = ?1"
)
_BY_NAME_SQL = keyed(
    "SELECT s.number, s.absorbed FROM {keys} k CROSS JOIN sales s WHERE s.merchant_id = k.merchant_id"
    " AND lower(s.name{c}) = k.name AND s.name IS NOT NULL AND s.merged_into IS NULL",
    merchant_id=BIG,
    name=TEXT,
)
# Compared by bytes on both engines, as the index is.
_BY_NAME = Sql(
    _BY_NAME_SQL.sqlite.replace("{c}", ""),
    _BY_NAME_SQL.postgres.replace("{c}", ' COLLATE "C"'),
    _BY_NAME_SQL.kind,
    _BY_NAME_SQL.returns,
    _BY_NAME_SQL.columns,
)
_BY_IDENTITY = keyed(
    "SELECT o.number, o.absorbed FROM {keys} k CROSS JOIN sale_identities i"
    " CROSS JOIN sales s CROSS JOIN sales o WHERE i.merchant_id = k.merchant_id AND i.platform = k.platform"
    " AND i.kind = k.kind AND i.value = k.value AND s.merchant_id = i.merchant_id AND s.number = i.sale"
    " AND o.merchant_id = s.merchant_id AND o.number = coalesce(s.merged_into, s.number)",
    merchant_id=BIG,
    platform=TEXT,
    kind=TEXT,
    value=TEXT,
)
_OF_SALES = keyed(
    f"{_COLUMNS} FROM {{keys}} k CROSS JOIN events e{_NAMED} WHERE e.sale = k.sale AND e.merchant_id = k.merchant_id"
    f" ORDER BY e.id DESC LIMIT {MOST_SEARCHED}",
    merchant_id=BIG,
    sale=BIG,
)
_BY_DELIVERY = plain(
    f"{_COLUMNS} FROM connections c CROSS JOIN events e{_NAMED} WHERE c.merchant_id = ?1 AND e.source = c.platform"
    " AND e.connection = c.account AND e.delivery_id = ?2 AND e.merchant_id = ?1"
)
_AMISS_BODIES = plain(
    "SELECT a.id, b.body, b.size FROM (SELECT e.id FROM events e WHERE e.merchant_id = ?1"
    f" AND {_IS_AMISS} ORDER BY e.id DESC LIMIT ?2) a"
    " JOIN event_bodies b ON b.event_id = a.id WHERE coalesce(b.size, length(b.body)) <= ?3"
    " ORDER BY a.id DESC LIMIT ?4"
)
_FAILED = plain(
    f"SELECT e.id FROM events e WHERE {_OWN} AND {_IS_AMISS} AND e.failed_at IS NOT NULL ORDER BY e.id DESC LIMIT ?3"
)
_COUNT_FAILED = plain(
    f"SELECT count(*) FROM (SELECT 1 FROM events e WHERE e.merchant_id = ?1 AND {_IS_AMISS}"
    " AND e.failed_at IS NOT NULL LIMIT ?2) f"
)
_TWINS = plain(
    "SELECT s.number, s.platform_id, s.sold_at, s.total_minor, s.currency, o.name, o.customer"
    " FROM (SELECT t.* FROM sales t WHERE t.merchant_id = ?1 AND t.paired_with IS NOT NULL AND t.number < ?2"
    " AND t.standing = 'elsewhere' AND t.merged_into IS NULL ORDER BY t.number DESC LIMIT ?3) s"
    " LEFT JOIN sales o ON o.merchant_id = s.merchant_id AND o.number = s.paired_with ORDER BY s.number DESC"
)
