"""Discounts that merchants have switched off at the platform, and when a shop's codes are looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "discounts_off",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("platform_id", sa.Text(), nullable=False),
        sa.Column("reward", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "platform_id", name=op.f("pk_discounts_off")),
    )
    op.create_table(
        "discount_looks",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("after_number", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_discount_looks")),
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("discount_looks")
    op.drop_table("discounts_off")
