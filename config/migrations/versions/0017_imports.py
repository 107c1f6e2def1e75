"""Balances brought along from another loyalty app."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what this revision adds."""
    op.create_table(
        "imports",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("newcomers", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("lines", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("good", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("known", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("micropoints", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("problems", sa.Text(), server_default="{}", nullable=False),
        sa.Column("after_line", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("moved", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("taken_back", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "number", name=op.f("pk_imports")),
    )
    with op.batch_alter_table("imports", schema=None) as batch_op:
        held = sa.text("state IN ('importing', 'done', 'undoing')")
        batch_op.create_index(
            "uq_imports_held", ["merchant_id", "digest"], unique=True, sqlite_where=held, postgresql_where=held
        )
        under_way = sa.text("state IN ('importing', 'undoing')")
        batch_op.create_index(
            "ix_imports_open", ["claimed_until"], unique=False, sqlite_where=under_way, postgresql_where=under_way
        )
    op.create_table(
        "import_lines",
        sa.Column("merchant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("micropoints", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("known", sa.Integer(), server_default="0", nullable=False),
        sa.Column("customer", sa.BigInteger(), nullable=True),
        sa.Column("taken_back", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "number", "line", name=op.f("pk_import_lines")),
    )
    with op.batch_alter_table("import_lines", schema=None) as batch_op:
        batch_op.create_index("ix_import_lines_email", ["email", "merchant_id"], unique=False)


def downgrade() -> None:
    """Take back what this revision added."""
    op.drop_table("import_lines")
    op.drop_table("imports")
