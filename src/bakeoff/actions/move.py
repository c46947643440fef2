"""`bakeoff move`: copy a project's stores to where others are, and check that all of it came over.

Records go in one transaction, blobs one by one by their content, events in their order. What is there already is
compared, not copied again: a move that was killed goes on where it was, and one after a last look at a store that was
still in use takes over what is new.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bakeoff.config.sections import StoreConfig
from bakeoff.core.errors import CorruptError, NotFoundError, UsageError
from bakeoff.core.events import KINDS, Event
from bakeoff.core.protocols import BlobStore, EventLog, FileTrees, RecordStore
from bakeoff.core.types import Json
from bakeoff.loop.references import references
from bakeoff.security.audited import plain
from bakeoff.stores.database import sqlite_path
from bakeoff.stores.files import file_url
from bakeoff.stores.records import Records

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["Move", "Opened", "move", "same_places"]

PART = 500
"""Events that are committed together."""
SHOWN_EVERY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The stores that a project is moved to."""

    records: RecordStore
    blobs: BlobStore
    events: EventLog


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedTable:
    """A table of the records: its rows, and a sum over them that both databases have."""

    table: str
    rows: int
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What both stores have now. `already` were in the target before.

    `blob_bytes` is the size of the blobs that were read back from the target; `events_checksum` is over all events in
    their order, on both sides.
    """

    records: tuple[MovedTable, ...]
    blobs: int
    blobs_already: int
    blob_bytes: int
    events: int
    events_already: int
    events_checksum: str

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(each.rows for each in self.records)

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff move --json` has it."""
        return msgspec.to_builtins(self)

    def __repr__(self) -> str:
        return f"Move({self.rows} rows, {self.blobs} blobs, {self.events} events)"


def same_places(own: StoreConfig, other: StoreConfig, folder: Path) -> list[str]:
    """Which stores of both are one, however their URLs are written: copied onto itself, one would lose what is new."""
    return [
        name
        for name in ("records", "blobs", "events")
        if _place(getattr(own, name), folder) == _place(getattr(other, name), folder)
    ]


def _place(url: str, folder: Path) -> str | Path:
    """Where a store is; of files, the path that all ways to them lead to."""
    path = file_url(url, folder) if url.startswith("file:") else sqlite_path(url, folder)
    return url.rstrip("/") if path is None else path.resolve()


def move(project: "Project", target: Opened, *, again: bool, progress: Callable[[str], None]) -> Move:
    """Copy records, blobs and events; the project's own stores stay as they are.

    Args:
        project: whose stores are copied.
        target: empty stores, or those of an earlier move of this project.
        again: what the target's records hold is removed first.
        progress: takes a line.

    Raises:
        UsageError: the target holds something else. CorruptError: something did not come over as it was.
        NotFoundError: a record of the project lacks a blob.
    """
    source = plain(project.records)
    if not isinstance(source, Records) or not isinstance(target.records, Records):
        raise UsageError("expected records on SQLite or PostgreSQL on both sides, received those of another store")
    # Blobs first, records last: whoever opens the target meanwhile sees no record whose blob is not there.
    blobs, already, size = _blobs(project, target.blobs, progress)
    events, events_already, checksum = _events(project.events, target.events, progress)
    progress("copying records")
    tables = source.copy_to(target.records, again=again)
    return Move(
        records=tuple(MovedTable(table=name, rows=each.rows, checksum=each.checksum) for name, each in tables.items()),
        blobs=blobs,
        blobs_already=already,
        blob_bytes=size,
        events=events,
        events_already=events_already,
        events_checksum=checksum,
    )


def _blobs(project: "Project", target: BlobStore, progress: Callable[[str], None]) -> tuple[int, int, int]:
    """How many blobs records need, how many of them were there, and their bytes, all of them read back."""
    seen, already, size = set[str](), 0, 0
    with tempfile.TemporaryDirectory(prefix=".move-", dir=project.folder / ".bakeoff") as scratch:
        for reference in references(project.records):
            blob = reference.blob
            if blob in seen or (reference.step is not None and not project.blobs.contains(blob)):
                continue  # a step whose blob is gone is not done, and needs nothing
            seen.add(blob)
            if target.contains(blob) and target.intact(blob):
                already += 1
            else:
                _copy(project.blobs, blob, reference.owner, target, Path(scratch) / blob)
            size += target.size_bytes(blob)
            if len(seen) % SHOWN_EVERY == 0:
                progress(f"copying blobs: {len(seen):,}, {size / 1e6:,.0f} MB")
    return len(seen), already, size


def _copy(source: BlobStore, blob: str, owner: str, target: BlobStore, place: Path) -> None:
    try:
        source.fetch(blob, place)
    except NotFoundError as error:
        raise NotFoundError(f"{owner} lacks its blob: {error}; run 'bakeoff verify' first") from error
    made = _put(source, blob, target, place)
    if made != blob or not target.intact(blob):
        raise CorruptError(f"expected blob {blob} in the target as it was, found {made}: try again")
    shutil.rmtree(place) if place.is_dir() else place.unlink()


def _put(source: BlobStore, blob: str, target: BlobStore, place: Path) -> str:
    if not place.is_dir():
        return target.put(place)
    links, executable = (source.links(blob), source.executable(blob)) if isinstance(source, FileTrees) else ({}, None)
    if not (links or executable) or not isinstance(target, FileTrees):
        return target.put_tree(place)
    paths = [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    files = {path.relative_to(place).as_posix(): str(path) for path in paths}
    return target.put_files(files, links, executable or frozenset()).id


def _events(source: EventLog, target: EventLog, progress: Callable[[str], None]) -> tuple[int, int, str]:
    """How many events there are, how many of them were there, and the sum over all, on both sides."""
    ours, theirs = _all(source), _all(target)
    count = 0
    for there in theirs:
        if next(ours, None) != there:
            raise UsageError(
                f"expected an empty event log in the target, or the first of this project's events, found another "
                f"one at place {count + 1}: name another place in [store]"
            )
        count += 1
    already = count
    while part := list(islice(ours, PART)):
        target.append(part)
        count += len(part)
        progress(f"copying events: {count:,}")
    checksum, copied = _checksum(source, count), _checksum(target, count)
    if checksum != copied:
        raise CorruptError("expected the same events in both logs, found others: name another place in [store]")
    return count, already, checksum


def _all(log: EventLog) -> Iterator[Event]:
    return iter(log.read(*KINDS))


def _checksum(log: EventLog, count: int) -> str:
    """Over the first events in their order, with their times."""
    from blake3 import blake3

    hasher = blake3()
    for event in islice(_all(log), count):
        hasher.update(msgspec.json.encode(event) + b"\n")
    return hasher.hexdigest()[:16]
