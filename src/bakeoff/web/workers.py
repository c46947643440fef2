"""Worker processes behind one address: as many as are wanted, each with a listening socket that outlives it.

The sockets are made here and handed down, one for each place (SO_REUSEPORT shares connections out over them). So a
worker that is replaced leaves no connection behind: what came to its socket and was not taken yet, its successor takes.
On SIGHUP all are replaced, one after the other, each when its successor answers. One that dies is started again.
"""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from bakeoff.core.children import Child
from bakeoff.core.errors import StoreError
from bakeoff.web.server import DRAIN_S, bound

__all__ = ["Workers"]

START_S = 120
SOON_S = 5.0
"""A worker that lived for less is started again only after a pause."""
PAUSE_S = 1.0
LOOK_S = 1.0

logger = logging.getLogger(__name__)


class _Worker(Child):
    """One process; `line` is the first that it wrote, which says that it answers."""

    def __init__(self, command: Sequence[str], listening: socket.socket, changed: threading.Event) -> None:
        self.line: str | None = None
        self._changed = changed
        super().__init__([*command, str(listening.fileno())], self._take, fds=[listening.fileno()])

    def _take(self, line: str | None) -> None:
        self.line = self.line or line
        self._changed.set()


class Workers:
    """The processes.

    Args:
        host, port: where they listen together; 0 for a free port.
        count: how many.
        command: starts one; the number of its listening socket is put behind it. It writes one line when it answers.

    Raises:
        StoreError: the port is taken or not allowed.
    """

    def __init__(self, host: str, port: int, count: int, command: Sequence[str]) -> None:
        with bound(host, port) as tried:  # a port that others share out would be shared with them
            self.port = int(tried.getsockname()[1])
        self._sockets = [bound(host, self.port, shared=True) for _ in range(count)]
        for each in self._sockets:
            each.listen(2048)
        self._command = command
        self._changed = threading.Event()
        self._places: list[_Worker] = []
        self._leaving: list[_Worker] = []
        self._to_replace: list[int] = []
        self._successor: tuple[int, _Worker] | None = None
        self._stopping = False

    def run(self, on_ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT, then let all workers answer what is under way, and return.

        Args:
            on_ready: called with the line that the first worker wrote, when all answer.

        Raises:
            StoreError: one did not start.
        """
        before = {sig: signal.signal(sig, self._on_signal) for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            self._places = [self._started(place) for place in range(len(self._sockets))]
            if self._all_answer():
                on_ready(self._places[0].line or "")
            while not self._stopping:
                self._changed.wait(LOOK_S)
                self._changed.clear()
                self._look()
        finally:
            self._end()
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def _on_signal(self, sig: int, _frame: FrameType | None) -> None:
        if sig == signal.SIGHUP:
            self._to_replace = list(range(len(self._sockets)))
        else:
            self._stopping = True
        self._changed.set()

    def _started(self, place: int) -> _Worker:
        return _Worker(self._command, self._sockets[place], self._changed)

    def _all_answer(self) -> bool:
        """Wait until all workers answer; False when the end was asked for meanwhile."""
        until = time.monotonic() + START_S
        while not self._stopping and not all(worker.line for worker in self._places):
            if not all(worker.is_alive for worker in self._places):
                raise StoreError("a worker ended before it answered; what it wrote says why")
            if time.monotonic() > until:
                raise StoreError(f"expected each worker to answer within {START_S} s; one does not")
            self._changed.wait(LOOK_S)
            self._changed.clear()
        return not self._stopping

    def _look(self) -> None:
        """Start again what died, and go on with replacing."""
        self._let_go()
        for place, worker in enumerate(self._places):
            if not worker.is_alive:
                logger.error("worker %d ended by itself; it is started again", place)
                worker.end(0)
                if time.monotonic() - worker.began < SOON_S:
                    time.sleep(PAUSE_S)
                self._places[place] = self._started(place)
        if self._successor is None:
            if self._to_replace:
                place = self._to_replace.pop(0)  # asked for once more from here on, it is replaced once more
                self._successor = place, self._started(place)
            return
        place, successor = self._successor
        if successor.line:
            old, self._places[place] = self._places[place], successor
            old.terminate()
            self._leaving.append(old)
            self._successor = None
            self._changed.set()
        elif not successor.is_alive:
            logger.error("a worker could not be replaced: its successor ended; those that serve stay")
            successor.end(0)
            self._successor, self._to_replace = None, []

    def _let_go(self) -> None:
        """Forget those that were replaced and have ended."""
        for worker in self._leaving:
            if not worker.is_alive:
                worker.end(0)
        self._leaving = [worker for worker in self._leaving if worker.is_alive]

    def _end(self) -> None:
        workers = [*self._places, *self._leaving, *([] if self._successor is None else [self._successor[1]])]
        for worker in workers:
            worker.terminate()
        until = time.monotonic() + DRAIN_S + SOON_S
        for worker in workers:
            worker.end(until - time.monotonic())
        for each in self._sockets:
            each.close()
