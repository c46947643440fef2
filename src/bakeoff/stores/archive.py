"""Sealed segments of the event log as Parquet: `NUMBER.parquet` takes the place of `NUMBER.log`.

Its columns are those of `bakeoff.data.event_table`; an archive of before has `seq`, `kind`, `time_ms` and `payload`,
the event as JSON text. While a segment and its archive both exist, after a crash between writing the one and deleting
the other, the archive counts.

    NUMBER.mark     its digest (see `bakeoff.stores.marks`)
    NUMBER.parity   mends it (see `bakeoff.stores.parity`)
    NUMBER.ids      tells which ids are in it (see `bakeoff.stores.ids`)
"""

import heapq
import os
from collections.abc import Iterator, Sequence
from itertools import starmap
from pathlib import Path

import polars as pl

from bakeoff.core.errors import CorruptError
from bakeoff.core.events import Event
from bakeoff.core.hashing import digest_file
from bakeoff.data import event_table
from bakeoff.stores import ids
from bakeoff.stores.files import durable_write, sync_folder, temporary
from bakeoff.stores.marks import Mark, mark_path, read_mark
from bakeoff.stores.parity import parity, parity_path
from bakeoff.stores.segments import EventQuery, Numbered, StoredEvent, gone, places, records, stems

__all__ = ["ROWS", "archive", "check", "events", "keys", "last_seq", "scan", "seal"]

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
ROWS = 4096  # in a group, the least that is read for one event
_FEW = 4  # rows that are read alone


# --- writing ----------------------------------------------------------------------------------------


def archive(segment: Path) -> int:
    """Replace a sealed segment by a Parquet file; the number of events."""
    target = segment.with_suffix(".parquet")
    moved = 0
    if not target.exists():
        table = event_table.table(records(segment))
        unfinished = temporary(segment.parent)
        try:
            with unfinished.open("xb") as file:
                table.write_parquet(file, compression="zstd", row_group_size=ROWS)
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
    """Write the mark, the parity and the ids of an archive as it is now."""
    digest = digest_file(path)
    mark = Mark(end=path.stat().st_size, last_seq=last_seq(path), digest=digest)
    durable_write(parity_path(path), [parity(path.read_bytes())], staging=path.parent)
    durable_write(ids.ids_path(path), [ids.encode(keys(path), digest)], staging=path.parent)
    durable_write(mark_path(path), [mark.encode()], staging=path.parent)


# --- checking ---------------------------------------------------------------------------------------


def check(path: Path) -> None:
    """Compare an archive with its mark; one of before, which has none, is decoded.

    Raises:
        CorruptError: it is not what was written, or cannot be read.
    """
    _verify(path)
    mark = read_mark(path)
    if mark is None or mark.digest is None:
        try:
            pl.read_parquet(path, glob=False)
        except _UNREADABLE as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> CorruptError:
    return CorruptError(
        f"the events in {path} cannot be read ({error}): restore it from a backup, or run 'bakeoff verify --repair'"
    )


def last_seq(path: Path) -> int:
    """The number of the last event in an archive."""
    return int(pl.scan_parquet(path, glob=False).select(pl.col("seq").max()).collect().item() or 0)


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


# --- reading ----------------------------------------------------------------------------------------


def events(path: Path, wanted: EventQuery, *, after: int = 0, rows: Sequence[int] | None = None) -> Iterator[Numbered]:
    """The wanted events of an archive with greater numbers than `after`, among these rows, if given."""
    _verify(path)
    between = pl.col("time_ms").is_between(wanted.since_ms, wanted.until_ms, closed="left")
    source = pl.scan_parquet(path, glob=False)
    if rows is not None and len(rows) <= _FEW:  # of a row, its group is read alone
        source = pl.concat([source.slice(row, 1) for row in rows])
    source = source.filter((pl.col("seq") > after) & between)
    try:
        if "payload" in source.collect_schema():
            stored = source.select("seq", "kind", "time_ms", "payload").collect().iter_rows()
            read = (
                wanted.read(seq, StoredEvent(kind, at_ms, payload.encode())) for seq, kind, at_ms, payload in stored
            )
            return (row for row in read if row is not None)
        if wanted.ids is not None:
            source = source.filter(pl.col("id").is_in(list(wanted.ids)))
        tables = {kind: event_table.of_class(source, kind).collect() for kind in wanted.kinds}
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    classes = (starmap(Numbered, event_table.events(table, kind)) for kind, table in tables.items())
    return heapq.merge(*classes, key=lambda each: each.seq)


def scan(root: Path, kind: type[Event]) -> pl.LazyFrame:
    """All events of a class in the segments and archives of a folder as a table.

    Raises:
        CorruptError: one is damaged, or gone.
    """
    tables = [event_table.table([]).lazy(), *(_scanned(root, stem) for stem in stems(root))]
    return pl.concat([event_table.of_class(each, kind) for each in tables]).drop("rest")


def _scanned(root: Path, stem: str) -> pl.LazyFrame:
    for path in places(root, stem):
        try:
            return _archived(path) if path.suffix == ".parquet" else event_table.table(records(path)).lazy()
        except FileNotFoundError:
            continue
    if (error := gone(root, stem)) is not None:
        raise error
    return event_table.table([]).lazy()


def _archived(path: Path) -> pl.LazyFrame:
    _verify(path)
    try:
        source = pl.scan_parquet(path, glob=False)
        if "payload" not in source.collect_schema():
            return source
        rows = source.select("seq", "kind", "payload").collect().iter_rows()
        return event_table.table((seq, kind, payload.encode()) for seq, kind, payload in rows).lazy()
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def keys(path: Path) -> ids.Packed:
    """The keys of the ids in an archive."""
    known = ids.read(path)
    if known is not None:
        return known
    columns = pl.scan_parquet(path, glob=False)
    if "payload" in columns.collect_schema():
        return ids.packed(ids.keys_of(columns.select("kind", "payload").collect().iter_rows()))
    named = columns.select("kind", "id").collect().iter_rows()
    return ids.packed(None if name is None else ids.key(kind, name) for kind, name in named)
