"""Which ids are in a segment of the event log: `NUMBER.ids` beside an archive, and in memory for what is being written.

An id is known by a key of 32 bits, the CRC-32 of its kind and itself: the key of another id costs one look in vain.
Bytes: magic (4), digest of the archive that they are of (32), the keys in ascending order, the row of each
(u32 each), a CRC-32 of all; sealed where events are encrypted. A file that is damaged, or of another archive, is no
answer: the archive is asked then.
"""

import re
import struct
import threading
import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import CorruptError, SecurityError
from bakeoff.core.events import KINDS, Named
from bakeoff.core.hashing import digest
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.files import whole_write
from bakeoff.stores.marks import read_mark
from bakeoff.stores.segments import EventQuery, Numbered, content_of, frame_at, frames, gone, items, places, stems

__all__ = ["Index", "Packed", "encode", "id_of", "ids_path", "key", "keys_of", "packed", "read"]

Keys: TypeAlias = NDArray[np.uint32]

_MAGIC = b"bki2"
_HEAD = struct.Struct("<4s32s")
_CRC = struct.Struct("<I")
_PLAIN = re.compile("[0-9A-Za-z_-]+")
_FEW = 4
"""Questions that are answered without keys, each for as few ids as one asks for by hand."""
_LARGEST_SEGMENT = 1 << 32
"""Where a frame starts is written with 32 bits."""


def ids_path(archive: Path) -> Path:
    """Where the keys of an archive stand."""
    return archive.with_suffix(".ids")


def key(kind: str, name: str) -> int:
    """What an id is known by."""
    return zlib.crc32(name.encode(), _start(kind))


@cache
def _start(kind: str) -> int:
    return zlib.crc32(kind.encode())


class _Id(msgspec.Struct, frozen=True, gc=False):
    id: str | None = None


_decode = msgspec.json.Decoder(_Id).decode


def id_of(payload: bytes | str) -> str | None:
    """The id in an event's JSON."""
    return _decode(payload).id


def keys_of(records: Iterable[tuple[str, bytes | str]]) -> Iterator[int | None]:
    """The keys of events given as kind and JSON; None for one without an id."""
    for kind, payload in records:
        name = id_of(payload)
        yield None if name is None else key(kind, name)


class Packed(NamedTuple):
    """The keys of an archive in ascending order, and the row of each."""

    keys: Keys
    rows: Keys

    def rows_of(self, wanted: Keys) -> list[int]:
        """The rows that have one of these keys."""
        first, last = (np.searchsorted(self.keys, wanted, side=side) for side in ("left", "right"))
        parts = [self.rows[start:end] for start, end in zip(first, last, strict=True) if start < end]
        return np.sort(np.concatenate(parts)).tolist() if parts else []


def packed(keys: Iterable[int | None]) -> Packed:
    """The keys of an archive's rows; None is a row without an id."""
    pairs = np.array([(each, row) for row, each in enumerate(keys) if each is not None], dtype=np.uint32).reshape(-1, 2)
    ordered = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return Packed(ordered[:, 0].copy(), ordered[:, 1].copy())


def encode(ids: Packed, content: str, stem: str, keyring: Keyring) -> bytes:
    """What the file holds, for an archive with this digest."""
    body = _HEAD.pack(_MAGIC, bytes.fromhex(content)) + b"".join(each.astype("<u4").tobytes() for each in ids)
    return keyring.seal(_place(stem), body + _CRC.pack(zlib.crc32(body)))


def read(archive: Path, keyring: Keyring) -> Packed | None:
    """The keys of an archive as they were written; None when there are none, they are damaged, or another archive's."""
    mark = read_mark(archive)
    return None if mark is None or mark.digest is None else _read(archive, mark.digest, keyring)


def _read(segment: Path, content: str, keyring: Keyring) -> Packed | None:
    path = ids_path(segment)
    try:
        data = keyring.open(_place(segment.stem), path.read_bytes()) if path.exists() else b""
    except (CorruptError, SecurityError):
        return None
    if len(data) < _HEAD.size + _CRC.size:
        return None
    if _CRC.pack(zlib.crc32(memoryview(data)[: -_CRC.size])) != data[-_CRC.size :]:
        return None
    if _HEAD.unpack_from(data) != (_MAGIC, bytes.fromhex(content)):
        return None
    return Packed(*np.split(np.frombuffer(data[_HEAD.size : -_CRC.size], dtype="<u4"), 2))


def _place(stem: str) -> str:
    return f"ids of segment {stem}"


def _sealed(segment: Path, keyring: Keyring) -> Packed:
    """The keys of a sealed segment, with where frames start in place of rows; written for the next process."""
    state = segment.stat()
    stamp = digest(f"{state.st_ino} {state.st_size} {state.st_mtime_ns}".encode())
    if (known := _read(segment, stamp, keyring)) is not None:
        return known
    written = _Written(state.st_ino, keyring)
    made = written.packed(segment)
    if state.st_size < _LARGEST_SEGMENT:
        with suppress(OSError):  # on a medium that cannot be written, each process looks for itself
            whole_write(ids_path(segment), [encode(made, stamp, segment.stem, keyring)], staging=segment.parent)
    return made


