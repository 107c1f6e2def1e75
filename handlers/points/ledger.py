"""The append-only ledger, the balances kept beside it, and the seals that guard it."""

from collections.abc import Iterable

from sqlalchemy import CheckConstraint, Column, Index, Table, Text, UniqueConstraint, text

from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

SPOKEN = "words:"  # what the detail of an entry begins with that has words, before their digest

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),  # consecutive: a gap is a deletion
    Column("key", Text, nullable=False),
    Column("sale", Number),
    Column("source", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("micropoints", Number, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text),  # a digest of an adjustment's words, a merge's other customer
    Column("at", Instant, nullable=False),
    UniqueConstraint("merchant_id", "key"),
    CheckConstraint("micropoints > 0", name="positive"),
    CheckConstraint("source <> destination", name="moves"),
)
Index("ix_ledger_entries_sale", ledger_entries.c.sale, ledger_entries.c.merchant_id)
# In the order of time, in which a person's are shown page by page.
for _side in ("source", "destination"):
    Index(f"ix_ledger_entries_{_side}_at", ledger_entries.c[_side], ledger_entries.c.merchant_id, ledger_entries.c.at)

accounts = Table(
    "accounts",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("account", Text, primary_key=True),
    Column("micropoints", Number, nullable=False),
)

# A merchant's words to an entry lie apart from it: they may name somebody, and entries are for ever. The entry holds
# a digest of them, which is nobody's once they are gone.
entry_words = Table(
    "entry_words",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),  # of the entry
    Column("salt", Text, nullable=False),
    Column("words", Text, nullable=False),
)

ledger_seals = Table(
    "ledger_seals",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("last_entry", Number, primary_key=True, autoincrement=False),
    Column("entries", Number, nullable=False),
    Column("micropoints", Number, nullable=False),
    Column("digest", Text, nullable=False),  # sha256 over the previous seal's digest and the entries
    Column("at", Instant, nullable=False),
)

# Whoever may have points that lapse: how many have, and when to look again.
expiries = Table(
    "expiries",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("customer", Number, primary_key=True, autoincrement=False),
    Column("due_at", Instant),  # null = nothing can lapse as things are
    Column("expired", Number, nullable=False, server_default="0"),  # micropoints, net of what was given back
)
_TO_LOOK = text("due_at IS NOT NULL")
Index(
    "ix_expiries_due",
    expiries.c.merchant_id,
    expiries.c.due_at,
    expiries.c.customer,
    sqlite_where=_TO_LOOK,
    postgresql_where=_TO_LOOK,
)

_WORDS = keyed(
    "SELECT w.key, w.words FROM {keys} k CROSS JOIN entry_words w"
    " WHERE w.merchant_id = k.merchant_id AND w.key = k.key",
    merchant_id=BIG,
    key=TEXT,
)


def words_of(merchant_id: int, keys: Iterable[str]) -> Steps[dict[str, str]]:
    """Return the words said to entries, by key; those without any, or whose words were forgotten, are left out."""
    return dict((yield from ask(_WORDS, [(merchant_id, key) for key in sorted(keys)])))
