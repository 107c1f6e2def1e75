"""A merchant may hold all messages back, types words before saving them, and looks at what became of events."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

AMISS = "failed_at IS NOT NULL OR outcome = 'suspect' OR outcome = 'waiting'"


def upgrade() -> None:
    """Make what this revision adds."""
    with op.batch_alter_table("merchants", schema=None) as batch_op:
        batch_op.add_column(sa.Column("messages_paused_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "message_drafts",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "kind", "language", "author", name=op.f("pk_message_drafts")),
    )
    op.create_table(
        "message_trials",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_message_trials")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sale", sa.BigInteger(), nullable=True))
        batch_op.create_index(
            "ix_events_amiss",
            ["merchant_id", "id"],
            unique=False,
            sqlite_where=sa.text(AMISS),
            postgresql_where=sa.text(AMISS),
        )
        batch_op.create_index(
            "ix_events_sale",
            ["sale", "merchant_id"],
            unique=False,
            sqlite_where=sa.text("sale IS NOT NULL"),
            postgresql_where=sa.text("sale IS NOT NULL"),
        )


def downgrade() -> None:
    """Take back what this revision added."""
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index("ix_events_sale")
        batch_op.drop_index("ix_events_amiss")
        batch_op.drop_column("sale")
    op.drop_table("message_trials")
    op.drop_table("message_drafts")
    with op.batch_alter_table("merchants", schema=None) as batch_op:
        batch_op.drop_column("messages_paused_at")
