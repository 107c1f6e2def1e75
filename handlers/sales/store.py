"""Tables of sales: merged facts, what names a sale, and capabilities that have still to settle it."""

from sqlalchemy import Column, Index, Integer, Table, Text, func, text

from integration.database.schema import Instant, Number, by_bytes, metadata

sales = Table(
    "sales",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("facts", Text, nullable=False),  # JSON of rules.SaleFacts
    Column("revision", Number, nullable=False),
    Column("customer", Number),  # resolved when last settled; null = unclaimed
    Column("platform", Text),  # shopify | stripe | both: who has told of its money
    Column("platform_id", Text),  # the order's id, else the payment's
    Column("name", Text),  # what the shop calls it: #1042
    Column("email", Text),  # normalised; what pairs are suspected by
    Column("currency", Text),
    Column("total_minor", Number),  # paid at purchase, with tax and shipping
    Column("sold_at", Instant),
    Column("standing", Text, nullable=False),  # rules.Standing: why it counts or not, in one word
    Column("test", Integer, nullable=False, server_default="0"),
    Column("merged_into", Number),  # this number now means that sale
    Column("absorbed", Text, nullable=False, server_default="[]"),  # JSON: numbers merged into this one
    Column("program_version", Number),  # in force when it was sold
    Column("eligible_minor", Number),
    Column("paired_with", Number),  # suspected to be the same sale on the other platform
    Column("settle_at", Instant),  # when settling again will change something without an event
    Column("created_at", Instant, nullable=False),
    Column("tier", Text),  # the customer's when it was made: its id in the programme of that time
    Column("backfill", Number),  # the run of the merchant that covers it
    Column("forgotten_at", Instant),  # since when it names nobody
)
Index(
    "ix_sales_backfill",
    sales.c.backfill,
    sales.c.merchant_id,
    sales.c.number,
    sqlite_where=text("backfill IS NOT NULL"),
    postgresql_where=text("backfill IS NOT NULL"),
)
Index(
    "ix_sales_settle",
    sales.c.settle_at,
    sqlite_where=text("settle_at IS NOT NULL"),
    postgresql_where=text("settle_at IS NOT NULL"),
)
_SOLD = text("sold_at IS NOT NULL AND merged_into IS NULL")
Index(
    "ix_sales_sold",
    sales.c.merchant_id,
    sales.c.sold_at,
    sales.c.number,
    sqlite_where=_SOLD,
    postgresql_where=_SOLD,
)
_PAIRED = text("paired_with IS NOT NULL")
Index("ix_sales_paired", sales.c.merchant_id, sales.c.number, sqlite_where=_PAIRED, postgresql_where=_PAIRED)
_CALLED = text("name IS NOT NULL")
Index(
    "ix_sales_name",
    sales.c.merchant_id,
    func.lower(by_bytes(sales.c.name)),
    sqlite_where=_CALLED,
    postgresql_where=_CALLED,
)
_TO_SETTLE = text("settle_at IS NOT NULL")
Index(
    "ix_sales_to_settle",
    sales.c.merchant_id,
    sales.c.settle_at,
    sales.c.number,
    sqlite_where=_TO_SETTLE,
    postgresql_where=_TO_SETTLE,
)
# On PostgreSQL a table nobody has analysed yet seems tiny, and any index that starts with merchant_id as good as
# the key; so the other indexes start with what they are for.
Index("ix_sales_customer", sales.c.customer, sales.c.merchant_id)
Index("ix_sales_like", sales.c.email, sales.c.total_minor, sales.c.merchant_id)

sale_identities = Table(
    "sale_identities",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("platform", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # order, payment, charge, session, invoice, refund, dispute
    Column("value", Text, primary_key=True),
    Column("sale", Number, nullable=False),
)
Index("ix_sale_identities_sale", sale_identities.c.sale, sale_identities.c.merchant_id)

# Only what is behind has a row: written when a capability fails, deleted when it has caught up.
settlements = Table(
    "settlements",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("sale", Number, primary_key=True, autoincrement=False),
    Column("capability", Text, primary_key=True),
    Column("revision", Number, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failure", Text, nullable=False),
    Column("failed_at", Instant, nullable=False),
    Column("retry_at", Instant),  # null = given up, shown to the operator
)
_TO_RETRY = text("retry_at IS NOT NULL")
Index(
    "ix_settlements_to_retry",
    settlements.c.merchant_id,
    settlements.c.retry_at,
    settlements.c.sale,
    sqlite_where=_TO_RETRY,
    postgresql_where=_TO_RETRY,
)
