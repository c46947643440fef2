"""What was written to a file is brought to the disk, so that it survives a loss of power."""

import errno
import fcntl
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

__all__ = ["begin_sync", "sync", "sync_data", "sync_path"]

_WRITE = 2
"""SYNC_FILE_RANGE_WRITE: begin, and wait for nothing."""
_NO_SUCH_CALL = {errno.ENOTSUP, errno.ENOTTY, errno.EINVAL}


def sync(descriptor: int) -> None:
    """All of a file or folder is on the disk when this returns.

    On macOS by F_FULLFSYNC, as fsync leaves it in the drive's own cache there (its manual page of fsync), and by fsync
    where the file system has no such call.

    Raises:
        OSError: it is not.
    """
    full: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(descriptor, full)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
        else:
            return
    os.fsync(descriptor)


def sync_path(path: Path, must_be: int = 0) -> None:
    """As `sync`, of what is at a path: a file, or a folder's entries; `must_be` os.O_DIRECTORY refuses a file."""
    descriptor = os.open(path, os.O_RDONLY | must_be)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_data(descriptor: int) -> None:
    """As `sync`; what nobody needs to read the content, such as the time of the change, may be left behind."""
    if hasattr(os, "fdatasync"):  # macOS has none
        os.fdatasync(descriptor)
    else:
        sync(descriptor)


def begin_sync(descriptor: int, start: int, length: int) -> None:
    """Have bytes of a file brought to the disk from now on, so that a `sync` has less to wait for; a hint only.

    By sync_file_range(2), which leaves them in memory for whoever reads them next (posix_fadvise does not). What goes
    wrong with it, the `sync` tells.
    """
    if (call := _sync_file_range()) is not None:
        call(descriptor, start, length, _WRITE)


@lru_cache(maxsize=1)
def _sync_file_range() -> Callable[[int, int, int, int], object] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return call
