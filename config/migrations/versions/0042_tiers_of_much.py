"""The tiers somebody with very many purchases has had, for sales that come while nobody can read all of theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("standings", sa.Column("history", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("standings") as table:
        table.drop_column("history")
