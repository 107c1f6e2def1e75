"""How far each connection has been looked through, who is at it now, and what each look came to."""

from typing import NamedTuple

from sqlalchemy import Column, Index, Integer, Table, Text, text

from handlers.inbox.rules import Recovered
from integration.clock import MINUTE
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import Steps, ask, plain

LEASE = 2 * MINUTE  # renewed with every batch, which takes seconds
MOST_LISTED = 10_000
HEARD_AMONG = 1_000  # of a merchant's newest events, the last webhook is looked for

reconcile_marks = Table(
    "reconcile_marks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("connection", Number, primary_key=True, autoincrement=False),  # connections.id
    # The newest change we hold, by the platform's own clock: ours may be ahead of it, and would skip what comes.
    Column("reached_at", Instant),
    Column("next_at", Instant, nullable=False),
    Column("claim", Text),  # fencing token of the run that is at it
    Column("claimed_until", Instant),  # by the database's clock
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row
    Column("state", Text, nullable=False),  # new, ok, no_key, revoked, away, refused
    Column("reason", Text),  # in words, for all but ok
    Column("checked_at", Instant),  # when a look last came to its end
    Column("heard_at", Instant),  # the last webhook's instant
    Column("missed_at", Instant),  # the newest change that no webhook told of
    Column("quiet_since", Instant),  # set = webhooks have gone quiet
    Column("quiet_why", Text),
)
Index("ix_reconcile_marks_due", reconcile_marks.c.next_at)

# One look at one connection.
reconciliations = Table(
    "reconciliations",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("connection", Number, primary_key=True, autoincrement=False),
    Column("started_at", Instant, primary_key=True, autoincrement=False),
    Column("since_at", Instant, nullable=False),
    Column("ended_at", Instant),  # null = it was cut off; what it kept counts
    Column("compared", Number, nullable=False, server_default="0"),  # orders, or events and objects
    Column("recovered", Number, nullable=False, server_default="0"),  # of them, events taken in
    Column("calls", Number, nullable=False, server_default="0"),  # questions asked
    Column("skipped", Number, nullable=False, server_default="0"),  # what could not be read
    Column("reason", Text),  # why it ended early, or what was skipped
    # Known once what was recovered has been worked.
    Column("sales", Number),
    Column("micropoints", Number),
)
Index(
    "ix_reconciliations_open",
    reconciliations.c.started_at,
    sqlite_where=text("micropoints IS NULL"),
    postgresql_where=text("micropoints IS NULL"),
)


class Connected(NamedTuple):
    """A connection to look at."""

    id: int
    merchant_id: int
    merchant: str
    platform: str
    account: str  # shop domain, or the Stripe webhook path's token
    token: str | None  # sealed
    revoked_at: int | None
    connected_at: int


class Mark(NamedTuple):
    """How far a connection has been looked through, and how it stands."""

    reached_at: int | None
    next_at: int
    claim: str | None
    claimed_until: int | None
    failures: int
    state: str
    reason: str | None
    checked_at: int | None
    heard_at: int | None
    missed_at: int | None
    quiet_since: int | None
    quiet_why: str | None


class Look(NamedTuple):
    """One look as it is kept; `sales` and `micropoints` once what it recovered has been worked."""

    started_at: int
    since_at: int
    ended_at: int | None
    compared: int
    recovered: int
    calls: int
    skipped: int
    reason: str | None
    sales: int | None
    micropoints: int | None


class LostRun(Exception):
    """The run's lease ran out and another is at it: what was to be kept is rolled back."""


def connected(merchant_id: int | None, after: int, limit: int) -> Steps[list[Connected]]:
    """List open connections, of one merchant or of all, in the order they were made."""
    rows = yield from ask(_CONNECTED, (merchant_id, after, limit))
    return [Connected(*row) for row in rows]


def connection(number: int) -> Steps[Connected | None]:
    """Return one open connection; None where there is none any more."""
    found = yield from connected(None, number - 1, 1)
    return found[0] if found and found[0].id == number else None


def due(now: int, limit: int) -> Steps[list[int]]:
    """List open connections whose time has come, those never looked at first."""
    fresh = yield from ask(_FRESH, (limit,))
    late = yield from ask(_DUE, (now, limit))
    return [row[0] for row in (*fresh, *late)][:limit]


def mark_of(one: Connected) -> Steps[Mark | None]:
    """Return how far a connection has been looked through; None before the first look."""
    rows = yield from ask(_MARK, (one.merchant_id, one.id))
    return Mark(*rows[0]) if rows else None


def claim(one: Connected, token: str, now: int) -> Steps[Mark | None]:
    """Lease a connection to one run; None where another run is at it."""
    yield from ask(_MAKE, (one.merchant_id, one.id, now))
    touched = yield from ask(_CLAIM, (one.merchant_id, one.id, token))
    return (yield from mark_of(one)) if touched[0][0] else None


def advance(one: Connected, token: str, reached_at: int | None) -> Steps[None]:
    """Renew a lease and note how far the run has come; raises LostRun where another run is at it."""
    touched = yield from ask(_ADVANCE, (one.merchant_id, one.id, token, reached_at))
    if touched[0][0] != 1:
        raise LostRun("another run is at this connection by now")


