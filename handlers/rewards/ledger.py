"""What the ledger says of rewards, held against what they are."""

from collections.abc import Sequence

from handlers.points.audit import Entry, Findings, entries_of
from handlers.rewards.changes import REDEEMED
from handlers.rewards.rules import Standing, where
from handlers.rewards.store import Redemption, after
from integration.database.steps import Steps, ask, plain

PAGE = 500  # redemptions of one round trip
MOST_PAGES = 1_000_000

_KEPT = plain("SELECT micropoints FROM accounts WHERE merchant_id = ?1 AND account = ?2")


def audit(findings: Findings, now: int) -> Steps[None]:
    """Check each redemption's points by its entries and by its state, and their sum by the programme's account."""
    merchant_id, last, spent = findings.merchant_id, 0, 0
    for _ in range(MOST_PAGES):
        page = yield from after(merchant_id, last, PAGE)
        if not page:
            break
        entries = yield from entries_of(merchant_id, {f"redeem:{each.number}": each.postings for each in page})
        for each in page:
            spent += each.spent
            _check(findings, each, entries[f"redeem:{each.number}"])
        last = page[-1].number
    rows = yield from ask(_KEPT, (merchant_id, REDEEMED))
    kept = rows[0][0] if rows else 0
    if kept != spent:
        findings.found("reward", REDEEMED, f"It holds {kept} micropoints; rewards have cost {spent}.")


def _check(findings: Findings, redemption: Redemption, entries: Sequence[Entry]) -> None:
    place = f"reward {redemption.number}"
    if len(entries) != redemption.postings:
        words = f"{redemption.postings} entries were posted for it; there are {len(entries)}."
        findings.found("reward", place, words)
    posted = Standing(
        sum(_moved(entry, entry[1].endswith(":reserved"), entry[0].endswith(":reserved")) for entry in entries),
        sum(_moved(entry, entry[1] == REDEEMED, entry[0] == REDEEMED) for entry in entries),
    )
    if posted != redemption.posted:
        words = f"It says {_spoken(redemption.posted)}; its entries make {_spoken(posted)}."
        findings.found("reward", place, words)
    aim = where(redemption.state, redemption.points, redemption.restored)
    if aim != redemption.posted:
        words = f"As {redemption.state} it should have {_spoken(aim)}; it says {_spoken(redemption.posted)}."
        findings.found("reward", place, words)


def _moved(entry: Entry, comes: bool, goes: bool) -> int:
    return entry[2] * (int(comes) - int(goes))


def _spoken(standing: Standing) -> str:
    return f"{standing.reserved} micropoints set aside and {standing.spent} spent"
