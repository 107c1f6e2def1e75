"""Fresh links that customers open their own page with, and the sessions these open."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "account_links",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("customer", sa.BigInteger(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("reward", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("session_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "digest", name=op.f("pk_account_links")),
    )
    op.create_index("ix_account_links_customer", "account_links", ["merchant_id", "customer", "created_at"])
    op.create_index("ix_account_links_asker", "account_links", ["asker", "created_at"])
    op.create_index("ix_account_links_expires", "account_links", ["expires_at"])


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("account_links")
