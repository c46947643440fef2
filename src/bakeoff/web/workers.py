"""Worker processes behind one address: as many as are wanted, each with a listening socket that outlives it.

The sockets are made here and handed down, one for each place (SO_REUSEPORT shares connections out over them). So a
worker that is replaced leaves no connection behind: what came to its socket and was not taken yet, its successor takes.
On SIGHUP all are replaced, one after the other, each when its successor answers. One that dies is started again.
"""

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from bakeoff.core.errors import StoreError
from bakeoff.web.server import DRAIN_S, bound

__all__ = ["Workers", "end_with_parent"]

START_S = 120
SOON_S = 5.0
"""A worker that lived for less is started again only after a pause."""
PAUSE_S = 1.0
LOOK_S = 1.0
STDIN = 0

logger = logging.getLogger(__name__)


class _Worker:
    """One process; `line` is the first that it wrote, which says that it answers."""

    def __init__(self, command: Sequence[str], listening: socket.socket, changed: threading.Event) -> None:
        self.line: str | None = None
        self.began = time.monotonic()
        self._changed = changed
        self._process = subprocess.Popen(
            [*command, str(listening.fileno())],
            stdin=subprocess.PIPE,  # its end tells the worker that this process has ended
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[listening.fileno()],
            start_new_session=True,  # a Ctrl-C at the terminal comes here, and from here to them
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.line = self._process.stdout.readline().strip() or None
        self._changed.set()
        self._process.stdout.read()
        self._changed.set()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def terminate(self) -> None:
        self._process.terminate()

    def end(self, seconds: float) -> None:
        """Wait for its end, and make one when it takes longer."""
        try:
            self._process.wait(max(seconds, 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


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
        self._successor: _Worker | None = None
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
            if not all(worker.is_alive for worker in self._places) or time.monotonic() > until:
                raise StoreError(f"a worker did not start within {START_S} s; what it wrote says why")
            self._changed.wait(LOOK_S)
            self._changed.clear()
        return not self._stopping

    def _look(self) -> None:
        """Start again what died, and go on with replacing."""
        self._leaving = [worker for worker in self._leaving if worker.is_alive]
        for place, worker in enumerate(self._places):
            if not worker.is_alive:
                logger.error("worker %d ended by itself; it is started again", place)
                if time.monotonic() - worker.began < SOON_S:
                    time.sleep(PAUSE_S)
                self._places[place] = self._started(place)
        if not self._to_replace:
            return
        place = self._to_replace[0]
        if self._successor is None:
            self._successor = self._started(place)
        elif self._successor.line:
            old, self._places[place] = self._places[place], self._successor
            old.terminate()
            self._leaving.append(old)
            self._successor = None
            self._to_replace.pop(0)
            self._changed.set()
        elif not self._successor.is_alive:
            logger.error("a worker could not be replaced: its successor ended; those that serve stay")
            self._successor, self._to_replace = None, []

    def _end(self) -> None:
        workers = [*self._places, *self._leaving, *filter(None, [self._successor])]
        for worker in workers:
            worker.terminate()
        until = time.monotonic() + DRAIN_S + SOON_S
        for worker in workers:
            worker.end(until - time.monotonic())
        for each in self._sockets:
            each.close()


def end_with_parent() -> None:
    """In a worker: end as on SIGTERM when the process that started it has ended."""

    def wait() -> None:
        while os.read(STDIN, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
