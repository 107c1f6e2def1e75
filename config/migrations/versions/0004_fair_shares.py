"""What is due by merchant, and leases by the database's clock.

The release before goes on claiming by the indexes it knows, so those stay until the next revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WAITING = "coalesce(worked_at, failed_at) IS NULL AND claim IS NULL AND merchant_id IS NOT NULL"

# name, table, columns, of which rows
_INDEXES = (
    ("ix_events_waiting", "events", ["merchant_id", "next_attempt_at", "id"], _WAITING),
    ("ix_events_leased", "events", ["claimed_until"], "claim IS NOT NULL"),
    ("ix_sales_to_settle", "sales", ["merchant_id", "settle_at", "number"], "settle_at IS NOT NULL"),
    ("ix_settlements_to_retry", "settlements", ["merchant_id", "retry_at", "sale"], "retry_at IS NOT NULL"),
    (
        "ix_messages_unsent",
        "messages",
        ["merchant_id", "next_attempt_at", "key"],
        "state IN ('scheduled', 'waiting')",
    ),
    ("ix_messages_sending", "messages", ["claimed_until"], "state = 'sending'"),
)


def upgrade() -> None:
    """Make what this revision adds."""
    for name, table, columns, where in _INDEXES:
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    """Take back what this revision added."""
    for name, table, *_ in reversed(_INDEXES):
        op.drop_index(name, table)
