"""When a fit should end. What the time cut short is told, since it then depends on the machine."""

import math
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Deadline", "WorkLimit", "ignore_cut"]

PATIENCE = 3.0
"""How many times a limit of work may take by the clock."""


class _Limited(Protocol):
    @property
    def limit_s(self) -> float | None: ...

    @property
    def on_cut(self) -> Callable[[str], None]: ...


def ignore_cut(what: str) -> None:
    """What a fit does with what its limit cut short when nobody wants to know of it."""
    del what


class Deadline:
    """Of a fit, from the moment on that this is made; without a limit it never comes.

    A family asks `passed` between its steps, and where it is, goes on with the best so far and calls `cut` with what
    it left out, in words. A step that comes after the choosing (the fit of all rows) needs its own time: `share` is the
    part of the limit that choosing may take.
    """

    def __init__(self, job: _Limited) -> None:
        self._limit_s = math.inf if job.limit_s is None else job.limit_s
        self._on_cut = job.on_cut
        self._started = time.monotonic()

    def passed(self, share: float = 1.0) -> bool:
        """Whether this share of the limit is over."""
        return time.monotonic() - self._started >= self._limit_s * share

    @property
    def left_s(self) -> float | None:
        """The seconds until it comes, at least 0; None without a limit."""
        if math.isinf(self._limit_s):
            return None
        return max(self._limit_s - (time.monotonic() - self._started), 0.0)

    def cut(self, what: str) -> None:
        """Tell what the limit cut short: "boosting ended after 310 of up to 1,500 trees"."""
        self._on_cut(what)


class WorkLimit:
    """A limit of seconds from now on, by what this process does on each of its `threads`.

    What else a busy machine does then cuts nothing short. What only waits (for a service) has `PATIENCE` times as long
    by the clock.
    """

    def __init__(self, limit_s: float, *, threads: int = 1) -> None:
        self._start, self._work = time.perf_counter(), time.process_time()
        self.limit_s, self._threads = limit_s, threads

    @property
    def used_s(self) -> float:
        """Seconds since the start."""
        work_s = (time.process_time() - self._work) / self._threads
        return max(work_s, (time.perf_counter() - self._start) / PATIENCE)

    @property
    def left_s(self) -> float:
        """Seconds that are left, 0 at the least."""
        return max(0.0, self.limit_s - self.used_s)
