"""What the mirror keeps of persons: their number at Shopify, for as long as something of theirs stands there."""

from handlers.holders import Holder, Sections, Subject, deleting
from integration.database.steps import BIG, Steps, ask, keyed

_KEY = {"merchant_id": BIG, "customer": BIG}
_SHOWN = keyed(
    "SELECT m.account, m.digest, m.tag FROM {keys} k CROSS JOIN mirrors m"
    " WHERE m.customer = k.customer AND m.merchant_id = k.merchant_id",
    **_KEY,
)
_NEVER_TOLD = keyed(
    "DELETE FROM mirrors WHERE digest IS NULL AND tag IS NULL"
    " AND (merchant_id, customer) IN (SELECT k.merchant_id, k.customer FROM {keys} k)",
    **_KEY,
)
_TO_CLEAR = keyed(
    "UPDATE mirrors SET customer = NULL, due_at = k.now FROM {keys} k"
    " WHERE mirrors.customer = k.customer AND mirrors.merchant_id = k.merchant_id",
    **_KEY,
    now=BIG,
)


def export(subject: Subject) -> Steps[Sections]:
    """Say under which of their numbers at Shopify points are shown; what is shown is worked out from the rest."""
    rows = yield from ask(_SHOWN, [(subject.merchant_id, number) for number in sorted(subject.numbers)])
    return {
        "shown_at_shopify": [
            {"customer": account, "tag": tag}
            for account, digest, tag in sorted(rows, key=lambda row: row[0])
            if digest is not None or tag is not None
        ]
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Have what stands at Shopify taken away; the number it stands under goes with it, within minutes."""
    keys = [(subject.merchant_id, number) for number in sorted(subject.numbers)]
    gone = yield from ask(_NEVER_TOLD, keys)
    asked = yield from ask(_TO_CLEAR, [(*key, now) for key in keys])
    return sum(rows[0][0] for rows in (gone, asked) if rows)


HOLDER = Holder("mirror", export, forget, deleting("mirrors"))
