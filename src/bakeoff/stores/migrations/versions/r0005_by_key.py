"""The latest values of metrics in the order of run and key, where SQLite kept them in that of writing."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

INDEX = "ix_latest_metrics_key_latest_metrics_value"
COLUMNS = "run_id, key, step, time_ms, value, is_nan"


def upgrade() -> None:
    """Make the table anew; PostgreSQL has no such order."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.rename_table("latest_metrics", "latest_before")
    op.create_table(
        "latest_metrics",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "key"),
        sqlite_with_rowid=False,
    )
    op.execute(f"INSERT INTO latest_metrics ({COLUMNS}) SELECT {COLUMNS} FROM latest_before ORDER BY run_id, key")  # noqa: S608
    op.drop_table("latest_before")
    op.create_index(INDEX, "latest_metrics", ["key", "value"])
