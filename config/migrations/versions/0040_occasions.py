"""Occasions that bring points: who is looked at when, what was given for which, and birthdays to look at."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_TO_LOOK = sa.text("due_at IS NOT NULL")
_TOLD = sa.text("birthday_due_at IS NOT NULL")


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "earners",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("joined_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "customer", name=op.f("pk_earners")),
    )
    op.create_index(
        "ix_earners_due",
        "earners",
        ["merchant_id", "due_at", "customer"],
        sqlite_where=_TO_LOOK,
        postgresql_where=_TO_LOOK,
    )
    op.create_table(
        "occasions",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.Column("available", sa.BigInteger(), nullable=False),
        sa.Column("postings", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "customer", "occasion", name=op.f("pk_occasions")),
    )
    op.create_table(
        "earning_marks",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("after_customer", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_earning_marks")),
    )
    op.add_column("customers", sa.Column("birthday_due_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_customers_birthday",
        "customers",
        ["merchant_id", "birthday_due_at", "number"],
        sqlite_where=_TOLD,
        postgresql_where=_TOLD,
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_customers_birthday", "customers")
    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.drop_column("birthday_due_at")
    op.drop_table("earning_marks")
    op.drop_table("occasions")
    op.drop_table("earners")
