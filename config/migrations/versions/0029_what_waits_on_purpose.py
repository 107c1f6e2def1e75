"""Until when a request by law waits on purpose: for a file to be fetched, or a code to be switched off."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("privacy_requests", sa.Column("waits_until", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_column("privacy_requests", "waits_until")
