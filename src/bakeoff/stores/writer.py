"""The writer of the event log: numbers events, owns one segment, and takes over what dead writers left.

Numbers come from the file `sequence` (little-endian: the last number given as u64, its CRC-32 as u32), under its
flock: so that they are unique and ascending over all processes. The file need not be durable by itself: after a
power failure the segments left open, which are read again before the first number is given, hold greater
numbers; and it is synced before a segment is sealed. When it is lost or damaged, all segments are asked.
"""

import fcntl
import logging
import os
import zlib
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bakeoff.core.disk import sync, sync_data
from bakeoff.core.errors import CorruptError, StoreError
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.expired import dropped, seal_path
from bakeoff.stores.files import durable_folder, storage, sync_folder
from bakeoff.stores.marks import Mark, mark_path, read_mark
from bakeoff.stores.segments import StoredEvent, encode, salvage, stems, valid_end

__all__ = ["SEQUENCE_BYTES", "Writer", "as_given", "greatest", "last_given", "seal_idle"]

_OLD_SEQUENCE_BYTES = 8
SEQUENCE_BYTES = 12

_logger = logging.getLogger(__name__)


class Writer:
    """Appends frames durably; used by one thread."""

    def __init__(self, root: Path, segment_bytes: int, keyring: Keyring) -> None:
        self._root = root
        self._keyring = keyring
        self._segment_bytes = segment_bytes
        self._path: Path | None = None
        self._descriptor = -1
        self._mark = -1
        self._size = 0
        self._broken = False
        self._asked = ""

    def write(self, items: Sequence[StoredEvent]) -> None:
        """Commit the events as one frame; on disk when it returns.

        Raises:
            StoreError: the disk is full or failed.
        """
        if self._broken:
            raise StoreError(f"an earlier write to {self._root} failed in the disk: check it, then start again")
        with storage(f"append events in {self._root}"):
            durable_folder(self._root)
            if self._path is not None and (self._size >= self._segment_bytes or self._is_to_close()):
                self._roll()
            with self._sequence() as sequence:
                last = last_given(os.pread(sequence, SEQUENCE_BYTES, 0))
                if last is None:
                    last = greatest(self._root, self._keyring)
                if self._path is None:
                    last = max(last, self._take_over())
                if self._path is None:
                    self._create(last + 1)
                os.pwrite(sequence, as_given(last + len(items)), 0)
            assert self._path is not None
            frame = encode(items, last + 1, self._path.stem, self._keyring)
            self._write(frame, last + len(items))

    def rest(self) -> None:
        """Close the segment if somebody asks for it; called now and then while nothing is written."""
        if self._path is not None and not self._broken and self._is_to_close():
            with storage(f"close a segment in {self._root}"):
                self._roll()

    def _is_to_close(self) -> bool:
        return self._path is not None and os.path.exists(self._asked)  # noqa: PTH110 - at each commit: it is quicker

    @property
    def is_broken(self) -> bool:
        """Whether an earlier write failed in the disk, so that none is tried again."""
        return self._broken

    def close(self) -> None:
        """Leave the segment for the next writer."""
        if self._path is not None:
            os.close(self._descriptor)
            os.close(self._mark)
            self._path = None

    @contextmanager
    def _sequence(self) -> Generator[int]:
        """The descriptor of the file of numbers, locked."""
        descriptor = os.open(self._root / "sequence", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _create(self, first_seq: int) -> None:
        path = self._root / f"{first_seq:016d}.open"
        with ExitStack() as made:
            made.callback(mark_path(path).unlink, missing_ok=True)
            mark = _set_mark(path, Mark())
            made.callback(os.close, mark)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            made.pop_all()
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._descriptor, self._path, self._size, self._mark = descriptor, path, 0, mark
        self._asked = str(seal_path(path))
        sync_folder(self._root)

    def _roll(self) -> None:
        assert self._path is not None
        with self._sequence() as sequence:
            sync(sequence)
        sync(self._mark)
        self._path.rename(self._path.with_suffix(".log"))
        seal_path(self._path).unlink(missing_ok=True)
        self.close()
        sync_folder(self._root)

    def _take_over(self) -> int:
        """Recover the segments whose writers ended; go on in a small one. The greatest number found."""
        last = 0
        for path in sorted(self._root.glob("*.open")):
            descriptor = _lock(path)
            if descriptor is None:
                continue
            with ExitStack() as opened:  # whatever is refused, by a full disk for one, leaves nothing open and locked
                opened.callback(os.close, descriptor)
                try:
                    size, last_seq = _recover(path, descriptor)
                except CorruptError as error:
                    # Its readers are told; appending goes on.
                    _logger.error("event segment left as it is: %s", error)  # noqa: TRY400 - the error says all
                    continue
                last = max(last, last_seq)
                mark = _set_mark(path, Mark(end=size, last_seq=last_seq))
                opened.callback(os.close, mark)
                if size < self._segment_bytes // 8 and self._path is None:
                    opened.pop_all()
                    self._descriptor, self._path, self._size, self._mark = descriptor, path, size, mark
                    self._asked = str(seal_path(path))
                elif size >= self._segment_bytes // 8:  # so that the next start has little to recover
                    sync(mark)
                    path.rename(path.with_suffix(".log"))
        return last

    def _write(self, frame: bytes, last_seq: int) -> None:
        # A tail that cannot be cut off, or a failed sync (what reached the disk is unknown then, and the kernel may
        # never try those pages again), must not be written after. While it is written, others are told nothing of it.
        whole = False
        try:
            view = memoryview(frame)
            try:
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                whole = True
                raise
            sync_data(self._descriptor)
            whole = True
        finally:
            self._broken = not whole
        self._size += len(frame)
        with suppress(OSError):  # the events are on disk: an older mark is a lower bound
            os.pwrite(self._mark, Mark(end=self._size, last_seq=last_seq).encode(), 0)


def seal_idle(root: Path, paths: Sequence[Path] | None = None) -> int:
    """Seal the segments (these, or all) whose writers ended, so that they can be archived; how many."""
    count = 0
    for path in sorted(root.glob("*.open")) if paths is None else paths:
        if (descriptor := _lock(path)) is None:
            continue
        try:
            size, last_seq = _recover(path, descriptor)
            mark = _set_mark(path, Mark(end=size, last_seq=last_seq))
            sync(mark)
            os.close(mark)
            path.rename(path.with_suffix(".log"))
            count += 1
        finally:
            os.close(descriptor)
    sync_folder(root)
    return count


def last_given(sequence: bytes) -> int | None:
    """The last number given, from what the file `sequence` holds; None when that is damaged or nothing.

    Versions of before wrote eight bytes without a checksum.
    """
    number, crc = sequence[:8], sequence[8:]
    if len(sequence) == len(number) == _OLD_SEQUENCE_BYTES or crc == _crc(number):
        return int.from_bytes(number, "little")
    return None


def as_given(last: int) -> bytes:
    """What the file `sequence` holds when `last` is the last number given."""
    number = last.to_bytes(8, "little")
    return number + _crc(number)


def _crc(number: bytes) -> bytes:
    return zlib.crc32(number).to_bytes(4, "little")


def greatest(root: Path, keyring: Keyring) -> int:
    """The greatest number in the log, from all segments and archives, and those that are past their retention."""
    return max([0, *dropped(root).values(), *(_greatest_in(root, stem, keyring) for stem in stems(root))])


def _greatest_in(root: Path, stem: str, keyring: Keyring) -> int:
    last = int(stem)
    for suffix in (".open", ".log", ".parquet"):
        path = root / f"{stem}{suffix}"
        if (mark := read_mark(path)) is not None:
            return max(last, mark.last_seq)
        if not path.exists():
            continue
        if suffix == ".parquet":
            from bakeoff.stores.archive import last_seq  # polars takes a while to import

            return max(last, last_seq(path, keyring))
        return max([last, *(frame.first_seq + frame.count - 1 for frame in salvage(path))])
    return last


def _set_mark(segment: Path, mark: Mark) -> int:
    """Write a segment's mark; its descriptor, for the next ones."""
    descriptor = os.open(mark_path(segment), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, mark.encode(), 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


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
    sync(descriptor)
    return size, last_seq
