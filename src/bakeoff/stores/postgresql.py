"""Connections to PostgreSQL that never wait forever.

A server that is stopped, or behind a network that drops all packets, says nothing, and no limit that it keeps itself
helps. So who has waited for some seconds asks by a second connection: where that gets an answer, the call is only slow,
and goes on; else it is given up, and its connection with it.
"""

import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg
from psycopg import waiting

__all__ = ["connect"]

SILENCE_S = 3.0
"""Without a word from the server, before it is asked whether it is there."""
PROBE_S = 2
TICK_S = 0.1


class _Connection(psycopg.Connection[Any]):
    """A connection that gives up when its server does not answer any more."""

    probe: Callable[[], None] = staticmethod(lambda: None)

    def wait(self, gen: Any, interval: float = TICK_S, timeout: float | None = None) -> Any:
        """Wait for what a call of psycopg waits for."""
        limit = {} if timeout is None else {"timeout": timeout}  # which versions before 3.3 do not know
        try:
            return waiting.wait(self._watched(gen), self.pgconn.socket, interval=interval, **limit)
        except (KeyboardInterrupt, SystemExit):
            self.pgconn.finish()  # psycopg would ask the server to cancel, and wait for it; it undoes the work anyway
            raise

    def _watched(self, gen: Any) -> Generator[Any, Any, Any]:
        heard = time.monotonic()
        try:
            state = next(gen)
            while True:
                ready = yield state
                now = time.monotonic()
                if ready:
                    heard = now
                elif now - heard > SILENCE_S:
                    self._require_answer()
                    heard = time.monotonic()
                state = gen.send(ready)
        except StopIteration as ended:
            return ended.value

    def _require_answer(self) -> None:
        try:
            self.probe()
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # else the server has spoken
                self.pgconn.finish()
                raise psycopg.OperationalError(f"no answer for {SILENCE_S + PROBE_S:.0f} s ({error})") from error


def connect(*arguments: Any, **parameters: Any) -> _Connection:
    """A connection, as `psycopg.connect` makes it."""
    connection = _Connection.connect(*arguments, **parameters)

    def probe() -> None:
        psycopg.connect(*arguments, **{**parameters, "connect_timeout": PROBE_S}).close()

    connection.probe = probe
    return connection
