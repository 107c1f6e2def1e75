"""Since when an import names nobody; names of files leave the journal, which outlives whoever they may be called after."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_WITHOUT = {"sqlite": "json_remove(detail, '$.file')", "postgresql": "(detail::jsonb - 'file')::text"}


def upgrade() -> None:
    """Make what this revision adds."""
    op.add_column("imports", sa.Column("nameless_at", sa.BigInteger(), nullable=True))
    op.execute(
        f"UPDATE journal SET detail = {_WITHOUT[op.get_bind().dialect.name]}"
        " WHERE about LIKE 'import:%' AND detail LIKE '{\"file\"%'"
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_column("imports", "nameless_at")
