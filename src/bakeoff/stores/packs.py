"""Many objects in one file, written with one sync: chunks of large blobs, and the small files of a folder.

NAME.pack: the objects one after the other; then the index, sorted by hash, of each its hash (32 bytes), where it begins
and its length (8 each, little-endian); then how many there are (8 bytes) and magic (4). NAME is the hash of the index.
Packs never change. What is taken out of one is left behind when the others are written anew.
"""

import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.disk import begin_sync, sync
from bakeoff.core.errors import CorruptError
from bakeoff.core.hashing import digest
from bakeoff.core.protocols import Clock
from bakeoff.stores.files import durable_folder, sync_folder, temporary, write_pieces

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["PackPlace", "PackWriter", "Packs"]

_MAGIC = b"bkp1"
_TAIL = struct.Struct("<Q4s")
_HASH = 32
_ENTRY = np.dtype([("hash", "u1", (_HASH,)), ("start", "<u8"), ("length", "<u8")])
_FULL = 128 << 20
"""A pack is closed when it is larger."""
_TOGETHER = 2 << 20
"""So many bytes of a pack are written, and begin to go to the disk, while the next ones are made."""
_WAITING = 2
"""Writes that wait for the one before them."""
_READ = 4 << 20
"""So many bytes of a pack are read at once, if what is wanted lies side by side."""
_LOOKED_UP = 1024
_TICK_NS = 20_000_000


class PackPlace(NamedTuple):
    """Where an object is: its pack, where it begins there, its length."""

    path: Path
    start: int
    length: int

    def read(self) -> bytes:
        """Its bytes, fewer where the pack is cut; not verified."""
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), self.length, self.start)


