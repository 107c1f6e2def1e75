"""What a person allowed before they stopped mail, so that taking it back gives no more than there was."""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("consents", sa.Column("stood_before", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("consents") as table:
        table.drop_column("stood_before")
