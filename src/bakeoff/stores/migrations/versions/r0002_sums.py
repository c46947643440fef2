"""A checksum of each row, which SQLite lacks (`bakeoff.stores.sums` keeps them up to date)."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table; empty with PostgreSQL, which has checksums of its own."""
    op.create_table(
        "row_sums",
        sa.Column("of_table", sa.Text(), nullable=False),
        sa.Column("of_row", sa.BigInteger(), nullable=False),
        sa.Column("sum", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("of_table", "of_row"),
        sqlite_with_rowid=False,
    )
