"""Finding friends who wait for the merchant's decision."""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    held = sa.text("state = 'held'")
    op.create_index(
        "ix_referrals_held",
        "referrals",
        ["merchant_id", "sale"],
        sqlite_where=held,
        postgresql_where=held,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_referrals_held", "referrals")
