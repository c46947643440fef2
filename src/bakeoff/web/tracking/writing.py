"""Writes to runs that come at once, committed together by one thread: what most clients send, and most often."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from bakeoff.core.errors import StoreError
from bakeoff.core.records import RunChange
from bakeoff.web.tracking import runs
from bakeoff.web.tracking.context import Tracking

__all__ = ["Writing"]

logger = logging.getLogger(__name__)

MOST = 64
"""Writes in one transaction."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Write:
    """One request: how its change is read, and who waits for it."""

    read: Callable[[], RunChange]
    waiting: "asyncio.Future[RunChange]"
    change: RunChange | None = None
    error: Exception | None = None

    def settle(self) -> None:
        """Let the waiting one go on, unless it has gone away."""
        if self.waiting.done():
            return
        if isinstance(self.error, StopIteration):  # no future can hold one
            self.error = RuntimeError("a write ended without a result")
        if self.error is not None:
            self.waiting.set_exception(self.error)
        else:
            assert self.change is not None
            self.waiting.set_result(self.change)


class Writing:
    """A thread that takes what waits, applies it with one commit, and answers all of it.

    When one of them is refused, nothing was applied, and each is tried alone.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="tracking-writes", daemon=True)
        self._thread.start()

    async def __call__(self, read: Callable[[], RunChange]) -> RunChange:
        """The change that `read` gives, once it is on disk."""
        write = _Write(read=read, waiting=self._loop.create_future())
        self._queue.put(write)
        return await write.waiting

    def close(self) -> None:
        """Write what waits, then end."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        more = True
        while more:
            taken = [self._queue.get()]
            try:
                while len(taken) < MOST:
                    taken.append(self._queue.get_nowait())
            except Empty:
                pass
            writes = [each for each in taken if each is not None]
            more = len(writes) == len(taken)
            self._write(writes)
            self._loop.call_soon_threadsafe(_settle, writes)

    def _write(self, writes: Sequence[_Write]) -> None:
        for write in writes:
            try:
                write.change = write.read()
            except Exception as error:  # noqa: BLE001 - its request raises it
                write.error = error
        ready = [(write, write.change) for write in writes if write.change is not None]
        if len(ready) > 1 and not any(runs.of_models(change) for _, change in ready):
            try:
                self._tracking.records.runs.apply([change for _, change in ready])
            except StoreError as error:  # the database: it would fail each alone, too
                for write, _ in ready:
                    write.error = error
                return
            except Exception:
                logger.debug("one of %d writes is refused: each is tried alone", len(ready), exc_info=True)
            else:
                return
        for write, change in ready:
            try:
                runs.log(self._tracking, change)
            except Exception as error:  # noqa: BLE001 - its request raises it
                write.error = error


def _settle(writes: Sequence[_Write]) -> None:
    for write in writes:
        write.settle()
