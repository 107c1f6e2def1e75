"""Who changed what, and who looked at whose personal data: written with the change, read back page by page.

    def save() -> Steps[None]:
        yield from change_program(visit.merchant_id, changes, now)
        yield from note(visit.merchant_id, visit.who, "changed the programme", "programme", {...}, now)

People stand in it by their number alone (`customer:7`): no name, no address, no words of theirs. So forgetting a
person leaves it whole.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from integration.clock import DAY, HOUR
from integration.database.steps import BIG, TEXT, Steps, ask, insert, plain

KEEP_CHANGES = 730 * DAY
KEEP_LOOKS = 365 * DAY
LOOK_LASTS = HOUR  # going back and forth between pages is one look
MOST_DETAIL = 20_000  # characters of one entry's detail; a longer one is kept as its length alone
MOST_PAGE = 200
MOST_PRUNED = 5_000  # rows deleted in one go
_MARK_BYTES = 6
_LAST = "~"  # after every mark


class Entry(NamedTuple):
    """One change; `at` and `mark` together name it."""

    at: int
    mark: str
    who: str
    did: str
    about: str
    detail: Mapping[str, Any] | None


class Look(NamedTuple):
    """One look at personal data; no customer means a list of several people."""

    at: int
    mark: str
    who: str
    what: str
    customer: int | None


_NOTE = insert("journal", merchant_id=BIG, at=BIG, mark=TEXT, who=TEXT, did=TEXT, about=TEXT, detail=TEXT)
_LOOKED = insert("looks", merchant_id=BIG, at=BIG, mark=TEXT, who=TEXT, what=TEXT, customer=BIG)
_ENTRIES = plain(
    "SELECT at, mark, who, did, about, detail FROM journal"
    " WHERE merchant_id = ?1 AND (at, mark) < (?2, ?3) ORDER BY at DESC, mark DESC LIMIT ?4"
)
_LOOKS = plain(
    "SELECT at, mark, who, what, customer FROM looks"
    " WHERE merchant_id = ?1 AND (at, mark) < (?2, ?3) ORDER BY at DESC, mark DESC LIMIT ?4"
)
_SEEN = plain(
    "SELECT 1 FROM looks WHERE merchant_id = ?1 AND at > ?2 AND who = ?3 AND what = ?4"
    " AND COALESCE(customer, 0) = ?5 LIMIT 1"
)
_PRUNE = {
    table: plain(
        f"DELETE FROM {table} WHERE (merchant_id, at, mark) IN"
        f" (SELECT merchant_id, at, mark FROM {table} WHERE at < ?1 ORDER BY at LIMIT ?2)"
    )
    for table in ("journal", "looks")
}


def note(merchant_id: int, who: str, did: str, about: str, detail: Mapping[str, Any] | None, now: int) -> Steps[None]:
    """Write down a change in the transaction that makes it.

    `did` is a verb in the past ("changed the programme"), `about` what was changed ("programme", "customer:7"),
    `detail` says `before` and `after` as JSON values. Nobody's personal data goes in.
    """
    text = None if detail is None else json.dumps(detail, ensure_ascii=False, default=str)
    if text is not None and len(text) > MOST_DETAIL:
        text = json.dumps({"left_out": f"{len(text)} characters"})
    yield from ask(_NOTE, [(merchant_id, now, secrets.token_hex(_MARK_BYTES), who, did, about, text)])


def looked(merchant_id: int, who: str, what: str, customer: int | None, now: int) -> Steps[None]:
    """Write down that somebody saw personal data: of one customer, or (None) of a list of them."""
    yield from ask(_LOOKED, [(merchant_id, now, secrets.token_hex(_MARK_BYTES), who, what, customer)])


def is_looking(merchant_id: int, who: str, what: str, customer: int | None, now: int) -> Steps[bool]:
    """Tell whether this look goes on with one written down within LOOK_LASTS, and need not be written down again."""
    return bool((yield from ask(_SEEN, (merchant_id, now - LOOK_LASTS, who, what, customer or 0))))


def entries_before(merchant_id: int, before: tuple[int, str] | None, limit: int) -> Steps[list[Entry]]:
    """One page of changes, the newest first; `before` is the (at, mark) of the last one of the page before."""
    rows = yield from ask(_ENTRIES, (merchant_id, *(before or _END), min(limit, MOST_PAGE)))
    return [
        Entry(at, mark, who, did, about, detail and json.loads(detail)) for at, mark, who, did, about, detail in rows
    ]


def looks_before(merchant_id: int, before: tuple[int, str] | None, limit: int) -> Steps[list[Look]]:
    """One page of looks at personal data, the newest first; `before` as in `entries_before`."""
    rows = yield from ask(_LOOKS, (merchant_id, *(before or _END), min(limit, MOST_PAGE)))
    return [Look(*row) for row in rows]


def prune(now: int) -> Steps[int]:
    """Delete what is older than it is kept, MOST_PRUNED rows of each table at most; returns how many."""
    changes = yield from ask(_PRUNE["journal"], (now - KEEP_CHANGES, MOST_PRUNED))
    seen = yield from ask(_PRUNE["looks"], (now - KEEP_LOOKS, MOST_PRUNED))
    return int(changes[0][0]) + int(seen[0][0])


_END = (2**62, _LAST)
