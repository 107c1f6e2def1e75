"""How much of a reward of money was used, and when each account's are looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

_MONEY = "state = 'issued' AND kind IN ('balance_credit', 'gift_card', 'store_credit')"


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("redemptions", sa.Column("used_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(
        "ix_redemptions_money",
        "redemptions",
        ["merchant_id", "connection", "number"],
        sqlite_where=sa.text(_MONEY),
        postgresql_where=sa.text(_MONEY),
        if_not_exists=True,
    )
    op.create_table(
        "money_looks",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("connection", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("after_number", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "connection", name=op.f("pk_money_looks")),
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("money_looks")
    op.drop_index("ix_redemptions_money", "redemptions")
    with op.batch_alter_table("redemptions") as table:
        table.drop_column("used_minor")
