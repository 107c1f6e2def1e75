"""What happened each day, and what counts it: letters sent and reviews written."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_SENT = sa.text("sent_at IS NOT NULL AND test = 0")
_FIGURES = ("issued", "taken_back", "redeemed", "orders", "repeats", "notes", "asked", "reviews", "recovered")


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "daily_figures",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _FIGURES),
        sa.PrimaryKeyConstraint("merchant_id", "day", name=op.f("pk_daily_figures")),
    )
    op.create_table(
        "figure_marks",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_figure_marks")),
    )
    op.create_index(
        "ix_messages_sent", "messages", ["merchant_id", "sent_at", "kind"], sqlite_where=_SENT, postgresql_where=_SENT
    )
    op.create_index("ix_reviews_written", "reviews", ["merchant_id", "written_at"])


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_reviews_written", "reviews")
    op.drop_index("ix_messages_sent", "messages")
    op.drop_table("figure_marks")
    op.drop_table("daily_figures")
