"""What lies in the collections that campaigns name, since when and until when."""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "collections",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("products", sa.Integer(), nullable=True),
        sa.Column("known_at", sa.BigInteger(), nullable=True),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("stir_from", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "collection", name=op.f("pk_collections")),
    )
    to_read = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_collections_due",
        "collections",
        ["merchant_id", "due_at", "collection"],
        sqlite_where=to_read,
        postgresql_where=to_read,
    )
    op.create_table(
        "collection_products",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("from_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "product", "collection", "from_at", name=op.f("pk_collection_products")),
    )
    still = sa.text("until_at IS NULL")
    op.create_index(
        "ix_collection_products_now",
        "collection_products",
        ["collection", "merchant_id"],
        sqlite_where=still,
        postgresql_where=still,
    )


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("collection_products")
    op.drop_table("collections")
