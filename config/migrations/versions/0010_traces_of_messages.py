"""The trace a message comes from."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("trace", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_column("trace")
