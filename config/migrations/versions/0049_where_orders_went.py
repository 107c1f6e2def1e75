"""Digests of where orders went, to see when a friend and who brought them have the same address."""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "referral_homes",
        sa.Column("merchant_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("sale", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "sale", name=op.f("pk_referral_homes")),
    )
    op.create_index("ix_referral_homes_digest", "referral_homes", ["merchant_id", "digest"])
    op.create_index("ix_referral_homes_at", "referral_homes", ["at"])


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("referral_homes")
