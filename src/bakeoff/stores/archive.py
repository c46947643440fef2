"""Sealed segments of the event log as Parquet: `NUMBER.parquet` takes the place of `NUMBER.log`.

Its columns are those of `bakeoff.data.event_table`; an archive of before has `seq`, `kind`, `time_ms` and `payload`,
the event as JSON text. An archive of encrypted events is sealed as a whole. While a segment and its archive both
exist, after a crash between writing the one and deleting the other, the archive counts.

    NUMBER.mark     its digest (see `bakeoff.stores.marks`)
    NUMBER.parity   mends it (see `bakeoff.stores.parity`)
    NUMBER.ids      tells which ids are in it (see `bakeoff.stores.ids`)
"""

import heapq
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from bakeoff.core.errors import BakeoffError, CorruptError
from bakeoff.core.events import Event
from bakeoff.core.hashing import digest, digest_file
from bakeoff.data import event_table
from bakeoff.stores import ids
from bakeoff.stores.encryption import Keyring, key_id_of
from bakeoff.stores.expired import dropped, expired_path
from bakeoff.stores.files import durable_write, sync_folder
from bakeoff.stores.marks import Mark, mark_path, read_mark
from bakeoff.stores.parity import parity, parity_path
from bakeoff.stores.segments import EventQuery, Numbered, StoredEvent, gone, places, records, stems

__all__ = ["ROWS", "archive", "check", "encoded", "encrypt", "events", "has_before", "keys", "last_seq", "replace"]
__all__ += ["scan", "seal", "table"]

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
ROWS = 4096  # in a group, the least that is read for one event
_HEAD = 64  # bytes that tell whether a file is encrypted
_FEW = 4  # rows that are read alone

T = TypeVar("T")


# --- writing ----------------------------------------------------------------------------------------


def archive(segment: Path, keyring: Keyring) -> int:
    """Replace a sealed segment by a Parquet file; the number of events."""
    target = segment.with_suffix(".parquet")
    moved = 0
    if not target.exists():
        table = event_table.table(records(segment, keyring))
        durable_write(target, [encoded(table, target, keyring)], staging=segment.parent)
        moved = table.height
    seal(target, keyring)
    segment.unlink()
    return moved