class _Written:
    """The keys of a segment that is no archive yet: of each event, and where its frame starts."""

    def __init__(self, inode: int, keyring: Keyring) -> None:
        self.inode, self._keyring = inode, keyring
        self._end, self._questions = 0, 0
        self._keys, self._starts = array("L"), array("Q")

    def packed(self, path: Path) -> Packed:
        """All keys in ascending order, and where the frame of each starts."""
        self._look(path)
        keys, starts = np.array(self._keys, dtype=np.uint32), np.array(self._starts, dtype=np.uint32)
        order = np.argsort(keys, kind="stable")
        return Packed(keys[order], starts[order])

    def starts(self, path: Path, wanted: Keys, names: Collection[str]) -> list[int]:
        """Where the frames start that may hold one of the keys, which are of these ids; in what was added, too.

        The keys of all events are made for who asks again and again; the first questions look through the bytes, which
        takes a fifth of the time. There an id stands as it is, if no encoder has to escape it.
        """
        if self._questions < _FEW and len(names) <= _FEW and all(map(_PLAIN.fullmatch, names)):
            self._questions += 1
            return self._with(path, [name.encode() for name in names])
        self._look(path)
        hit_n = np.flatnonzero(np.isin(np.array(self._keys), wanted))
        return sorted({self._starts[at] for at in hit_n.tolist()})

    def _with(self, path: Path, names: Sequence[bytes]) -> list[int]:
        """Where the frames start that hold one of these texts."""
        starts, start = list[int](), 0
        for frame in frames(path):
            content = content_of(frame, self._keyring)
            if any(name in content for name in names):
                starts.append(start)
            start = frame.end
        return starts

    def _look(self, path: Path) -> None:
        for frame in frames(path, self._end):
            stored = items(frame, self._keyring)
            keys = [each for each in keys_of((item.kind, item.payload) for item in stored) if each is not None]
            self._keys.extend(keys)
            self._starts.extend([self._end] * len(keys))
            self._end = frame.end


class Index:
    """Finds events by their ids, in all segments of a folder; safe to use from several threads.

    Keeps 8 bytes in memory of an archived event, 16 of another.
    """

    def __init__(self, root: Path, keyring: Keyring) -> None:
        self._root, self._keyring = root, keyring
        self._archived: dict[str, Packed] = {}
        self._logs: dict[str, tuple[int, Packed]] = {}
        self._written: dict[str, _Written] = {}
        self._lock = threading.Lock()

    def get(self, kind: type[Named], ids: Collection[str]) -> Iterator[Numbered]:
        """The events of a class with one of these ids, segment by segment."""
        keys = np.fromiter({key(KINDS[kind], name) for name in ids}, dtype=np.uint32)
        wanted = EventQuery(kinds=(kind,), ids=frozenset(ids))
        with self._lock:
            names = stems(self._root)
            for known in (self._archived, self._logs, self._written):
                for past in known.keys() - names:
                    del known[past]
            for stem in names:
                yield from self._in(stem, wanted, keys)

    def _in(self, stem: str, wanted: EventQuery, keys: Keys) -> Iterator[Numbered]:
        for path in places(self._root, stem):
            try:
                yield from (self._in_archive if path.suffix == ".parquet" else self._in_segment)(path, wanted, keys)
            except FileNotFoundError:
                continue
            else:
                return
        if (error := gone(self._root, stem)) is not None:
            raise error

    def _in_archive(self, path: Path, wanted: EventQuery, keys: Keys) -> Iterator[Numbered]:
        from bakeoff.stores import archive  # polars takes a while to import

        self._written.pop(path.stem, None)
        self._logs.pop(path.stem, None)
        if (known := self._archived.get(path.stem)) is None:
            known = self._archived[path.stem] = archive.keys(path, self._keyring)
        if rows := known.rows_of(keys):
            yield from archive.events(path, wanted, self._keyring, rows=rows)

    def _in_segment(self, path: Path, wanted: EventQuery, keys: Keys) -> Iterator[Numbered]:
        inode = path.stat().st_ino
        if path.suffix == ".log":
            known = self._logs.get(path.stem)
            if known is None or known[0] != inode:  # a repair writes it anew
                known = self._logs[path.stem] = (inode, _sealed(path, self._keyring))
            starts = sorted(set(known[1].rows_of(keys)))
        else:
            written = self._written.get(path.stem)
            if written is None or written.inode != inode:
                written = self._written[path.stem] = _Written(inode, self._keyring)
            starts = written.starts(path, keys, wanted.ids or ())
        for start in starts:
            frame = frame_at(path, start)
            for seq, item in enumerate(items(frame, self._keyring), frame.first_seq) if frame else ():
                # To read the id alone takes a tenth of the time, and a frame may have thousands of events.
                if item.kind in wanted.names and id_of(item.payload) in (wanted.ids or ()):
                    row = wanted.read(seq, item)
                    yield from [] if row is None else [row]
