"""What the ledger says of referrals, held against their rows and against their orders."""

from collections.abc import Sequence

from handlers.points.audit import Entry, Findings, check_buckets, entries_of
from handlers.referrals import store
from handlers.referrals.settle import REASONS
from handlers.referrals.store import Referral
from integration.database.steps import Steps, ask, plain

PAGE = 500  # referrals of one round trip
MOST_PAGES = 1_000_000

_IN_ALL = plain(
    "SELECT count(*) FROM ledger_entries e WHERE e.merchant_id = ?1 AND e.sale IS NULL"
    f" AND e.reason IN ({', '.join(repr(each) for each in sorted(REASONS.values()))})"
)


def audit(findings: Findings, now: int) -> Steps[None]:
    """Check each referral's points by its entries, and that nothing was posted for one that brings nothing."""
    merchant_id, last, entries = findings.merchant_id, 0, 0
    for _ in range(MOST_PAGES):
        page = yield from store.after(merchant_id, last, PAGE)
        if not page:
            break
        entries += sum(each.postings for each in page)
        posted = yield from entries_of(merchant_id, {f"refer:{each.sale}": each.postings for each in page})
        for each in page:
            _check(findings, each, posted[f"refer:{each.sale}"])
        last = page[-1].sale
    rows = yield from ask(_IN_ALL, (merchant_id,))
    if rows[0][0] != entries:
        findings.found("referral", "all", f"{entries} entries were posted for referrals; there are {rows[0][0]}.")


def _check(findings: Findings, each: Referral, mine: Sequence[Entry]) -> None:
    place = f"order {each.sale}"
    check_buckets(findings, "referral", place, mine, (each.postings, each.pending, each.available))
    if each.state not in ("pending", "given") and (each.pending or each.available):
        findings.found("referral", place, f"It is {each.state} and has points all the same.")
