"""What was recovered: kept in the transaction that records it, and added up once it has been worked."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Column, Index, Table, Text

from handlers.inbox.record import Delivery, known, record
from handlers.points.rules import ISSUED
from handlers.reconcile.store import Connected, advance, count
from handlers.sales.rules import Identity
from integration.clock import DAY, HOUR
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Row, Steps, ask, insert, keyed, plain

MOST_ADDED_UP = 100_000  # events of one look
ADDED_AT_ONCE = 500
CUT_OFF_AFTER = HOUR  # a look that has not ended by then never will
KEEP_EMPTY = 3 * DAY  # looks that found nothing
KEEP = 400 * DAY

recoveries = Table(
    "recoveries",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("connection", Number, primary_key=True, autoincrement=False),
    Column("delivery_id", Text, primary_key=True),
    Column("started_at", Instant, nullable=False),  # of the look that found it
    # What names the sale it is about; null where it is about none.
    Column("platform", Text),
    Column("kind", Text),
    Column("value", Text),
)
Index("ix_recoveries_value", recoveries.c.value, recoveries.c.merchant_id)
Index("ix_recoveries_look", recoveries.c.started_at, recoveries.c.connection, recoveries.c.merchant_id)


class Found(NamedTuple):
    """Something no webhook told of, as an event; what names its sale; when it changed, by the platform's clock."""

    delivery: Delivery
    sale: Identity | None
    changed_at: int


class Sum(NamedTuple):
    """What a look's recovered events came to: sales, and micropoints issued less those taken back."""

    sales: int
    micropoints: int


def missing(found: Sequence[Found]) -> Steps[list[Found]]:
    """Leave out what has been recorded before, by whatever way it came."""
    keys = [one.delivery[:3] for one in found]
    there = yield from known(keys)
    return [one for one, key in zip(found, keys, strict=True) if key not in there]


def keep(
    one: Connected,
    token: str,
    started_at: int,
    found: Sequence[Found],
    compared: int,
    reached_at: int | None,
) -> Steps[int]:
    """Take in what a run found and note how far it has come, all or nothing; returns how much was new.

    Raises LostRun where another run is at the connection by now.
    """
    yield from advance(one, token, reached_at)
    fresh = yield from missing(found)
    if fresh:
        yield from record([each.delivery for each in fresh])
        rows = [
            (one.merchant_id, one.id, each.delivery.delivery_id, started_at, *(each.sale or (None, None, None)))
            for each in fresh
        ]
        yield from ask(_KEEP, rows)
    yield from count(one, started_at, compared, len(fresh))
    return len(fresh)


def unsummed(now: int, limit: int) -> Steps[list[tuple[int, int, int]]]:
    """List looks that recovered something and are not added up, as (merchant, connection, started at)."""
    rows = yield from ask(_UNSUMMED, (now - CUT_OFF_AFTER, limit))
    return [(row[0], row[1], row[2]) for row in rows]


def add_up(merchant_id: int, connection: int, started_at: int) -> Steps[Sum | None]:
    """Add up what a look's recovered events came to and keep it; None while some are still to be worked.

    Counted is what was posted to a sale in the transaction that worked its event; test sales have a ledger of
    their own and count for nothing.
    """
    rows = yield from ask(_EVENTS, (merchant_id, connection, started_at, MOST_ADDED_UP))
    if any(is_open for _, _, is_open in rows):
        return None
    moments = sorted({(merchant_id, sale, worked_at) for sale, worked_at, _ in rows if sale is not None and worked_at})
    points = 0
    for start in range(0, len(moments), ADDED_AT_ONCE):
        points += _net((yield from ask(_POSTED, moments[start : start + ADDED_AT_ONCE])))
    total = Sum(len({sale for _, sale, _ in moments}), points)
    yield from ask(_SUM, (merchant_id, connection, started_at, *total))
    return total


def prune(now: int, limit: int) -> Steps[int]:
    """Delete at most `limit` old looks, those that found nothing sooner, with what they recovered; returns how many."""
    rows = yield from ask(_OLD, (now - KEEP_EMPTY, now - KEEP, limit))
    yield from ask(_DROP_RECOVERIES, rows)
    yield from ask(_DROP_LOOKS, rows)
    return len(rows)


def _net(entries: Iterable[Row]) -> int:
    return sum(amount if source == ISSUED else -amount for source, amount in entries)


_KEEP = insert(
    "recoveries",
    "ON CONFLICT (merchant_id, connection, delivery_id) DO NOTHING",
    merchant_id=BIG,
    connection=BIG,
    delivery_id=TEXT,
    started_at=BIG,
    platform=TEXT,
    kind=TEXT,
    value=TEXT,
)

_UNSUMMED = plain(
    "SELECT merchant_id, connection, started_at FROM reconciliations WHERE micropoints IS NULL"
    " AND (ended_at IS NOT NULL OR started_at < ?1) ORDER BY started_at LIMIT ?2"
)

_EVENTS = plain(
    "SELECT i.sale, e.worked_at, CASE WHEN e.id IS NOT NULL AND e.worked_at IS NULL AND e.failed_at IS NULL"
    " THEN 1 ELSE 0 END"
    " FROM recoveries r JOIN connections c ON c.id = r.connection AND c.merchant_id = r.merchant_id"
    " LEFT JOIN events e ON e.source = c.platform AND e.connection = c.account AND e.delivery_id = r.delivery_id"
    " LEFT JOIN sale_identities i ON i.merchant_id = r.merchant_id AND i.platform = r.platform AND i.kind = r.kind"
    " AND i.value = r.value"
    " WHERE r.merchant_id = ?1 AND r.connection = ?2 AND r.started_at = ?3 LIMIT ?4"
)

_POSTED = keyed(
    "SELECT e.source, e.micropoints FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.sale = k.sale AND e.at = k.at"
    f" AND (e.source = '{ISSUED}' OR e.destination = '{ISSUED}')",
    merchant_id=BIG,
    sale=BIG,
    at=BIG,
)

_SUM = plain(
    "UPDATE reconciliations SET sales = ?4, micropoints = ?5"
    " WHERE merchant_id = ?1 AND connection = ?2 AND started_at = ?3"
)

_OLD = plain(
    "SELECT merchant_id, connection, started_at FROM reconciliations"
    " WHERE (recovered = 0 AND started_at < ?1) OR started_at < ?2 LIMIT ?3"
)
_OF_LOOKS = (
    " WHERE (started_at, connection, merchant_id) IN (SELECT k.started_at, k.connection, k.merchant_id FROM {keys} k)"
)
_LOOK_KEY = {"merchant_id": BIG, "connection": BIG, "started_at": BIG}
_DROP_RECOVERIES = keyed("DELETE FROM recoveries" + _OF_LOOKS, **_LOOK_KEY)
_DROP_LOOKS = keyed("DELETE FROM reconciliations" + _OF_LOOKS, **_LOOK_KEY)
