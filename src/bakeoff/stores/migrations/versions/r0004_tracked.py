"""What other clients track: blocks of metrics, fields of documents, where artifacts are, what inputs are."""

from itertools import groupby

import sqlalchemy as sa
from alembic import op

from bakeoff.core.records import Metric
from bakeoff.stores.history import pack

revision = "0004"
down_revision = "0003"

WIDER = ("experiments", "runs", "inputs", "documents", "versions")
AT_ONCE = 10_000


def upgrade() -> None:
    """Add the columns and tables, and put the history of metrics into blocks."""
    for table in ("experiments", "runs"):
        op.add_column(table, sa.Column("location", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("inputs", sa.Column("about", sa.Text(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("documents", sa.Column("created_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("UPDATE documents SET created_ms = updated_ms")
    op.add_column("versions", sa.Column("updated_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("UPDATE versions SET updated_ms = created_ms")
    op.add_column("versions", sa.Column("stage", sa.Text(), server_default=sa.text("'None'"), nullable=False))
    op.create_table(
        "document_fields",
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("number", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("collection", "document", "kind", "key"),
    )
    op.create_table(
        "metric_blocks",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"]),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_metric_blocks_run_id", "metric_blocks", ["run_id"])
    op.create_index("ix_latest_metrics_key_latest_metrics_value", "latest_metrics", ["key", "value"])
    _into_blocks()
    op.drop_table("metrics")
    # Checksums of rows that have become wider are made anew; blocks have checksums of their own.
    gone = (*WIDER, "metrics", "latest_metrics")
    op.execute(f"DELETE FROM row_sums WHERE of_table IN ({', '.join(map(repr, gone))})")  # noqa: S608


def _into_blocks() -> None:
    connection = op.get_bind()
    rows = connection.execute(
        sa.text("SELECT run_id, key, step, time_ms, value, is_nan FROM metrics ORDER BY run_id, step, time_ms")
    )
    for run_id, of_run in groupby(rows.all(), key=lambda row: row.run_id):
        values = [
            Metric(key=r.key, value=float("nan") if r.is_nan else r.value, step=r.step, time_ms=r.time_ms)
            for r in of_run
        ]
        for start in range(0, len(values), AT_ONCE):
            keys, points = pack(values[start : start + AT_ONCE])
            connection.execute(
                sa.text("INSERT INTO metric_blocks (run_id, series, points) VALUES (:run_id, :series, :points)"),
                {"run_id": run_id, "series": keys, "points": points},
            )
