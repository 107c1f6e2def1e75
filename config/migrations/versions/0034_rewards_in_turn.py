"""Rewards taken in fair turns, listed by state, added to the newest discount; and since when one is to be taken back."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_WAITS = sa.text("next_at IS NOT NULL AND claim IS NULL")
_CLAIMED = sa.text("claim IS NOT NULL")
_THERE = sa.text("platform_id IS NOT NULL")


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("redemptions", sa.Column("returning_at", sa.BigInteger(), nullable=True))
    for name, columns, where in (
        ("ix_redemptions_waiting", ["merchant_id", "next_at", "number"], _WAITS),
        ("ix_redemptions_claimed", ["claimed_until"], _CLAIMED),
        ("ix_redemptions_parent", ["merchant_id", "reward", "connection", "issued_at", "number"], _THERE),
        ("ix_redemptions_state", ["merchant_id", "state", "number"], None),
    ):
        # Declared already, and so perhaps made by whoever migrated to an earlier revision with this release.
        op.create_index(name, "redemptions", columns, sqlite_where=where, postgresql_where=where, if_not_exists=True)


def downgrade() -> None:
    """Take back what this revision added."""
    for name in ("state", "parent", "claimed", "waiting"):
        op.drop_index(f"ix_redemptions_{name}", "redemptions")
    op.drop_column("redemptions", "returning_at")
