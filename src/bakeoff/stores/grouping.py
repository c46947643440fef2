"""One commit for writes that come at once: the disk is waited for once, not once for each."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection

from bakeoff.core.errors import StoreError
from bakeoff.stores.database import Database

__all__ = ["Grouping"]

T = TypeVar("T")

MOST = 256
"""Writes in one transaction."""


class _Write(Generic[T]):
    """One caller's work, and what became of it."""

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None


class Grouping:
    """Whoever comes first commits for all that wait by then; the others find theirs done.

    Each write has a savepoint of its own, so that one that fails takes nothing else with it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Write[Any]] = deque()
        self._leader = threading.Lock()

    def __call__(self, work: Callable[[Connection], T]) -> T:
        """What the work gives, once it is committed; its error, or that of the commit."""
        mine = _Write(work)
        self._waiting.append(mine)
        with self._leader:
            while not mine.done:
                self._commit(mine)
        if mine.error is not None:
            raise mine.error
        return cast("T", mine.result)

    def _commit(self, mine: _Write[Any]) -> None:
        writes = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        try:
            with self._database.write() as connection:
                for write in writes:
                    self._write(connection, write, alone=len(writes) == 1)
        except BaseException as error:  # noqa: BLE001 - each caller raises it
            for write in writes:
                if write.error is None:
                    cut_off = not isinstance(error, Exception) and write is not mine
                    write.error = StoreError("the write was cut off; nothing of it is stored") if cut_off else error
        finally:
            for write in writes:
                write.done = True

    def _write(self, connection: Connection, write: _Write[Any], *, alone: bool) -> None:
        if alone:
            write.result = write.work(connection)
            return
        try:
            with self._database.errors(), connection.begin_nested():
                write.result = write.work(connection)
        except Exception as error:  # noqa: BLE001 - its caller raises it
            write.error = error
