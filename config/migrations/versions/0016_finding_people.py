"""What finds people by name, address and order; held messages; what a letter said."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_NAMED = sa.text("first_name IS NOT NULL OR last_name IS NOT NULL")
_CALLED = sa.text("name IS NOT NULL")
_INDEXES = ("ix_customers_name", "ix_customers_surname", "ix_sales_name")


def upgrade() -> None:
    """Make what this revision adds."""
    postgres = op.get_bind().dialect.name == "postgresql"
    # Texts are compared by bytes, as SQLite does anyway.
    end = ' COLLATE "C")' if postgres else ")"
    for name, one, other in (
        ("ix_customers_name", "first_name", "last_name"),
        ("ix_customers_surname", "last_name", "first_name"),
    ):
        words = sa.text(f"lower((coalesce({one}, '') || ' ' || coalesce({other}, '')){end}")
        op.create_index(
            name, "customers", ["merchant_id", words, "number"], sqlite_where=_NAMED, postgresql_where=_NAMED
        )
    if postgres:
        op.create_index(
            "ix_customer_identities_address",
            "customer_identities",
            ["merchant_id", sa.text('value COLLATE "C"'), "customer"],
            postgresql_where=sa.text("kind = 'email'"),
        )
    op.create_index(
        "ix_sales_name",
        "sales",
        ["merchant_id", sa.text(f"lower((name){end}")],
        sqlite_where=_CALLED,
        postgresql_where=_CALLED,
    )
    op.add_column("customers", sa.Column("held_at", sa.BigInteger(), nullable=True))
    op.add_column("messages", sa.Column("content", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back what this revision added."""
    for table, column in (("messages", "content"), ("customers", "held_at")):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column(column)
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_customer_identities_address", "customer_identities")
    for name in reversed(_INDEXES):
        op.drop_index(name, "sales" if "sales" in name else "customers")
