"""Bodies that are packed before they are stored."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("event_bodies", sa.Column("size", sa.Integer(), nullable=True))

    if op.get_bind().dialect.name == "postgresql":
        # What is packed gains nothing from being packed again, and mostly fits beside its number.
        op.execute("ALTER TABLE event_bodies ALTER COLUMN body SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE event_bodies SET (toast_tuple_target = 4080)")


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_column("event_bodies", "size")
