"""Sealed segments of the event log as Parquet: `NUMBER.parquet` takes the place of `NUMBER.log`.

Columns: seq (u64), kind, time_ms (i64), payload (the event as JSON text). While both files exist, after a
crash between writing the one and deleting the other, the Parquet file counts.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bakeoff.core.errors import CorruptError
from bakeoff.core.hashing import digest_file
from bakeoff.stores.files import durable_write, sync_folder, temporary
from bakeoff.stores.marks import Mark, mark_path, read_mark
from bakeoff.stores.parity import parity, parity_path
from bakeoff.stores.segments import Row, frames, items

__all__ = ["archive", "check", "last_seq", "rows", "seal"]

_SCHEMA = {"seq": pl.UInt64, "kind": pl.String, "time_ms": pl.Int64, "payload": pl.String}
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
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
    seal(target)
    segment.unlink()
    return moved


def seal(path: Path) -> None:
    """Write the mark and the parity of an archive as it is now."""
    mark = Mark(end=path.stat().st_size, last_seq=last_seq(path), digest=digest_file(path))
    durable_write(parity_path(path), [parity(path.read_bytes())], staging=path.parent)
    durable_write(mark_path(path), [mark.encode()], staging=path.parent)


def check(path: Path) -> None:
    """Compare an archive with its mark; one of before, which has none, is decoded.

    Raises:
        CorruptError: it is not what was written, or cannot be read.
    """
    _verify(path)
    mark = read_mark(path)
    if mark is None or mark.digest is None:
        try:
            pl.read_parquet(path)
        except _UNREADABLE as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> CorruptError:
    return CorruptError(
        f"the events in {path} cannot be read ({error}): restore it from a backup, or run 'bakeoff verify --repair'"
    )


def last_seq(path: Path) -> int:
    """The number of the last event in an archive."""
    return int(pl.scan_parquet(path).select(pl.col("seq").max()).collect().item() or 0)


def _verify(path: Path) -> None:
    """Compare an archive with its mark; those of before have none.

    Raises:
        CorruptError: it is not what was written.
    """
    mark = read_mark(path)
    if mark is not None and mark.digest is not None and digest_file(path) != mark.digest:
        raise CorruptError(
            f"the events in {path} are not what was written: restore it from a backup, or run 'bakeoff verify --repair'"
        )


def rows(path: Path, kind: str, since_ms: int, until_ms: int) -> Iterator[Row]:
    """The events of one kind with since_ms ≤ time_ms < until_ms."""
    wanted = (pl.col("kind") == kind) & (pl.col("time_ms") >= since_ms) & (pl.col("time_ms") < until_ms)
    _verify(path)
    try:
        table = pl.scan_parquet(path).filter(wanted).select("seq", "time_ms", "payload").collect()
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
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
