"""The event log in a folder: one writer thread, group commit, numbered events, Parquet for what is old."""

import fcntl
import heapq
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec

from bakeoff.core.damage import Damage
from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.protocols import Clock, EventKind
from bakeoff.core.types import Json
from bakeoff.stores import segments
from bakeoff.stores.files import file_url, storage
from bakeoff.stores.follower import Follower
from bakeoff.stores.segments import Item, Row
from bakeoff.stores.writer import Writer

__all__ = ["FileEvents", "open_events"]

_logger = logging.getLogger(__name__)

_SEGMENT_BYTES = 64 << 20
_GROUP_BYTES = 4 << 20  # a commit takes what waits, up to about this
_WAITING_BYTES = 64 << 20  # more than this and `append` waits, durable or not
_LARGEST_APPEND = 1 << 30
_FOREVER_MS = 2**63 - 1


def open_events(url: str, *, folder: Path, clock: Clock, segment_bytes: int = _SEGMENT_BYTES) -> "FileEvents":
    """Open the event log at `file://PATH` (relative to `folder`); made by the first append.

    Raises:
        UsageError: another kind of URL.
    """
    return FileEvents(file_url(url, folder), clock, segment_bytes)


class _Append(msgspec.Struct, frozen=True):
    items: list[Item]
    size: int
    done: "Future[None]"
    durable: bool


class FileEvents:
    """An `EventLog` in a folder; safe to use from several threads and processes.

    Events are kept as JSON: floats that JSON lacks (NaN, the infinities) become null.
    """

    def __init__(self, root: Path, clock: Clock, segment_bytes: int) -> None:
        self._root = root
        self._clock = clock
        self._writer = Writer(root, segment_bytes)
        self._waiting: deque[_Append] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lost: StoreError | None = None

    def append(self, kind: EventKind, events: Sequence[Mapping[str, Json]], *, durable: bool = True) -> None:
        """Add events; with `durable` it returns only after they are on disk.

        Raises:
            UsageError: an event that JSON cannot hold, one with `seq`, or a closed log.
            StoreError: the disk is full or failed; none of the events counts as added.
        """
        if not events:
            return
        items = self._items(kind, events)
        size = sum(len(item.payload) for item in items)
        if size > _LARGEST_APPEND:
            raise UsageError(f"expected at most {_LARGEST_APPEND} bytes of events at once, received {size}")
        waiting = _Append(items, size, Future(), durable)
        with self._changed:
            while self._waiting_bytes > _WAITING_BYTES and not self._closed:
                self._changed.wait()
            if self._closed:
                raise UsageError("expected an open event log, this one is closed: open it again")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="bakeoff-events", daemon=True)
                self._thread.start()
            self._waiting.append(waiting)
            self._waiting_bytes += size
            self._changed.notify_all()
        if durable:
            waiting.done.result()

    def read(self, kind: EventKind, *, since_ms: int = 0, until_ms: int | None = None) -> Iterator[Mapping[str, Json]]:
        """Events with since_ms ≤ time_ms < until_ms in the order of appending, each with its `seq`.

        Raises:
            CorruptError: a damaged segment; the events before it have been yielded.
        """
        decode = msgspec.json.Decoder(dict[str, object]).decode
        until_ms = _FOREVER_MS if until_ms is None else until_ms
        with storage(f"read events in {self._root}"):
            stems = sorted({path.stem for path in self._root.glob("*.*") if path.stem.isdigit()})
            for row in _merged(self._root, stems, (kind, since_ms, until_ms)):
                event = decode(row.payload)
                event["seq"] = row.seq
                yield event  # pyright: ignore[reportReturnType]  # JSON by construction

    def follow(self, kind: EventKind) -> Callable[[], Iterator[Mapping[str, Json]]]:
        """A function that gives the events that it has not given before; what was read is not read again.

        Raises:
            CorruptError: a damaged segment; the events before it have been given.
        """
        follower = Follower(self._root, kind)

        def added() -> Iterator[Mapping[str, Json]]:
            with storage(f"read events in {self._root}"):
                yield from follower()

        return added

    def compact(self) -> int:
        """Move sealed segments to Parquet; the number of events moved."""
        with storage(f"compact events in {self._root}"):
            sealed = sorted(self._root.glob("*.log"))
            if not sealed:
                return 0
            from bakeoff.stores.archive import archive  # polars takes a while to import

            descriptor = os.open(self._root / "compacting", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                for abandoned in self._root.glob(".tmp-*"):
                    abandoned.unlink()
                return sum(archive(segment) for segment in sealed if segment.exists())
            finally:
                os.close(descriptor)

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

    def _items(self, kind: EventKind, events: Sequence[Mapping[str, Json]]) -> list[Item]:
        now_ms = self._clock()
        items: list[Item] = []
        for event in events:
            time_ms = event.get("time_ms", now_ms)
            if "seq" in event or type(time_ms) is not int or not -_FOREVER_MS < time_ms < _FOREVER_MS:
                raise UsageError(f"expected an event without 'seq' and with an integer 'time_ms', received {event!r}")
            try:
                payload = msgspec.json.encode({**event, "time_ms": time_ms})
            except (TypeError, ValueError, OverflowError) as error:
                raise UsageError(f"expected values that JSON can hold, received {event!r} ({error})") from error
            items.append(Item(kind, time_ms, payload))
        return items

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
            group: list[_Append] = []
            size = 0
            while self._waiting and size < _GROUP_BYTES:
                group.append(self._waiting.popleft())
                size += group[-1].size
            self._waiting_bytes -= size
            self._changed.notify_all()
            return group

    def _commit(self, items: list[Item]) -> StoreError | None:
        try:
            self._writer.write(items)
        except StoreError as error:
            return error
        except Exception as error:  # the thread must live: callers wait for it
            _logger.exception("the event log's writer failed")
            return StoreError(f"cannot append events in {self._root}: {error!r}")
        return None


def _merged(root: Path, stems: Sequence[str], wanted: tuple[str, int, int]) -> Iterator[Row]:
    """Rows of all segments in the order of their numbers; a segment is opened when its turn comes.

    A segment's name is at most its first number, and numbers ascend within it.
    """
    later = deque(stems)
    heap: list[tuple[int, Row, Iterator[Row]]] = []
    while later or heap:
        while later and (not heap or int(later[0]) <= heap[0][0]):
            source = _rows(root, later.popleft(), wanted)
            if (row := next(source, None)) is not None:
                heapq.heappush(heap, (row.seq, row, source))
        if not heap:
            continue
        _, row, source = heap[0]
        yield row
        if (following := next(source, None)) is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.seq, following, source))


def _rows(root: Path, stem: str, wanted: tuple[str, int, int]) -> Iterator[Row]:
    # While we look, a writer may seal the segment and a compaction may move it.
    for suffix in (".parquet", ".open", ".log", ".parquet"):
        path = root / f"{stem}{suffix}"
        try:
            if path.exists():
                yield from _rows_of(path, wanted)
                return
        except FileNotFoundError:
            continue
    raise segments.gone(root, stem) or StoreError(
        f"the events in {root / stem}.* have been moved while they were read: read again"
    )


def _rows_of(path: Path, wanted: tuple[str, int, int]) -> Iterator[Row]:
    if path.suffix == ".parquet":
        from bakeoff.stores import archive  # polars takes a while to import

        return archive.rows(path, *wanted)
    return segments.rows(path, *wanted)
