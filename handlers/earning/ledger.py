"""What the ledger says of occasions, held against what people have reached."""

from collections.abc import Sequence

from handlers.customers.persons import customers_after
from handlers.customers.rounds import is_unfinished
from handlers.earning import store
from handlers.earning.rules import Given, is_day
from handlers.earning.settle import ALL_REASONS, names_in, owed, stands
from handlers.holders import Privacy
from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from handlers.points.audit import Auditor, Findings, check_buckets, entries_of
from integration.clock import DAY, MINUTE
from integration.database.steps import BIG, Steps, ask, keyed, plain

PAGE = 500  # occasions of one round trip
PEOPLE = 200  # customers of one, with all they bought
MOST_PAGES = 1_000_000
AHEAD = MINUTE  # what was stirred while the audit began is due by a clock read a little later

_ENTRIES_IN_ALL = plain(
    "SELECT count(*) FROM ledger_entries e WHERE e.merchant_id = ?1 AND e.sale IS NULL"
    f" AND e.reason IN ({', '.join(repr(each) for each in ALL_REASONS)})"
)
# The pluses keep SQLite from reading everybody who is due.
_DUE = keyed(
    "SELECT e.customer FROM {keys} k CROSS JOIN earners e WHERE e.merchant_id = k.merchant_id"
    " AND e.customer = k.customer AND +e.due_at <= k.until"
    " UNION ALL SELECT c.number FROM {keys} k CROSS JOIN customers c WHERE c.merchant_id = k.merchant_id"
    " AND c.number = k.customer AND +c.birthday_due_at <= k.until",
    merchant_id=BIG,
    customer=BIG,
    until=BIG,
)


def auditor(privacy: Privacy | None) -> Auditor:
    """Make the check of occasions; `privacy` knows who was forgotten under a name they had before."""

    def audit(findings: Findings, now: int) -> Steps[None]:
        """Check each occasion's points by its entries, and that everybody was given what they have reached."""
        shop = (yield from shops([findings.merchant_id])).get(findings.merchant_id)
        if shop is not None:
            yield from _check_rows(findings)
            yield from _check_people(findings, shop, privacy, now)

    return audit


def _check_rows(findings: Findings) -> Steps[None]:
    merchant_id, last, entries = findings.merchant_id, (0, ""), 0
    for _ in range(MOST_PAGES):
        page = yield from store.page(merchant_id, last, PAGE)
        if not page:
            break
        entries += sum(each.postings for each in page)
        yield from _check_entries(findings, page)
        last = (page[-1].customer, page[-1].occasion)
    rows = yield from ask(_ENTRIES_IN_ALL, (merchant_id,))
    if rows[0][0] != entries:
        findings.found("occasion", "all", f"{entries} entries were posted for occasions; there are {rows[0][0]}.")


def _check_entries(findings: Findings, page: Sequence[Given]) -> Steps[None]:
    stems = {f"earn:{each.customer}:{each.occasion}": each for each in page}
    posted = yield from entries_of(findings.merchant_id, {stem: each.postings for stem, each in stems.items()})
    for stem, each in stems.items():
        place = f"{each.occasion} of customer {each.customer}"
        says = (each.postings, each.pending, each.available)
        check_buckets(findings, "occasion", place, posted[stem], says)


def _check_people(findings: Findings, shop: Shop, privacy: Privacy | None, now: int) -> Steps[None]:
    """Work out afresh what everybody has reached, where occasions ever brought anything."""
    if not any(version.program.ways.occasions for version in shop.versions):
        return
    is_behind = yield from is_unfinished(store.MARKS, shop.id, now)
    last = 0
    for _ in range(MOST_PAGES):
        people = yield from customers_after(shop.id, last, PEOPLE)
        if not people:
            break
        yield from _check_some(findings, shop, people, privacy, now, is_behind)
        last = people[-1]


def _check_some(
    findings: Findings, shop: Shop, people: Sequence[int], privacy: Privacy | None, now: int, is_behind: bool
) -> Steps[None]:
    """Tell of whom something else is posted than is due to them; who is to be looked at anyway is behind."""
    forgotten = {}
    if privacy is not None:
        forgotten = yield from privacy.forgotten_at(shop.id, (yield from names_in(shop, people)))
    found = yield from stands(shop, people, forgotten, now)
    numbers = {n for one in found.values() for n in one.numbers}
    due = {row[0] for row in (yield from ask(_DUE, [(shop.id, n, now + AHEAD) for n in sorted(numbers)]))}
    for root, one in found.items():
        wrong = [row for row, made in owed(shop.id, root, one, now) if made]
        # Where somebody has moved, a day may have begun sooner than the clock was told.
        has_begun = any(is_day(row.occasion) and row.at + DAY > now for row in wrong)
        if wrong and (is_behind or has_begun or not due.isdisjoint(one.numbers)):
            findings.behind += 1
            continue
        for row in wrong:
            words = f"{row.points} micropoints are due for it by the rules; something else is posted."
            findings.found("occasion", f"{row.occasion} of customer {row.customer}", words)
