"""Recomputes a merchant's books from their entries and names everything that does not agree."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from handlers.points.expiry import has_terms
from handlers.points.purses import lots_of, purse
from handlers.points.rules import EXPIRED, ISSUED, Target, moves, target
from handlers.points.seal import ENTRY_COLUMNS, MICROPOINTS, NOTHING, linked, written
from handlers.points.standing import Standing, as_settled, numbers_of, standings
from integration.clock import MINUTE
from integration.database.steps import BIG, TEXT, Row, Steps, ask, keyed, plain

PAGE = 2_000  # rows of one round trip; memory does not grow with the books
SALES_PAGE = 200  # sales of one round trip, facts and all
MOST_PAGES = 1_000_000
MOST_MERGES = 50  # how far a merged sale is followed
SWEEP_AHEAD = MINUTE  # what was stirred while the audit began is due by a clock read a little later
MOST_SHOWN = 200  # drifts named of one merchant; the others are counted

# How entries that belong to no sale are named; a sale's are `sale:<number>:<posting>`.
OTHER_KEYS = re.compile(r"(adjust|earn|expire|forgive|goodwill|import|merge|redeem|refer|tier):[^\s]{1,200}")
SALE_KEY = re.compile(r"sale:([1-9][0-9]*):(0|[1-9][0-9]*)")

# PostgreSQL then shows one state throughout, as SQLite does in any transaction.
_ONE_STATE = plain("SELECT 1", postgres="SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
_NEXT = plain("SELECT next_entry, head FROM books WHERE merchant_id = ?1")
_ENTRIES = plain(
    f"SELECT {ENTRY_COLUMNS} FROM ledger_entries WHERE merchant_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3"
)
_SEALS = plain(
    "SELECT last_entry, entries, micropoints, digest FROM ledger_seals WHERE merchant_id = ?1"
    " AND last_entry > ?2 ORDER BY last_entry LIMIT ?3"
)
_ACCOUNTS = plain(
    "SELECT account, micropoints FROM accounts WHERE merchant_id = ?1 AND account > ?2 ORDER BY account LIMIT ?3"
)
_BY_KEY = keyed(
    "SELECT e.key, e.source, e.destination, e.micropoints FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.key = k.key",
    merchant_id=BIG,
    key=TEXT,
)
_SUMS = keyed(
    "SELECT k.account,"
    " CAST((SELECT coalesce(sum(e.micropoints), 0) FROM ledger_entries e"
    "  WHERE e.merchant_id = k.merchant_id AND e.destination = k.account)"
    " - (SELECT coalesce(sum(e.micropoints), 0) FROM ledger_entries e"
    "  WHERE e.merchant_id = k.merchant_id AND e.source = k.account) AS bigint)"
    " FROM {keys} k",
    merchant_id=BIG,
    account=TEXT,
)
_KEPT_BY_NOBODY = tuple(
    plain(
        f"SELECT DISTINCT e.{side} FROM ledger_entries e WHERE e.merchant_id = ?1 AND NOT EXISTS"
        f" (SELECT 1 FROM accounts a WHERE a.merchant_id = e.merchant_id AND a.account = e.{side})"
        f" ORDER BY e.{side} LIMIT ?2"
    )
    for side in ("source", "destination")
)
_SALES = plain(
    "SELECT number, merged_into, settle_at, standing, program_version FROM sales"
    " WHERE merchant_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3"
)
_SURVIVORS = keyed(
    "SELECT s.number, s.merged_into, s.absorbed FROM {keys} k CROSS JOIN sales s"
    " WHERE s.merchant_id = k.merchant_id AND s.number = k.number",
    merchant_id=BIG,
    number=BIG,
)
_BEHIND = keyed(
    "SELECT s.sale FROM {keys} k CROSS JOIN settlements s WHERE s.merchant_id = k.merchant_id"
    " AND s.sale = k.sale AND s.capability = 'points' AND s.retry_at IS NOT NULL",
    merchant_id=BIG,
    sale=BIG,
)
_KEYS = keyed(
    "SELECT e.sale, e.number, e.key FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.sale = k.sale",
    merchant_id=BIG,
    sale=BIG,
)
_EXPIRIES = plain(
    "SELECT customer, due_at, expired FROM expiries WHERE merchant_id = ?1 AND customer > ?2 ORDER BY customer LIMIT ?3"
)
_EXPIRED = plain("SELECT micropoints FROM accounts WHERE merchant_id = ?1 AND account = ?2")
_OF_NO_SALE = plain(
    "SELECT DISTINCT e.sale FROM ledger_entries e WHERE e.merchant_id = ?1 AND e.sale IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM sales s WHERE s.merchant_id = e.merchant_id AND s.number = e.sale)"
    " ORDER BY e.sale LIMIT ?2"
)


class Drift(NamedTuple):
    """One thing that does not agree: its kind in one word, where it is, and what is wrong in a sentence."""

    kind: str  # gap, number, chain, seal, key, reason, balance, sum, sale, expiry, reward
    where: str
    words: str


@dataclass(slots=True)
class Findings:
    """What the audit of one merchant looked at and found; `head` is the newest seal's digest."""

    merchant_id: int
    entries: int = 0
    sealed: int = 0
    accounts: int = 0
    sales: int = 0
    behind: int = 0  # sales and people whose settling is known to be due, or failed and will be tried again
    head: str = NOTHING
    drifts: list[Drift] = field(default_factory=list)
    unnamed: int = 0  # drifts beyond MOST_SHOWN

    def found(self, kind: str, where: str, words: str) -> None:
        """Keep a drift, or count it where enough are named."""
        if len(self.drifts) < MOST_SHOWN:
            self.drifts.append(Drift(kind, where, words))
        else:
            self.unnamed += 1


