"""What is looked at to tell whether all is well: bounded counts of what waits or failed, and signs of life."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Table, Text

from integration.clock import SECOND
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Row, Steps, ask, insert, keyed, plain

MOST_COUNTED = 50_000  # rows of one count: what is more is told as this many
MOST_SIGNS = 1_000

# The last word on each thing that should happen again and again: a process that lives, a merchant's audit, a backup.
vitals = Table(
    "vitals",
    metadata,
    Column("kind", Text, primary_key=True),  # process, audit, backup
    Column("name", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("count", Number, nullable=False, server_default="0"),  # audit: drifts; backup: rows
    Column("told", Text, nullable=False, server_default="{}"),  # JSON, for people
)


class Sign(NamedTuple):
    """The last word on one thing."""

    kind: str
    name: str
    at: int
    counted: int
    told: Mapping[str, Any]


class Backlog(NamedTuple):
    """Events of one platform that are still to be worked."""

    waiting: int  # due now or in a worker's hands
    retrying: int  # failed before, to be tried again later
    due_since: int | None  # since when the oldest could have been taken


class Audits(NamedTuple):
    """The last audits of all merchants."""

    merchants: int
    drifts: int
    oldest_at: int | None


class Readings(NamedTuple):
    """What is counted at one instant; every count ends at MOST_COUNTED."""

    backlog: Mapping[str, Backlog]
    unknown_events: int
    dead_letters: Mapping[str, int]
    last_dead_at: int | None
    recovered: Mapping[str, int]
    messages: Mapping[str, int]  # by state; of the closed ones only those that failed
    message_due_since: int | None
    sales_due: int
    settlements: Mapping[str, int]  # retrying, given_up
    quiet: Mapping[str, int]  # connections whose webhooks have gone quiet while the platform has news
    privacy: Mapping[str, int]  # requests by law that are open, by kind
    privacy_due_at: int | None  # the nearest deadline of those that do not wait on purpose
    processes: tuple[Sign, ...]
    audits: Audits
    rewards: Mapping[str, int] = {}  # those a platform is still to be asked about, by state
    reward_waits_since: int | None = None  # since when the oldest of them was first asked for
    friends: Mapping[str, int] = {}  # friends' codes a platform is still to be asked about, by state
    friend_waits_since: int | None = None  # since when the oldest of them should be there, or gone


# Ordered as the worker takes them: what is due comes first, so that its oldest is always among those counted.
BACKLOG = plain(
    "SELECT b.source, sum(CASE WHEN b.claim IS NOT NULL OR b.next_attempt_at <= ?1 THEN 1 ELSE 0 END),"
    " sum(CASE WHEN b.claim IS NULL AND b.next_attempt_at > ?1 THEN 1 ELSE 0 END),"
    " min(CASE WHEN b.next_attempt_at <= ?1 THEN b.next_attempt_at END)"
    " FROM (SELECT source, claim, next_attempt_at FROM events"
    " WHERE worked_at IS NULL AND failed_at IS NULL AND merchant_id IS NOT NULL"
    " ORDER BY next_attempt_at, id LIMIT ?2) b GROUP BY b.source"
)
UNKNOWN = plain("SELECT CAST(coalesce(sum(events), 0) AS bigint) FROM unknown_shops")
DEAD = plain(
    "SELECT d.source, count(*), max(d.failed_at) FROM (SELECT source, failed_at FROM events"
    " WHERE failed_at IS NOT NULL ORDER BY failed_at DESC LIMIT ?1) d GROUP BY d.source"
)
RECOVERED = plain(
    "SELECT r.source, count(*) FROM (SELECT source FROM events WHERE recovered = 1 LIMIT ?1) r GROUP BY r.source"
)
OPEN_MESSAGES = plain(
    "SELECT m.state, count(*), min(CASE WHEN m.next_attempt_at <= ?1 THEN m.next_attempt_at END)"
    " FROM (SELECT state, next_attempt_at FROM messages WHERE state IN ('scheduled', 'waiting', 'sending')"
    " ORDER BY next_attempt_at LIMIT ?2) m GROUP BY m.state"
)
FAILED_MESSAGES = plain("SELECT count(*) FROM (SELECT 1 FROM messages WHERE state = 'failed' LIMIT ?1) m")
SALES_DUE = plain(
    "SELECT count(*) FROM (SELECT 1 FROM sales WHERE settle_at IS NOT NULL AND settle_at <= ?1"
    " ORDER BY settle_at LIMIT ?2) s"
)
SETTLEMENTS = plain(
    "SELECT CASE WHEN s.retry_at IS NULL THEN 'given_up' ELSE 'retrying' END, count(*)"
    " FROM (SELECT retry_at FROM settlements LIMIT ?1) s GROUP BY 1"
)
QUIET = plain(
    "SELECT c.platform, count(*) FROM reconcile_marks r CROSS JOIN connections c"
    " WHERE c.id = r.connection AND r.quiet_since IS NOT NULL AND c.closed_at IS NULL GROUP BY c.platform"
)
# Few are open at a time.
PRIVACY = plain(
    "SELECT p.kind, count(*), min(CASE WHEN p.waits_until > ?2 THEN NULL ELSE p.due_at END)"
    " FROM (SELECT kind, due_at, waits_until FROM privacy_requests WHERE done_at IS NULL ORDER BY due_at LIMIT ?1) p"
    " GROUP BY p.kind"
)
REWARDS = plain(
    "SELECT r.state, count(*),"
    " min(CASE WHEN r.state = 'asked' THEN r.asked_at ELSE coalesce(r.tried_at, r.next_at) END)"
    " FROM (SELECT state, asked_at, tried_at, next_at"
    " FROM redemptions WHERE next_at IS NOT NULL ORDER BY next_at LIMIT ?1) r GROUP BY r.state"
)
# A shop that is gone has nobody who waits.
FRIENDS = plain(
    "SELECT f.state, count(*),"
    " min(CASE WHEN f.state = 'asked' THEN f.created_at ELSE coalesce(f.tried_at, f.next_at) END)"
    " FROM (SELECT c.state, c.created_at, c.tried_at, c.next_at FROM referral_codes c"
    " JOIN merchants m ON m.id = c.merchant_id AND m.closed_at IS NULL WHERE c.next_at IS NOT NULL LIMIT ?1) f"
    " GROUP BY f.state"
)
SIGNS = plain("SELECT kind, name, at, count, told FROM vitals WHERE kind = ?1 ORDER BY name LIMIT ?2")
AUDITS = plain("SELECT count(*), CAST(coalesce(sum(count), 0) AS bigint), min(at) FROM vitals WHERE kind = 'audit'")

_TELL = insert(
    "vitals",
    "ON CONFLICT (kind, name) DO UPDATE SET at = excluded.at, count = excluded.count, told = excluded.told",
    kind=TEXT,
    name=TEXT,
    at=BIG,
    count=BIG,
    told=TEXT,
)
_FORGET = keyed(
    "DELETE FROM vitals WHERE EXISTS (SELECT 1 FROM {keys} k WHERE vitals.kind = k.kind AND vitals.name = k.name)",
    kind=TEXT,
    name=TEXT,
)
_FORGET_BEFORE = plain("DELETE FROM vitals WHERE kind = ?1 AND at < ?2")


def take_readings(now: int) -> Steps[Readings]:
    """Count everything once, by index, in a few milliseconds; for `Database.read`."""
    backlog = yield from ask(BACKLOG, (now, MOST_COUNTED))
    unknown = yield from ask(UNKNOWN, ())
    dead = yield from ask(DEAD, (MOST_COUNTED,))
    recovered = yield from ask(RECOVERED, (MOST_COUNTED,))
    messages = yield from ask(OPEN_MESSAGES, (now, MOST_COUNTED))
    failed = yield from ask(FAILED_MESSAGES, (MOST_COUNTED,))
    sales = yield from ask(SALES_DUE, (now - SECOND, MOST_COUNTED))
    settlements = yield from ask(SETTLEMENTS, (MOST_COUNTED,))
    quiet = yield from ask(QUIET, ())
    privacy = yield from ask(PRIVACY, (MOST_COUNTED, now))
    rewards = yield from ask(REWARDS, (MOST_COUNTED,))
    friends = yield from ask(FRIENDS, (MOST_COUNTED,))
    processes = yield from signs("process")
    audits = yield from ask(AUDITS, ())
    return Readings(
        backlog={row[0]: Backlog(int(row[1]), int(row[2]), row[3]) for row in backlog},
        unknown_events=int(unknown[0][0]),
        dead_letters={row[0]: int(row[1]) for row in dead},
        last_dead_at=max((row[2] for row in dead), default=None),
        recovered={row[0]: int(row[1]) for row in recovered},
        messages={row[0]: int(row[1]) for row in messages} | {"failed": int(failed[0][0])},
        message_due_since=min((row[2] for row in messages if row[2] is not None), default=None),
        sales_due=int(sales[0][0]),
        settlements={row[0]: int(row[1]) for row in settlements},
        quiet={row[0]: int(row[1]) for row in quiet},
        privacy={row[0]: int(row[1]) for row in privacy},
        privacy_due_at=min((row[2] for row in privacy if row[2] is not None), default=None),
        processes=processes,
        audits=Audits(int(audits[0][0]), int(audits[0][1]), audits[0][2]),
        rewards={row[0]: int(row[1]) for row in rewards},
        reward_waits_since=min((row[2] for row in rewards), default=None),
        friends={row[0]: int(row[1]) for row in friends},
        friend_waits_since=min((row[2] for row in friends), default=None),
    )


def signs(kind: str) -> Steps[tuple[Sign, ...]]:
    """Read the last words on one kind of thing, by name."""
    rows = yield from ask(SIGNS, (kind, MOST_SIGNS))
    return tuple(_sign(row) for row in rows)


def tell(kind: str, name: str, at: int, count: int = 0, **told: Any) -> Steps[None]:
    """Write the last word on one thing; `told` is for people and holds nothing personal."""
    yield from ask(_TELL, [(kind, name, at, count, json.dumps(told))])


def forget(kind: str, name: str) -> Steps[None]:
    """Forget one thing that will not happen again."""
    yield from ask(_FORGET, [(kind, name)])


def forget_before(kind: str, at: int) -> Steps[None]:
    """Forget what nobody has told of since an instant."""
    yield from ask(_FORGET_BEFORE, (kind, at))


def _sign(row: Row) -> Sign:
    return Sign(row[0], row[1], row[2], row[3], json.loads(row[4]))


class Audited(NamedTuple):
    """A merchant whose books are to be looked at, and how many entries they hold."""

    merchant_id: int
    entries: int


LONGEST_UNAUDITED = plain(
    "SELECT b.merchant_id, b.next_entry - 1 FROM books b"
    " LEFT JOIN vitals v ON v.kind = 'audit' AND v.name = CAST(b.merchant_id AS text)"
    " WHERE coalesce(v.at, 0) < ?1 ORDER BY coalesce(v.at, 0), b.merchant_id LIMIT ?2"
)
LOGINS = plain(
    "SELECT c.id, m.name, c.platform, c.account, c.refresh_token IS NOT NULL, c.refresh_problem FROM connections c"
    " JOIN merchants m ON m.id = c.merchant_id WHERE c.token IS NOT NULL AND c.closed_at IS NULL ORDER BY c.id LIMIT ?1"
)
SUM_OF_ACCOUNTS = plain("SELECT CAST(coalesce(sum(micropoints), 0) AS bigint) FROM accounts WHERE merchant_id = ?1")


def longest_unaudited(before: int, limit: int) -> Steps[list[Audited]]:
    """Return merchants whose last audit was before an instant, the longest ago first."""
    rows = yield from ask(LONGEST_UNAUDITED, (before, limit))
    return [Audited(*row) for row in rows]


def sum_of_accounts(merchant_id: int) -> Steps[int]:
    """Add up all accounts of a merchant, in micropoints; anything but zero is a drift."""
    rows = yield from ask(SUM_OF_ACCOUNTS, (merchant_id,))
    return int(rows[0][0])


class Login(NamedTuple):
    """A merchant's connection that holds a token or key of a platform; `problem` says why it could not be renewed."""

    connection: int
    merchant: str
    platform: str
    account: str
    is_installed: bool  # by the merchant, who gives access again by opening the app
    problem: str | None


def logins(limit: int) -> Steps[list[Login]]:
    """Return at most `limit` open connections with a token, in the order they were made."""
    rows = yield from ask(LOGINS, (limit,))
    return [
        Login(number, name, platform, account, bool(own), why) for number, name, platform, account, own, why in rows
    ]
