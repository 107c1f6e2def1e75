"""Tables of merchants: shops, connections, programme versions, the books' row, sessions, and who changed what."""

from sqlalchemy import Column, Index, Integer, Table, Text, UniqueConstraint, text

from integration.database.schema import Instant, Number, metadata

merchants = Table(
    "merchants",
    metadata,
    Column("id", Number().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("currency", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("country", Text),
    Column("email", Text),  # where mail for the merchant goes, links to sign in and test orders' mail among it
    Column("shop_email", Text),  # as the shop itself told when last asked; email follows where it is the same
    Column("language", Text),  # of the shop, as BCP 47: en, pt-BR
    Column("policies", Text),  # JSON: the shop's own pages by kind, {"REFUND_POLICY": "https://…"}
    Column("described_at", Instant),  # when the shop was last asked about itself
    Column("describe_after", Instant),  # when it is asked next; null = soon
    Column("created_at", Instant, nullable=False),
    Column("closed_at", Instant),  # uninstalled everywhere: nothing is earned or sent any more
    Column("messages_paused_at", Instant),  # set = the merchant holds all messages back
    info={"owner": "id"},
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
    Column("token_expires_at", Instant),  # null = it does not expire
    Column("refresh_token", Text),  # encrypted; written in one statement with the token it came with
    Column("refresh_expires_at", Instant),
    Column("refreshed_at", Instant),  # when the platform gave us the token
    Column("refresh_claim", Text),  # fencing token of whoever renews it now
    Column("refresh_after", Instant),  # not before, by the database's clock: the claim's end, or the next attempt
    Column("refresh_problem", Text),  # in words: why it could not be renewed the last time
    Column("scopes", Text),  # JSON: what the merchant lets us do
    Column("created_at", Instant, nullable=False),
    Column("connected_at", Instant, nullable=False),  # last install or reconnect
    Column("revoked_at", Instant),  # access lost; webhooks are still read
    Column("revoked_why", Text),  # in words
    Column("closed_at", Instant),  # uninstalled or disconnected
    UniqueConstraint("platform", "account", "mode"),
)
Index(
    "ix_connections_to_refresh",
    connections.c.refreshed_at,
    sqlite_where=text("refresh_token IS NOT NULL"),
    postgresql_where=text("refresh_token IS NOT NULL"),
)

# One begun installation by OAuth; the row goes with its first use.
installs = Table(
    "installs",
    metadata,
    Column("state", Text, primary_key=True),  # digest of the value Shopify brings back
    Column("shop", Text, nullable=False),
    Column("begun_at", Instant, nullable=False),
)

# What we know of the Stripe account behind a connection, and of the webhook endpoint we made there.
stripe_accounts = Table(
    "stripe_accounts",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("connection", Number, primary_key=True, autoincrement=False),  # connections.id
    Column("account", Text, nullable=False),  # acct_…
    Column("livemode", Integer, nullable=False),
    Column("name", Text),  # as the account's owner calls it
    Column("key_hint", Text, nullable=False),  # the last characters of the key, as Stripe lists it
    Column("endpoint", Text),  # we_…; null = none that we made and hold the secret of
    Column("state", Text, nullable=False),  # new, ok, by_hand, missing, disabled, away, refused
    Column("reason", Text),  # in words, for all but ok
    Column("checked_at", Instant),
    Column("claim", Text),  # fencing token of who sets the endpoint up
    Column("claimed_until", Instant),  # by the database's clock
    Column("connected_at", Instant, nullable=False),
    Column("closed_at", Instant),
)
# One account and mode is connected once, whoever asks at the same time.
Index(
    "uq_stripe_accounts_open",
    stripe_accounts.c.account,
    stripe_accounts.c.livemode,
    unique=True,
    sqlite_where=text("closed_at IS NULL"),
    postgresql_where=text("closed_at IS NULL"),
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
Index("ix_program_versions_in_force", program_versions.c.in_force_at, program_versions.c.merchant_id)

# One-time links that open a session; only the digest of what the link holds is kept.
sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),  # sha256, hex
    Column("who", Text, nullable=False),  # link:<e-mail or name>
    Column("mailed", Integer, nullable=False),  # 1 = asked for on the page and sent by mail, 0 = by the command
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
)

sessions = Table(
    "sessions",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),  # sha256 of what the cookie holds, hex
    Column("who", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),  # brought up to date every few minutes
    Column("ended_at", Instant),  # signed out, revoked, or replaced by a later sign-in
)

# Who changed what. Names nobody: people stand in it by their number alone.
journal = Table(
    "journal",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("at", Instant, primary_key=True, autoincrement=False),
    Column("mark", Text, primary_key=True),  # tells entries of one instant apart
    Column("who", Text, nullable=False),  # shopify:<user id>, link:<e-mail or name>, command
    Column("did", Text, nullable=False),
    Column("about", Text, nullable=False),  # programme, customer:7, message:…
    Column("detail", Text),  # JSON: before, after, and why
)
Index("ix_journal_at", journal.c.at)
Index("ix_journal_about", journal.c.about, journal.c.merchant_id, journal.c.at)

# Who looked at whose personal data.
looks = Table(
    "looks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("at", Instant, primary_key=True, autoincrement=False),
    Column("mark", Text, primary_key=True),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),  # the page or the export
    Column("customer", Number),  # None: a list of several
)
Index("ix_looks_at", looks.c.at)
Index("ix_looks_customer", looks.c.merchant_id, looks.c.customer)
