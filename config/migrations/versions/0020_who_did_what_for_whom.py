"""What finds the journal's entries about one customer."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_index("ix_journal_about", "journal", ["about", "merchant_id", "at"])


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_journal_about", "journal")
