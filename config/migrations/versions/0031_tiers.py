"""Where everybody stands on the ladder of tiers, what was given by hand, and whose programme changed when."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_TO_LOOK = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "standings",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("kept_until", sa.BigInteger(), nullable=True),
        sa.Column("falls_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "customer", name=op.f("pk_standings")),
    )
    op.create_index(
        "ix_standings_due",
        "standings",
        ["merchant_id", "due_at", "customer"],
        sqlite_where=_TO_LOOK,
        postgresql_where=_TO_LOOK,
    )
    op.create_index("ix_standings_tier", "standings", ["merchant_id", "tier", "customer"])
    op.create_table(
        "tier_grants",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("is_floor", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "customer", "at", name=op.f("pk_tier_grants")),
    )
    op.create_table(
        "tier_marks",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("after_customer", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_tier_marks")),
    )
    op.create_index(
        "ix_program_versions_in_force", "program_versions", ["in_force_at", "merchant_id"], if_not_exists=True
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_program_versions_in_force", "program_versions")
    op.drop_table("tier_marks")
    op.drop_table("tier_grants")
    op.drop_table("standings")
