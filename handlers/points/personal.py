"""What the ledger tells of persons: a merchant's words on an adjustment, kept beside the entry that is for ever."""

from handlers.holders import Holder, Sections, Subject, deleting
from handlers.points.ledger import words_of
from handlers.points.rules import BUCKETS, account
from integration.clock import to_iso
from integration.database.steps import BIG, TEXT, Row, Steps, ask, keyed

_ACCOUNT = {"merchant_id": BIG, "account": TEXT}
_ENTRIES = tuple(
    keyed(
        "SELECT e.number, e.at, e.reason, e.source, e.destination, e.micropoints, e.sale, e.key, e.detail"
        f" FROM {{keys}} k CROSS JOIN ledger_entries e WHERE e.merchant_id = k.merchant_id AND e.{side} = k.account",
        **_ACCOUNT,
    )
    for side in ("source", "destination")
)
_SPOKEN = tuple(
    keyed(
        "DELETE FROM entry_words WHERE (merchant_id, key) IN (SELECT e.merchant_id, e.key"
        f" FROM {{keys}} k CROSS JOIN ledger_entries e WHERE e.merchant_id = k.merchant_id AND e.{side} = k.account"
        " AND e.sale IS NULL)",
        **_ACCOUNT,
    )
    for side in ("source", "destination")
)


def export(subject: Subject) -> Steps[Sections]:
    """Show every movement of the person's points, with the words that were said to it."""
    found: set[Row] = set()
    for side in _ENTRIES:
        found |= set((yield from ask(side, _accounts(subject))))
    words = yield from words_of(subject.merchant_id, [row[7] for row in found])
    return {
        "points": [
            {
                "number": number,
                "at": to_iso(at),
                "reason": reason,
                "from": source,
                "to": destination,
                "micropoints": amount,
                "sale": sale,
                "words": words.get(key, ""),
            }
            for number, at, reason, source, destination, amount, sale, key, _ in sorted(found)
        ]
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Take the words away; entries and balances stay, under our own number."""
    count = 0
    for side in _SPOKEN:
        touched = yield from ask(side, _accounts(subject))
        count += touched[0][0] if touched else 0
    return count


def _accounts(subject: Subject) -> list[tuple[int, str]]:
    return sorted(
        (subject.merchant_id, account(number, bucket, test=test))
        for number in subject.numbers
        for bucket in BUCKETS
        for test in (False, True)
    )


HOLDER = Holder("points", export, forget, deleting("entry_words"))