class Packs:
    """The packs in a folder; finds objects in them, and keeps up with what other processes write and collect."""

    def __init__(self, folder: Path, staging: Callable[[], Path], clock: Clock, *, private: bool = True) -> None:
        self._folder, self._staging, self._clock, self._private = folder, staging, clock, private
        self._lock = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._entries: dict[Path, NDArray[Any]] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._unreadable: set[Path] = set()
        self._paths: list[Path] = []
        self._firsts: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._owners: NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)
        self._hashes: NDArray[np.uint8] = np.zeros((0, 32), dtype=np.uint8)
        self._starts = self._lengths = np.zeros(0, dtype=np.uint64)
        self._repeated: set[str] = set()

    def places(self, name: str) -> list[PackPlace]:
        """Where the object is; in several packs if it was written twice."""
        with self._lock:
            self._look()
            places = self._places(name)
            if all(map(self._is_as_read, [each.path for each in places] or self._unreadable)):
                return places
            self._state = None
            self._look()
            return self._places(name)

    def _places(self, name: str) -> list[PackPlace]:
        wanted, places = bytes.fromhex(name), list[PackPlace]()
        at = int(self._firsts.searchsorted(np.uint64(int(name[:16], 16)))) if len(self._firsts) else 0
        while at < len(self._hashes) and (hash_ := self._hashes[at].tobytes())[:8] == wanted[:8]:
            if hash_ == wanted:
                places.append(self._place(at))
            at += 1
        return places

    def _place(self, at: int) -> PackPlace:
        return PackPlace(self._paths[self._owners[at]], int(self._starts[at]), int(self._lengths[at]))

    def first_places(self, names: Sequence[str]) -> list[PackPlace | None]:
        """The first place of each object; None of one that is in no pack."""
        with self._lock:
            self._look()
            places = self._first_places(names)
            paths = {each.path for each in places if each is not None}
            if all(map(self._is_as_read, paths if None not in places else paths | self._unreadable)):
                return places
            self._state = None
            self._look()
            return self._first_places(names)

    def _first_places(self, names: Sequence[str]) -> list[PackPlace | None]:
        if not (names and len(self._firsts)):
            return [None] * len(names)
        wanted = np.frombuffer(bytes.fromhex("".join(names)), dtype=np.uint8).reshape(-1, _HASH)
        beginnings_n = _firsts(wanted)
        first_n = np.minimum(self._firsts.searchsorted(beginnings_n), len(self._firsts) - 1)
        begins_n = (self._firsts[first_n] == beginnings_n).tolist()
        here_n = (self._hashes[first_n] == wanted).all(axis=1).tolist()
        return [
            # Two hashes that begin alike are hardly ever there: then one looks at each.
            self._place(at) if here else next(iter(self._places(name)), None) if begins else None
            for name, at, begins, here in zip(names, first_n.tolist(), begins_n, here_n, strict=True)
        ]

    def holding(self, names: Sequence[str]) -> tuple[set[Path], list[str]]:
        """All packs that have one of these objects; those objects that are in none."""
        places = self.first_places(names)
        packs = {each.path for each in places if each is not None}
        packs.update(each.path for name in self._repeated.intersection(names) for each in self.places(name))
        return packs, [name for name, place in zip(names, places, strict=True) if place is None]

    def read(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """What lies in the first place of each object, fewer bytes where the pack is cut; None: it is in no pack.

        Nothing is verified. Neighbours are read at once.
        """
        for piece in self.joined(names):
            if piece is None:
                yield None
                continue
            (data, lengths), before = piece, 0
            for length in lengths:
                yield data[before : before + length]
                before += length

    def joined(self, names: Sequence[str]) -> Iterator[tuple[bytes, list[int]] | None]:
        """The same; those that are read at once as one, and the length of each as it should be."""
        for start in range(0, len(names), _LOOKED_UP):
            yield from _read(self.first_places(names[start : start + _LOOKED_UP]))

    def listed(self) -> Iterator[tuple[str, PackPlace]]:
        """All objects, pack by pack, in the order in which they lie there."""
        with self._lock:
            self._look()
            entries = dict(self._entries)
        for path, index in entries.items():
            for entry in np.sort(index, order="start"):
                yield bytes(entry["hash"]).hex(), PackPlace(path, int(entry["start"]), int(entry["length"]))

    def paths(self) -> list[Path]:
        """The packs that can be read."""
        with self._lock:
            self._look()
            return list(self._entries)

    def rewrite(self, path: Path, change: Callable[[str, bytes], bytes | None]) -> int:
        """Write a pack anew with what `change` gives for its objects (None: as they are); how many. Its time stays."""
        time_ns, changed = path.stat().st_mtime_ns, 0
        places = [
            (bytes(entry["hash"]).hex(), PackPlace(path, int(entry["start"]), int(entry["length"])))
            for entry in np.sort(_index(path), order="start")
        ]
        with self.writer() as writer:
            for at, (name, place) in enumerate(places):
                data = place.read()
                new = change(name, data)
                if new is not None and not changed:  # until then nothing is written
                    for earlier, there in places[:at]:
                        writer.add(earlier, there.read())
                changed += new is not None
                if changed:
                    writer.add(name, data if new is None else new)
        if changed:
            self._replace(path, writer.written, time_ns)
        return changed

    def _replace(self, path: Path, written: Collection[Path], time_ns: int) -> None:
        """Have packs that were written, if any, take the place of another."""
        for each in written:
            os.utime(each, ns=(time_ns, time_ns))
        if path not in written:
            path.unlink(missing_ok=True)

    def unreadable(self) -> list[Path]:
        """Packs of which nothing can be read."""
        with self._lock:
            self._look()
            return sorted(self._unreadable)

    def writer(self) -> "PackWriter":
        """A context in which objects are added; they are there when it ends without an error."""
        return PackWriter(self._folder, self._staging, self._clock, private=self._private)

    def renew(self, paths: Collection[Path]) -> None:
        """Say of packs that they were put now, which keeps them from being collected."""
        time_ns = self._clock() * 1_000_000
        for path in paths:
            with suppress(FileNotFoundError, *(() if self._private else (PermissionError,))):
                os.utime(path, ns=(time_ns, time_ns))
                self._stamps[path] = (path.stat().st_size, path.stat().st_mtime_ns)

    def without(self, path: Path, doomed: Collection[str]) -> None:
        """Write a pack anew without some of its objects; it goes when nothing is left. Its time stays."""
        time_ns = path.stat().st_mtime_ns
        with self.writer() as writer:
            for entry in np.sort(_index(path), order="start"):
                if (name := bytes(entry["hash"]).hex()) not in doomed:
                    writer.add(name, PackPlace(path, int(entry["start"]), int(entry["length"])).read())
        self._replace(path, writer.written, time_ns)

    def _is_as_read(self, path: Path) -> bool:
        """Whether a pack is the one whose index was read; another one's is forgotten."""
        try:
            state = path.stat()
        except FileNotFoundError:
            state = None
        if state is not None and self._stamps.get(path) == (state.st_size, state.st_mtime_ns):
            return True
        self._entries.pop(path, None)
        return False

    def _look(self) -> None:
        """Read the indexes of packs that are new, if the folder changed."""
        try:
            state = self._folder.stat()
        except FileNotFoundError:
            return
        if self._state == (state.st_ino, state.st_mtime_ns):
            return
        # A pack that comes within the same tick of the clock that stamps folders would be overlooked for ever.
        settled = state.st_mtime_ns < time.time_ns() - _TICK_NS
        self._state = (state.st_ino, state.st_mtime_ns) if settled else None
        paths = sorted(self._folder.glob("*.pack"))
        if paths == self._paths == list(self._entries) and not self._unreadable:
            return
        entries: dict[Path, NDArray[Any]] = {}
        self._unreadable.clear()
        for path in paths:
            try:
                if path not in self._entries:
                    self._stamps[path] = (path.stat().st_size, path.stat().st_mtime_ns)
                    self._entries[path] = _index(path)
                entries[path] = self._entries[path]
            except FileNotFoundError:
                continue
            except CorruptError:
                self._unreadable.add(path)
        self._entries, self._paths = entries, list(entries)
        every = np.concatenate([np.zeros(0, dtype=_ENTRY), *entries.values()])
        firsts = _firsts(every["hash"])
        order = np.argsort(firsts, kind="stable")
        owners = np.repeat(np.arange(len(entries), dtype=np.uint32), [len(each) for each in entries.values()])
        self._firsts, self._owners = firsts[order], owners[order]
        self._hashes, self._starts, self._lengths = (every[each][order] for each in ("hash", "start", "length"))
        again_n = np.flatnonzero(self._firsts[1:] == self._firsts[:-1])
        self._repeated = {self._hashes[at].tobytes().hex() for at in again_n.tolist()}

    def forget(self) -> None:
        """Look at all packs anew: one was written in the place of another."""
        with self._lock:
            self._state = None
            self._entries = {}


class PackWriter:
    """Adds objects to new packs; nothing of them is there before the end, and nothing is left of a failure."""

    def __init__(self, folder: Path, staging: Callable[[], Path], clock: Clock, *, private: bool) -> None:
        self._folder, self._staging, self._clock, self._private = folder, staging, clock, private
        self._names: set[str] = set()
        self._entries: list[tuple[str, int, int]] = []
        self._file: FileIO | None = None
        self._path = Path()
        self._pieces: list[bytes] = []
        self._size = self._written = 0
        self._pool: ThreadPoolExecutor | None = None
        self._begun: deque[Future[None]] = deque()
        self.written: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                self._close()
        finally:
            if self._pool is not None:
                self._pool.shutdown()
            if self._file is not None:
                self._path.unlink(missing_ok=True)
                self._file.close()
                self._file = None

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str, data: bytes) -> None:
        """Add an object, unless it was added before."""
        if name in self._names:
            return
        if self._file is None:
            self._path = temporary(self._staging())
            self._file = self._path.open("xb", buffering=0)
            if self._private:
                os.fchmod(self._file.fileno(), 0o600)
        self._pieces.append(data)
        self._entries.append((name, self._size, len(data)))
        self._names.add(name)
        self._size += len(data)
        if self._size - self._written > _TOGETHER:
            self._write(self._file.fileno())
        if self._size > _FULL:
            self._close()

    def _write(self, descriptor: int) -> None:
        """Have a thread write what waits."""
        from concurrent.futures import ThreadPoolExecutor

        self._pool = self._pool or ThreadPoolExecutor(1)
        while len(self._begun) > _WAITING:
            self._begun.popleft().result()
        args = descriptor, self._pieces, self._written, self._size - self._written
        self._begun.append(self._pool.submit(_write, *args))
        self._pieces, self._written = [], self._size

    def _close(self) -> None:
        """Write the index, make it durable, and give the pack its name."""
        if self._file is None:
            return
        index = np.zeros(len(self._entries), dtype=_ENTRY)
        ordered = sorted(self._entries)
        hashes = np.frombuffer(b"".join(bytes.fromhex(name) for name, _, _ in ordered), dtype=np.uint8)
        index["hash"] = hashes.reshape(-1, 32)
        index["start"], index["length"] = ([each[at] for each in ordered] for at in (1, 2))
        content = index.tobytes()
        while self._begun:
            self._begun.popleft().result()
        write_pieces(self._file.fileno(), [*self._pieces, content, _TAIL.pack(len(index), _MAGIC)])
        time_ns = self._clock() * 1_000_000
        os.utime(self._file.fileno(), ns=(time_ns, time_ns))
        sync(self._file.fileno())
        durable_folder(self._folder, private=self._private)
        target = self._folder / f"{digest(content)}.pack"
        self._path.replace(target)
        sync_folder(self._folder)
        self._file.close()
        self._file, self._entries, self._pieces, self._size, self._written = None, [], [], 0, 0
        self.written.append(target)


