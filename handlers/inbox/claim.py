"""Taking events to work on: a lease with a fencing token, counted before the work, and every way it ends."""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

from handlers.inbox.rules import Connection
from integration.clock import HOUR, MINUTE, SECOND
from integration.database.packing import unpack
from integration.database.shares import Want, due_by_merchant, take
from integration.database.steps import BIG, TEXT, Row, Steps, ask, keyed, plain
from integration.facts import Envelope

LEASE = 30 * SECOND
MAX_CLAIMS = 8
RETRY_AFTER = (5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR)
MOST_GIVEN_UP = 100  # at once
MOST_BATCH_BYTES = 16_000_000  # of bodies held at once, beyond the first event


class LostClaim(Exception):
    """The lease ran out and somebody else has the event: what was done must be rolled back."""


class Claimed(NamedTuple):
    """One event in hand; `claims` counts this one."""

    id: int
    merchant_id: int
    claims: int
    envelope: Envelope
    connection: str
    body: bytes | None  # None = pruned


class Claim(NamedTuple):
    """Events leased under one fencing token, and the connections they came by."""

    token: str
    events: tuple[Claimed, ...] = ()
    connections: dict[tuple[str, str], Connection] = {}  # noqa: RUF012 - never written to
    merchants: int = 0  # how many had something due
    after: int = 0  # behind which merchant to look next
    lost: bool = False  # it had been left behind by a worker
    at: int = 0  # since when it is held


class Ending(NamedTuple):
    """How an event ended: worked with an outcome, or (outcome None) given up."""

    event_id: int
    outcome: str | None
    reason: str | None
    sale: int | None = None  # the number of the sale it told of


def claim(
    token: str, now: int, limit: int, *, after: int = 0, alone: int | None = None, lost: bool = True
) -> Steps[Claim]:
    """Lease some `limit` events that are due at `now`, fair between merchants, each one's oldest first.

    Looks behind merchant `after` first; of a merchant nobody waits beside at most `alone` (default: all). An event
    whose earlier claim ended without an outcome comes alone, for its worker may have died of it: looked for first
    if `lost`, else where nothing else is due. A lease is measured by the database's clock alone.
    """
    if not limit:
        return Claim(token, after=after)
    chosen = (yield from _left_behind(now)) if lost else []
    found_lost = bool(chosen)
    merchants = 0
    if not chosen:
        taken = yield from take(_DUE, now, Want(limit, alone or limit), after)
        merchants, after = len(taken.rows), taken.after
        chosen = _chosen(taken.each_in_turn[:limit])
    if not chosen and not lost:
        chosen = yield from _left_behind(now)
        found_lost = bool(chosen)
    rows = yield from ask(_LEASE, [(row[0], token, LEASE, now + LEASE) for row in sorted(chosen)])
    due_at = {row[0]: row[1] for row in chosen}
    rows.sort(key=lambda row: (due_at[row[0]], row[0]))
    accounts = sorted({(row[5], row[6]) for row in rows})
    connections = yield from ask(_CONNECTIONS, accounts)
    return Claim(
        token,
        tuple(_claimed(row) for row in rows),
        {(row[2], row[3]): _connection(row) for row in connections},
        merchants,
        after,
        found_lost,
    )


def finish(token: str, endings: Sequence[Ending], now: int) -> Steps[None]:
    """Write how events ended; raises LostClaim unless every one is still leased under the token."""
    rows = [
        (e.event_id, token, now if e.outcome else None, None if e.outcome else now, e.outcome, e.reason, e.sale)
        for e in sorted(endings)
    ]
    if rows:
        touched = yield from ask(_FINISH, rows)
        if touched[0][0] != len(rows):
            raise LostClaim(f"{len(rows) - touched[0][0]} of {len(rows)} events are somebody else's by now")


def put_back(token: str, event: Claimed, reason: str, now: int) -> Steps[None]:
    """Give up this attempt: try again later, or dead-letter the event when its claims are used up."""
    if event.claims >= MAX_CLAIMS:
        yield from finish(token, [Ending(event.id, None, f"after {event.claims} attempts: {reason}")], now)
        return
    delay = RETRY_AFTER[min(event.claims, len(RETRY_AFTER)) - 1]
    yield from _release(token, event.id, now + delay, reason, claims_back=0)


def postpone(token: str, event: Claimed, until: int, reason: str) -> Steps[None]:
    """Let go of an event until an instant, without counting an attempt."""
    yield from _release(token, event.id, until, reason, claims_back=1)


def _release(token: str, event_id: int, until: int, reason: str, claims_back: int) -> Steps[None]:
    touched = yield from ask(_RELEASE, (event_id, token, until, reason, claims_back))
    if touched[0][0] != 1:
        raise LostClaim("the event is somebody else's by now")


def _left_behind(now: int) -> Steps[list[Row]]:
    """Choose one event whose lease ran out; those that have used up their claims are given up."""
    rows = yield from ask(_LOST, (LEASE, MOST_GIVEN_UP))
    spent = [row for row in rows if row[2] >= MAX_CLAIMS]
    if spent:
        yield from ask(_GIVE_UP, [(row[0], now, _crashed(row[2])) for row in sorted(spent)])
    return [row for row in rows if row[2] < MAX_CLAIMS][:1]


