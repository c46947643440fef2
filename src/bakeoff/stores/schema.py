"""Tables of the records: MLflow's words for runs; one schema for SQLite and PostgreSQL."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "HEAD",
    "aliases",
    "artifacts",
    "document_fields",
    "documents",
    "experiment_tags",
    "experiments",
    "inputs",
    "latest_metrics",
    "metadata",
    "metric_blocks",
    "name_tags",
    "names",
    "params",
    "row_sums",
    "runs",
    "tags",
    "version_tags",
    "versions",
]

HEAD = "0005"
"""The newest step in `migrations/versions`."""

metadata = MetaData(naming_convention={"ix": "ix_%(column_0_N_label)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"})

experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("lifecycle", Text, nullable=False, server_default="active"),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False, server_default="0"),
    Column("location", Text, nullable=False, server_default=text("''")),
)

experiment_tags = Table(
    "experiment_tags",
    metadata,
    Column("experiment_id", ForeignKey("experiments.experiment_id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True),  # orders runs that started in the same millisecond
    Column("run_id", Text, nullable=False, unique=True),
    Column("experiment_id", ForeignKey("experiments.experiment_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("lifecycle", Text, nullable=False, server_default="active"),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger),
    Column("parent_id", ForeignKey("runs.run_id")),
    Column("location", Text, nullable=False, server_default=text("''")),
    Index(None, "experiment_id", "start_ms"),
    Index(None, "parent_id"),
)


def _run_id() -> "Column[str]":
    return Column("run_id", ForeignKey("runs.run_id"), primary_key=True)


metric_blocks = Table(
    "metric_blocks",  # see `bakeoff.stores.history`
    metadata,
    Column("number", Integer, primary_key=True),  # keeps the order of logging
    Column("run_id", ForeignKey("runs.run_id"), nullable=False),
    Column("series", Text, nullable=False),
    Column("points", LargeBinary, nullable=False),
    Index(None, "run_id"),
)

# A NaN is stored as is_nan with value 0, as MLflow does: SQLite would make it NULL. Rows lie in the order of their key
# there: what is asked of a run is read in one place, and a value is written into one tree less.
latest_metrics = Table(
    "latest_metrics",
    metadata,
    _run_id(),
    Column("key", Text, primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    Index(None, "key", "value"),
    sqlite_with_rowid=False,
)


def _pairs(name: str, key: str, value: str) -> Table:
    return Table(name, metadata, _run_id(), Column(key, Text, primary_key=True), Column(value, Text, nullable=False))


params = _pairs("params", "key", "value")
tags = _pairs("tags", "key", "value")
artifacts = _pairs("artifacts", "path", "blob_id")

inputs = Table(
    "inputs",
    metadata,
    Column("number", Integer, primary_key=True),  # keeps the order of logging
    Column("run_id", ForeignKey("runs.run_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("about", Text, nullable=False, server_default=text("'{}'")),
    UniqueConstraint("run_id", "name", "version", "context"),
)

names = Table(
    "names",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("last_number", Integer, nullable=False),  # its row is the lock under which numbers are given
    Column("created_ms", BigInteger, nullable=False, server_default="0"),
    Column("updated_ms", BigInteger, nullable=False, server_default="0"),
    Column("description", Text, nullable=False, server_default=text("''")),
)

name_tags = Table(
    "name_tags",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    ForeignKeyConstraint(["kind", "name"], ["names.kind", "names.name"]),
)

versions = Table(
    "versions",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("run_id", Text),
    Column("lineage", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("updated_ms", BigInteger, nullable=False, server_default="0"),
    Column("stage", Text, nullable=False, server_default=text("'None'")),
    ForeignKeyConstraint(["kind", "name"], ["names.kind", "names.name"]),
    Index(None, "kind", "content"),
)

version_tags = Table(
    "version_tags",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    ForeignKeyConstraint(["kind", "name", "number"], ["versions.kind", "versions.name", "versions.number"]),
)

aliases = Table(
    "aliases",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    ForeignKeyConstraint(["kind", "name", "number"], ["versions.kind", "versions.name", "versions.number"]),
)

documents = Table(
    "documents",
    metadata,
    Column("collection", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False, server_default="0"),
)

document_fields = Table(
    "document_fields",  # by what documents are searched; what they say stands in their body
    metadata,
    Column("collection", Text, primary_key=True),
    Column("document", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("text", Text),
    Column("number", Double),
)

row_sums = Table(
    "row_sums",  # of SQLite alone: see `bakeoff.stores.sums`
    metadata,
    Column("of_table", Text, primary_key=True),
    Column("of_row", BigInteger, primary_key=True),
    Column("sum", BigInteger, nullable=False),
)
