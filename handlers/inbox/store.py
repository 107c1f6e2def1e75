"""Tables of the inbox: events, their bodies apart, and what unknown shops have sent so far."""

from sqlalchemy import Column, Index, LargeBinary, Table, Text, UniqueConstraint, text
from sqlalchemy import Integer as SmallNumber

from integration.database.schema import Instant, Number, metadata

# The state of an event is read from its columns: worked_at set = done (see `outcome`), failed_at set = dead
# letter, merchant_id null = of a shop we do not know yet, claim set = in somebody's hands until claimed_until by
# the database's clock, otherwise claimable from next_attempt_at on.
events = Table(
    "events",
    metadata,
    # SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
    Column("id", Number().with_variant(SmallNumber(), "sqlite"), primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),  # shopify | stripe
    Column("connection", Text, nullable=False),  # shop domain, or the Stripe webhook token's connection key
    Column("delivery_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("merchant_id", Number),
    Column("triggered_at", Instant),
    Column("received_at", Instant, nullable=False),
    Column("recovered", SmallNumber, nullable=False, server_default="0"),  # 1 = reconcile found it, 2 = older than us
    Column("claims", SmallNumber, nullable=False, server_default="0"),
    Column("claim", Text),  # fencing token of the present claim
    Column("claimed_until", Instant),
    Column("next_attempt_at", Instant, nullable=False),
    Column("worked_at", Instant),
    Column("failed_at", Instant),
    Column("outcome", Text),  # applied | unhandled | suspect | waiting, with worked_at
    Column("reason", Text),  # why it failed, waits or is suspect, in words
    Column("sale", Number),  # the merchant's number of the sale it told of, once worked
    UniqueConstraint("source", "connection", "delivery_id"),
)

_WAITING = text("coalesce(worked_at, failed_at) IS NULL AND claim IS NULL AND merchant_id IS NOT NULL")
Index(
    "ix_events_waiting",
    events.c.merchant_id,
    events.c.next_attempt_at,
    events.c.id,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
_LEASED = text("claim IS NOT NULL")
Index("ix_events_leased", events.c.claimed_until, sqlite_where=_LEASED, postgresql_where=_LEASED)
# What the release before claims by; to be dropped with the next one.
Index(
    "ix_events_claimable",
    events.c.next_attempt_at,
    events.c.id,
    sqlite_where=text("worked_at IS NULL AND failed_at IS NULL AND merchant_id IS NOT NULL"),
    postgresql_where=text("worked_at IS NULL AND failed_at IS NULL AND merchant_id IS NOT NULL"),
)
Index(
    "ix_events_unknown",
    events.c.source,
    events.c.connection,
    sqlite_where=text("merchant_id IS NULL"),
    postgresql_where=text("merchant_id IS NULL"),
)
# Few rows each, so that what went wrong can be counted at any time without reading what went well.
Index(
    "ix_events_failed",
    events.c.failed_at,
    events.c.source,
    sqlite_where=text("failed_at IS NOT NULL"),
    postgresql_where=text("failed_at IS NOT NULL"),
)
Index(
    "ix_events_unhandled",
    events.c.worked_at,
    sqlite_where=text("outcome = 'unhandled'"),
    postgresql_where=text("outcome = 'unhandled'"),
)
Index(
    "ix_events_kept_waiting",
    events.c.topic,
    sqlite_where=text("outcome = 'waiting'"),
    postgresql_where=text("outcome = 'waiting'"),
)
Index(
    "ix_events_recovered",
    events.c.source,
    events.c.merchant_id,
    sqlite_where=text("recovered = 1"),
    postgresql_where=text("recovered = 1"),
)
Index("ix_events_merchant", events.c.merchant_id, events.c.id)
# What a merchant should look at: few rows, whatever has been worked before.
_AMISS = text("failed_at IS NOT NULL OR outcome = 'suspect' OR outcome = 'waiting'")
Index("ix_events_amiss", events.c.merchant_id, events.c.id, sqlite_where=_AMISS, postgresql_where=_AMISS)
Index(
    "ix_events_sale",
    events.c.sale,
    events.c.merchant_id,
    sqlite_where=text("sale IS NOT NULL"),
    postgresql_where=text("sale IS NOT NULL"),
)

event_bodies = Table(
    "event_bodies",
    metadata,
    Column("event_id", Number().with_variant(SmallNumber(), "sqlite"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("size", SmallNumber),  # bytes when unpacked; null = the body lies here as it came
    info={"hangs_on": ("event_id", "events", "id")},
)

unknown_shops = Table(
    "unknown_shops",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("first_at", Instant, nullable=False),
    Column("events", Number, nullable=False),
    Column("bytes", Number, nullable=False),
)
