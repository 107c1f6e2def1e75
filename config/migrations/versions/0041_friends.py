"""Customers' links for their friends, the friends' codes, and the orders made with them."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "referral_links",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("customer", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "code", name=op.f("pk_referral_links")),
    )
    op.create_index("ix_referral_links_code", "referral_links", ["code"])
    op.create_index("ix_referral_links_customer", "referral_links", ["customer", "merchant_id"])
    op.create_table(
        "referral_codes",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("customer", sa.BigInteger(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("value_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("connection", sa.BigInteger(), nullable=True),
        sa.Column("platform_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.Column("tried_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "code", name=op.f("pk_referral_codes")),
    )
    to_ask, there = sa.text("next_at IS NOT NULL"), sa.text("platform_id IS NOT NULL")
    op.create_index("ix_referral_codes_code", "referral_codes", ["code"])
    op.create_index("ix_referral_codes_link", "referral_codes", ["merchant_id", "link", "expires_at"])
    op.create_index("ix_referral_codes_customer", "referral_codes", ["customer", "merchant_id"])
    op.create_index("ix_referral_codes_asker", "referral_codes", ["asker", "created_at"])
    op.create_index("ix_referral_codes_made", "referral_codes", ["merchant_id", "created_at"])
    op.create_index(
        "ix_referral_codes_due",
        "referral_codes",
        ["merchant_id", "next_at", "code"],
        sqlite_where=to_ask,
        postgresql_where=to_ask,
    )
    op.create_index(
        "ix_referral_codes_platform",
        "referral_codes",
        ["platform_id", "merchant_id"],
        sqlite_where=there,
        postgresql_where=there,
    )
    op.create_table(
        "referrals",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sale", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("referrer", sa.BigInteger(), nullable=False),
        sa.Column("friend", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("available", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("postings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "sale", name=op.f("pk_referrals")),
    )
    to_look = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_referrals_due",
        "referrals",
        ["merchant_id", "due_at", "sale"],
        sqlite_where=to_look,
        postgresql_where=to_look,
    )
    op.create_index("ix_referrals_referrer", "referrals", ["referrer", "merchant_id", "at"])
    op.create_index("ix_referrals_friend", "referrals", ["friend", "merchant_id", "at"])


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("referrals")
    op.drop_table("referral_codes")
    op.drop_table("referral_links")
