"""The outbox in set-based steps: what is wished for is kept here, claimed and finished once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from integration.clock import MINUTE, SECOND
from integration.database.shares import Want, due_by_merchant, take
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain

LEASE = 5 * MINUTE  # of a claim, by the database's clock; longer than any attempt to send lasts
LOOK_AGAIN = 20 * SECOND  # at a message under way; sooner than any attempt that failed is made again
UNSENT = ("scheduled", "waiting")


class Wish(NamedTuple):
    """What one capability wants of one message now; `due_at` None = it is not to be sent, for `reason`."""

    merchant_id: int
    key: str
    kind: str
    sale: int
    customer: int | None
    due_at: int | None
    reason: str | None = None
    test: bool = False
    details: str = "{}"
    trace: str | None = None  # of the event it comes from


class Kept(NamedTuple):
    """A message as the outbox has it."""

    merchant_id: int
    key: str
    kind: str
    customer: int | None
    state: str
    due_at: int
    test: int
    details: str
    closed_at: int | None
    lease_left: int  # by the database's clock; 0 = nobody is sending it

    @property
    def gone(self) -> bool:
        """It has been sent, or is being sent at this moment."""
        return self.state in ("sent", "sending")

    def under_way(self, now: int) -> int | None:
        """Return when to look at it again while it is being sent; None = it is not, or its claim ran out."""
        if self.state != "sending" or self.lease_left <= 0:
            return None
        return now + min(self.lease_left, LOOK_AGAIN)


_KEPT = keyed(
    "SELECT m.merchant_id, m.key, m.kind, m.customer, m.state, m.due_at, m.test, m.details, m.closed_at,"
    " CASE WHEN m.claimed_until > {clock} THEN m.claimed_until - {clock} ELSE 0 END"
    " FROM {keys} k CROSS JOIN messages m WHERE m.merchant_id = k.merchant_id AND m.key = k.key",
    merchant_id=BIG,
    key=TEXT,
)
_WISH = insert(
    "messages",
    # What has gone out, is going out or was given up stays as it is; a claim that ran out holds nothing.
    "ON CONFLICT (merchant_id, key) DO UPDATE SET customer = excluded.customer, sale = excluded.sale,"
    " state = excluded.state, due_at = excluded.due_at, next_attempt_at = excluded.next_attempt_at,"
    " reason = excluded.reason, test = excluded.test, details = excluded.details, attempts = 0,"
    " claim = NULL, claimed_until = NULL, trace = coalesce(excluded.trace, messages.trace)"
    " WHERE (messages.state IN ('scheduled', 'waiting', 'cancelled')"
    " OR (messages.state = 'sending' AND messages.claimed_until <= {clock}))"
    " AND messages.closed_at IS NULL",
    merchant_id=BIG,
    key=TEXT,
    kind=TEXT,
    sale=BIG,
    customer=BIG,
    channel=TEXT,
    state=TEXT,
    due_at=BIG,
    next_attempt_at=BIG,
    reason=TEXT,
    test=BIG,
    details=TEXT,
    created_at=BIG,
    trace=TEXT,
)


def kept(keys: Sequence[tuple[int, str]]) -> Steps[dict[tuple[int, str], Kept]]:
    """Load messages by (merchant, key); those never wished for are left out."""
    rows = yield from ask(_KEPT, keys)
    return {(row[0], row[1]): Kept(*row) for row in rows}


def keep(wishes: Sequence[Wish], have: dict[tuple[int, str], Kept], now: int) -> Steps[dict[tuple[int, int], int]]:
    """Write what differs between wishes and what `kept` found, in one statement.

    Returns for sales whose message is on its way at this moment, though no longer wanted as it is, when to
    look again: the attempt may fail, and then the wish counts. The messages are not locked meanwhile: senders
    would wait for settlers, though the two hardly ever meet.
    """
    rows: list[tuple[Any, ...]] = []
    again: dict[tuple[int, int], int] = {}
    for wish in wishes:
        message = have.get((wish.merchant_id, wish.key))
        if not _differs(wish, message):
            continue
        if message is not None and (look_at := message.under_way(now)) is not None:
            again[(wish.merchant_id, wish.sale)] = look_at
            continue
        rows.append(_row(wish, message, now))
    # Always in the order of the key, so that two writers never wait for each other.
    rows.sort(key=lambda row: (row[0], row[1]))
    written = yield from ask(_WISH, rows)
    if rows and written[0][0] < len(rows):
        # A sender claimed one of them after `kept` had looked, and holds it now: this wish was not written.
        fresh = yield from kept([(row[0], row[1]) for row in rows])
        for wish in wishes:
            message = fresh.get((wish.merchant_id, wish.key))
            if message is not None and _differs(wish, message) and (look_at := message.under_way(now)) is not None:
                again[(wish.merchant_id, wish.sale)] = look_at
    return again


def _differs(wish: Wish, message: Kept | None) -> bool:
    if message is None:
        return wish.due_at is not None
    if message.closed_at is not None or message.state in ("sent", "failed"):
        return False
    if wish.due_at is None:
        return message.state != "cancelled"
    return (
        message.state == "cancelled"
        or message.due_at != wish.due_at
        or message.customer != wish.customer
        or message.test != int(wish.test)
        or message.details != wish.details
    )


def _row(wish: Wish, message: Kept | None, now: int) -> tuple[Any, ...]:
    if wish.due_at is None:
        assert message is not None
        state, due_at, details = "cancelled", message.due_at, message.details
    else:
        state, due_at, details = "scheduled", wish.due_at, wish.details
    return (
        wish.merchant_id,
        wish.key,
        wish.kind,
        wish.sale,
        wish.customer,
        "email",
        state,
        due_at,
        max(due_at, now),
        wish.reason if state == "cancelled" else None,
        int(wish.test),
        details,
        now,
        wish.trace,
    )


class Due(NamedTuple):
    """One claimed message."""

    merchant_id: int
    key: str
    kind: str
    customer: int | None
    sale: int | None
    channel: str
    due_at: int
    attempts: int
    test: int
    details: str
    created_at: int
    trace: str | None = None  # of the event it comes from


class Claim(NamedTuple):
    """Messages claimed together, the longest due first, and behind which merchant to go on."""

    due: list[Due]
    after: int


_DUE = due_by_merchant(
    "messages",
    "next_attempt_at",
    "key",
    "t.state IN ('scheduled', 'waiting')",
    ("t.key", "t.merchant_id AS owner"),
    locked=True,
)
# A lease never lasts longer than LEASE: one that seems to was given before the database's clock was set back.
_RAN_OUT = "state = 'sending' AND (claimed_until <= {clock} OR claimed_until > {clock} + ?1)"
_LOST_SQL = f"SELECT key, merchant_id FROM messages WHERE {_RAN_OUT} ORDER BY claimed_until LIMIT ?2"
_LOST = plain(_LOST_SQL, postgres=_LOST_SQL + " FOR UPDATE SKIP LOCKED")
# Workers of the release before look at `next_attempt_at` of what is being sent: it must not seem due to them.
_LEASE = keyed(
    "UPDATE messages SET state = 'sending', claim = k.token, claimed_until = {clock} + k.lease,"
    " next_attempt_at = k.until,"
    " attempts = messages.attempts + 1 FROM {keys} k"
    " WHERE messages.merchant_id = k.merchant_id AND messages.key = k.key"
    " RETURNING messages.merchant_id, messages.key, kind, customer, sale, channel, due_at, attempts, test,"
    " details, created_at, trace",
    merchant_id=BIG,
    key=TEXT,
    token=TEXT,
    lease=BIG,
    until=BIG,
)
# Of the same rows as the index; those being sent, which stand far ahead, are stepped over.
_NEXT = plain(
    "SELECT (SELECT m.next_attempt_at FROM messages m WHERE m.state IN ('scheduled', 'waiting', 'sending')"
    " AND m.state <> 'sending' ORDER BY m.next_attempt_at LIMIT 1),"
    f" (SELECT 1 FROM messages WHERE {_RAN_OUT} LIMIT 1)"
)
# What is being sent is looked at again when its claim runs out, so it stands within a lease from now.
_CLAIMABLE = plain(
    "SELECT count(*) FROM messages WHERE state IN ('scheduled', 'waiting', 'sending')"
    " AND next_attempt_at <= ?2 AND (next_attempt_at <= ?1 OR state = 'sending')"
)
_DEFER = keyed(
    "UPDATE messages SET state = 'waiting', claim = NULL, claimed_until = NULL,"
    " next_attempt_at = k.next_at, reason = k.reason, attempts = k.attempts FROM {keys} k"
    " WHERE messages.merchant_id = k.merchant_id AND messages.key = k.key AND messages.claim = k.token",
    merchant_id=BIG,
    key=TEXT,
    token=TEXT,
    next_at=BIG,
    reason=TEXT,
    attempts=BIG,
)
_CLOSE = keyed(
    "UPDATE messages SET state = k.outcome, claim = NULL, claimed_until = NULL, closed_at = k.at,"
    " reason = k.reason FROM {keys} k"
    " WHERE messages.merchant_id = k.merchant_id AND messages.key = k.key AND messages.claim = k.token",
    merchant_id=BIG,
    key=TEXT,
    token=TEXT,
    outcome=TEXT,
    at=BIG,
    reason=TEXT,
)
# A mail that went out is a fact, whoever holds the claim by now.
_SENT = plain(
    "UPDATE messages SET state = 'sent', claim = NULL, claimed_until = NULL, sent_at = ?3, address = ?4,"
    " receipt = ?5, content = ?6, reason = NULL WHERE merchant_id = ?1 AND key = ?2 AND state <> 'sent'"
)
_FOLLOW = insert(
    "messages",
    "ON CONFLICT (merchant_id, key) DO NOTHING",
    merchant_id=BIG,
    key=TEXT,
    kind=TEXT,
    sale=BIG,
    customer=BIG,
    channel=TEXT,
    state=TEXT,
    due_at=BIG,
    next_attempt_at=BIG,
    test=BIG,
    details=TEXT,
    created_at=BIG,
    trace=TEXT,
)


def claim(token: str, now: int, limit: int, after: int = 0) -> Steps[Claim]:
    """Claim some `limit` messages whose time has come, fair between merchants, for as long as `LEASE`.

    Those behind merchant `after` come first. The lease is measured by the database's clock.
    """
    lost = yield from ask(_LOST, (LEASE, limit))
    taken = yield from take(_DUE, now, Want(limit, limit), after)
    keys = sorted((owner, key) for key, owner in [*lost, *taken.each_in_turn][:limit])
    rows = yield from ask(_LEASE, [(*key, token, LEASE, now + LEASE) for key in keys])
    due = sorted((Due(*row) for row in rows), key=lambda m: (m.due_at, m.created_at, m.key))
    return Claim(due, taken.after)


def anything_due(now: int) -> Steps[bool]:
    """Tell whether a message is to be looked at by `now`, or was left behind by who was sending it."""
    ((first, lost),) = yield from ask(_NEXT, (LEASE,))
    return lost is not None or (first is not None and first <= now)


def claimable(now: int) -> Steps[int]:
    """Count messages that are due at `now` or being sent; those waiting for their window do not count."""
    rows = yield from ask(_CLAIMABLE, (now, now + LEASE))
    return rows[0][0]  # type: ignore[no-any-return]


class Later(NamedTuple):
    """It has to wait, for a reason in words; `counts` = the attempt counts as one that failed."""

    at: int
    reason: str
    counts: bool = False


class Never(NamedTuple):
    """It will not be sent: `state` is `cancelled` or `failed`, for a reason in words."""

    state: str
    reason: str


def settle(decided: Sequence[tuple[Due, Later | Never]], token: str, now: int) -> Steps[None]:
    """Write what was decided of claimed messages; a claim that was lost meanwhile has no effect."""
    ordered = sorted(decided, key=lambda pair: (pair[0].merchant_id, pair[0].key))
    later = [
        (m.merchant_id, m.key, token, v.at, v.reason, m.attempts if v.counts else m.attempts - 1)
        for m, v in ordered
        if isinstance(v, Later)
    ]
    never = [(m.merchant_id, m.key, token, v.state, now, v.reason) for m, v in ordered if isinstance(v, Never)]
    yield from ask(_DEFER, later)
    yield from ask(_CLOSE, never)


class Next(NamedTuple):
    """A message that follows when another has gone out, unless its key is taken."""

    key: str
    kind: str
    due_at: int
    details: str = "{}"


def sent(
    message: Due, address: str, receipt: str, now: int, content: str | None = None, then: Next | None = None
) -> Steps[None]:
    """Record that a message has gone out and what it said (see `kinds.kept`), and keep the one that follows it."""
    yield from ask(_SENT, (message.merchant_id, message.key, now, address, receipt, content))
    if then is not None:
        who = (message.merchant_id, message.sale, message.customer)
        yield from follow(*who, bool(message.test), then, now, message.trace)


def follow(
    merchant_id: int,
    sale: int | None,
    customer: int | None,
    test: bool,
    then: Next,
    now: int,
    trace: str | None = None,
) -> Steps[None]:
    """Keep a message that no settler wishes for; an existing one of the same key stays as it is."""
    row = (merchant_id, then.key, then.kind, sale, customer, "email", "scheduled")
    yield from ask(_FOLLOW, [(*row, then.due_at, max(then.due_at, now), int(test), then.details, now, trace)])


def tell(merchant_id: int, people: Sequence[tuple[int, Next]], now: int) -> Steps[None]:
    """Keep messages that hang on no sale, each for one customer; existing ones of the same key stay as they are."""
    yield from ask(
        _FOLLOW,
        [
            (merchant_id, one.key, one.kind, None, customer, "email", "scheduled", one.due_at, max(one.due_at, now), 0,
             one.details, now, None)
            for customer, one in sorted(people, key=lambda pair: pair[1].key)
        ],
    )  # fmt: skip
