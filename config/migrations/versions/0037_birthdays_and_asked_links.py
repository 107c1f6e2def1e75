"""Birthdays that customers tell, and who asked for a link by typing an address."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("customers", sa.Column("birthday", sa.Text(), nullable=True))
    op.add_column("customers", sa.Column("birthday_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "account_asks",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "digest", name=op.f("pk_account_asks")),
    )
    op.create_index("ix_account_asks_shop", "account_asks", ["merchant_id", "asked_at"])
    op.create_index("ix_account_asks_target", "account_asks", ["merchant_id", "target", "asked_at"])
    op.create_index("ix_account_asks_asker", "account_asks", ["asker", "asked_at"])
    op.create_index("ix_account_asks_at", "account_asks", ["asked_at"])


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("account_asks")
    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.drop_column("birthday_at")
        batch_op.drop_column("birthday")
