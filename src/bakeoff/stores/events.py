"""The event log in a folder: one writer thread, group commit, numbered events, Parquet for what is old."""

import fcntl
import os
from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bakeoff.core.damage import Damage
from bakeoff.core.erasure import PersonKey
from bakeoff.core.events import LARGEST_MS, Cursor, E, Event, Named, Reading
from bakeoff.core.protocols import Clock
from bakeoff.core.retention import Expired, Expiry, Retention
from bakeoff.stores.appending import Appender
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.expired import expired_log
from bakeoff.stores.files import file_url, storage
from bakeoff.stores.ids import Index
from bakeoff.stores.reader import Reader
from bakeoff.stores.segments import EventQuery, frames, places, stems
from bakeoff.stores.writer import Writer, seal_idle

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FileEvents", "open_events"]

_SEGMENT_BYTES = 16 << 20
_LEAST_FREE_BYTES = 1 << 20


def open_events(
    url: str, *, folder: Path, clock: Clock, segment_bytes: int = _SEGMENT_BYTES, keyring: Keyring | None = None
) -> "FileEvents":
    """Open the event log at `file://PATH` (relative to `folder`), encrypted if there is a keyring.

    The first append makes it.

    Raises:
        UsageError: another kind of URL.
    """
    return FileEvents(file_url(url, folder), clock, segment_bytes, keyring or Keyring())


