"""Writing files so that they survive a crash, and the operating system's errors in our words."""

import os
import secrets
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from bakeoff.core.disk import sync, sync_path
from bakeoff.core.errors import BakeoffError, StoreError, UsageError
from bakeoff.core.explain import file_advice
from bakeoff.core.hashing import digest

__all__ = ["durable_folder", "durable_write", "file_url", "private_folder", "read_cached", "storage", "sync_folder"]
__all__ += ["temporary", "whole_write", "write_cached", "write_pieces", "write_sparse"]

_TOGETHER, _MOST_TOGETHER = 2 << 20, 1024
"""Bytes and pieces that are written by one call; no system takes more pieces."""
_HOLE = 4096
"""The least zeros that are left out of a sparse file: a block of most file systems."""


@contextmanager
def storage(what: str) -> Generator[None]:
    """Turn an `OSError` of the block into a `StoreError` that says what failed and what to do."""
    try:
        yield
    except BakeoffError:
        raise
    except OSError as error:
        raise StoreError(f"cannot {what}: {error.strerror or error}; {file_advice(error)}") from error


def file_url(url: str, folder: Path) -> Path:
    """The folder that `file://PATH` names; a relative path starts at `folder`.

    >>> file_url("file://.bakeoff/blobs", Path("/project")).as_posix()
    '/project/.bakeoff/blobs'
    >>> file_url("file:///data/blobs", Path("/project")).as_posix()
    '/data/blobs'
    """
    scheme, separator, path = url.partition("://")
    if scheme != "file" or not separator or not path:
        raise UsageError(f"expected a URL such as file://.bakeoff/blobs, received {url!r}")
    return folder / unquote(path)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    sync_path(folder, os.O_DIRECTORY)


def durable_folder(folder: Path, *, private: bool = True) -> None:
    """Make the folder and its missing parents, durably; those made are their owner's alone if they are `private`."""
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(mode=0o700 if private else 0o777, exist_ok=True)  # less what the user's umask takes away
        sync_folder(new.parent)


def private_folder(folder: Path) -> None:
    """Make a folder that its owner alone can look into; one that is there and ours becomes so."""
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.stat()
    if state.st_mode & 0o077 and state.st_uid == os.geteuid():
        folder.chmod(state.st_mode & 0o700)


def temporary(folder: Path) -> Path:
    """A path for something unfinished; made by its user, so that the usual permissions hold."""
    return folder / f".tmp-{secrets.token_hex(8)}"


def durable_write(
    target: Path, pieces: Iterable[bytes], *, staging: Path, time_ms: int | None = None, private: bool = True
) -> None:
    """Write a file all or nothing, so that it survives a loss of power: as `whole_write`, with fsync before and after.

    `time_ms` becomes the file's modification time. Folders that it makes are `private` as the file is.
    """

    def before(unfinished: int) -> None:
        if time_ms is not None:
            os.utime(unfinished, ns=(time_ms * 1_000_000, time_ms * 1_000_000))
        sync(unfinished)
        durable_folder(target.parent, private=private)

    whole_write(target, pieces, staging=staging, before=before, private=private)
    sync_folder(target.parent)


def whole_write(
    target: Path,
    pieces: Iterable[bytes],
    *,
    staging: Path,
    before: Callable[[int], None] = lambda _: None,
    private: bool = True,
    write: "Callable[[int, Iterable[bytes]], None] | None" = None,
) -> None:
    """Write a file all or nothing: temporary file in `staging` (same file system), `before` (its descriptor), rename.

    `write` is what writes the pieces, `write_pieces` by default.

    A `private` one is readable by its owner alone, others as the user's own files are. Nothing is left behind when it
    fails.
    """
    unfinished = temporary(staging)
    try:
        with unfinished.open("xb", buffering=0) as file:
            if private:
                os.fchmod(file.fileno(), 0o600)
            (write or write_pieces)(file.fileno(), pieces)
            before(file.fileno())
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_pieces(descriptor: int, pieces: Iterable[bytes]) -> None:
    """Write all of them, many with one call."""
    waiting, size = list[bytes](), 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size > _TOGETHER or len(waiting) == _MOST_TOGETHER:
            _write_together(descriptor, waiting, size)
            waiting, size = [], 0
    _write_together(descriptor, waiting, size)


def write_sparse(descriptor: int, pieces: Iterable[bytes]) -> None:
    """Write all of them to a new file; a piece of zeros alone becomes a hole, which takes no room on the disk."""
    size = hole = 0
    for piece in pieces:
        size += len(piece)
        hole = len(piece) if len(piece) >= _HOLE and not piece[0] and piece.count(0) == len(piece) else 0
        if hole:
            os.lseek(descriptor, hole, os.SEEK_CUR)
        else:
            _write_together(descriptor, [piece], len(piece))
    if hole:
        os.ftruncate(descriptor, size)


def _write_together(descriptor: int, pieces: list[bytes], size: int) -> None:
    written = os.writev(descriptor, pieces) if size else 0
    rest = memoryview(b"".join(pieces) if written < size else b"")[written:]
    while rest:  # a full disk takes a part, and says why with the next call
        rest = rest[os.write(descriptor, rest) :]


def write_cached(path: Path, body: bytes) -> None:
    """Write what can be made again, and need not survive a loss of power, with its hash before it."""
    durable_folder(path.parent)
    whole_write(path, [digest(body).encode() + b"\n", body], staging=path.parent)


def read_cached(path: Path) -> bytes | None:
    """What `write_cached` wrote; None when it is not there, or damaged."""
    try:
        known, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return body if known == digest(body).encode() else None
