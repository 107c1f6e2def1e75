"""What tiers tell of persons: where they stand, and what was said when the merchant gave or took a tier by hand."""

from handlers.holders import Holder, Sections, Subject, deleting
from handlers.tiers import store
from integration.clock import to_iso
from integration.database.steps import BIG, Steps, ask, keyed

_KEY = {"merchant_id": BIG, "customer": BIG}
_GIVEN = keyed(
    "SELECT g.at, g.tier, g.until, g.reason FROM {keys} k CROSS JOIN tier_grants g"
    " WHERE g.merchant_id = k.merchant_id AND g.customer = k.customer",
    **_KEY,
)
_SPOKEN = keyed(
    "DELETE FROM tier_grants WHERE (merchant_id, customer) IN (SELECT k.merchant_id, k.customer FROM {keys} k)",
    **_KEY,
)
_STANDING = keyed(
    "DELETE FROM standings WHERE (merchant_id, customer) IN (SELECT k.merchant_id, k.customer FROM {keys} k)",
    **_KEY,
)


def export(subject: Subject) -> Steps[Sections]:
    """Show which tier the person has, and what was given by hand."""
    keys = [(subject.merchant_id, number) for number in sorted(subject.numbers)]
    standing = yield from store.of_people(keys)
    given = yield from ask(_GIVEN, keys)
    return {
        "tier": [
            {"tier": row.tier, "since": to_iso(row.since_at), "kept_until": to_iso(row.kept_until)}
            for _, row in sorted(standing.items())
            if row.tier is not None
        ],
        "tiers_by_hand": [
            {"at": to_iso(at), "tier": tier, "until": to_iso(until), "reason": reason}
            for at, tier, until, reason in sorted(given, key=lambda row: row[0])
        ],
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Take away where the person stands and what was said of it."""
    keys = [(subject.merchant_id, number) for number in sorted(subject.numbers)]
    spoken = yield from ask(_SPOKEN, keys)
    stood = yield from ask(_STANDING, keys)
    return sum(rows[0][0] for rows in (spoken, stood) if rows)


HOLDER = Holder("tiers", export, forget, deleting("tier_grants", "standings"))
