"""Sales that are held to be one, found without reading the others."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_index(
        "ix_sales_paired",
        "sales",
        ["merchant_id", "number"],
        unique=False,
        sqlite_where=sa.text("paired_with IS NOT NULL"),
        postgresql_where=sa.text("paired_with IS NOT NULL"),
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_sales_paired", table_name="sales")