Auditor = Callable[[Findings, int], Steps[None]]
"""Checks what a capability has posted by rules of its own, and tells the findings what differs: (findings, now)."""


def audit_books(merchant_id: int, now: int, auditors: Sequence[Auditor] = ()) -> Steps[Findings]:
    """Check one merchant's entries by numbers, seals and names, their accounts by entries, and sales by target.

    `auditors` look at what the capabilities have posted besides.

    Run it with `Database.read`; it takes a few round trips a page. A sale whose settling is due (a hold
    has ended; its shop left, its programme or its twin changed), or has failed and will be tried again, counts as
    behind, not as drift.
    """
    findings = Findings(merchant_id)
    yield from ask(_ONE_STATE, ())
    yield from _check_entries(findings)
    yield from _check_accounts(findings)
    shop = (yield from shops([merchant_id])).get(merchant_id)
    if shop is not None:
        yield from _check_sales(findings, shop, now)
        if has_terms(shop):
            yield from _check_expiries(findings, shop, now)
    for check in auditors:
        yield from check(findings, now)
    return findings


# --- Entries ------------------------------------------------------------------------------------


def _check_entries(findings: Findings) -> Steps[None]:
    merchant_id = findings.merchant_id
    chain = _Chain(findings)
    chain.add((yield from ask(_SEALS, (merchant_id, _BEFORE_ANY, PAGE))))
    last, expected, head = _BEFORE_ANY, 1, ""
    for _ in range(MOST_PAGES):
        entries = yield from ask(_ENTRIES, (merchant_id, last, PAGE))
        if not entries:
            break
        for entry in entries:
            number = entry[0]
            if number > expected:
                findings.found("gap", f"entries {expected}–{number - 1}", "These entries are missing.")
            elif number < expected:
                findings.found("number", f"entry {number}", "Its number was never given out.")
            expected = max(expected, number + 1)
            while chain.needs_seals:
                chain.add((yield from ask(_SEALS, (merchant_id, chain.last_known, PAGE))))
            head = linked(head, entry)
            _check_name(findings, entry)
            if not chain.take(entry):
                _check_reason(findings, entry)
        last = entries[-1][0]
        findings.entries += len(entries)
    while chain.needs_seals:
        chain.add((yield from ask(_SEALS, (merchant_id, chain.last_known, PAGE))))
    chain.finish()
    rows = yield from ask(_NEXT, (merchant_id,))
    next_entry, kept_head = rows[0] if rows else (1, "")
    _check_end(findings, expected, next_entry)
    if head != kept_head:
        findings.found(
            "chain", "the ledger", "An entry was changed, inserted or deleted: the chain of entries differs."
        )


