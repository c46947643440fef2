"""Records as tables: what the database holds, in batches of columns, all of one state.

Reading goes by the connection that the records have: a second library of SQLite on the same file (as DuckDB's own
reader brings one) would break its locks.
"""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import BigInteger, Boolean, Connection, Double, Integer, Table, select

from bakeoff.core.errors import CorruptError, UsageError
from bakeoff.stores import schema
from bakeoff.stores.database import Database
from bakeoff.stores.history import COLUMNS, SUM_BYTES, VALUE_BYTES, damaged

if TYPE_CHECKING:
    import polars as pl

__all__ = ["tables"]

ROWS, LONG_ROWS, BLOCKS = 50_000, 1_000, 5_000
"""In a batch: rows, rows that may be long (documents), blocks of metrics."""
BLOCK_BYTES = 8 * 2**20
"""Of blocks of metrics in a batch, about."""
TABLES: Mapping[str, Table] = {
    "experiments": schema.experiments,
    "runs": schema.runs,
    "metrics": schema.latest_metrics,
    "params": schema.params,
    "tags": schema.tags,
    "inputs": schema.inputs,
    "artifacts": schema.artifacts,
    "versions": schema.versions,
    "version_tags": schema.version_tags,
    "aliases": schema.aliases,
}
DOCUMENTS, DOCUMENT = "documents:", ("key", "body", "created_ms", "updated_ms")
HISTORY = "metric_history"
SERIES = ("model_id", "dataset", "digest")


@contextmanager
def tables(database: Database) -> "Generator[Callable[[str], Iterator[pl.DataFrame]]]":
    """Within it, a table by its name, in batches; there is at least one, which may have no rows.

    The names are those of `TABLES`, `metric_history`, and `documents:COLLECTION`.
    """
    with database.read() as connection:

        def read(name: str) -> "Iterator[pl.DataFrame]":
            if name == HISTORY:
                return _history(connection)
            if name.startswith(DOCUMENTS):
                body = schema.documents
                where = body.c.collection == name.removeprefix(DOCUMENTS)
                return _batches(connection, body, where, columns=DOCUMENT, size=LONG_ROWS)
            if name not in TABLES:
                raise UsageError(f"expected a table ({', '.join(TABLES)}, {HISTORY}, {DOCUMENTS}…), received {name!r}")
            return _batches(connection, TABLES[name])

        yield read


def _batches(
    connection: Connection, table: Table, *where: Any, columns: Sequence[str] = (), size: int = ROWS
) -> "Iterator[pl.DataFrame]":
    import polars as pl

    chosen = [table.c[name] for name in columns] if columns else list(table.c)
    kinds = {column.name: _kind(column.type) for column in chosen}
    streamed = connection.execution_options(stream_results=True, max_row_buffer=size)
    empty = True
    for rows in streamed.execute(select(*chosen).where(*where)).partitions(size):
        values = zip(*rows, strict=True)
        yield pl.DataFrame({name: pl.Series(each, dtype=kinds[name]) for name, each in zip(kinds, values, strict=True)})
        empty = False
    if empty:
        yield pl.DataFrame(schema=kinds)


def _kind(of: Any) -> Any:
    import polars as pl

    if isinstance(of, Boolean):
        return pl.Boolean
    if isinstance(of, Integer | BigInteger):
        return pl.Int64
    return pl.Float64 if isinstance(of, Double) else pl.String


def _history(connection: Connection) -> "Iterator[pl.DataFrame]":
    """All values of all metrics; blocks of as many values are unpacked together."""
    import polars as pl

    blocks = schema.metric_blocks
    query = select(blocks.c.run_id, blocks.c.series, blocks.c.points).order_by(blocks.c.number)
    streamed = connection.execution_options(stream_results=True, max_row_buffer=BLOCKS)
    empty = True
    for rows in _bounded(streamed.execute(query)):
        yield _unpacked(rows)
        empty = False
    if empty:
        texts = dict.fromkeys(("run_id", "key", *SERIES), pl.String)
        numbers = {"step": pl.Int64, "time_ms": pl.Int64, "value": pl.Float64}
        yield pl.DataFrame(schema={**texts, **numbers})


def _bounded(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Blocks of metrics, so many together that they take little room."""
    batch, size = list[Any](), 0
    for row in rows:
        batch.append(row)
        size += len(row[2])
        if size >= BLOCK_BYTES or len(batch) >= BLOCKS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _unpacked(rows: Sequence[Any]) -> "pl.DataFrame":
    import polars as pl

    of_size: dict[int, list[int]] = {}
    for at, (_, series, points) in enumerate(rows):
        if damaged(series, points):
            raise CorruptError("a block of metrics is not what was written: run 'bakeoff verify --repair'")
        of_size.setdefault((len(points) - SUM_BYTES) // VALUE_BYTES, []).append(at)
    known: dict[str, int] = {}
    named = [[known.setdefault(json.dumps(one), len(known)) for one in json.loads(series)] for _, series, _ in rows]
    parts: list[pl.DataFrame] = []
    for size, places in of_size.items():
        packed = b"".join(bytes(rows[at][2])[SUM_BYTES:] for at in places)
        block = np.dtype([(name, kind, (size,)) for name, kind in COLUMNS])
        values = np.frombuffer(packed, dtype=block)
        first = np.cumsum([0, *(len(named[at]) for at in places[:-1])])
        of_blocks = np.concatenate([named[at] for at in places])
        parts.append(
            pl.DataFrame(
                {
                    "at": np.repeat(np.asarray(places), size),
                    "series": of_blocks[(values["series"] + first[:, None]).ravel()],
                    **{name: values[name].ravel() for name, _ in COLUMNS[1:]},
                }
            )
        )
    texts = [[*json.loads(each), None, None, None][:4] for each in known]
    keys = pl.DataFrame(texts, schema=dict.fromkeys(("key", *SERIES), pl.String), orient="row").with_row_index("series")
    runs = pl.DataFrame({"run_id": [row[0] for row in rows]}).with_row_index("at")
    points = pl.concat(parts).with_columns(pl.col("at", "series").cast(pl.UInt32))
    joined = points.join(runs, on="at", maintain_order="left").join(keys, on="series", maintain_order="left")
    return joined.select("run_id", "key", *SERIES, "step", "time_ms", "value")
