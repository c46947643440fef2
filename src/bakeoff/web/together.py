"""Processes that belong together: started, started again when they end, and ended together."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from bakeoff.core.children import Child

__all__ = ["Together"]

DRAIN_S = 30.0
SHORT_S, MOST_S = 1.0, 30.0
"""The pause before one is started again: doubled each time, up to the most; as at first after a minute of life."""
HEALTHY_S = 60.0
LOOK_S = 0.2

logger = logging.getLogger(__name__)


class _Part:
    def __init__(self, name: str, command: Sequence[str], on_line: Callable[[str, str], None]) -> None:
        self.name, self.command, self._on_line = name, command, on_line
        self.pause_s, self.due = SHORT_S, 0.0
        self.process: Child | None = None

    def start(self) -> None:
        self.process = Child(self.command, self._read)

    def _read(self, line: str | None) -> None:
        if line is not None:
            self._on_line(self.name, line)

    def look(self) -> None:
        """Start it again, if it ended and the pause is over."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.due:
                self.start()
            return
        code = self.process.code
        if code is None:
            return
        self.process.end(0)
        self.pause_s = SHORT_S if now - self.process.began > HEALTHY_S else min(2 * self.pause_s, MOST_S)
        logger.warning("%s ended with %s; it is started again in %.0f s", self.name, code, self.pause_s)
        self.due, self.process = now + self.pause_s, None


class Together:
    """Runs commands side by side until a signal.

    Args:
        commands: by name.
        on_line: called with the name and each line that one writes to its standard output.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], on_line: Callable[[str, str], None]) -> None:
        self._parts = [_Part(name, command, on_line) for name, command in commands.items()]
        self._ending = threading.Event()

    def run(self) -> None:
        """Start all, look after them, and end them on SIGTERM or SIGINT: each may finish what it is doing."""
        before = {each: signal.signal(each, self._on_signal) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._ending.wait(LOOK_S):
                for part in self._parts:
                    part.look()
        finally:
            self._end()
            for each, handler in before.items():
                signal.signal(each, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._ending.set()

    def _end(self) -> None:
        alive = [part.process for part in self._parts if part.process is not None]
        for process in alive:
            process.terminate()
        until = time.monotonic() + DRAIN_S
        for process in alive:
            if not process.end(until - time.monotonic()):
                logger.warning("process %d did not end within %.0f s: it was killed", process.pid, DRAIN_S)