def _write(descriptor: int, pieces: Sequence[bytes], start: int, length: int) -> None:
    write_pieces(descriptor, pieces)
    begin_sync(descriptor, start, length)


def _firsts(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first eight bytes of each hash (n, 32) as a number."""
    return hashes[:, :8].copy().view(">u8").reshape(-1).astype(np.uint64)


def _read(places: Sequence[PackPlace | None]) -> Iterator[tuple[bytes, list[int]] | None]:
    at = 0
    while at < len(places):
        first = places[at]
        if first is None:
            yield None
            at += 1
            continue
        length, until = first.length, at + 1
        while until < len(places) and length < _READ and _follows(places[until], first, length):
            length += (places[until] or first).length
            until += 1
        try:
            data = PackPlace(first.path, first.start, length).read()
        except FileNotFoundError:  # written anew meanwhile
            yield from [None] * (until - at)
        else:
            yield data, [(place or first).length for place in places[at:until]]
        at = until


def _follows(place: PackPlace | None, first: PackPlace, length: int) -> bool:
    # Of places that were looked up together, the paths are the same objects.
    return place is not None and place.path is first.path and place.start == first.start + length


def _index(path: Path) -> NDArray[Any]:
    """The index of a pack.

    Raises:
        CorruptError: it is not what its name says.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _TAIL.size))
        tail = file.read(_TAIL.size)
        count, magic = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, b"")
        start = size - _TAIL.size - count * _ENTRY.itemsize
        if magic == _MAGIC and start >= 0:
            file.seek(start)
            content = file.read(count * _ENTRY.itemsize)
            if digest(content) == path.stem:
                return np.frombuffer(content, dtype=_ENTRY)
    raise CorruptError(f"the pack {path} is damaged: its index is not what its name says; run 'bakeoff verify'")
