"""What stands before every event log: one thread that commits what waits together, and callers who wait for it."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec

from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.events import KINDS, Event, encode
from bakeoff.core.protocols import Clock
from bakeoff.stores.segments import StoredEvent

__all__ = ["Appender"]

_logger = logging.getLogger(__name__)

_GROUP_BYTES = 4 << 20  # a commit takes what waits, up to about this
_GATHER_S = 0.1
"""So long events wait for others that nobody waits for: each commit stops who answers for about a millisecond."""
_WAITING_BYTES = 64 << 20  # more than this and `append` waits, durable or not
_LARGEST_APPEND = 1 << 30
_REST_S = 1.0


class _Append(msgspec.Struct):
    """Events that are written together, and of which all who added some are told by one future."""

    items: list[StoredEvent]
    size: int
    done: "Future[None]"
    durable: bool


class Appender:
    """Group commit; safe to use from several threads.

    Args:
        write: commits events; durable when it returns. Called by one thread.
        clock: gives events their time, unless they have one.
        place: where the log is, for messages.
        rest: called by the same thread each second in which there is nothing to commit.
    """

    def __init__(
        self,
        write: Callable[[Sequence[StoredEvent]], None],
        clock: Clock,
        *,
        place: str,
        rest: Callable[[], None] | None = None,
    ) -> None:
        self._write, self._clock, self._place, self._rest = write, clock, place, rest
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
        waiting = _Append(*self._stored(events), Future(), durable)
        with self._changed:
            while self._waiting_bytes > _WAITING_BYTES and not self._closed:
                self._changed.wait()
            self._add(waiting)
        if durable:
            waiting.done.result()

    def submit(self, events: Sequence[Event], *, urgent: bool = True) -> "Future[None]":
        """Add events; the future ends when they are on disk, or says why they are not.

        Those that are not urgent are gathered for a tenth of a second, which leaves the processor to others.

        Raises:
            UsageError: an event that JSON cannot hold, or a closed log.
            StoreError: too much is waiting to be written.
        """
        items, size = self._stored(events)
        if not events:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        with self._changed:
            if self._waiting_bytes > _WAITING_BYTES:
                raise StoreError(
                    f"expected at most {_WAITING_BYTES} bytes to wait for {self._place}, found "
                    f"{self._waiting_bytes}: the disk is too slow or stuck; try again in a second"
                )
            last = self._waiting[-1] if self._waiting and not urgent and not self._closed else None
            if last is None or last.durable or last.size >= _GROUP_BYTES:
                last = _Append(items, size, Future(), urgent)
                self._add(last)
                return last.done
            last.items += items
            last.size += size
            self._waiting_bytes += size
            return last.done

    def _stored(self, events: Sequence[Event]) -> tuple[list[StoredEvent], int]:
        """The events as they are written, and how many bytes they have."""
        now_ms = self._clock()
        items = [StoredEvent(KINDS[type(event)], *encode(event, now_ms)) for event in events]
        size = sum(len(item.payload) for item in items)
        if size > _LARGEST_APPEND:
            raise UsageError(f"expected at most {_LARGEST_APPEND} bytes of events at once, received {size}")
        return items, size

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

    def problem(self) -> str | None:
        """Why no more can be taken at the moment."""
        if self._waiting_bytes > _WAITING_BYTES:
            return f"{self._waiting_bytes} bytes wait for the disk of {self._place}"
        return None

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
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    def _work(self) -> None:
        while (group := self._next_group()) is not None:
            if not group:
                self._do_rest()
                continue
            error = self._commit([item for append in group for item in append.items])
            for append in group:
                if error is None:
                    append.done.set_result(None)
                    continue
                append.done.set_exception(error)
                if not append.durable:
                    _logger.error("lost %d events: %s", len(append.items), error)
                    self._lost = error

    def _do_rest(self) -> None:
        if self._rest is not None:
            try:
                self._rest()
            except Exception as error:  # noqa: BLE001 - the thread must live: callers wait for it
                _logger.warning("the log in %s was not looked after: %s", self._place, error)

    def _next_group(self) -> list[_Append] | None:
        """What waits, in order; nothing when it is time to rest, None when the log is closed and nothing waits."""
        with self._changed:
            while not self._waiting and not self._closed:
                if not self._changed.wait(None if self._rest is None else _REST_S):
                    return []
            if not self._waiting:
                return None
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
            self._write(items)
        except StoreError as error:
            return error
        except Exception as error:  # the thread must live: callers wait for it
            _logger.exception("the event log's writer failed")
            return StoreError(f"cannot append events in {self._place}: {error!r}")
        return None
