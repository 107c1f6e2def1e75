"""Finding friends' codes that ended long ago and were never used."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    unused = sa.text("used_at IS NULL")
    op.create_index(
        "ix_referral_codes_ended",
        "referral_codes",
        ["expires_at"],
        sqlite_where=unused,
        postgresql_where=unused,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_referral_codes_ended", "referral_codes")
