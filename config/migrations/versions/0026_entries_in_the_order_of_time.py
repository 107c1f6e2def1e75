"""What finds an account's entries in the order of time: it takes the place of what found them in none.

The new indexes begin as the old ones did, so that the release before finds what it looks for as ever.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds, and drop what it takes the place of."""
    for side in ("destination", "source"):
        # Declared already, and so perhaps made by whoever migrated to an earlier revision with this release.
        op.create_index(
            f"ix_ledger_entries_{side}_at", "ledger_entries", [side, "merchant_id", "at"], if_not_exists=True
        )
        op.drop_index(f"ix_ledger_entries_{side}", "ledger_entries")


def downgrade() -> None:
    """Take back what this revision added."""
    for side in ("destination", "source"):
        op.create_index(f"ix_ledger_entries_{side}", "ledger_entries", [side, "merchant_id"])
        op.drop_index(f"ix_ledger_entries_{side}_at", "ledger_entries")
