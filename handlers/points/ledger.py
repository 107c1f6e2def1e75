"""The append-only ledger, the balances kept beside it, and the seals that guard it."""

from sqlalchemy import CheckConstraint, Column, Index, Table, Text, UniqueConstraint

from integration.database.schema import Instant, Number, metadata

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
    Column("detail", Text),  # an adjustment's words, a merge's other customer
    Column("at", Instant, nullable=False),
    UniqueConstraint("merchant_id", "key"),
    CheckConstraint("micropoints > 0", name="positive"),
    CheckConstraint("source <> destination", name="moves"),
)
Index("ix_ledger_entries_sale", ledger_entries.c.sale, ledger_entries.c.merchant_id)
Index("ix_ledger_entries_source", ledger_entries.c.source, ledger_entries.c.merchant_id)
Index("ix_ledger_entries_destination", ledger_entries.c.destination, ledger_entries.c.merchant_id)

accounts = Table(
    "accounts",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("account", Text, primary_key=True),
    Column("micropoints", Number, nullable=False),
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
