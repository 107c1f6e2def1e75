"""What referrals keep of persons: their link and its codes; who brought whom stays under our own numbers."""

from collections.abc import Sequence

from handlers.holders import Holder, Sections, Subject, deleting
from handlers.referrals import codes, store
from integration.clock import to_iso
from integration.database.steps import BIG, Steps, ask, keyed

_KEY = {"merchant_id": BIG, "customer": BIG}
_MINE = "(merchant_id, customer) IN (SELECT k.merchant_id, k.customer FROM {keys} k)"
_CLOSE = keyed(
    "UPDATE referral_codes SET state = 'closing', next_at = k.now, attempts = 0, reason = NULL FROM {keys} k"
    " WHERE referral_codes.merchant_id = k.merchant_id AND referral_codes.customer = k.customer"
    " AND state IN ('asked', 'made') AND used_at IS NULL AND expires_at > k.now",
    **_KEY,
    now=BIG,
)
_UNDER_WAY = keyed(
    "SELECT c.code FROM {keys} k CROSS JOIN referral_codes c WHERE c.customer = k.customer"
    " AND c.merchant_id = k.merchant_id AND +c.next_at IS NOT NULL",
    **_KEY,
)
_UNLINK = keyed(f"DELETE FROM referral_links WHERE {_MINE}", **_KEY)
_OVER = keyed(f"DELETE FROM referral_codes WHERE {_MINE} AND next_at IS NULL", **_KEY)
_GIVE_UP = keyed(f"DELETE FROM referral_codes WHERE {_MINE}", **_KEY)


def under_way(merchant_id: int, numbers: Sequence[int]) -> Steps[bool]:
    """Tell whether a platform is still to be asked about one of these customers' codes."""
    return bool((yield from ask(_UNDER_WAY, [(merchant_id, number) for number in sorted(numbers)])))


def give_up(merchant_id: int, numbers: Sequence[int]) -> Steps[int]:
    """Delete codes whose platform cannot be asked; returns how many."""
    rows = yield from ask(_GIVE_UP, [(merchant_id, number) for number in sorted(numbers)])
    return int(rows[0][0]) if rows else 0


def export(subject: Subject) -> Steps[Sections]:
    """Show the person's link, and what came of it; friends are nobody's business but their own."""
    keys = [(subject.merchant_id, number) for number in sorted(subject.numbers)]
    links = yield from codes.links_of(keys)
    rows = sorted((yield from store.of_referrers(keys)), key=lambda row: row.sale)
    homes = yield from store.homes_of_sales((subject.merchant_id, sale) for sale in subject.sales)
    return {
        "referral_links": [{"code": one.code, "since": to_iso(one.created_at)} for one in links],
        "friends_brought": [
            {"at": to_iso(row.at), "state": row.state, "micropoints": row.pending + row.available} for row in rows
        ],
        "addresses_compared": [
            {"at": to_iso(at), "a_digest_of_your_address": digest} for _, (digest, at) in sorted(homes.items())
        ],
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Take the person's link away: its codes are taken off at the platform first, then nothing of them is left."""
    people = [(subject.merchant_id, number) for number in sorted(subject.numbers)]
    homes = yield from store.drop_homes((subject.merchant_id, sale) for sale in subject.sales)
    closed = yield from ask(_CLOSE, [(*who, now) for who in people])
    unlinked = yield from ask(_UNLINK, people)
    gone = yield from ask(_OVER, people)
    return homes + sum(int(rows[0][0]) for rows in (closed, unlinked, gone) if rows)


HOLDER = Holder("referrals", export, forget, deleting("referral_links", "referral_codes", "referral_homes"))
