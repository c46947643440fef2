"""Whether SQLite can read all of the log that a killed process left beside a database.

SQLite reads a log up to the first frame that is not what was written, and passes over the rest without a word: what was
committed there is lost. So the last commit in the file is compared with the last that SQLite has read.
"""

import logging
import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bakeoff.stores.sqlite_driver import sqlite

__all__ = ["is_immutable", "log_of", "unread", "uri_of"]

logger = logging.getLogger(__name__)

HEADER, FRAME = struct.Struct(">8I"), struct.Struct(">6I")
"""Source: the WAL file format, sqlite.org/fileformat2.html (4.1): page size third in the header, salts fifth and sixth;
of a frame the size of the database after a commit (else 0) second, salts third and fourth."""
STILL_S, LOOK_S, LONGEST_S = 2.0, 0.02, 10.0
"""A commit stands in the log before it can be read: until the disk has it. One that cannot be read although nothing was
written to the log for `STILL_S` is damaged. A log that others write to all the time is believed after `LONGEST_S`."""


def log_of(database: Path) -> Path:
    """Where the log of a database stands."""
    return database.with_name(f"{database.name}-wal")


def is_immutable(database: Path) -> bool:
    """Whether it lies on a medium that nobody writes, and has no log there: SQLite would want to make files for one."""
    log = log_of(database)
    with suppress(FileNotFoundError):
        return bool(os.statvfs(database).f_flag & os.ST_RDONLY) and not (log.exists() and log.stat().st_size)
    return False


def uri_of(database: Path, *, writes: bool = False) -> str:
    """What SQLite opens it by, to read alone or also to write."""
    mode = "rw" if writes else "ro&immutable=1" if is_immutable(database) else "ro"
    return f"{database.absolute().as_uri()}?mode={mode}"


def unread(database: Path, connection: Any) -> bool:
    """Whether the log holds a commit that SQLite does not read, as seen by an open connection.

    A machine that lost power in the midst of a commit can leave the same: what was then not acknowledged. An SQLite
    that is too old to write such logs cannot be asked what it reads of one; it then is believed. So is a log that
    another process writes to all the time, with a warning.
    """
    if not sqlite().write_ahead:
        return False
    began = since = time.monotonic()
    seen = b""
    while time.monotonic() - began < LONGEST_S:
        before = _content(database)
        (_, frames_read, _) = connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
        if _last_commit(before, database) <= max(frames_read, 0):
            return False
        if before != seen:  # another process writes
            since, seen = time.monotonic(), before
        elif time.monotonic() - since > STILL_S:
            return True
        time.sleep(LOOK_S)
    logger.warning(
        "%s is written to all the time: whether all of it can be read was not seen in %.0f s",
        log_of(database),
        LONGEST_S,
    )
    return False


def _content(database: Path) -> bytes:
    with suppress(FileNotFoundError):
        return log_of(database).read_bytes()
    return b""


def _last_commit(log: bytes, database: Path) -> int:
    """The number of the last frame that ends a transaction of the present log; older frames have other salts."""
    frames = list(_frames(log, database))
    if not frames:
        return 0
    salts = HEADER.unpack_from(log)[4:6]
    if all(frame[2:4] != salts for frame in frames):  # the header is damaged
        salts = frames[0][2:4]
    return max((number for number, frame in enumerate(frames, 1) if frame[1] and frame[2:4] == salts), default=0)


def _frames(log: bytes, database: Path) -> Iterator[tuple[Any, ...]]:
    with database.open("rb") as file:
        file.seek(16)
        page = int.from_bytes(file.read(2), "big")
    page = (1 << 16) if page == 1 else page or int.from_bytes(log[8:12], "big")
    for start in range(HEADER.size, len(log) - FRAME.size - page + 1, FRAME.size + page):
        yield FRAME.unpack_from(log, start)
