"""What looks at the platforms keep of persons: what names the sales they recovered."""

from handlers.holders import Holder, Sections, Subject, deleting
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

_OF_SALES = keyed(
    "DELETE FROM recoveries WHERE (value, merchant_id, platform, kind) IN"
    " (SELECT k.value, k.merchant_id, k.platform, k.kind FROM {keys} k)",
    merchant_id=BIG,
    platform=TEXT,
    kind=TEXT,
    value=TEXT,
)


def export(subject: Subject) -> Steps[Sections]:
    """Show nothing: it names sales, which are shown with everything that names them."""
    return {}
    yield  # A step function, though it asks for nothing.


def forget(subject: Subject, now: int) -> Steps[int]:
    """Forget which events recovered the named sales; how many a look recovered stays."""
    rows = sorted((subject.merchant_id, *kind.split(":"), value) for kind, value in subject.names if ":" in kind)
    touched = yield from ask(_OF_SALES, rows)
    return touched[0][0] if touched else 0


HOLDER = Holder("reconcile", export, forget, deleting("recoveries", "reconciliations", "reconcile_marks"))