def _check_end(findings: Findings, expected: int, next_entry: int) -> None:
    if next_entry > expected:
        where = f"entries {expected}–{next_entry - 1}"
        findings.found("gap", where, "Their numbers were given out, but the newest entries are missing.")
    elif next_entry < expected:
        where = f"entries {next_entry}–{expected - 1}"
        findings.found("number", where, "Their numbers were never given out: they were inserted.")


def _check_name(findings: Findings, entry: Row) -> None:
    number, key, sale = entry[:3]
    match = SALE_KEY.fullmatch(key)
    if match is None and sale is not None:
        findings.found("key", f"entry {number}", f"It says sale {sale}, but its key {key!r} is no sale's.")
    elif match is None and not OTHER_KEYS.fullmatch(key):
        findings.found("key", f"entry {number}", f"Nothing posts under a key such as {key!r}.")
    elif match is not None and int(match[1]) != sale:
        findings.found("key", f"entry {number}", f"Its key {key!r} and its sale {sale} differ.")


def _check_reason(findings: Findings, entry: Row) -> None:
    """Check that a sale's entry says the reason its accounts give; only unsealed ones, by today's rules."""
    number, _, sale, source, destination, amount, reason = entry[:7]
    if sale is None:
        return
    (move,) = moves(
        {} if source.endswith(ISSUED) else {source: amount},
        Target({} if destination.endswith(ISSUED) else {destination: amount}),
    )
    if move[:4] != (source, destination, amount, reason):
        words = f"It says {reason!r}, but from {source} to {destination} is a {move.reason!r}."
        findings.found("reason", f"entry {number}", words)


_BEFORE_ANY = -(2**63)


