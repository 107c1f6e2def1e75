"""Messages of one merchant that were given up, found without reading the others."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_FAILED = sa.text("state = 'failed'")


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_index(
        "ix_messages_given_up",
        "messages",
        ["merchant_id", "closed_at", "key"],
        sqlite_where=_FAILED,
        postgresql_where=_FAILED,
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_messages_given_up", "messages")
