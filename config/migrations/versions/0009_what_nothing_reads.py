"""An index of the events nothing reads, so that pruning finds them without reading the others."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_UNHANDLED = sa.text("outcome = 'unhandled'")


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_index(
        "ix_events_unhandled", "events", ["worked_at"], sqlite_where=_UNHANDLED, postgresql_where=_UNHANDLED
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_events_unhandled", "events")
