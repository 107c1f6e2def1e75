"""Since when a platform has been asked for a reward without a clear answer, and where its account stood before."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("redemptions", sa.Column("tried_at", sa.BigInteger(), nullable=True))
    op.add_column("redemptions", sa.Column("mark", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_column("redemptions", "mark")
    op.drop_column("redemptions", "tried_at")
