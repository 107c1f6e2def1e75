"""For whom a reward is, as its platform knows them: the same at every attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("redemptions", sa.Column("buyer", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.drop_column("buyer")
