"""The event log in a folder: one writer thread, group commit, numbered events, Parquet for what is old."""

import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from bakeoff.core.damage import Damage
from bakeoff.core.erasure import PersonKey
from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.events import KINDS, LARGEST_MS, Cursor, E, Event, Named, Reading, encode
from bakeoff.core.protocols import Clock
from bakeoff.stores.files import file_url, storage
from bakeoff.stores.ids import Index
from bakeoff.stores.reader import Reader
from bakeoff.stores.segments import EventQuery, StoredEvent
from bakeoff.stores.writer import Writer

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FileEvents", "open_events"]

_logger = logging.getLogger(__name__)

_SEGMENT_BYTES = 16 << 20
_GROUP_BYTES = 4 << 20  # a commit takes what waits, up to about this
_LEAST_FREE_BYTES = 1 << 20
_GATHER_S = 0.02
_WAITING_BYTES = 64 << 20  # more than this and `append` waits, durable or not
_LARGEST_APPEND = 1 << 30


def open_events(url: str, *, folder: Path, clock: Clock, segment_bytes: int = _SEGMENT_BYTES) -> "FileEvents":
    """Open the event log at `file://PATH` (relative to `folder`); made by the first append.

    Raises:
        UsageError: another kind of URL.
    """
    return FileEvents(file_url(url, folder), clock, segment_bytes)


class _Append(msgspec.Struct, frozen=True):
    items: list[StoredEvent]
    size: int
    done: "Future[None]"
    durable: bool


class FileEvents:
    """An `EventLog` in a folder; safe to use from several threads and processes."""

    def __init__(self, root: Path, clock: Clock, segment_bytes: int) -> None:
        self._root = root
        self._clock = clock
        self._writer = Writer(root, segment_bytes)
        self._index = Index(root)
        self._waiting: deque[_Append] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lost: StoreError | None = None

    def append(self, events: Sequence[Event], *, durable: bool = True) -> None:
        """Add events; with `durable` it returns only after they are on disk.

        Raises:
            UsageError: an event that JSON cannot hold, or a closed log.
            StoreError: the disk is full or failed; none of the events counts as added.
        """
        if not events:
            return
        waiting = self._appending(events, durable=durable)
        with self._changed:
            while self._waiting_bytes > _WAITING_BYTES and not self._closed:
                self._changed.wait()
            self._add(waiting)
        if durable:
            waiting.done.result()

    def submit(self, events: Sequence[Event], *, urgent: bool = True) -> "Future[None]":
        """Add events; the future ends when they are on disk, or says why they are not.

        Those that are not urgent are gathered for some milliseconds, which leaves the processor to others.

        Raises:
            UsageError: an event that JSON cannot hold, or a closed log.
            StoreError: too much is waiting to be written.
        """
        waiting = self._appending(events, durable=urgent)
        if not events:
            waiting.done.set_result(None)
            return waiting.done
        with self._changed:
            if self._waiting_bytes > _WAITING_BYTES:
                raise StoreError(
                    f"expected at most {_WAITING_BYTES} bytes to wait for the disk of {self._root}, found "
                    f"{self._waiting_bytes}: the disk is too slow or stuck; try again in a second"
                )
            self._add(waiting)
        return waiting.done

    def _appending(self, events: Sequence[Event], *, durable: bool) -> _Append:
        now_ms = self._clock()
        items = [StoredEvent(KINDS[type(event)], *encode(event, now_ms)) for event in events]
        size = sum(len(item.payload) for item in items)
        if size > _LARGEST_APPEND:
            raise UsageError(f"expected at most {_LARGEST_APPEND} bytes of events at once, received {size}")
        return _Append(items, size, Future(), durable)

    def _add(self, waiting: _Append) -> None:
        """Have the thread write it; called with the lock."""
        if self._closed:
            raise UsageError("expected an open event log, this one is closed: open it again")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="bakeoff-events", daemon=True)
            self._thread.start()
        self._waiting.append(waiting)
        self._waiting_bytes += waiting.size
        if waiting.durable or len(self._waiting) == 1:  # else the thread is at work, or will look by itself
            self._changed.notify_all()

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
        reader = Reader(self._root, after, wanted)

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
            return scan(self._root, kind)

    def problem(self) -> str | None:
        """Why events cannot be written at the moment: a disk that failed, is full, or does not keep up."""
        if self._writer.is_broken:
            return f"an earlier write to {self._root} failed in the disk: check it, then start again"
        if self._waiting_bytes > _WAITING_BYTES:
            return f"{self._waiting_bytes} bytes wait for the disk of {self._root}"
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

            descriptor = os.open(self._root / "compacting", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                for abandoned in self._root.glob(".tmp-*"):
                    abandoned.unlink()
                return sum(archive(segment) for segment in sealed if segment.exists())
            finally:
                os.close(descriptor)

    def erase(self, key: PersonKey) -> int:
        """Erase the events that hold a person's key, and the feedback on them; how many.

        Raises:
            ConflictError: this log or another process has a segment open for writing.
        """
        from bakeoff.stores.event_erasure import erase  # polars takes a while to import

        with storage(f"erase events in {self._root}"):
            return erase(self._root, key)

    def check(self, *, repair: bool = False) -> Iterator[Damage]:
        """Damaged, cut and lost segments; a repair keeps what is good of them and puts the damaged file aside."""
        from bakeoff.stores.event_check import check

        with storage(f"check the events in {self._root}"):
            yield from check(self._root, repair=repair)

    def close(self) -> None:
        """Write what waits and close.

        Raises:
            StoreError: events added without `durable` could not be written.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._writer.close()
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    def _work(self) -> None:
        while group := self._next_group():
            error = self._commit([item for append in group for item in append.items])
            for append in group:
                if error is None:
                    append.done.set_result(None)
                    continue
                append.done.set_exception(error)
                if not append.durable:
                    _logger.error("lost %d events: %s", len(append.items), error)
                    self._lost = error

    def _next_group(self) -> list[_Append]:
        """What waits, in order; empty when the log is closed and nothing waits."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._closed and not any(append.durable for append in self._waiting):
                self._changed.wait(_GATHER_S)  # nobody waits: few large groups leave the processor to who answers
            group: list[_Append] = []
            size = 0
            while self._waiting and size < _GROUP_BYTES:
                group.append(self._waiting.popleft())
                size += group[-1].size
            self._waiting_bytes -= size
            self._changed.notify_all()
            return group

    def _commit(self, items: list[StoredEvent]) -> StoreError | None:
        try:
            self._writer.write(items)
        except StoreError as error:
            return error
        except Exception as error:  # the thread must live: callers wait for it
            _logger.exception("the event log's writer failed")
            return StoreError(f"cannot append events in {self._root}: {error!r}")
        return None
