"""What Shopify is told of customers' points: of whom, what last, and how far a merchant's ledger was followed."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_TO_LOOK = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "mirrors",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("customer", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("has_tier", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "account", name=op.f("pk_mirrors")),
    )
    op.create_index(
        "ix_mirrors_due",
        "mirrors",
        ["merchant_id", "due_at", "account"],
        sqlite_where=_TO_LOOK,
        postgresql_where=_TO_LOOK,
    )
    op.create_index("ix_mirrors_customer", "mirrors", ["customer", "merchant_id"])
    op.create_table(
        "mirror_marks",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("swept_at", sa.BigInteger(), nullable=False),
        sa.Column("swept_after", sa.BigInteger(), nullable=True),
        sa.Column("form", sa.Integer(), server_default="0", nullable=False),
        sa.Column("busy_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_mirror_marks")),
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("mirror_marks")
    op.drop_table("mirrors")
