"""Which tag of a tier each customer has at Shopify, and whether it was we who added it."""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("mirrors", sa.Column("tag", sa.Text(), nullable=True))
    op.add_column("mirrors", sa.Column("tag_state", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("mirrors") as table:
        table.drop_column("tag_state")
        table.drop_column("tag")
