"""What deliveries tell of persons: their bodies, found by the words in them and deleted."""

import json
import re
from collections.abc import Sequence, Set
from contextlib import suppress
from typing import NamedTuple

from handlers.holders import Holder, Sections, Subject
from handlers.inbox.record import DELETE_BODIES, DELETE_EVENTS
from handlers.inbox.replay import said
from integration.clock import to_iso
from integration.database.packing import unpack
from integration.database.steps import BIG, Steps, ask, keyed, plain

FORGOTTEN = "the person it tells of was forgotten"

# Whatever may stand around a name in JSON, in an address of a page, or in a sentence somebody wrote.
_WORD = re.compile(rb"[^\s\"'\\/:;,=&?!()<>{}\[\]|]+")
_EDGES = b".-_*~#$%^`"
FEW = 64  # words

_ONE = {"id": BIG}
_PAGE = plain(
    "SELECT e.id, b.body, b.size, e.worked_at, e.failed_at, e.delivery_id FROM events e"
    " LEFT JOIN event_bodies b ON b.event_id = e.id"
    " WHERE e.merchant_id = ?1 AND e.id > ?2 AND e.id <= ?3 ORDER BY e.id LIMIT ?4"
)
_LAST = plain("SELECT coalesce(max(id), 0) FROM events WHERE merchant_id = ?1")
_SHOW = keyed(
    "SELECT e.id, e.source, e.topic, e.received_at, b.body, b.size FROM {keys} k CROSS JOIN events e"
    " LEFT JOIN event_bodies b ON b.event_id = e.id WHERE e.id = k.id ORDER BY e.id",
    **_ONE,
)
# What we looked up ourselves is named after what it is about; what was given up may quote it.
_UNNAME = keyed(
    "UPDATE events SET delivery_id = CASE WHEN recovered = 1 THEN 'forgotten-' || events.id ELSE delivery_id END,"
    f" reason = CASE WHEN worked_at IS NULL AND failed_at IS NULL THEN reason ELSE '{FORGOTTEN}' END"
    " FROM {keys} k WHERE events.id = k.id",
    **_ONE,
)
_OF_SHOP = plain("SELECT id FROM events WHERE merchant_id = ?1 ORDER BY id LIMIT ?2")
_OF_CONNECTION = plain("SELECT id FROM events WHERE source = ?1 AND connection = ?2 AND merchant_id = ?3 LIMIT ?4")
_STRANGERS = plain("SELECT id FROM events WHERE source = ?1 AND connection = ?2 AND merchant_id IS NULL LIMIT ?3")
_FORGET_STRANGER = plain("DELETE FROM unknown_shops WHERE connection = ?1")


class Page(NamedTuple):
    """Some of a merchant's events: those that have ended with a body that tells of somebody, and the last looked at."""

    found: dict[int, Set[bytes]]  # event -> which of the words
    last: int | None  # None = there are no more


def last_event(merchant_id: int) -> Steps[int]:
    """Return the number of a merchant's newest event; 0 for none."""
    return int((yield from ask(_LAST, (merchant_id,)))[0][0])


def search(merchant_id: int, words: frozenset[bytes], after: int, until: int, limit: int) -> Steps[Page]:
    """Look through the next events for words (in lower case); for `Database.read`.

    What has still to be worked is left out: whoever was forgotten is kept back there.
    """
    rows = yield from ask(_PAGE, (merchant_id, after, until, limit))
    found: dict[int, Set[bytes]] = {}
    for number, stored, size, worked_at, failed_at, delivery_id in rows:
        if worked_at is None and failed_at is None:
            continue
        text = delivery_id.lower().replace("-", " ").encode() + b"\n" + (b"" if stored is None else _text(stored, size))
        # Few are looked for at a time: whether they are in there at all is quicker to see than all the words there are.
        if len(words) <= FEW and not any(word in text for word in words):
            continue
        if hit := words & {word.strip(_EDGES) for word in _WORD.findall(text)}:
            found[number] = hit
    return Page(found, rows[-1][0] if len(rows) == limit else None)


def _text(stored: bytes, size: int | None) -> bytes:
    """Return a body in lower case, as JSON means it; nothing of one that is damaged."""
    try:
        body = unpack(stored, size)
    except ValueError:
        return b""
    if b"\\u" in body:
        # Where it is unreadable as JSON, its words are looked at as they stand.
        with suppress(ValueError, RecursionError):
            body = json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace")
    return body.lower()


def export(subject: Subject) -> Steps[Sections]:
    """Show deliveries that tell of the person, as the platforms sent them."""
    rows = yield from ask(_SHOW, [(number,) for number in sorted(subject.events)])
    return {
        "deliveries": [
            {
                "number": number,
                "platform": source,
                "topic": topic,
                "received_at": to_iso(received_at),
                "body": None if stored is None else said(stored, size),
            }
            for number, source, topic, received_at, stored, size in rows
        ]
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Delete the bodies of events, and what in their rows names the person."""
    keys = [(number,) for number in sorted(subject.events)]
    yield from ask(_UNNAME, keys)
    gone = yield from ask(DELETE_BODIES, keys)
    return gone[0][0] if gone else 0


def clear(merchant_id: int, limit: int, now: int) -> Steps[int]:
    """Delete some of a shop's events, whatever became of them."""
    return (yield from _delete((yield from ask(_OF_SHOP, (merchant_id, limit)))))


def clear_source(merchant_id: int, source: str, connection: str, limit: int) -> Steps[int]:
    """Delete some of a merchant's events of one connection; returns how many."""
    return (yield from _delete((yield from ask(_OF_CONNECTION, (source, connection, merchant_id, limit)))))


def clear_stranger(source: str, connection: str, limit: int) -> Steps[int]:
    """Delete some of what a shop sent that nobody knows; returns how many events."""
    gone = yield from _delete((yield from ask(_STRANGERS, (source, connection, limit))))
    if gone < limit:
        yield from ask(_FORGET_STRANGER, (connection,))
    return gone


def _delete(rows: Sequence[tuple[int]]) -> Steps[int]:
    yield from ask(DELETE_BODIES, rows)
    yield from ask(DELETE_EVENTS, rows)
    return len(rows)


HOLDER = Holder("events", export, forget, clear)
