"""Sessions and sign-in links of merchants without Shopify, and who changed or looked at what."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "sign_in_links",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("mailed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "digest", name=op.f("pk_sign_in_links")),
    )
    op.create_table(
        "sessions",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "digest", name=op.f("pk_sessions")),
    )
    op.create_table(
        "journal",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "at", "mark", name=op.f("pk_journal")),
    )
    op.create_index("ix_journal_at", "journal", ["at"])
    op.create_table(
        "looks",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("customer", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "at", "mark", name=op.f("pk_looks")),
    )
    op.create_index("ix_looks_at", "looks", ["at"])
    op.create_index("ix_looks_customer", "looks", ["merchant_id", "customer"])


def downgrade() -> None:
    """Take back what this revision added."""
    for table in ("looks", "journal", "sessions", "sign_in_links"):
        op.drop_table(table)
