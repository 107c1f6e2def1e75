"""What earning keeps of persons: when they opened an account, and what they were given for which occasion."""

from handlers.earning import store
from handlers.holders import Holder, Sections, Subject, deleting
from integration.clock import to_iso
from integration.database.steps import BIG, Steps, ask, keyed

_LEFT = keyed(
    "DELETE FROM earners WHERE (merchant_id, customer) IN (SELECT k.merchant_id, k.customer FROM {keys} k)",
    merchant_id=BIG,
    customer=BIG,
)


def export(subject: Subject) -> Steps[Sections]:
    """Show since when the person has an account, and what occasions brought them."""
    keys = [(subject.merchant_id, number) for number in sorted(subject.numbers)]
    joined = yield from store.joined(keys)
    given = yield from store.given(keys)
    return {
        "account_opened": [{"at": to_iso(at)} for _, at in sorted(joined.items())],
        "occasions": [
            {"occasion": one.occasion, "at": to_iso(one.at), "micropoints": one.points}
            for key in keys
            for one in sorted(given.get(key, ()))
        ],
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Forget that the person has an account; what they were given stays under our own number, as its entries do."""
    rows = yield from ask(_LEFT, [(subject.merchant_id, number) for number in sorted(subject.numbers)])
    return int(rows[0][0]) if rows else 0


HOLDER = Holder("earning", export, forget, deleting("earners"))
