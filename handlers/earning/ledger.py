"""What the ledger says of occasions, held against what people have reached."""

from collections.abc import Mapping, Sequence

from handlers.earning import store
from handlers.earning.rules import Given
from handlers.earning.settle import ALL_REASONS, owed, stands
from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from handlers.points.audit import Findings
from integration.clock import MINUTE
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain

PAGE = 500  # occasions of one round trip
MOST_PAGES = 1_000_000
AHEAD = MINUTE  # what was stirred while the audit began is due by a clock read a little later

_ENTRIES = keyed(
    "SELECT e.key, e.source, e.destination, e.micropoints FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.key = k.key",
    merchant_id=BIG,
    key=TEXT,
)
_ENTRIES_IN_ALL = plain(
    "SELECT count(*) FROM ledger_entries e WHERE e.merchant_id = ?1 AND e.sale IS NULL"
    f" AND e.reason IN ({', '.join(repr(each) for each in ALL_REASONS)})"
)
# The plus keeps SQLite from reading everybody who is due.
_DUE = keyed(
    "SELECT e.customer FROM {keys} k CROSS JOIN earners e WHERE e.merchant_id = k.merchant_id"
    " AND e.customer = k.customer AND +e.due_at <= k.until",
    merchant_id=BIG,
    customer=BIG,
    until=BIG,
)


def audit(findings: Findings, now: int) -> Steps[None]:
    """Check each occasion's points by its entries, and that whoever was given something has reached what it is for."""
    merchant_id = findings.merchant_id
    shop = (yield from shops([merchant_id])).get(merchant_id)
    if shop is None:
        return
    last, entries = (0, ""), 0
    for _ in range(MOST_PAGES):
        page = yield from store.page(merchant_id, last, PAGE)
        if not page:
            break
        entries += sum(each.postings for each in page)
        yield from _check_entries(findings, page)
        yield from _check_occasions(findings, shop, page, now)
        last = (page[-1].customer, page[-1].occasion)
    rows = yield from ask(_ENTRIES_IN_ALL, (merchant_id,))
    if rows[0][0] != entries:
        findings.found("occasion", "all", f"{entries} entries were posted for occasions; there are {rows[0][0]}.")


def _check_entries(findings: Findings, page: Sequence[Given]) -> Steps[None]:
    # One beyond those that were counted: there must be none.
    keys = [
        (findings.merchant_id, f"earn:{each.customer}:{each.occasion}:{n}")
        for each in page
        for n in range(each.postings + 1)
    ]
    posted: dict[str, list[tuple[str, str, int]]] = {}
    for key, source, destination, micropoints in (yield from ask(_ENTRIES, keys)):
        posted.setdefault(key.rpartition(":")[0], []).append((source, destination, micropoints))
    for each in page:
        mine = posted.get(f"earn:{each.customer}:{each.occasion}", [])
        place = f"{each.occasion} of customer {each.customer}"
        if len(mine) != each.postings:
            findings.found("occasion", place, f"{each.postings} entries were posted for it; there are {len(mine)}.")
        for bucket, kept in (("pending", each.pending), ("available", each.available)):
            net = sum(
                amount * (destination.endswith(f":{bucket}") - source.endswith(f":{bucket}"))
                for source, destination, amount in mine
            )
            if net != kept:
                words = f"It says {kept} micropoints {bucket}; its entries make {net}."
                findings.found("occasion", place, words)


def _check_occasions(findings: Findings, shop: Shop, page: Sequence[Given], now: int) -> Steps[None]:
    """Work out afresh what the people of a page have reached; who is to be looked at anyway is behind."""
    people = sorted({each.customer for each in page})
    found = yield from stands(shop, people, {}, now)
    due = {row[0] for row in (yield from ask(_DUE, [(shop.id, n, now + AHEAD) for n in _numbers(found, people)]))}
    for root, one in found.items():
        wrong = [row for row, made in owed(shop.id, root, one, now) if made and row.postings > len(made)]
        if not wrong:
            continue
        if due & {root, *one.numbers}:
            findings.behind += 1
            continue
        for row in wrong:
            words = f"{row.points} micropoints are due for it by the rules; something else is posted."
            findings.found("occasion", f"{row.occasion} of customer {row.customer}", words)


def _numbers(found: Mapping[int, object], people: Sequence[int]) -> list[int]:
    return sorted({*found, *people})
