"""What rewards tell of persons: who had which, and the codes only they know."""

from collections.abc import Sequence

from handlers.holders import Holder, Sections, Subject, deleting
from handlers.merchants.books import lock_books
from handlers.rewards.changes import settled
from handlers.rewards.rules import OPEN, State
from handlers.rewards.store import of_people
from integration.clock import to_iso
from integration.database.steps import BIG, Sql, Steps, ask, keyed

_KEY = {"merchant_id": BIG, "customer": BIG}
_NAMED = (
    "(r.code IS NOT NULL OR r.reason IS NOT NULL OR r.platform_id IS NOT NULL"
    " OR r.buyer IS NOT NULL OR r.mark IS NOT NULL OR r.key <> 'forgotten-' || r.merchant_id || '-' || r.number)"
)
# What the platform is still to be asked about needs its code and what it is called there.
_OPEN = "(r.state IN ('asked', 'issued', 'returning') OR r.next_at IS NOT NULL)"
_UNDER_WAY = keyed(
    "SELECT r.number FROM {keys} k CROSS JOIN redemptions r"
    f" WHERE r.merchant_id = k.merchant_id AND r.customer = k.customer AND {_OPEN}",
    **_KEY,
)


def _cleaning(which: str) -> Sql:
    return keyed(
        "UPDATE redemptions SET code = NULL, reason = NULL, buyer = NULL, platform_id = NULL, mark = NULL,"
        " next_at = NULL,"
        " key = 'forgotten-' || redemptions.merchant_id || '-' || redemptions.number"
        " WHERE (merchant_id, number) IN (SELECT r.merchant_id, r.number FROM {keys} k CROSS JOIN redemptions r"
        f" WHERE r.merchant_id = k.merchant_id AND r.customer = k.customer AND {_NAMED}{which})",
        **_KEY,
    )


_CLEAN, _GIVE_UP = _cleaning(f" AND NOT {_OPEN}"), _cleaning("")
_VOID = keyed(
    "UPDATE redemptions SET state = 'returning', returning_at = k.now, next_at = k.now, attempts = 0 FROM {keys} k"
    " WHERE redemptions.merchant_id = k.merchant_id AND redemptions.customer = k.customer AND state = 'issued'",
    **_KEY,
    now=BIG,
)


def under_way(merchant_id: int, numbers: Sequence[int]) -> Steps[bool]:
    """Tell whether a platform is still to be asked about one of these customers' rewards: to switch a code off."""
    return bool((yield from ask(_UNDER_WAY, [(merchant_id, number) for number in sorted(numbers)])))


def give_up(merchant_id: int, numbers: Sequence[int], now: int) -> Steps[int]:
    """Take the codes away of rewards whose platform cannot be asked; returns of how many.

    What was never asked for is never made, and its points come back; what may be there stays spent.
    """
    counters = (yield from lock_books([merchant_id]))[merchant_id]
    for each in (yield from of_people(merchant_id, numbers)):
        if each.state in OPEN:
            never = each.state == "asked" and each.tried_at is None
            state: State = "refused" if never else "expired"
            over = each._replace(
                state=state, closed_at=now, next_at=None, claim=None, claimed_until=None, tried_at=None
            )
            yield from settled(over, counters, now)
    rows = yield from ask(_GIVE_UP, [(merchant_id, number) for number in sorted(numbers)])
    return int(rows[0][0]) if rows else 0


def export(subject: Subject) -> Steps[Sections]:
    """Show every reward the person had, with its code and what became of it."""
    found = yield from of_people(subject.merchant_id, subject.numbers)
    return {
        "rewards": [
            {
                "number": each.number,
                "reward": each.offer.name,
                "points": each.points,
                "code": each.code,
                "state": each.state,
                "used_minor": each.used_minor,
                "asked_at": to_iso(each.asked_at),
                "used_at": to_iso(each.used_at),
                "expires_at": to_iso(each.expires_at),
            }
            for each in reversed(found)
        ]
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Take the codes away; what is unused is switched off at its platform first (loyalty rules, "erasure")."""
    people = [(subject.merchant_id, number) for number in sorted(subject.numbers)]
    voided = yield from ask(_VOID, [(*who, now) for who in people])
    cleaned = yield from ask(_CLEAN, people)
    return sum(rows[0][0] for rows in (voided, cleaned) if rows)


HOLDER = Holder("rewards", export, forget, deleting("redemptions"))
