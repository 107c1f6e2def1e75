"""The address a shop's own record tells, so that another owner's takes its place and nobody's own choice is overruled."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("merchants", sa.Column("shop_email", sa.Text))


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_column("merchants", "shop_email")