class _Chain:
    """Follows the seals beside the entries; after a broken one it goes on from what that one says."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seals: list[Row] = []
        self._more = True
        self.last_known = _BEFORE_ANY
        self._after = 0  # last entry under the seal before
        self._start(NOTHING)

    def add(self, seals: list[Row]) -> None:
        """Take the next page of seals, in ascending order; an empty one is the last."""
        self._seals.extend(seals)
        self._more = len(seals) == PAGE
        if seals:
            self.last_known = seals[-1][0]

    @property
    def needs_seals(self) -> bool:
        return self._more and not self._seals

    def take(self, entry: Row) -> bool:
        """Count an entry under the seal that covers it; False past the last seal, where the tail begins."""
        while self._seals and entry[0] > self._seals[0][0]:
            self._close()
        if not self._seals:
            return False
        self._digest.update(written(entry))
        self._entries += 1
        self._micropoints += entry[MICROPOINTS]
        self._findings.sealed += 1
        return True

    def finish(self) -> None:
        """Compare the seals that are left once every entry was seen."""
        while self._seals:
            self._close()

    def _close(self) -> None:
        last_entry, entries, micropoints, digest = self._seals.pop(0)
        where = f"entries {self._after + 1}–{last_entry}"
        if (entries, micropoints) != (self._entries, self._micropoints):
            words = (
                f"Sealed were {entries} entries with {micropoints} micropoints; "
                f"there are {self._entries} with {self._micropoints}."
            )
            self._findings.found("seal", where, words)
        elif self._digest.hexdigest() != digest:
            self._findings.found("seal", where, "An entry, or the seal before, was changed after sealing.")
        self._after = last_entry
        self._start(digest)
        self._findings.head = digest

    def _start(self, digest: str) -> None:
        self._digest = hashlib.sha256(digest.encode())
        self._entries = 0
        self._micropoints = 0


# --- Accounts -----------------------------------------------------------------------------------


def _check_accounts(findings: Findings) -> Steps[None]:
    total, last = 0, ""
    for _ in range(MOST_PAGES):
        rows = yield from ask(_ACCOUNTS, (findings.merchant_id, last, PAGE))
        if not rows:
            break
        kept: dict[str, int] = dict(rows)
        total += sum(kept.values())
        yield from _compare(findings, kept, kept)
        last = rows[-1][0]
        findings.accounts += len(rows)
    strangers: set[str] = set()
    for side in _KEPT_BY_NOBODY:
        strangers.update(row[0] for row in (yield from ask(side, (findings.merchant_id, PAGE))))
    yield from _compare(findings, sorted(strangers), {})
    if total != 0:
        findings.found("sum", "all accounts", f"Together they hold {total} micropoints instead of none.")


def _compare(findings: Findings, names: Iterable[str], kept: dict[str, int]) -> Steps[None]:
    sums = yield from ask(_SUMS, [(findings.merchant_id, name) for name in names])
    for name, posted in sums:
        if name not in kept:
            findings.found("balance", name, f"No balance is kept; its entries make {posted} micropoints.")
        elif posted != kept[name]:
            words = f"{kept[name]} micropoints are kept; its entries make {posted}."
            findings.found("balance", name, words)


# --- Sales --------------------------------------------------------------------------------------


def _check_sales(findings: Findings, shop: Shop, now: int) -> Steps[None]:
    last = 0
    for _ in range(MOST_PAGES):
        rows = yield from ask(_SALES, (shop.id, last, SALES_PAGE))
        if not rows:
            break
        settled = {row[0]: _Settled(*row[2:]) for row in rows}
        found = yield from standings(shop, settled)
        retried = {row[0] for row in (yield from ask(_BEHIND, [(shop.id, number) for number in settled]))}
        yield from _check_postings(findings, shop.id, found)
        yield from _check_merges(findings, shop.id, {row[0]: row[1] for row in rows if row[1] is not None})
        for standing in found:
            number = standing.sale.number
            _check_target(findings, standing, settled[number], number in retried, now)
        findings.sales += len(found)
        last = rows[-1][0]
    for (number,) in (yield from ask(_OF_NO_SALE, (shop.id, PAGE))):
        findings.found("sale", f"sale {number}", "Entries are posted for it, but there is no such sale.")


class _Settled(NamedTuple):
    """What a sale's row keeps of the last time it was settled, and when it is due again."""

    settle_at: int | None
    standing: str
    program_version: int | None


def _check_target(findings: Findings, standing: Standing, last: _Settled, retried: bool, now: int) -> None:
    if standing.is_at_target(now):
        return
    if retried or _awaits_the_sweep(standing, last, now):
        findings.behind += 1
        return
    should = _spoken(target(standing.sale, now).balances)
    words = f"It should have posted {should}; posted are {_spoken(standing.held)}."
    findings.found("sale", f"sale {standing.sale.number}", words)


def _awaits_the_sweep(standing: Standing, last: _Settled, now: int) -> bool:
    """Tell whether a sale is due and stands where it was left: the sweep will find what changed around it.

    Whatever else its postings are is drift, due or not.
    """
    if last.settle_at is None or last.settle_at > now + SWEEP_AHEAD:
        return False
    return any(
        before.is_at_target(at)
        for knowing in (True, False)
        for before in (as_settled(standing, last.standing, last.program_version, knowing=knowing),)
        for at in (last.settle_at - 1, now)
    )


def _check_postings(findings: Findings, merchant_id: int, found: list[Standing]) -> Steps[None]:
    """Check that the postings of each sale are numbered as posted: below how many there are."""
    most = {number: one.entries for one in found for number in numbers_of(one.sale)}
    rows = yield from ask(_KEYS, [(merchant_id, number) for number in sorted(most)])
    for sale, number, key in rows:
        match = SALE_KEY.fullmatch(key)
        if match is not None and int(match[2]) >= most[sale]:
            findings.found("key", f"entry {number}", f"Sale {sale} has no posting {key!r}.")


