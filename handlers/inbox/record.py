"""Storing verified deliveries: one durable row each, however often they come, and room for unknown shops."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from integration.clock import DAY, MINUTE
from integration.database.engine import Database
from integration.database.packing import pack
from integration.database.steps import BIG, NOTHING, TEXT, Row, Sql, Steps, ask, insert, keyed, plain
from integration.errors import Unavailable
from integration.faults import point

# Events come before a merchant first opens the app, so shops we do not know are kept, within limits.
MOST_UNKNOWN_SHOPS = 1_000
MOST_UNKNOWN_BYTES = 50_000_000  # of one unknown shop
KEEP_UNKNOWN = 7 * DAY
AHEAD = MINUTE  # of the clock; further than any event is put off before its first attempt
ROW_BYTES = 400  # what a row weighs beside its body


class Delivery(NamedTuple):
    """One verified delivery as it came; `connection` is a shop domain or a Stripe webhook path's token."""

    source: str
    connection: str
    delivery_id: str
    topic: str
    triggered_at: int | None
    received_at: int
    body: bytes
    recovered: int = 0  # found by asking the platform: 1 = not told, 2 = from before the shop was connected
    size: int | None = None  # of a packed body, unpacked; None = the body as it came


def record(deliveries: Sequence[Delivery]) -> Steps[list[bool]]:
    """Store deliveries, each once; True for what is stored now or was before, False for what has no room.

    Only what an unknown shop sends over its limits has no room. What known connections send is stored first, by
    one statement on PostgreSQL: nothing else is to be asked about it.
    """
    if not deliveries:
        return []
    # SQLite would copy a body it is given, so the first statement is not.
    yield from ask(_INSERT_EVENTS, [(*d[:6], d.recovered) for d in deliveries])
    point("record.before_commit")
    stored = yield from ask(_INSERT_BODIES, deliveries)
    if stored[0][0] == len(deliveries):
        return [True] * len(deliveries)
    return (yield from _record_left(deliveries))


def _record_left(deliveries: Sequence[Delivery]) -> Steps[list[bool]]:
    """Store those that are not here yet: a connection nobody knows sent them, or one added this instant."""
    present = yield from known([d[:3] for d in deliveries])
    left = {position: d for position, d in enumerate(deliveries) if d[:3] not in present}
    if not left:
        return [True] * len(deliveries)
    unknown = yield from _unknown_accounts(list(left.values()))
    refused = yield from _over_limits({n: d for n, d in left.items() if (d.source, d.connection) in unknown})
    kept = [d for position, d in left.items() if position not in refused]
    yield from ask(_INSERT_LEFT, [(*d[:6], d.recovered) for d in kept])
    yield from ask(_INSERT_LEFT_BODIES, [(*d[:3], d.body, d.size) for d in kept])
    return [position not in refused for position in range(len(deliveries))]


def known(keys: Sequence[tuple[str, str, str]]) -> Steps[frozenset[Row]]:
    """Return which of (source, connection, delivery id) have been recorded."""
    return frozenset((yield from ask(_PRESENT, sorted(set(keys)))))


async def record_all(database: Database, deliveries: Sequence[Delivery]) -> list[bool]:
    """Store deliveries for the receiver, ahead of other work; one that cannot be stored fails alone.

    Raises Unavailable where the database is away; a verdict of False otherwise means it was not stored.
    """
    # Here and not in the steps: on SQLite's thread every body would wait for the interpreter to come back.
    rows = [_packed(d) for d in deliveries]
    try:
        stored = await database.run_urgently(lambda: record(rows))
        point("record.committed")
        return stored
    except Unavailable:
        raise
    except Exception:
        # One row the database will not take must not keep its neighbours out.
        if len(rows) == 1:
            raise
        return [await _recorded_alone(database, row) for row in rows]


def _packed(d: Delivery) -> Delivery:
    """Pack a body: a third of the bytes to write, to journal and to copy back."""
    body, size = pack(d.body)
    return Delivery(*d[:6], body, d.recovered, size)


