"""Experiments and registered names with what people say of them, and when they changed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

WIDER = ("experiments", "names", "versions")


def upgrade() -> None:
    """Add the columns and tables, and times as far as they are known."""
    op.add_column("experiments", sa.Column("updated_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("UPDATE experiments SET updated_ms = created_ms")
    for name in ("created_ms", "updated_ms"):
        op.add_column("names", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("names", sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False))
    for name, pick in (("created_ms", "MIN"), ("updated_ms", "MAX")):
        of_name = "v.kind = names.kind AND v.name = names.name"
        op.execute(
            f"UPDATE names SET {name} = COALESCE((SELECT {pick}(created_ms) FROM versions v WHERE {of_name}), 0)"  # noqa: S608
        )
    op.add_column("versions", sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.create_table(
        "experiment_tags",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.experiment_id"]),
        sa.PrimaryKeyConstraint("experiment_id", "key"),
    )
    op.create_table(
        "name_tags",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["kind", "name"], ["names.kind", "names.name"]),
        sa.PrimaryKeyConstraint("kind", "name", "key"),
    )
    # Checksums of rows that have become wider are made anew.
    op.execute(f"DELETE FROM row_sums WHERE of_table IN ({', '.join(map(repr, WIDER))})")  # noqa: S608
