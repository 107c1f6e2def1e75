"""What finds a reward by what its platform calls it: a Stripe session names the code it used by that alone."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    # Declared already, and so perhaps made by whoever migrated to an earlier revision with this release.
    op.create_index("ix_redemptions_platform", "redemptions", ["platform_id", "merchant_id"], if_not_exists=True)


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_redemptions_platform", "redemptions")
