"""What people at the shop did for a customer, on that customer's timeline: by whom, from the journal."""

from collections.abc import Sequence

from handlers.customers.timeline import Bound, Item, Whose
from integration.database.steps import BIG, TEXT, Sql, Steps, ask, keyed

_DONE_SQL = keyed(
    "SELECT j.mark, j.at, j.who, j.did FROM {keys} k CROSS JOIN journal j"
    " WHERE j.about = k.about AND j.merchant_id = k.merchant_id AND (j.at, j.mark[c]) < (k.before_at, k.before_mark)"
    " ORDER BY j.at DESC, j.mark[c] DESC LIMIT 100",
    merchant_id=BIG,
    about=TEXT,
    before_at=BIG,
    before_mark=TEXT,
)
_DONE = Sql(
    _DONE_SQL.sqlite.replace("[c]", ""),
    _DONE_SQL.postgres.replace("[c]", ' COLLATE "C"'),
    _DONE_SQL.kind,
    _DONE_SQL.returns,
    _DONE_SQL.columns,
)


class Done:
    """The source `journal`: each change somebody at the shop made to a person, with who it was."""

    name = "journal"

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List changes by when they were made."""
        keys = [(whose.shop.id, f"customer:{number}", *before) for number in whose.numbers]
        rows = yield from ask(_DONE, keys)
        return [Item(at=at, key=mark, what="note", title=f"{shown(who)} {did}") for mark, at, who, did in rows[:limit]]


def shown(who: str) -> str:
    """Name somebody at the shop for people: `shopify:42` and `link:nora` are how the journal has them."""
    kind, _, name = who.partition(":")
    if kind == "shopify":
        return f"Shopify staff member {name}"
    return name or who