async def _recorded_alone(database: Database, row: Delivery) -> bool:
    try:
        return (await database.run_urgently(lambda: record([row])))[0]
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001 - answered with 503, which is counted and seen
        return False


def adopt(source: str, connection: str, merchant_id: int, now: int) -> Steps[int]:
    """Give what an unknown connection sent so far to the merchant who has it now; returns how many events.

    To be called in the transaction that adds the connection; the sweep finds what slips in beside it.
    """
    adopted = yield from ask(_ADOPT, (source, connection, merchant_id, now))
    yield from ask(_FORGET_UNKNOWN, (connection,))
    return int(adopted[0][0])


def adopt_known(now: int) -> Steps[int]:
    """Give every kept event of a connection that is known by now to its merchant; returns how many events."""
    adopted = yield from ask(_ADOPT_KNOWN, (now,))
    if adopted[0][0]:
        yield from _recount_unknown()
    return int(adopted[0][0])


def received_ahead(now: int) -> Steps[int]:
    """Make due what was received while the clock stood ahead of what it is now; returns how many events.

    An event that was never claimed waits for its first turn at most some seconds; one that waits for an instant far
    from now was written down by a clock that has been set back since.
    """
    touched = yield from ask(_RECEIVED_AHEAD, (now, now + AHEAD))
    return int(touched[0][0])


def prune_unknown(now: int, limit: int) -> Steps[int]:
    """Delete at most `limit` events that unknown shops sent too long ago; returns how many."""
    ids = yield from ask(_OLD_UNKNOWN, (now - KEEP_UNKNOWN, limit))
    if ids:
        yield from ask(DELETE_BODIES, ids)
        yield from ask(DELETE_EVENTS, ids)
        yield from _recount_unknown()
    return len(ids)


def _recount_unknown() -> Steps[None]:
    """Count again what unknown shops fill, so that pruning and adoption leave an exact account behind."""
    yield from ask(_DROP_EMPTY, ())
    yield from ask(_RECOUNT, (ROW_BYTES,))


def _unknown_accounts(deliveries: Sequence[Delivery]) -> Steps[frozenset[Row]]:
    accounts = sorted({(d.source, d.connection) for d in deliveries})
    known = yield from ask(_KNOWN, accounts)
    return frozenset(accounts) - frozenset(known)


def _over_limits(strangers: Mapping[int, Delivery]) -> Steps[frozenset[int]]:
    """Charge new deliveries to their unknown shops; returns the positions of those over a limit."""
    if not strangers:
        return frozenset()
    names = sorted({d.connection for d in strangers.values()})
    filled: dict[str, int] = dict((yield from ask(_FILLED, [(name,) for name in names])))
    shops = int((yield from ask(_COUNT_SHOPS, ()))[0][0])

    refused: set[int] = set()
    seen: set[Row] = set()
    charges: dict[str, tuple[int, int]] = {}
    for position, d in strangers.items():
        if d[:3] in seen:
            continue
        size = (d.size or len(d.body)) + ROW_BYTES
        is_new_shop = d.connection not in filled
        if (is_new_shop and shops >= MOST_UNKNOWN_SHOPS) or (filled.get(d.connection, 0) + size > MOST_UNKNOWN_BYTES):
            refused.add(position)
            continue
        seen.add(d[:3])
        shops += is_new_shop
        filled[d.connection] = filled.get(d.connection, 0) + size
        count, weight = charges.get(d.connection, (0, 0))
        charges[d.connection] = (count + 1, weight + size)
    received_at = next(iter(strangers.values())).received_at
    yield from ask(_CHARGE, [(name, received_at, *charges[name]) for name in sorted(charges)])
    return frozenset(refused)


# --- Statements ---------------------------------------------------------------------------------