def _check_merges(findings: Findings, merchant_id: int, merged: dict[int, int]) -> Steps[None]:
    """Check that the sale each merged one ends up in counts its postings: that it is listed there."""
    into = dict(merged)
    for _ in range(MOST_MERGES):
        if not into:
            return
        rows = yield from ask(_SURVIVORS, [(merchant_id, number) for number in sorted(set(into.values()))])
        further: dict[int, int | None] = {number: next_one for number, next_one, _ in rows}
        listed = {number: json.loads(absorbed) for number, _, absorbed in rows}
        for number, survivor in list(into.items()):
            next_one = further.get(survivor)
            if next_one is not None:
                into[number] = next_one
                continue
            del into[number]
            if number not in listed.get(survivor, ()):
                words = f"It is merged into sale {survivor}, which does not count it."
                findings.found("sale", f"sale {number}", words)
    for number in into:
        findings.found("sale", f"sale {number}", "What it is merged into never ends.")


def _spoken(balances: dict[str, int]) -> str:
    return ", ".join(f"{n} micropoints in {name}" for name, n in sorted(balances.items())) or "nothing"


# --- What has lapsed ----------------------------------------------------------------------------


def _check_expiries(findings: Findings, shop: Shop, now: int) -> Steps[None]:
    """Work out afresh what has lapsed of each person's points; together it is what the programme's account holds."""
    last, kept = 0, 0
    for _ in range(MOST_PAGES):
        rows = yield from ask(_EXPIRIES, (shop.id, last, SALES_PAGE))
        if not rows:
            break
        for customer, due_at, expired in rows:
            kept += expired
            mine = yield from purse(shop, customer)
            if mine is not None and mine.expired == expired == lots_of(shop, mine, now).lapsed:
                continue
            if due_at is not None and due_at <= now + SWEEP_AHEAD:
                findings.behind += 1
                continue
            should = 0 if mine is None else lots_of(shop, mine, now).lapsed
            words = f"{should} micropoints have lapsed by the rules; posted are {mine.expired if mine else 0}."
            findings.found("expiry", f"customer {customer}", words)
        last = rows[-1][0]
    rows = yield from ask(_EXPIRED, (shop.id, EXPIRED))
    posted = rows[0][0] if rows else 0
    if posted != kept:
        findings.found("expiry", EXPIRED, f"It holds {posted} micropoints; of people {kept} have lapsed.")


Entry = tuple[str, str, int]
"""Source, destination and micropoints."""


def entries_of(merchant_id: int, postings: Mapping[str, int]) -> Steps[dict[str, list[Entry]]]:
    """Look up what was posted under `<stem>:0`, `<stem>:1` and so on, by stem, for as many as each stem should have.

    One more is looked for of each: there must be none.
    """
    keys = [(merchant_id, f"{stem}:{n}") for stem, count in postings.items() for n in range(count + 1)]
    found: dict[str, list[Entry]] = {stem: [] for stem in postings}
    for key, source, destination, micropoints in (yield from ask(_BY_KEY, keys)):
        found[key.rpartition(":")[0]].append((source, destination, micropoints))
    return found


def check_buckets(
    findings: Findings, what: str, place: str, entries: Sequence[Entry], says: tuple[int, int, int]
) -> None:
    """Tell where something disagrees with its entries: it `says` how many there are, and what is pending, available."""
    postings, pending, available = says
    if len(entries) != postings:
        findings.found(what, place, f"{postings} entries were posted for it; there are {len(entries)}.")
    for bucket, kept in (("pending", pending), ("available", available)):
        net = sum(
            amount * (destination.endswith(f":{bucket}") - source.endswith(f":{bucket}"))
            for source, destination, amount in entries
        )
        if net != kept:
            findings.found(what, place, f"It says {kept} micropoints {bucket}; its entries make {net}.")
