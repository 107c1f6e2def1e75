"""What the programme page keeps, who wrote a version, and sales by when they were sold."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_SOLD = sa.text("sold_at IS NOT NULL AND merged_into IS NULL")


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "program_drafts",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "number", name=op.f("pk_program_drafts")),
    )
    op.create_table(
        "program_previews",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "what", "digest", name=op.f("pk_program_previews")),
    )
    op.create_table(
        "program_forecasts",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("alive_at", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("due", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "digest", name=op.f("pk_program_forecasts")),
    )
    with op.batch_alter_table("program_forecasts", schema=None) as batch_op:
        batch_op.create_index("ix_program_forecasts_asked", ["merchant_id", "asked_at"], unique=False)
    with op.batch_alter_table("program_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("who", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("restores", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("sales", schema=None) as batch_op:
        batch_op.create_index(
            "ix_sales_sold",
            ["merchant_id", "sold_at", "number"],
            unique=False,
            sqlite_where=_SOLD,
            postgresql_where=_SOLD,
        )


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("sales", schema=None) as batch_op:
        batch_op.drop_index("ix_sales_sold", sqlite_where=_SOLD, postgresql_where=_SOLD)
    with op.batch_alter_table("program_versions", schema=None) as batch_op:
        batch_op.drop_column("restores")
        batch_op.drop_column("who")
    with op.batch_alter_table("program_forecasts", schema=None) as batch_op:
        batch_op.drop_index("ix_program_forecasts_asked")
    op.drop_table("program_forecasts")
    op.drop_table("program_previews")
    op.drop_table("program_drafts")