def release(one: Connected, token: str, mark: Mark) -> Steps[None]:
    """End a run's lease and write how the connection stands; what another run wrote since is left alone."""
    stands = (mark.next_at, mark.failures, mark.state, mark.reason, mark.checked_at)
    heard = (mark.heard_at, mark.missed_at, mark.quiet_since, mark.quiet_why)
    yield from ask(_RELEASE, (one.merchant_id, one.id, token, *stands, *heard))


def let_go() -> Steps[None]:
    """End every lease, as where a backup is put back: a run that lives all the same fails when it keeps."""
    yield from ask(_LET_GO, ())


def put_off(one: Connected, until: int) -> Steps[None]:
    """Look at a connection later."""
    yield from ask(_PUT_OFF, (one.merchant_id, one.id, until))


def waiting(one: Connected, now: int) -> Steps[bool]:
    """Tell whether events of a merchant wait to be worked: what they tell would seem missed."""
    return bool((yield from ask(_WAITING, (one.merchant_id, now))))


def heard(one: Connected) -> Steps[int | None]:
    """Return the instant of a connection's last webhook, by the platform where it tells; None for none lately."""
    rows = yield from ask(_HEARD, (one.merchant_id, one.platform, one.account))
    return rows[0][0] if rows else None


def open_look(one: Connected, started_at: int, since: int) -> Steps[None]:
    """Begin the record of one look."""
    yield from ask(_OPEN, (one.merchant_id, one.id, started_at, since))


def count(one: Connected, started_at: int, compared: int, recovered: int) -> Steps[None]:
    """Add to what a look has compared and recovered."""
    yield from ask(_COUNT, (one.merchant_id, one.id, started_at, compared, recovered))


def close_look(one: Connected, started_at: int, now: int, calls: int, skipped: int, reason: str | None) -> Steps[None]:
    """End the record of one look."""
    yield from ask(_CLOSE, (one.merchant_id, one.id, started_at, now, calls, skipped, reason))


def looks(one: Connected, limit: int, *, recovering: bool = False) -> Steps[list[Look]]:
    """List the newest looks at a connection, or the newest that recovered something."""
    rows = yield from ask(_LOOKS, (one.merchant_id, one.id, int(recovering), min(limit, MOST_LISTED)))
    return [Look(*row) for row in rows]


def recovered_of(merchant_id: int, before: int, limit: int) -> Steps[list[Recovered]]:
    """List a merchant's looks that recovered something, started before an instant, the newest first."""
    rows = yield from ask(_RECOVERED, (merchant_id, before, min(limit, MOST_LISTED)))
    return [Recovered(*row) for row in rows]


def look_at(one: Connected, started_at: int) -> Steps[Look | None]:
    """Return one look."""
    rows = yield from ask(_LOOK, (one.merchant_id, one.id, started_at))
    return Look(*rows[0]) if rows else None


def _connections(where: str) -> str:
    return (
        "SELECT c.id, c.merchant_id, m.name, c.platform, c.account, c.token, c.revoked_at, c.connected_at"
        f" FROM connections c JOIN merchants m ON m.id = c.merchant_id WHERE c.closed_at IS NULL AND {where}"
    )


