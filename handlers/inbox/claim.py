"""Taking events to work on: a lease with a fencing token, counted before the work, and every way it ends."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from handlers.inbox.rules import Connection
from integration.clock import HOUR, MINUTE, SECOND
from integration.database.steps import BIG, TEXT, Row, Steps, ask, keyed, plain
from integration.facts import Envelope

LEASE = 30 * SECOND
MAX_CLAIMS = 8
RETRY_AFTER = (5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR)
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


class Ending(NamedTuple):
    """How an event ended: worked with an outcome, or (outcome None) given up."""

    event_id: int
    outcome: str | None
    reason: str | None


def claim(token: str, now: int, limit: int) -> Steps[Claim]:
    """Lease at most `limit` events that are due, the oldest first.

    An event whose earlier claim ended without an outcome comes alone: its worker may have died of it.
    """
    candidates = yield from ask(_DUE, (now, limit)) if limit else _none()
    spent = [row for row in candidates if row[2] is not None and row[3] >= MAX_CLAIMS]
    if spent:
        yield from ask(_GIVE_UP, [(row[0], now, _crashed(row[3])) for row in spent])
        candidates = [row for row in candidates if row not in spent]
    chosen = _chosen(candidates)
    ids = [row[0] for row in chosen]
    yield from ask(_LEASE, [(number, token, now + LEASE) for number in sorted(ids)])
    rows = yield from ask(_READ, [(number,) for number in ids])
    accounts = sorted({(row[4], row[5]) for row in rows})
    connections = yield from ask(_CONNECTIONS, accounts)
    return Claim(
        token,
        tuple(_claimed(row) for row in rows),
        {(row[2], row[3]): _connection(row) for row in connections},
    )


def finish(token: str, endings: Sequence[Ending], now: int) -> Steps[None]:
    """Write how events ended; raises LostClaim unless every one is still leased under the token."""
    rows = [
        (e.event_id, token, now if e.outcome else None, None if e.outcome else now, e.outcome, e.reason)
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


def _none() -> Steps[list[Row]]:
    return []
    yield


def _chosen(candidates: Sequence[Row]) -> list[Row]:
    """Pick what to take together: one event left by a crash alone, else all others within the byte limit."""
    if candidates and candidates[0][2] is not None:
        return [candidates[0]]
    chosen: list[Row] = []
    size = 0
    for row in candidates:
        if row[2] is not None:
            continue
        size += row[1] or 0
        if chosen and size > MOST_BATCH_BYTES:
            break
        chosen.append(row)
    return chosen


def _crashed(claims: int) -> str:
    return f"its worker ended {claims} times without an outcome"


def _claimed(row: Row) -> Claimed:
    number, merchant_id, claims, body, source, connection, topic, delivery_id, triggered, received = row
    envelope = Envelope(source, topic, delivery_id, triggered, received, sha256(body or b"").hexdigest())
    return Claimed(number, merchant_id, claims, envelope, connection, None if body is None else bytes(body))


def _connection(row: Row) -> Connection:
    number, merchant_id, platform, account, shop_id, hosts, token, revoked_at = row
    return Connection(number, merchant_id, platform, account, shop_id, tuple(json.loads(hosts)), token, revoked_at)


# --- Statements ---------------------------------------------------------------------------------

# While leased, `next_attempt_at` is the lease's end: one index tells what is claimable.
_DUE_SQL = (
    "SELECT e.id, length(b.body), e.claim, e.claims"
    " FROM events e LEFT JOIN event_bodies b ON b.event_id = e.id"
    " WHERE e.worked_at IS NULL AND e.failed_at IS NULL AND e.merchant_id IS NOT NULL"
    " AND e.next_attempt_at <= ?1 ORDER BY e.next_attempt_at, e.id LIMIT ?2"
)
_DUE = plain(_DUE_SQL, postgres=_DUE_SQL + " FOR UPDATE OF e SKIP LOCKED")

_LEASE = keyed(
    "UPDATE events SET claim = k.claim, claimed_until = k.until, next_attempt_at = k.until,"
    " claims = events.claims + 1 FROM {keys} k WHERE events.id = k.id",
    id=BIG,
    claim=TEXT,
    until=BIG,
)

_READ = keyed(
    "SELECT e.id, e.merchant_id, e.claims, b.body, e.source, e.connection, e.topic, e.delivery_id,"
    " e.triggered_at, e.received_at"
    " FROM {keys} k CROSS JOIN events e LEFT JOIN event_bodies b ON b.event_id = e.id WHERE e.id = k.id",
    id=BIG,
)

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
    " reason = k.reason, claim = NULL, claimed_until = NULL"
    " FROM {keys} k WHERE events.id = k.id AND events.claim = k.claim",
    id=BIG,
    claim=TEXT,
    worked_at=BIG,
    failed_at=BIG,
    outcome=TEXT,
    reason=TEXT,
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
