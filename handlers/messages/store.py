"""Tables of the outbox: one row a message, named by a key from stable ids; restores; merchants' words while typed."""

from sqlalchemy import Column, Index, Integer, Table, Text, text

from integration.database.schema import Instant, Number, metadata

messages = Table(
    "messages",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),  # e.g. thank_you:sale:91
    Column("kind", Text, nullable=False),  # thank_you, review_request, review_reminder, points_down
    Column("customer", Number),
    Column("sale", Number),
    Column("channel", Text, nullable=False),  # email
    Column("state", Text, nullable=False),  # scheduled, waiting, sending, sent, cancelled, failed
    Column("due_at", Instant, nullable=False),  # when it should go out by its own rule
    Column("next_attempt_at", Instant, nullable=False),  # when to look at it next
    Column("reason", Text),  # why it waits, was cancelled or failed; in words
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("claim", Text),
    Column("claimed_until", Instant),
    Column("address", Text),  # where it went, once sent
    Column("receipt", Text),  # the server's last answer
    Column("sent_at", Instant),
    Column("test", Integer, nullable=False, server_default="0"),
    Column("details", Text, nullable=False, server_default="{}"),  # JSON a kind needs to render
    Column("closed_at", Instant),  # cancelled for good when it was to go out; a sale cannot bring it back
    Column("created_at", Instant, nullable=False),
    Column("content", Text),  # JSON of what it said, once sent: kinds.Content without its links
    Column("trace", Text),  # traceparent of the work it comes from, where somebody traced that
)
Index(
    "ix_messages_due",
    messages.c.next_attempt_at,
    sqlite_where=text("state IN ('scheduled', 'waiting', 'sending')"),
    postgresql_where=text("state IN ('scheduled', 'waiting', 'sending')"),
)
# Few rows, so that what failed can be counted at any time.
Index(
    "ix_messages_failed",
    messages.c.closed_at,
    sqlite_where=text("state = 'failed'"),
    postgresql_where=text("state = 'failed'"),
)
Index(
    "ix_messages_given_up",
    messages.c.merchant_id,
    messages.c.closed_at,
    messages.c.key,
    sqlite_where=text("state = 'failed'"),
    postgresql_where=text("state = 'failed'"),
)
_SENT = text("sent_at IS NOT NULL AND test = 0")
Index(
    "ix_messages_sent",
    messages.c.merchant_id,
    messages.c.sent_at,
    messages.c.kind,
    sqlite_where=_SENT,
    postgresql_where=_SENT,
)
_UNSENT = text("state IN ('scheduled', 'waiting')")
Index(
    "ix_messages_unsent",
    messages.c.merchant_id,
    messages.c.next_attempt_at,
    messages.c.key,
    sqlite_where=_UNSENT,
    postgresql_where=_UNSENT,
)
_SENDING = text("state = 'sending'")
Index("ix_messages_sending", messages.c.claimed_until, sqlite_where=_SENDING, postgresql_where=_SENDING)
Index("ix_messages_customer", messages.c.customer, messages.c.merchant_id)
Index("ix_messages_sale", messages.c.sale, messages.c.merchant_id)

# When a backup was put back: what was due before then may have gone out, and the books do not know.
restores = Table(
    "restores",
    metadata,
    Column("restored_at", Instant, primary_key=True, autoincrement=False),
)

# Words that somebody types and has not saved: so that they can be seen as a letter, and are not lost.
message_drafts = Table(
    "message_drafts",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("author", Text, primary_key=True),  # digest of who types
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

# How many test letters a merchant had sent to themselves lately.
message_trials = Table(
    "message_trials",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("since_at", Instant, nullable=False),
    Column("sent", Integer, nullable=False),
)