# Of several connections of one account (live and test mode) an open one is meant, the newest first.
_CONNECTION = (
    "(SELECT c.{wanted} FROM connections c WHERE c.platform = {source} AND c.account = {connection}"
    " ORDER BY CASE WHEN c.closed_at IS NULL THEN 0 ELSE 1 END, c.id DESC LIMIT 1)"
)
_EVENT_COLUMNS = (
    "source, connection, delivery_id, topic, triggered_at, received_at, recovered, next_attempt_at, merchant_id"
)
_EVENT_OF = (
    " CROSS JOIN events e WHERE e.source = {source} AND e.connection = {connection} AND e.delivery_id = {delivery_id}"
    " AND e.worked_at IS NULL ON CONFLICT DO NOTHING"
)

# SQLite writes events first, then their bodies; PostgreSQL does both in the second statement, where a join with a
# table that was empty when the plan was made would be a trap. Rows of the second are deliveries, columns as there.
_INSERT_EVENTS = Sql(
    sqlite=f"INSERT INTO events ({_EVENT_COLUMNS}) SELECT u.column1, u.column2, u.column3, u.column4, u.column5,"
    " u.column6, u.column7, u.column6, c.merchant_id FROM (VALUES {rows}) u CROSS JOIN connections c WHERE c.id = "
    + _CONNECTION.format(wanted="id", source="u.column1", connection="u.column2")
    + " ON CONFLICT DO NOTHING",
    postgres=NOTHING,
    kind="many",
    returns=False,
    columns=7,
)

# A body that has been pruned since is not wanted again when its delivery is repeated.
_INSERT_BODIES = Sql(
    sqlite="INSERT INTO event_bodies (event_id, body, size) SELECT e.id, u.column7, u.column9 FROM (VALUES {rows}) u"
    + _EVENT_OF.format(source="u.column1", connection="u.column2", delivery_id="u.column3"),
    # Two receivers given the same deliveries in another order must not wait for each other in a circle.
    postgres="WITH told AS MATERIALIZED (SELECT nextval('events_id_seq') AS id, u.*, "
    + _CONNECTION.format(wanted="merchant_id", source="u.source", connection="u.connection")
    + " AS merchant_id FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],"
    " $7::bytea[], $8::integer[], $9::integer[])"
    " AS u(source, connection, delivery_id, topic, triggered_at, received_at, body, recovered, size)),"
    f" fresh AS (INSERT INTO events (id, {_EVENT_COLUMNS}) SELECT id, source, connection, delivery_id, topic,"
    " triggered_at, received_at, recovered, received_at, merchant_id FROM told WHERE merchant_id IS NOT NULL"
    " ORDER BY source, connection, delivery_id ON CONFLICT DO NOTHING RETURNING id)"
    " INSERT INTO event_bodies (event_id, body, size)"
    " SELECT id, body, size FROM told WHERE id IN (SELECT id FROM fresh)",
    kind="many",
    returns=False,
    columns=len(Delivery._fields),
)

_INSERT_LEFT = Sql(
    sqlite=f"INSERT INTO events ({_EVENT_COLUMNS}) SELECT u.*, u.column6, "
    + _CONNECTION.format(wanted="merchant_id", source="u.column1", connection="u.column2")
    + " FROM (VALUES {rows}) u WHERE true ON CONFLICT DO NOTHING",
    postgres=f"INSERT INTO events ({_EVENT_COLUMNS}) SELECT u.*, u.received_at, "
    + _CONNECTION.format(wanted="merchant_id", source="u.source", connection="u.connection")
    + " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::integer[])"
    " AS u(source, connection, delivery_id, topic, triggered_at, received_at, recovered)"
    " ORDER BY u.source, u.connection, u.delivery_id ON CONFLICT DO NOTHING",
    kind="many",
    returns=False,
    columns=7,
)