def _chosen(candidates: Sequence[Row]) -> list[Row]:
    """Pick as many as may be held in memory at once, and one at least."""
    chosen: list[Row] = []
    size = 0
    for row in candidates:
        size += row[2] or 0
        if chosen and size > MOST_BATCH_BYTES:
            break
        chosen.append(row)
    return chosen


def _crashed(claims: int) -> str:
    return f"its worker ended {claims} times without an outcome"


def _claimed(row: Row) -> Claimed:
    number, merchant_id, claims, stored, size, source, connection, topic, delivery_id, triggered, received = row
    try:
        body = None if stored is None else unpack(stored, size)
    except ValueError:
        body = None  # Nobody can read it: dealt with as if it were gone, and its neighbours are worked.
    envelope = Envelope(source, topic, delivery_id, triggered, received, sha256(body or b"").hexdigest())
    return Claimed(number, merchant_id, claims, envelope, connection, body)


def connection_now(connection: Connection) -> Steps[Connection | None]:
    """Read a connection again; None where it is gone."""
    rows = yield from ask(_CONNECTIONS, [(connection.platform, connection.account)])
    return next((found for row in rows if (found := _connection(row)).id == connection.id), None)


def _connection(row: Row) -> Connection:
    number, merchant_id, platform, account, shop_id, hosts, token, revoked_at = row
    return Connection(number, merchant_id, platform, account, shop_id, tuple(json.loads(hosts)), token, revoked_at)


# --- Statements ---------------------------------------------------------------------------------

# Written unlike the condition of `ix_events_claimable`, which PostgreSQL would rather use on a table nobody has
# analysed, and sort what it finds.
WAITING = "coalesce(t.worked_at, t.failed_at) IS NULL AND t.claim IS NULL AND t.merchant_id IS NOT NULL"
_SIZE = "(SELECT coalesce(b.size, length(b.body)) FROM event_bodies b WHERE b.event_id = t.id)"
_DUE = due_by_merchant(
    "events", "next_attempt_at", "id", WAITING, ("t.id", "t.next_attempt_at", f"{_SIZE} AS size"), locked=True
)

# A lease never lasts longer than LEASE: one that seems to was given before the database's clock was set back.
_LOST_SQL = (
    "SELECT id, next_attempt_at, claims FROM events WHERE claim IS NOT NULL"
    " AND (claimed_until <= {clock} OR claimed_until > {clock} + ?1) ORDER BY claimed_until LIMIT ?2"
)
_LOST = plain(_LOST_SQL, postgres=_LOST_SQL + " FOR UPDATE SKIP LOCKED")

# `next_attempt_at` says when an event is due by the clock of business. That it is put off while leased is for
# workers of the release before, which know a lease by nothing else; beside an SQLite there are none.
_PUT_OFF = ", next_attempt_at = k.until"
_LEASE = keyed(
    "UPDATE events SET claim = k.claim, claimed_until = {clock} + k.lease"
    f"{_PUT_OFF}, claims = events.claims + 1"
    " FROM {keys} k WHERE events.id = k.id"
    " RETURNING events.id, merchant_id, claims,"
    " (SELECT b.body FROM event_bodies b WHERE b.event_id = events.id),"
    " (SELECT b.size FROM event_bodies b WHERE b.event_id = events.id),"
    " source, connection, topic, delivery_id, triggered_at, received_at",
    id=BIG,
    claim=TEXT,
    lease=BIG,
    until=BIG,
)
_LEASE = replace(_LEASE, sqlite=_LEASE.sqlite.replace(_PUT_OFF, ""))

# Of several connections of one account the open and newest comes last, and so is the one kept.
_CONNECTIONS = keyed(
    "SELECT c.id, c.merchant_id, c.platform, c.account, c.shop_id, c.hosts, c.token, c.revoked_at"
    " FROM {keys} k CROSS JOIN connections c WHERE c.platform = k.platform AND c.account = k.account"
    " ORDER BY CASE WHEN c.closed_at IS NULL THEN 1 ELSE 0 END, c.id",
    platform=TEXT,
    account=TEXT,
)

_FINISH = keyed(
    "UPDATE events SET worked_at = k.worked_at, failed_at = k.failed_at, outcome = k.outcome,"
    " reason = k.reason, sale = k.sale, claim = NULL, claimed_until = NULL"
    " FROM {keys} k WHERE events.id = k.id AND events.claim = k.claim",
    id=BIG,
    claim=TEXT,
    worked_at=BIG,
    failed_at=BIG,
    outcome=TEXT,
    reason=TEXT,
    sale=BIG,
)

_RELEASE = plain(
    "UPDATE events SET claim = NULL, claimed_until = NULL, next_attempt_at = ?3, reason = ?4,"
    " claims = claims - ?5 WHERE id = ?1 AND claim = ?2"
)

_GIVE_UP = keyed(
    "UPDATE events SET failed_at = k.failed_at, reason = k.reason, claim = NULL, claimed_until = NULL"
    " FROM {keys} k WHERE events.id = k.id",
    id=BIG,
    failed_at=BIG,
    reason=TEXT,
)
