"""When a shop is asked about itself next, so that one that cannot be asked waits while others have their turn."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("merchants", sa.Column("describe_after", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("merchants") as table:
        table.drop_column("describe_after")