_CONNECTED_SQL = _connections("(?1 IS NULL OR c.merchant_id = ?1) AND c.id > ?2 ORDER BY c.id LIMIT ?3")
_CONNECTED = plain(_CONNECTED_SQL, postgres=_CONNECTED_SQL.replace("?1", "?1::bigint"))
_FRESH = plain(
    "SELECT c.id FROM connections c WHERE c.closed_at IS NULL AND c.token IS NOT NULL AND NOT EXISTS (SELECT 1 FROM"
    " reconcile_marks r WHERE r.merchant_id = c.merchant_id AND r.connection = c.id) ORDER BY c.id LIMIT ?1"
)
_DUE = plain(
    "SELECT r.connection FROM reconcile_marks r JOIN connections c ON c.id = r.connection"
    " WHERE r.next_at <= ?1 AND c.closed_at IS NULL AND c.token IS NOT NULL AND c.revoked_at IS NULL"
    " ORDER BY r.next_at LIMIT ?2"
)
_STANDS = "reached_at, next_at, claim, claimed_until, failures, state, reason, checked_at, heard_at, missed_at"
_MARK = plain(
    f"SELECT {_STANDS}, quiet_since, quiet_why FROM reconcile_marks WHERE merchant_id = ?1 AND connection = ?2"
)
_MAKE = plain(
    "INSERT INTO reconcile_marks (merchant_id, connection, next_at, state) VALUES (?1, ?2, ?3, 'new')"
    " ON CONFLICT (merchant_id, connection) DO NOTHING"
)
_CLAIM = plain(
    f"UPDATE reconcile_marks SET claim = ?3, claimed_until = {{clock}} + {LEASE} WHERE merchant_id = ?1"
    # A lease that seems to last longer was given before the database's clock was set back.
    f" AND connection = ?2 AND (claim IS NULL OR claimed_until <= {{clock}} OR claimed_until > {{clock}} + {LEASE})"
)
_ADVANCE_SQL = (
    f"UPDATE reconcile_marks SET claimed_until = {{clock}} + {LEASE}, reached_at ="
    " CASE WHEN ?4 IS NULL THEN reached_at WHEN reached_at IS NULL OR reached_at < ?4 THEN ?4 ELSE reached_at END"
    " WHERE merchant_id = ?1 AND connection = ?2 AND claim = ?3"
)
_ADVANCE = plain(_ADVANCE_SQL, postgres=_ADVANCE_SQL.replace("?4", "?4::bigint"))
_RELEASE = plain(
    "UPDATE reconcile_marks SET claim = NULL, claimed_until = NULL, next_at = ?4, failures = ?5, state = ?6,"
    " reason = ?7, checked_at = ?8, heard_at = ?9, missed_at = ?10, quiet_since = ?11, quiet_why = ?12"
    " WHERE merchant_id = ?1 AND connection = ?2 AND claim = ?3"
)
_LET_GO = plain("UPDATE reconcile_marks SET claim = NULL, claimed_until = NULL WHERE claim IS NOT NULL")
_PUT_OFF = plain(
    "INSERT INTO reconcile_marks (merchant_id, connection, next_at, state) VALUES (?1, ?2, ?3, 'new')"
    " ON CONFLICT (merchant_id, connection) DO UPDATE SET next_at = excluded.next_at"
)
# The plus keeps to the index of what is open: a merchant's worked events are many.
_WAITING = plain(
    "SELECT 1 FROM events e WHERE e.worked_at IS NULL AND e.failed_at IS NULL AND e.merchant_id IS NOT NULL"
    " AND e.next_attempt_at <= ?2 AND +e.merchant_id = ?1 LIMIT 1"
)
_HEARD = plain(
    "SELECT max(CASE WHEN n.triggered_at < n.received_at THEN n.triggered_at ELSE n.received_at END) FROM"
    " (SELECT e.source, e.connection, e.recovered, e.triggered_at, e.received_at FROM events e"
    f" WHERE e.merchant_id = ?1 ORDER BY e.id DESC LIMIT {HEARD_AMONG}) n"
    " WHERE n.source = ?2 AND n.connection = ?3 AND n.recovered = 0"
)
_OPEN = plain(
    "INSERT INTO reconciliations (merchant_id, connection, started_at, since_at) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (merchant_id, connection, started_at) DO NOTHING"
)
_COUNT = plain(
    "UPDATE reconciliations SET compared = compared + ?4, recovered = recovered + ?5"
    " WHERE merchant_id = ?1 AND connection = ?2 AND started_at = ?3"
)
_CLOSE = plain(
    "UPDATE reconciliations SET ended_at = ?4, calls = ?5, skipped = ?6, reason = ?7,"
    " sales = CASE WHEN recovered = 0 THEN 0 END, micropoints = CASE WHEN recovered = 0 THEN 0 END"
    " WHERE merchant_id = ?1 AND connection = ?2 AND started_at = ?3"
)
_LOOK_COLUMNS = (
    "SELECT started_at, since_at, ended_at, compared, recovered, calls, skipped, reason, sales, micropoints"
    " FROM reconciliations WHERE merchant_id = ?1 AND connection = ?2"
)
_LOOKS = plain(f"{_LOOK_COLUMNS} AND recovered >= ?3 ORDER BY started_at DESC LIMIT ?4")
_RECOVERED = plain(
    "SELECT r.started_at, c.platform, c.account, r.recovered, r.sales, r.micropoints FROM reconciliations r"
    " JOIN connections c ON c.id = r.connection AND c.merchant_id = r.merchant_id"
    " WHERE r.merchant_id = ?1 AND r.recovered > 0 AND r.started_at < ?2"
    " ORDER BY r.started_at DESC, r.connection LIMIT ?3"
)
_LOOK = plain(f"{_LOOK_COLUMNS} AND started_at = ?3")


def recovered(merchant_id: int, since: int, until: int, /) -> Steps[int]:
    """Count the sales that a merchant's looks begun between two instants brought, the first included."""
    rows = yield from ask(_RECOVERED_SALES, (merchant_id, since, until))
    return int(rows[0][0])


_RECOVERED_SALES = plain(
    "SELECT coalesce(sum(sales), 0) FROM reconciliations"
    " WHERE merchant_id = ?1 AND started_at >= ?2 AND started_at < ?3"
)


def quiet(merchant_id: int, since: int, until: int, /) -> Steps[int]:
    """Count a merchant's open connections whose webhooks went quiet between two instants, and still are."""
    rows = yield from ask(_QUIET, (merchant_id, since, until))
    return int(rows[0][0])


_QUIET = plain(
    "SELECT count(*) FROM reconcile_marks r"
    " JOIN connections c ON c.id = r.connection AND c.merchant_id = r.merchant_id AND c.closed_at IS NULL"
    " WHERE r.merchant_id = ?1 AND r.quiet_since >= ?2 AND r.quiet_since < ?3"
)
