"""Sealed segments of the event log as Parquet: `NUMBER.parquet` takes the place of `NUMBER.log`.

Columns: seq (u64), kind, time_ms (i64), payload (the event as JSON text). While both files exist, after a
crash between writing the one and deleting the other, the Parquet file counts.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bakeoff.core.errors import CorruptError
from bakeoff.stores.files import sync_folder, temporary
from bakeoff.stores.segments import Row, frames, items

__all__ = ["archive", "rows"]

_SCHEMA = {"seq": pl.UInt64, "kind": pl.String, "time_ms": pl.Int64, "payload": pl.String}
_SLICE = 50_000  # rows made into Python objects at a time


def archive(segment: Path) -> int:
    """Replace a sealed segment by a Parquet file; the number of events."""
    target = segment.with_suffix(".parquet")
    moved = 0
    if not target.exists():
        table = _table(segment)
        unfinished = temporary(segment.parent)
        try:
            with unfinished.open("xb") as file:
                table.write_parquet(file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
            sync_folder(segment.parent)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        moved = table.height
    segment.unlink()
    return moved


def rows(path: Path, kind: str, since_ms: int, until_ms: int) -> Iterator[Row]:
    """The events of one kind with since_ms ≤ time_ms < until_ms."""
    wanted = (pl.col("kind") == kind) & (pl.col("time_ms") >= since_ms) & (pl.col("time_ms") < until_ms)
    try:
        table = pl.scan_parquet(path).filter(wanted).select("seq", "time_ms", "payload").collect()
    except pl.exceptions.ComputeError as error:
        raise CorruptError(f"the events in {path} cannot be read ({error}): restore it from a backup") from error
    for part in table.iter_slices(_SLICE):
        for seq, time_ms, payload in part.iter_rows():
            yield Row(seq, time_ms, payload)


def _table(segment: Path) -> pl.DataFrame:
    records = [
        (frame.first_seq + index, item.kind, item.time_ms, item.payload.decode())
        for frame in frames(segment)
        for index, item in enumerate(items(frame))
    ]
    return pl.DataFrame(records, schema=_SCHEMA, orient="row")
