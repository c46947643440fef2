"""What to do about a server that gives no answer: ask it no more for a moment, so that callers are told at once."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from bakeoff.core.errors import StoreError

__all__ = ["LostError", "Patience"]

REST_S = 1.0
"""For so long nobody asks a server that gave no answer; then one caller does."""
LOOK_S = 1.0
LONGEST_LOOK_S = 3600


class LostError(StoreError):
    """A server that cannot be reached, or does not answer."""


class Patience:
    """Lets calls through to one server until one is lost; then one at a time, after a rest. For many threads.

    Args:
        what: the server, for messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._lost: str | None = None
        self._rests_until = 0.0
        self._tries: int | None = None
        self._looking = False

    @contextmanager
    def asking(self) -> Generator[None]:
        """Around each call.

        Raises:
            LostError: an earlier call was lost a moment ago, or another caller is trying again; or this one was lost.
        """
        me = threading.get_ident()
        with self._lock:
            if self._lost is not None and self._tries != me:
                if self._tries is not None or time.monotonic() < self._rests_until:
                    raise LostError(f"{self._what} did not answer a moment ago ({self._lost}): try again in a second")
                self._tries = me
            outer = self._lost is not None
        try:
            yield
        except LostError as error:
            with self._lock:
                self._lost, self._rests_until, self._tries = str(error), time.monotonic() + REST_S, None
            raise
        except BaseException:
            self._answered(me, outer=outer)  # whatever it said, it is there
            raise
        else:
            self._answered(me, outer=outer)

    def _answered(self, me: int, *, outer: bool) -> None:
        if outer or self._lost is not None:
            with self._lock:
                if self._tries == me or self._tries is None:
                    self._lost = self._tries = None

    def problem(self, ask: Callable[[], object]) -> str | None:
        """Why the server cannot be asked, if the last call was lost; it is then looked at in a thread, by `ask`.

        So it is known within a moment that it answers again, even where nobody calls who would notice.
        """
        with self._lock:
            lost, start = self._lost, self._lost is not None and not self._looking
            self._looking = self._looking or start
        if start:
            threading.Thread(target=self._look, args=(ask,), name="bakeoff-patience", daemon=True).start()
        return None if lost is None else f"{self._what} does not answer: {lost}"

    def _look(self, ask: Callable[[], object]) -> None:
        until = time.monotonic() + LONGEST_LOOK_S
        try:
            while self._lost is not None and time.monotonic() < until:
                time.sleep(LOOK_S)
                try:
                    ask()
                except StoreError:
                    continue
                return
        finally:
            with self._lock:
                self._looking = False
