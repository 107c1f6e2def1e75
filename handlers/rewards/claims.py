"""Whose turn it is to have a platform asked about their rewards, who is at it, and what has lapsed meanwhile."""

from collections.abc import Sequence
from typing import NamedTuple

from handlers.merchants.books import lock_books
from handlers.rewards.store import Redemption
from integration.clock import MINUTE
from integration.database.shares import Want, due_by_merchant, take
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain

LEASE = 5 * MINUTE  # of whoever asks the platform, by the database's clock; longer than any question lasts

_DUE = due_by_merchant(
    "redemptions",
    "next_at",
    "number",
    "t.next_at IS NOT NULL AND t.claim IS NULL",
    ("t.number", "t.merchant_id AS owner"),
)
# PostgreSQL would walk through all merchants' by the index of instants, were it not for the order.
_OF_MERCHANT = plain(
    "SELECT number FROM redemptions WHERE next_at IS NOT NULL AND claim IS NULL AND merchant_id = ?1 AND next_at <= ?2"
    " ORDER BY next_at, number LIMIT ?3",
    postgres="SELECT number FROM redemptions WHERE next_at IS NOT NULL AND claim IS NULL"
    " AND (merchant_id, next_at) >= (?1, 0) AND (merchant_id, next_at) <= (?1, ?2)"
    " ORDER BY merchant_id, next_at, number LIMIT ?3",
)
# A lease that seems to last longer than any was given before the database's clock was set back.
_LEFT_BEHIND = f"claim IS NOT NULL AND (claimed_until <= {{clock}} OR claimed_until > {{clock}} + {LEASE})"
_LOOK = plain(
    "SELECT (SELECT 1 FROM redemptions WHERE next_at <= ?1 AND next_at IS NOT NULL AND claim IS NULL LIMIT 1),"
    f" (SELECT 1 FROM redemptions WHERE {_LEFT_BEHIND} LIMIT 1)"
)
_FREE = plain(f"UPDATE redemptions SET claim = NULL, claimed_until = NULL WHERE {_LEFT_BEHIND}")
_CLAIM = keyed(
    f"UPDATE redemptions SET claim = k.token, claimed_until = {{clock}} + {LEASE}, attempts = redemptions.attempts + 1"
    " FROM {keys} k WHERE redemptions.merchant_id = k.merchant_id AND redemptions.number = k.number"
    " AND redemptions.claim IS NULL RETURNING " + ", ".join(f"redemptions.{name}" for name in Redemption._fields),
    merchant_id=BIG,
    number=BIG,
    token=TEXT,
)
_RENEW = plain(
    f"UPDATE redemptions SET claimed_until = {{clock}} + {LEASE}"
    " WHERE merchant_id = ?1 AND number = ?2 AND claim = ?3 AND claimed_until > {clock}"
)
_PUT_BACK = keyed(
    "UPDATE redemptions SET claim = NULL, claimed_until = NULL, next_at = k.until, attempts = redemptions.attempts - 1"
    " FROM {keys} k WHERE redemptions.merchant_id = k.merchant_id AND redemptions.number = k.number"
    " AND redemptions.claim = k.token",
    merchant_id=BIG,
    number=BIG,
    token=TEXT,
    until=BIG,
)
_LAPSED = plain(
    "SELECT expires_at, merchant_id, number FROM redemptions WHERE state = 'issued' AND expires_at IS NOT NULL"
    " AND expires_at <= ?1 AND (expires_at, merchant_id, number) > (?2, ?3, ?4) AND next_at IS NULL"
    " ORDER BY expires_at, merchant_id, number LIMIT ?5"
)


def anything_due(now: int) -> Steps[tuple[bool, bool]]:
    """Tell whether a platform is to be asked for something by now, and whether somebody left something behind.

    A look that locks nothing.
    """
    ((due, left),) = yield from ask(_LOOK, (now,))
    return due is not None, left is not None


def free_left_behind() -> Steps[None]:
    """End the claims of those who did not come back from asking."""
    yield from ask(_FREE, ())


def merchants_due(now: int, after: int) -> Steps[tuple[list[int], int]]:
    """Name merchants who have something due, those behind `after` first, and behind whom to look next."""
    taken = yield from take(_DUE, now, Want(1, 1), after)
    return sorted({owner for _, owner in taken.each_in_turn}), taken.after


def claim(merchant_id: int, token: str, now: int, limit: int) -> Steps[list[Redemption]]:
    """Claim what one merchant has due, the longest first, for as long as `LEASE` by the database's clock."""
    due = yield from ask(_OF_MERCHANT, (merchant_id, now, limit))
    rows = yield from ask(_CLAIM, [(merchant_id, number, token) for number in sorted(row[0] for row in due)])
    return sorted((Redemption(*row) for row in rows), key=lambda r: (r.next_at or 0, r.number))


def put_back(claimed: Sequence[Redemption], until: int) -> Steps[None]:
    """Give claimed redemptions of one merchant back untried, due again at `until`."""
    yield from lock_books({each.merchant_id for each in claimed})
    keys = sorted((each.merchant_id, each.number, each.claim or "", until) for each in claimed)
    yield from ask(_PUT_BACK, keys)


def renew(claimed: Redemption) -> Steps[bool]:
    """Give a claim its whole lease again; False where it has run out."""
    rows = yield from ask(_RENEW, (claimed.merchant_id, claimed.number, claimed.claim))
    return bool(rows[0][0])


class Lapsed(NamedTuple):
    """What has lapsed unused, by when it did."""

    expires_at: int
    merchant_id: int
    number: int


def lapsed(now: int, after: Lapsed, limit: int) -> Steps[list[Lapsed]]:
    """Name what has lapsed unused and nobody looks after yet, behind `after`, the longest ago first."""
    return [Lapsed(*row) for row in (yield from ask(_LAPSED, (now, *after, limit)))]
