"""Which tier a sale's customer held when it was made."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("sales", sa.Column("tier", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("sales", schema=None) as batch_op:
        batch_op.drop_column("tier")
