"""Discounts behind rewards that somebody changed at Shopify, and when each is looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "discount_changes",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("platform_id", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "platform_id", name=op.f("pk_discount_changes")),
    )
    op.create_index("ix_discount_changes_next_at", "discount_changes", ["next_at"])


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("discount_changes")
