"""Who may have points that expire, and when to look at them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "expiries",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("expired", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "customer", name=op.f("pk_expiries")),
    )
    with op.batch_alter_table("expiries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_expiries_due",
            ["merchant_id", "due_at", "customer"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("expiries", schema=None) as batch_op:
        batch_op.drop_index("ix_expiries_due")
    op.drop_table("expiries")
