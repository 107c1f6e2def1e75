"""What an operator does with events: lists them, looks at one, has one worked again."""

import base64
import json
from typing import Any, NamedTuple

from integration.clock import to_iso
from integration.database.packing import unpack
from integration.database.steps import Row, Steps, ask, plain

MOST_LISTED = 10_000

STATES = ("open", "failed", "unknown", "applied", "suspect", "waiting", "unhandled")


class Filter(NamedTuple):
    """Which events are meant; None = any."""

    state: str | None = None
    merchant: str | None = None
    topic: str | None = None


def list_events(chosen: Filter, limit: int) -> Steps[list[dict[str, Any]]]:
    """Return the newest events that fit, without their bodies."""
    rows = yield from ask(_LIST, (chosen.state, chosen.merchant, chosen.topic, min(limit, MOST_LISTED)))
    return [_shown(row) for row in rows]


def show_event(event_id: int) -> Steps[dict[str, Any] | None]:
    """Return one event with its body (JSON as it is, else base64 of the bytes); None where there is none."""
    rows = yield from ask(_ONE, (event_id,))
    if not rows:
        return None
    bodies = yield from ask(_BODY, (event_id,))
    return {**_shown(rows[0]), "body": said(*bodies[0]) if bodies else None}


def replay(event_ids: list[int], now: int, merchant_id: int | None = None) -> Steps[list[int]]:
    """Have ended events worked again, as if they had just come, a merchant's or anybody's; returns those that can be.

    What still has its body and an owner, and is not in hand, can be.
    """
    replayed = []
    for event_id in event_ids:
        if merchant_id is None:
            touched = yield from ask(_REPLAY, (event_id, now))
        else:
            touched = yield from ask(_REPLAY_OWN, (event_id, now, merchant_id))
        if touched[0][0]:
            replayed.append(event_id)
    return replayed


def failed_events(limit: int) -> Steps[list[int]]:
    """Return the numbers of dead letters, the oldest first."""
    rows = yield from ask(_FAILED, (limit,))
    return [row[0] for row in rows]


def _shown(row: Row) -> dict[str, Any]:
    names = ("id", "source", "topic", "connection", "delivery_id", "merchant", "state", "reason", "claims")
    times = ("triggered_at", "received_at", "worked_at", "failed_at", "next_attempt_at")
    shown = dict(zip(names, row, strict=False))
    shown.update(zip(times, map(to_iso, row[len(names) :]), strict=True))
    if shown["state"] != "open":
        shown["next_attempt_at"] = None
    return shown


def said(stored: bytes, size: int | None) -> Any:
    """Return a stored body as the JSON it is (see `readable`); of one that is damaged, that it is."""
    try:
        return readable(unpack(stored, size))
    except ValueError:
        return {"damaged": base64.b64encode(stored).decode()}


def readable(body: bytes) -> Any:
    """Return a body as the JSON it is, else its bytes in base64."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return {"base64": base64.b64encode(body).decode()}


_STATE = (
    "CASE WHEN e.failed_at IS NOT NULL THEN 'failed' WHEN e.worked_at IS NOT NULL THEN e.outcome"
    " WHEN e.merchant_id IS NULL THEN 'unknown' ELSE 'open' END"
)
_COLUMNS = (
    f"SELECT e.id, e.source, e.topic, e.connection, e.delivery_id, m.name, {_STATE}, e.reason, e.claims,"
    " e.triggered_at, e.received_at, e.worked_at, e.failed_at, e.next_attempt_at"
    " FROM events e LEFT JOIN merchants m ON m.id = e.merchant_id"
)
_LIST_SQL = (
    f"{_COLUMNS} WHERE (?1 IS NULL OR {_STATE} = ?1) AND (?2 IS NULL OR m.name = ?2)"
    " AND (?3 IS NULL OR e.topic = ?3) ORDER BY e.id DESC LIMIT ?4"
)
_LIST = plain(
    _LIST_SQL,
    # PostgreSQL wants to know what a parameter is before it is compared with nothing.
    postgres=_LIST_SQL.replace("?1", "?1::text").replace("?2", "?2::text").replace("?3", "?3::text"),
)
_ONE = plain(f"{_COLUMNS} WHERE e.id = ?1")
_BODY = plain("SELECT body, size FROM event_bodies WHERE event_id = ?1")
_FAILED = plain("SELECT id FROM events WHERE failed_at IS NOT NULL ORDER BY id LIMIT ?1")
_AGAIN = (
    "UPDATE events SET worked_at = NULL, failed_at = NULL, outcome = NULL, reason = NULL, claims = 0,"
    " claim = NULL, claimed_until = NULL, next_attempt_at = ?2"
    " WHERE id = ?1 AND (worked_at IS NOT NULL OR failed_at IS NOT NULL)"
    " AND EXISTS (SELECT 1 FROM event_bodies b WHERE b.event_id = events.id)"
)
_REPLAY = plain(f"{_AGAIN} AND merchant_id IS NOT NULL")
_REPLAY_OWN = plain(f"{_AGAIN} AND merchant_id = ?3")
