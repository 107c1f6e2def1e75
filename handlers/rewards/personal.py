"""What rewards tell of persons: who had which, and the codes only they know."""

from handlers.holders import Holder, Sections, Subject, deleting
from handlers.rewards.store import of_people
from integration.clock import to_iso
from integration.database.steps import BIG, Steps, ask, keyed

_CLEAN = keyed(
    "UPDATE redemptions SET code = NULL, reason = NULL FROM {keys} k"
    " WHERE redemptions.merchant_id = k.merchant_id AND redemptions.customer = k.customer"
    " AND (code IS NOT NULL OR reason IS NOT NULL) AND state NOT IN ('asked', 'issued', 'returning')",
    merchant_id=BIG,
    customer=BIG,
)
_VOID = keyed(
    "UPDATE redemptions SET state = 'returning', next_at = k.now, attempts = 0 FROM {keys} k"
    " WHERE redemptions.merchant_id = k.merchant_id AND redemptions.customer = k.customer AND state = 'issued'",
    merchant_id=BIG,
    customer=BIG,
    now=BIG,
)


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
