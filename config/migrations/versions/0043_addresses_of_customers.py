"""What finds people by the address mail goes to, whether or not a platform vouches for it."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

_MAILED = sa.text("email IS NOT NULL")


def upgrade() -> None:
    """Make what this revision adds."""
    # Texts are compared by bytes, as SQLite does anyway.
    address = 'email COLLATE "C"' if op.get_bind().dialect.name == "postgresql" else "email"
    op.create_index(
        "ix_customers_email",
        "customers",
        ["merchant_id", sa.text(address), "number"],
        sqlite_where=_MAILED,
        postgresql_where=_MAILED,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_index("ix_customers_email", "customers")
