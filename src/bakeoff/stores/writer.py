"""The writer of the event log: numbers events, owns one segment, and takes over what dead writers left.

Numbers come from the file `sequence` (8 bytes, little-endian: the last number given), under its flock: so
that they are unique and ascending over all processes. The file need not be durable by itself: after a
power failure the segments left open, which are read again before the first number is given, hold greater
numbers; and it is synced before a segment is sealed.
"""

import fcntl
import logging
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bakeoff.core.errors import CorruptError, StoreError
from bakeoff.stores.files import durable_folder, storage, sync_folder
from bakeoff.stores.segments import Item, encode, valid_end

__all__ = ["Writer"]

_logger = logging.getLogger(__name__)


class Writer:
    """Appends frames durably; used by one thread."""

    def __init__(self, root: Path, segment_bytes: int) -> None:
        self._root = root
        self._segment_bytes = segment_bytes
        self._path: Path | None = None
        self._descriptor = -1
        self._size = 0
        self._broken = False

    def write(self, items: Sequence[Item]) -> None:
        """Commit the events as one frame; on disk when it returns.

        Raises:
            StoreError: the disk is full or failed.
        """
        if self._broken:
            raise StoreError(f"an earlier write to {self._root} failed in the disk: check it, then start again")
        with storage(f"append events in {self._root}"):
            durable_folder(self._root)
            if self._path is not None and self._size >= self._segment_bytes:
                self._roll()
            with self._sequence() as sequence:
                last = max(_last(sequence), self._take_over()) if self._path is None else _last(sequence)
                if self._path is None:
                    self._create(last + 1)
                os.pwrite(sequence, (last + len(items)).to_bytes(8, "little"), 0)
            self._write(encode(items, last + 1))

    def close(self) -> None:
        """Leave the segment for the next writer."""
        if self._path is not None:
            os.close(self._descriptor)
            self._path = None

    @contextmanager
    def _sequence(self) -> Generator[int]:
        """The descriptor of the file of numbers, locked."""
        descriptor = os.open(self._root / "sequence", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _create(self, first_seq: int) -> None:
        path = self._root / f"{first_seq:016d}.open"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._descriptor, self._path, self._size = descriptor, path, 0
        sync_folder(self._root)

    def _roll(self) -> None:
        assert self._path is not None
        with self._sequence() as sequence:
            os.fsync(sequence)
        self._path.rename(self._path.with_suffix(".log"))
        self.close()
        sync_folder(self._root)

    def _take_over(self) -> int:
        """Recover the segments whose writers ended; go on in a small one. The greatest number found."""
        greatest = 0
        for path in sorted(self._root.glob("*.open")):
            descriptor = _lock(path)
            if descriptor is None:
                continue
            try:
                size, last_seq = _recover(path, descriptor)
            except CorruptError as error:
                # Its readers are told; appending goes on.
                _logger.error("event segment left as it is: %s", error)  # noqa: TRY400 - the error says all
                os.close(descriptor)
                continue
            greatest = max(greatest, last_seq)
            if size >= self._segment_bytes // 8:  # so that the next start has little to recover
                path.rename(path.with_suffix(".log"))
                os.close(descriptor)
            elif self._path is None:
                self._descriptor, self._path, self._size = descriptor, path, size
            else:
                os.close(descriptor)
        return greatest

    def _write(self, frame: bytes) -> None:
        # Broken until proven whole: a tail that cannot be cut off, or a failed sync (what reached the disk is
        # unknown then, and the kernel may never try those pages again), must not be written after.
        self._broken = True
        try:
            view = memoryview(frame)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            self._broken = False
            raise
        os.fdatasync(self._descriptor)
        self._broken = False
        self._size += len(frame)


def _last(sequence: int) -> int:
    return int.from_bytes(os.pread(sequence, 8, 0), "little")


def _lock(path: Path) -> int | None:
    """A descriptor of the open segment with its lock, or None when its writer lives or has just sealed it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if not path.exists():
        os.close(descriptor)
        return None
    return descriptor


def _recover(path: Path, descriptor: int) -> tuple[int, int]:
    """Cut a torn tail; the size and the last number that remain."""
    size, last_seq = valid_end(path)
    torn = os.fstat(descriptor).st_size - size
    if torn:
        _logger.warning("cut a torn tail of %d bytes at byte %d of %s", torn, size, path)
        os.ftruncate(descriptor, size)
    os.fsync(descriptor)
    return size, last_seq
