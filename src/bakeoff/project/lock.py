"""One run at a time in a project: a lock file held by the process, so that a killed holder frees it."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bakeoff.core.errors import ConflictError, StoreError

__all__ = ["held"]


@contextmanager
def held(path: Path) -> Generator[None]:
    """Hold the lock for the block.

    Raises:
        ConflictError: another process holds it. StoreError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise StoreError(f"cannot lock {str(path)!r}: {error.strerror or error}; it must be writable") from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ConflictError(
                f"expected no other run in this project, but process {holder} is running one; "
                "wait for it to end, or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # also for processes that were forked meanwhile, which have the file open