def encoded(table: pl.DataFrame, path: Path, keyring: Keyring) -> bytes:
    """A table as an archive at this path holds it."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", row_group_size=ROWS)
    return keyring.seal(_place(path), buffer.getvalue())


def replace(path: Path, content: bytes, keyring: Keyring) -> None:
    """Write an archive anew, other bytes in its place.

    What is derived of it goes first: stopped in between, it is an archive without a mark, and whole.
    """
    for derived in (mark_path(path), parity_path(path), ids.ids_path(path)):
        derived.unlink(missing_ok=True)
    sync_folder(path.parent)
    durable_write(path, [content], staging=path.parent)
    seal(path, keyring)


def encrypt(path: Path, keyring: Keyring) -> None:
    """Write an archive again, if it is not under the newest key."""
    stored = path.read_bytes()
    if not keyring.is_current(stored):
        _verify(path, stored)
        content = stored if key_id_of(stored) is None else keyring.open(_place(path), stored)
        replace(path, keyring.seal(_place(path), content), keyring)


def seal(path: Path, keyring: Keyring) -> None:
    """Write the mark, the parity and the ids of an archive as it is now."""
    content = digest_file(path)
    mark = Mark(end=path.stat().st_size, last_seq=_greatest(path, keyring), digest=content)
    durable_write(parity_path(path), [parity(path.read_bytes())], staging=path.parent)
    tells = ids.encode(keys(path, keyring), content, path.stem, keyring)
    durable_write(ids.ids_path(path), [tells], staging=path.parent)
    durable_write(mark_path(path), [mark.encode()], staging=path.parent)


def _place(path: Path) -> str:
    return f"archive {path.stem}"


# --- checking ---------------------------------------------------------------------------------------


def check(path: Path, keyring: Keyring) -> None:
    """Compare an archive with its mark; one of before, which has none, is decoded, and one that is encrypted opened.

    Raises:
        CorruptError: it is not what was written, or cannot be read. MissingKeyError: its key is not here.
    """
    content = _content(path, keyring)
    mark = read_mark(path)
    if mark is None or mark.digest is None:
        try:
            pl.read_parquet(content, glob=False)
        except _UNREADABLE as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> CorruptError:
    return CorruptError(
        f"the events in {path} cannot be read ({error}): restore it from a backup, or run 'bakeoff verify --repair'"
    )


def last_seq(path: Path, keyring: Keyring) -> int:
    """The number of the last event in an archive."""
    mark = read_mark(path)
    return _greatest(path, keyring) if mark is None or mark.digest is None else mark.last_seq


def _greatest(path: Path, keyring: Keyring) -> int:
    return int(_steady(path, lambda: _scanned_file(path, keyring).select(pl.col("seq").max()).collect()).item() or 0)


def _steady(path: Path, read: Callable[[], T]) -> T:
    """What is read of an archive as it is; read again, if it was written again meanwhile.

    Raises:
        CorruptError: it cannot be read. FileNotFoundError: it is not there, or any more.
    """
    while True:
        before = _identity(path)
        try:
            result = read()
        except FileNotFoundError:
            raise
        except BakeoffError:
            if _identity(path) == before:
                raise
        except _UNREADABLE as error:
            if _identity(path) == before:
                raise _unreadable(path, error) from error
        else:
            if _identity(path) == before:
                return result


def _identity(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _scanned_file(path: Path, keyring: Keyring) -> pl.LazyFrame:
    return pl.scan_parquet(_content(path, keyring), glob=False)


def has_before(path: Path, time_ms: int, ended: str, keyring: Keyring) -> bool:
    """Whether an archive has events before a moment, of another kind than the one that says they are gone."""
    before = (pl.col("time_ms") < time_ms) & (pl.col("kind") != ended)
    return bool(_steady(path, lambda: _scanned_file(path, keyring).select(before.any()).collect()).item())


def table(path: Path, keyring: Keyring) -> pl.DataFrame:
    """All of an archive as it is.

    Raises:
        CorruptError: it is not what was written, or cannot be read.
    """
    return _steady(path, lambda: pl.read_parquet(_content(path, keyring), glob=False))


def _content(path: Path, keyring: Keyring) -> Path | io.BytesIO:
    """An archive, compared with its mark: where it is, or if it is encrypted, its content."""
    mark = read_mark(path)
    try:
        return _compared(path, keyring)
    except CorruptError:
        if read_mark(path) == mark:
            raise
        return _compared(path, keyring)  # it was written again while it was read


def _compared(path: Path, keyring: Keyring) -> Path | io.BytesIO:
    with path.open("rb") as file:
        is_plain = key_id_of(file.read(_HEAD)) is None and not keyring.required
    if is_plain:
        _verify(path)
        return path
    stored = path.read_bytes()
    _verify(path, stored)
    return io.BytesIO(keyring.open(_place(path), stored))


def _verify(path: Path, stored: bytes | None = None) -> None:
    """Compare an archive with its mark; those of before have none.

    Raises:
        CorruptError: it is not what was written.
    """
    mark = read_mark(path)
    if mark is None or mark.digest is None:
        return
    if (digest_file(path) if stored is None else digest(stored)) != mark.digest:
        raise CorruptError(
            f"the events in {path} are not what was written: restore it from a backup, or run 'bakeoff verify --repair'"
        )


# --- reading ----------------------------------------------------------------------------------------


def events(
    path: Path, wanted: EventQuery, keyring: Keyring, *, after: int = 0, rows: Sequence[int] | None = None
) -> Iterator[Numbered]:
    """The wanted events of an archive with greater numbers than `after`, among these rows, if given."""
    return _steady(path, lambda: _events(path, wanted, keyring, after, rows))


def _events(
    path: Path, wanted: EventQuery, keyring: Keyring, after: int, rows: Sequence[int] | None
) -> Iterator[Numbered]:
    between = pl.col("time_ms").is_between(wanted.since_ms, wanted.until_ms, closed="left")
    source = _scanned_file(path, keyring)
    if rows is not None and len(rows) <= _FEW:  # of a row, its group is read alone
        source = pl.concat([source.slice(row, 1) for row in rows])
    source = source.filter((pl.col("seq") > after) & between)
    if "payload" in source.collect_schema():
        stored = source.select("seq", "kind", "time_ms", "payload").collect().iter_rows()
        read = (wanted.read(seq, StoredEvent(kind, at_ms, payload.encode())) for seq, kind, at_ms, payload in stored)
        return (row for row in read if row is not None)
    if wanted.ids is not None:
        source = source.filter(pl.col("id").is_in(list(wanted.ids)))
    tables = {kind: event_table.of_class(source, kind).collect() for kind in wanted.kinds}
    classes = (starmap(Numbered, event_table.events(table, kind)) for kind, table in tables.items())
    return heapq.merge(*classes, key=lambda each: each.seq)


def scan(root: Path, kind: type[Event], keyring: Keyring) -> pl.LazyFrame:
    """All events of a class in the segments and archives of a folder as a table.

    Raises:
        CorruptError: one is damaged, or gone.
    """
    tables = [event_table.table([]).lazy(), *(_scanned(root, stem, keyring) for stem in stems(root))]
    return pl.concat([event_table.of_class(each, kind) for each in tables]).drop("rest")


def _scanned(root: Path, stem: str, keyring: Keyring) -> pl.LazyFrame:
    for path in places(root, stem):
        try:
            if path.suffix == ".parquet":
                return _archived(path, keyring)
            return event_table.table(records(path, keyring)).lazy()
        except FileNotFoundError:
            continue
    if (error := gone(root, stem)) is not None:
        raise error
    return event_table.table([]).lazy()


def _archived(path: Path, keyring: Keyring) -> pl.LazyFrame:
    content = _content(path, keyring)
    try:
        source = pl.scan_parquet(content, glob=False)
        schema = source.collect_schema()
        if "payload" not in schema:
            again = bool(keyring) or expired_path(path.parent).exists()  # it may be written again before it is read
            return _opened_when_read(path, schema, keyring) if again else source
        rows = source.select("seq", "kind", "payload").collect().iter_rows()
        return event_table.table((seq, kind, payload.encode()) for seq, kind, payload in rows).lazy()
    except FileNotFoundError:  # its retention ended meanwhile
        raise
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _opened_when_read(path: Path, schema: pl.Schema, keyring: Keyring) -> pl.LazyFrame:
    """An archive that may be written again: nothing of it stays in memory until somebody reads what is wanted of it.

    One whose retention ends before that has nothing.
    """

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        del batch

        def wanted(source: pl.LazyFrame) -> pl.DataFrame:
            source = source if rows is None else source.head(rows)
            source = source if predicate is None else source.filter(predicate)
            return (source if columns is None else source.select(columns)).collect()

        try:
            yield _steady(path, lambda: wanted(_scanned_file(path, keyring)))
        except FileNotFoundError:
            if path.stem not in dropped(path.parent):
                raise
            yield wanted(pl.LazyFrame(schema=schema))

    return register_io_source(read, schema=schema)


def keys(path: Path, keyring: Keyring) -> ids.Packed:
    """The keys of the ids in an archive."""
    known = ids.read(path, keyring)
    if known is not None:
        return known
    return _steady(path, lambda: _keys(_scanned_file(path, keyring)))


def _keys(columns: pl.LazyFrame) -> ids.Packed:
    if "payload" in columns.collect_schema():
        return ids.packed(ids.keys_of(columns.select("kind", "payload").collect().iter_rows()))
    named = columns.select("kind", "id").collect().iter_rows()
    return ids.packed(None if name is None else ids.key(kind, name) for kind, name in named)
