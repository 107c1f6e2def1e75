"""Table of backfill runs: how far each has come, and what it did."""

from sqlalchemy import Column, Table, Text

from integration.database.schema import Instant, Number, metadata

backfills = Table(
    "backfills",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),  # running, done, undoing, undone
    Column("version", Number, nullable=False),  # the programme that history is awarded under
    Column("since", Instant),  # only what was sold from here on; null = everything
    Column("file", Text),  # name of the merchant's own file; null = asked of the platforms
    Column("operation", Text),  # Shopify's bulk operation that was started for it
    Column("orders_after", Text),  # the last order taken in, by id: its order is that of the taking in
    Column("charges_after", Text),  # the last Stripe charge taken in, newest first
    Column("totals", Text, nullable=False, server_default="{}"),  # JSON of rules.Totals
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("undone_at", Instant),
)
