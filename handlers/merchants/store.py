"""Tables of merchants: shops, connections, programme versions, and the row that orders a merchant's books."""

from sqlalchemy import Column, Integer, Table, Text, UniqueConstraint

from integration.database.schema import Instant, Number, metadata

merchants = Table(
    "merchants",
    metadata,
    Column("id", Number().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("currency", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("country", Text),
    Column("email", Text),  # where mail for the merchant goes, test orders' mail among it
    Column("created_at", Instant, nullable=False),
    Column("closed_at", Instant),  # uninstalled everywhere: nothing is earned or sent any more
    Column("messages_paused_at", Instant),  # set = the merchant holds all messages back
)

# Who works a merchant's facts or posts to their ledger locks this row first (PostgreSQL: FOR UPDATE); it also
# hands out the merchant's own numbers, without gaps.
books = Table(
    "books",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("next_customer", Number, nullable=False, server_default="1"),
    Column("next_sale", Number, nullable=False, server_default="1"),
    Column("next_entry", Number, nullable=False, server_default="1"),
    Column("head", Text, nullable=False, server_default=""),  # chained digest of every entry so far
)

connections = Table(
    "connections",
    metadata,
    Column("id", Number().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("merchant_id", Number, nullable=False, index=True),
    Column("platform", Text, nullable=False),  # shopify | stripe
    Column("account", Text, nullable=False),  # shop domain; Stripe: the webhook path's token
    Column("mode", Text, nullable=False, server_default="live"),
    Column("shop_id", Text),  # Shopify's numeric id, once known
    Column("hosts", Text, nullable=False, server_default="[]"),  # JSON: the shop's own domains seen
    Column("secrets", Text, nullable=False, server_default="[]"),  # JSON: encrypted webhook secrets (Stripe)
    Column("token", Text),  # encrypted API access token or restricted key
    Column("scopes", Text),
    Column("created_at", Instant, nullable=False),
    Column("connected_at", Instant, nullable=False),  # last install or reconnect
    Column("revoked_at", Instant),  # access lost; webhooks are still read
    Column("closed_at", Instant),  # uninstalled or disconnected
    UniqueConstraint("platform", "account", "mode"),
)

program_versions = Table(
    "program_versions",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("version", Number, primary_key=True, autoincrement=False),
    Column("in_force_at", Instant, nullable=False),  # a whole second
    Column("created_at", Instant, nullable=False),
    Column("document", Text, nullable=False),  # JSON of rules.Program, validated
    Column("who", Text),  # who wrote it, on a page; null = by the command
    Column("restores", Number),  # the version whose content it brought back
)