class FileEvents:
    """An `EventLog` in a folder; safe to use from several threads and processes."""

    def __init__(self, root: Path, clock: Clock, segment_bytes: int, keyring: Keyring) -> None:
        self._root, self._keyring = root, keyring
        self._writer = Writer(root, segment_bytes, keyring)
        self._appender = Appender(self._writer.write, clock, place=str(root), rest=self._writer.rest)
        self._index = Index(root, keyring)

    def append(self, events: Sequence[Event], *, durable: bool = True) -> None:
        """Add events; with `durable` it returns only after they are on disk (see `Appender.append`)."""
        self._appender.append(events, durable=durable)

    def submit(self, events: Sequence[Event], *, urgent: bool = True) -> "Future[None]":
        """Add events; the future ends when they are on disk, or says why they are not (see `Appender.submit`)."""
        return self._appender.submit(events, urgent=urgent)

    def read(
        self,
        *kinds: type[E],
        after: Cursor | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Reading[E]:
        """Events of these classes with since_ms ≤ time_ms < until_ms, after the cursor, in the order of appending.

        Raises:
            UsageError: the cursor is none of this kind of log.
            CorruptError: while reading, a damaged segment; the events before it have been given.
            NotFoundError: while reading, the log has no such place.
        """
        wanted = EventQuery(
            kinds=kinds,
            since_ms=-LARGEST_MS if since_ms is None else since_ms,
            until_ms=LARGEST_MS if until_ms is None else until_ms,
        )
        reader = Reader(self._root, after, wanted, self._keyring)

        def events() -> Iterator[E]:
            with storage(f"read events in {self._root}"):
                yield from cast("Iterator[E]", reader.events())

        return Reading(events(), lambda: reader.cursor)

    def get(self, kind: type[Named], ids: Collection[str]) -> list[Named]:
        """The events of this class with one of these ids, in the order of appending.

        Raises:
            CorruptError: a damaged segment, or one that is gone.
        """
        with storage(f"look for events in {self._root}"):
            rows = sorted(self._index.get(kind, ids), key=lambda each: each.seq)
            return cast("list[Named]", [row.event for row in rows])

    def scan(self, kind: type[Event]) -> "pl.LazyFrame":
        """All events of this class as a table in no order: its fields, and `seq`.

        Raises:
            CorruptError: a damaged segment, or one that is gone.
        """
        from bakeoff.stores.archive import scan  # polars takes a while to import

        with storage(f"read events in {self._root}"):
            return scan(self._root, kind, self._keyring)

    def problem(self) -> str | None:
        """Why events cannot be written at the moment: a disk that failed, is full, or does not keep up."""
        if self._writer.is_broken:
            return f"an earlier write to {self._root} failed in the disk: check it, then start again"
        if (slow := self._appender.problem()) is not None:
            return slow
        existing = next(folder for folder in (self._root, *self._root.parents) if folder.exists())
        with suppress(OSError):
            free = os.statvfs(existing)
            if free.f_bavail * free.f_frsize < _LEAST_FREE_BYTES:
                return f"the disk of {self._root} is full"
        return None

    def compact(self) -> int:
        """Move sealed segments to Parquet; the number of events moved.

        Raises:
            CorruptError: a damaged segment; it stays as it is.
        """
        with storage(f"compact events in {self._root}"):
            sealed = sorted(self._root.glob("*.log"))
            if not sealed:
                return 0
            from bakeoff.stores.archive import archive  # polars takes a while to import

            with self._compacting():
                for abandoned in self._root.glob(".tmp-*"):
                    abandoned.unlink()
                return sum(archive(segment, self._keyring) for segment in sealed if segment.exists())

    @contextmanager
    def _compacting(self) -> Generator[None]:
        """Within it nobody else writes archives."""
        descriptor = os.open(self._root / "compacting", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def encrypt(self, *, look: bool = False) -> tuple[int, int]:
        """Write again what is not under the newest key, or `look` at it.

        Others may write and read meanwhile; what they have open for writing is left to them.

        Returns:
            How many files, and how many of them are left, as they are being written.

        Raises:
            MissingKeyError: the key of a file is not here. CorruptError: a damaged file; it stays as it is.
        """
        from bakeoff.stores.archive import encrypt  # polars takes a while to import

        with storage(f"encrypt events in {self._root}"):
            files = sum(map(self._is_old, stems(self._root)))
            if look or not files:
                return files, 0
            seal_idle(self._root)
            self.compact()
            with self._compacting():
                for path in sorted(self._root.glob("*.parquet")):
                    encrypt(path, self._keyring)
            left = sum(map(self._is_old, stems(self._root)))
        return files - left, left

    def _is_old(self, stem: str) -> bool:
        """Whether any of a segment, or its archive, is not under the newest key."""
        for path in places(self._root, stem):
            with suppress(FileNotFoundError):
                if path.suffix == ".parquet":
                    return not self._keyring.is_current(path.read_bytes())
                return any(not self._keyring.is_current(frame.payload) for frame in frames(path))
        return False

    def erase(self, key: PersonKey) -> int:
        """Erase the events that hold a person's key, and the feedback on them; how many.

        Raises:
            ConflictError: this log or another process has a segment open for writing.
        """
        from bakeoff.stores.event_erasure import erase  # polars takes a while to import

        with storage(f"erase events in {self._root}"):
            return erase(self._root, key, self._keyring)

    def expire(self, retention: Retention, *, look: bool = False) -> Expiry:
        """Remove what is past its retention, or `look` what would go (see `ExpiringEvents.expire`).

        A segment that a process writes to is not touched: the process is asked to close it, and has some seconds.

        Raises:
            CorruptError: a damaged segment.
        """
        from bakeoff.stores import expiry  # polars takes a while to import

        with storage(f"remove old events in {self._root}"):
            if not self._root.is_dir() or not retention.limits:
                return Expiry(notes=retention.notes)
            selection = expiry.Selection(self, retention)
            if look:
                return expiry.look(self._root, selection, retention, self._keyring)
            expiry.ask_to_seal(self._root, selection, self._keyring)
            self.compact()
            with self._compacting():
                return expiry.expire(self._root, selection, retention, self._keyring)

    def expired(self) -> Expired:
        """What is gone by now, past its retention.

        Raises:
            CorruptError: the file that says so is damaged.
        """
        with storage(f"read events in {self._root}"):
            return Expired(hours=expired_log(self._root).hours)

    def check(self, *, repair: bool = False) -> Iterator[Damage]:
        """Damaged, cut and lost segments; a repair keeps what is good of them and puts the damaged file aside."""
        from bakeoff.stores.event_check import check

        with storage(f"check the events in {self._root}"):
            yield from check(self._root, self._keyring, repair=repair)

    def close(self) -> None:
        """Write what waits and close.

        Raises:
            StoreError: events added without `durable` could not be written.
        """
        try:
            self._appender.close()
        finally:
            self._writer.close()
