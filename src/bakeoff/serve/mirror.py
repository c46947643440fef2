"""The mirror: calls that a shadow answers later, in a thread of their own, as far as there is room for them."""

import logging
import threading
from collections.abc import Callable
from queue import Full, Queue

__all__ = ["Mirror"]

ROOM = 64

logger = logging.getLogger(__name__)


class Mirror:
    """Calls in the order they came; one that comes while `room` others wait is dropped, and counted.

    The thread begins with the first call, and does not keep the process from ending.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._calls: Queue[Callable[[], None]] = Queue(room)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def has_room(self) -> bool:
        """Whether there is room for one more; where there is none, the call that is not offered counts as dropped."""
        if not self._calls.full():
            return True
        with self._starting:
            self.dropped += 1
        return False

    def offer(self, call: Callable[[], None]) -> None:
        """Have it called later, if there is room; never waits."""
        with self._starting:
            try:
                self._calls.put_nowait(call)
            except Full:
                self.dropped += 1
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Wait until all that was offered is done."""
        self._calls.join()

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            try:
                call()
            except Exception:  # the next call has nothing to do with it
                logger.exception("a mirrored call failed")
            finally:
                self._calls.task_done()