_INSERT_LEFT_BODIES = Sql(
    sqlite="INSERT INTO event_bodies (event_id, body, size) SELECT e.id, u.column4, u.column5 FROM (VALUES {rows}) u"
    + _EVENT_OF.format(source="u.column1", connection="u.column2", delivery_id="u.column3"),
    postgres="INSERT INTO event_bodies (event_id, body, size) SELECT e.id, u.body, u.size FROM"
    " unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::integer[])"
    " AS u(source, connection, delivery_id, body, size)"
    # The limit keeps the lookup by key inside: no other order of joining is open to the planner.
    " CROSS JOIN LATERAL (SELECT e.id FROM events e WHERE e.source = u.source AND e.connection = u.connection"
    " AND e.delivery_id = u.delivery_id AND e.worked_at IS NULL LIMIT 1) e ON CONFLICT DO NOTHING",
    kind="many",
    returns=False,
    columns=5,
)

_KNOWN = keyed(
    "SELECT k.source, k.connection FROM {keys} k WHERE EXISTS (SELECT 1 FROM connections c"
    " WHERE c.platform = k.source AND c.account = k.connection)",
    source=TEXT,
    connection=TEXT,
)

_PRESENT = keyed(
    "SELECT e.source, e.connection, e.delivery_id FROM {keys} k CROSS JOIN events e"
    " WHERE e.source = k.source AND e.connection = k.connection AND e.delivery_id = k.delivery_id",
    source=TEXT,
    connection=TEXT,
    delivery_id=TEXT,
)

_FILLED = keyed(
    "SELECT u.connection, u.bytes FROM {keys} k CROSS JOIN unknown_shops u WHERE u.connection = k.connection",
    connection=TEXT,
)

_COUNT_SHOPS = plain("SELECT count(*) FROM unknown_shops")

_CHARGE = insert(
    "unknown_shops",
    "ON CONFLICT (connection) DO UPDATE SET events = unknown_shops.events + excluded.events,"
    " bytes = unknown_shops.bytes + excluded.bytes",
    connection=TEXT,
    first_at=BIG,
    events=BIG,
    bytes=BIG,
)

_ADOPT = plain(
    "UPDATE events SET merchant_id = ?3, next_attempt_at = ?4"
    " WHERE source = ?1 AND connection = ?2 AND merchant_id IS NULL",
    across="what came before anybody had a connection belonged to nobody until now",
)

_FORGET_UNKNOWN = plain("DELETE FROM unknown_shops WHERE connection = ?1")

_ADOPT_KNOWN = plain(
    "UPDATE events SET next_attempt_at = ?1, merchant_id = "
    + _CONNECTION.format(wanted="merchant_id", source="events.source", connection="events.connection")
    + " WHERE merchant_id IS NULL AND EXISTS (SELECT 1 FROM connections c WHERE c.platform = events.source"
    " AND c.account = events.connection)"
)

_RECEIVED_AHEAD = plain(
    "UPDATE events SET next_attempt_at = ?1 WHERE worked_at IS NULL AND failed_at IS NULL AND merchant_id IS NOT NULL"
    " AND next_attempt_at > ?2 AND claims = 0 AND claim IS NULL"
)

_OLD_UNKNOWN = plain("SELECT id FROM events WHERE merchant_id IS NULL AND received_at < ?1 ORDER BY id LIMIT ?2")

_DROP_EMPTY = plain(
    "DELETE FROM unknown_shops WHERE NOT EXISTS (SELECT 1 FROM events e"
    " WHERE e.merchant_id IS NULL AND e.source = 'shopify' AND e.connection = unknown_shops.connection)"
)

_RECOUNT = plain(
    "UPDATE unknown_shops SET (events, bytes) ="
    " (SELECT count(*), coalesce(sum(coalesce(b.size, length(b.body)) + ?1), 0)"
    " FROM events e JOIN event_bodies b ON b.event_id = e.id"
    " WHERE e.merchant_id IS NULL AND e.source = 'shopify' AND e.connection = unknown_shops.connection)"
)

DELETE_BODIES = keyed("DELETE FROM event_bodies WHERE event_id IN (SELECT k.id FROM {keys} k)", id=BIG)
DELETE_EVENTS = keyed("DELETE FROM events WHERE id IN (SELECT k.id FROM {keys} k)", id=BIG)
