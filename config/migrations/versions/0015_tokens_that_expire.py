"""Tokens that expire and what renews them, what a shop tells of itself, and installations begun by OAuth."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_OF_CONNECTIONS = (
    ("token_expires_at", sa.BigInteger),
    ("refresh_token", sa.Text),
    ("refresh_expires_at", sa.BigInteger),
    ("refreshed_at", sa.BigInteger),
    ("refresh_claim", sa.Text),
    ("refresh_after", sa.BigInteger),
    ("refresh_problem", sa.Text),
    ("revoked_why", sa.Text),
)
_OF_MERCHANTS = (("language", sa.Text), ("policies", sa.Text), ("described_at", sa.BigInteger))
_TO_REFRESH = sa.text("refresh_token IS NOT NULL")


def upgrade() -> None:
    """Make what this revision adds."""
    for table, columns in (("connections", _OF_CONNECTIONS), ("merchants", _OF_MERCHANTS)):
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind(), nullable=True))
    op.create_index(
        "ix_connections_to_refresh",
        "connections",
        ["refreshed_at"],
        sqlite_where=_TO_REFRESH,
        postgresql_where=_TO_REFRESH,
    )
    op.create_table(
        "installs",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_installs")),
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("installs")
    op.drop_index("ix_connections_to_refresh", "connections")
    for table, columns in (("merchants", _OF_MERCHANTS), ("connections", _OF_CONNECTIONS)):
        for name, _ in reversed(columns):
            op.drop_column(table, name)
