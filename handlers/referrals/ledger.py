"""What the ledger says of referrals, held against their rows and against their orders."""

from collections.abc import Sequence

from handlers.points.audit import Findings
from handlers.referrals import store
from handlers.referrals.settle import REASONS
from handlers.referrals.store import Referral
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain

PAGE = 500  # referrals of one round trip
MOST_PAGES = 1_000_000

_ENTRIES = keyed(
    "SELECT e.key, e.source, e.destination, e.micropoints FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.key = k.key",
    merchant_id=BIG,
    key=TEXT,
)
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
        # One beyond those that were counted: there must be none.
        keys = [(merchant_id, f"refer:{each.sale}:{n}") for each in page for n in range(each.postings + 1)]
        posted: dict[str, list[tuple[str, str, int]]] = {}
        for key, source, destination, micropoints in (yield from ask(_ENTRIES, keys)):
            posted.setdefault(key.split(":")[1], []).append((source, destination, micropoints))
        for each in page:
            _check(findings, each, posted.get(str(each.sale), []))
        last = page[-1].sale
    rows = yield from ask(_IN_ALL, (merchant_id,))
    if rows[0][0] != entries:
        findings.found("referral", "all", f"{entries} entries were posted for referrals; there are {rows[0][0]}.")


def _check(findings: Findings, each: Referral, mine: Sequence[tuple[str, str, int]]) -> None:
    place = f"order {each.sale}"
    if len(mine) != each.postings:
        findings.found("referral", place, f"{each.postings} entries were posted for it; there are {len(mine)}.")
    for bucket, kept in (("pending", each.pending), ("available", each.available)):
        net = sum(
            amount * (destination.endswith(f":{bucket}") - source.endswith(f":{bucket}"))
            for source, destination, amount in mine
        )
        if net != kept:
            findings.found("referral", place, f"It says {kept} micropoints {bucket}; its entries make {net}.")
    if each.state not in ("pending", "given") and (each.pending or each.available):
        findings.found("referral", place, f"It is {each.state} and has points all the same.")
