"""Segments of the event log: files of checksummed frames, each a group of events committed together.

A frame is a header and a payload. The header: 4 bytes of magic, then little-endian the payload's length
(u32), a CRC-32 of the rest of the header and the payload (u32), the first event's number (u64) and the
count of events (u32). The payload: MessagePack of [(kind, time_ms, event as JSON), …]; where events are
encrypted, that sealed for its segment and numbers, so that lengths and checksums need no key
(`bakeoff.stores.encryption`). A frame is written only after the one before it is on disk, so that after a
crash only the last one can be torn.

    NUMBER.open   being written (its writer holds its flock), or left by a writer that ended
    NUMBER.log    sealed: complete, never changes
    NUMBER.mark   how far it was committed (see `bakeoff.stores.marks`)
"""

import os
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from bakeoff.core.errors import CorruptError
from bakeoff.core.events import LARGEST_MS, UNREADABLE, Readable, decode, decoder, kind_of
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.expired import dropped
from bakeoff.stores.marks import Mark, read_mark

__all__ = [
    "GONE",
    "EventQuery",
    "Frame",
    "Numbered",
    "NumberedEvents",
    "StoredEvent",
    "content_of",
    "encode",
    "encode_frame",
    "frame_at",
    "frames",
    "gone",
    "items",
    "places",
    "records",
    "salvage",
    "stems",
    "valid_end",
]

SUFFIXES = frozenset({".open", ".log", ".parquet", ".mark"})


class StoredEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event as stored: its kind, its time and its JSON."""

    kind: str
    time_ms: int
    payload: bytes


GONE = StoredEvent("erased", 0, b"{}")
"""What stands in the place of an event that was erased: a kind that no reader asks for."""


class Numbered(msgspec.Struct, gc=False):
    """An event with its number in the log."""

    seq: int
    event: Readable


class NumberedEvents(msgspec.Struct, frozen=True, gc=False):
    """Events of a segment that follow each other, their numbers, which ascend, and at which byte their frame starts."""

    seqs: Sequence[int]
    events: Sequence[Readable]
    start: int = 0

    @classmethod
    def of(cls, rows: "Sequence[Numbered]") -> "NumberedEvents":
        """Those of these rows."""
        return cls([row.seq for row in rows], [row.event for row in rows])

    def split(self, seq: int) -> "tuple[NumberedEvents, NumberedEvents]":
        """Those with smaller numbers than `seq`, and the others."""
        at = bisect_left(self.seqs, seq)
        parts = (slice(None, at), slice(at, None))
        before, after = (NumberedEvents(self.seqs[part], self.events[part], self.start) for part in parts)
        return before, after


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events a reader wants: of these classes, since_ms ≤ time_ms < until_ms, with one of the `ids`, if given."""

    kinds: tuple[type[Readable], ...]
    since_ms: int = -LARGEST_MS
    until_ms: int = LARGEST_MS
    ids: frozenset[str] | None = None
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(kind_of(kind) for kind in self.kinds))

    def read(self, seq: int, item: StoredEvent) -> Numbered | None:
        """The event, if it is wanted."""
        if item.kind in self.names and self.since_ms <= item.time_ms < self.until_ms:
            event = decode(item.kind, item.payload, self.kinds)
            if isinstance(event, self.kinds) and (self.ids is None or getattr(event, "id", None) in self.ids):
                return Numbered(seq, event)
        return None

    def read_frame(self, frame: "Frame", after: int, keyring: Keyring) -> NumberedEvents:
        """The wanted events of a frame with numbers after this one."""
        since_ms, until_ms, kinds, ids = self.since_ms, self.until_ms, self.kinds, self.ids
        decoders = {name: decoder(name, kinds) for name in self.names}
        stored = items(frame, keyring)
        seqs: Sequence[int] = range(frame.first_seq, frame.first_seq + len(stored))
        past = max(0, after + 1 - frame.first_seq)
        stored, seqs = stored[past:], seqs[past:]
        if not all(item.kind in decoders and since_ms <= item.time_ms < until_ms for item in stored):
            there = enumerate(stored)
            at = [n for n, item in there if item.kind in decoders and since_ms <= item.time_ms < until_ms]
            stored, seqs = [stored[n] for n in at], [seqs[n] for n in at]
        try:
            events = [decoders[item.kind](item.payload) for item in stored]
        except UNREADABLE:  # one by one, past what is no event
            read = (self.read(seq, item) for seq, item in zip(seqs, stored, strict=True))
            return NumberedEvents.of([row for row in read if row is not None])
        if ids is None and set(map(type, events)) <= {*kinds}:
            return NumberedEvents(seqs, events)
        wanted = [
            n
            for n, event in enumerate(events)
            if isinstance(event, kinds) and (ids is None or getattr(event, "id", None) in ids)
        ]
        return NumberedEvents([seqs[n] for n in wanted], [events[n] for n in wanted])


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One committed group: its segment, where it ends in its file, its first number, and its payload as it lies."""

    stem: str
    end: int
    first_seq: int
    count: int
    payload: bytes


_MAGIC = b"\x00bk1"  # the zero byte cannot stand in JSON, so that no event looks like a frame
_HEADER = struct.Struct("<4sIIQI")
_CHECKED = struct.Struct("<QI")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[StoredEvent])


def encode(items: Sequence[StoredEvent], first_seq: int, stem: str, keyring: Keyring) -> bytes:
    """The frame of these events in a segment, numbered from `first_seq`."""
    payload = keyring.seal(_place(stem, first_seq, len(items)), _encoder.encode(items))
    crc = _checksum(first_seq, len(items), payload)
    return _HEADER.pack(_MAGIC, len(payload), crc, first_seq, len(items)) + payload


def encode_frame(frame: Frame) -> bytes:
    """The same frame again, as bytes."""
    crc = _checksum(frame.first_seq, frame.count, frame.payload)
    return _HEADER.pack(_MAGIC, len(frame.payload), crc, frame.first_seq, frame.count) + frame.payload


def frames(path: Path, position: int = 0) -> Iterator[Frame]:
    """The frames of a segment from a frame's start on, verified; those of an open segment end before a torn tail.

    Raises:
        CorruptError: a damaged frame in a sealed segment, or before a good one.
    """
    mark = read_mark(path) or Mark()  # before the frames: a writer may add some while we read
    last_seq = 0
    with path.open("rb") as file:
        while (frame := _read(file, position, path.stem)) and frame.first_seq > last_seq:
            yield frame
            position, last_seq = frame.end, frame.first_seq + frame.count - 1
        file.seek(position)
        rest = file.read()
    if position < mark.end or (rest and (path.suffix != ".open" or _holds_frame(rest))):
        lost = f"events {last_seq + 1} to {mark.last_seq}" if last_seq < mark.last_seq else "events"
        raise CorruptError(
            f"segment {path} is damaged at byte {position}, {lost} may be lost: restore it from a backup, "
            "or run 'bakeoff verify --repair' to read the others"
        )


def salvage(path: Path) -> Iterator[Frame]:
    """All good frames of a damaged segment, whatever stands between them; their `end` means nothing."""
    data = path.read_bytes()
    start = data.find(_MAGIC)
    while start >= 0:
        frame = _good(data, start, path.stem)
        if frame is not None:
            yield frame
        start = data.find(_MAGIC, start + 1 if frame is None else frame.end)


def places(root: Path, stem: str) -> Iterator[Path]:
    """Where a segment is, and where it may have gone while it was opened: it is sealed and archived by others."""
    for suffix in (".parquet", ".open", ".log", ".parquet"):
        if (path := root / f"{stem}{suffix}").exists():
            yield path


def gone(root: Path, stem: str) -> CorruptError | None:
    """The error about a segment of which only the mark is left.

    None when nothing was committed to it, or it is past its retention.
    """
    mark = read_mark(root / f"{stem}.log")
    if mark is None or mark.end == 0 or stem in dropped(root):
        return None
    return CorruptError(
        f"the events in {root / stem}.* are gone, up to number {mark.last_seq}: restore the file from a backup, "
        "or run 'bakeoff verify --repair' to read the others"
    )


def records(path: Path, keyring: Keyring) -> Iterator[tuple[int, str, bytes]]:
    """Number, kind and JSON of all events of a segment."""
    for frame in frames(path):
        for seq, item in enumerate(items(frame, keyring), frame.first_seq):
            yield seq, item.kind, item.payload


def frame_at(path: Path, position: int) -> Frame | None:
    """The good frame that starts there, if there is one."""
    with path.open("rb") as file:
        return _read(file, position, path.stem)


def stems(root: Path) -> list[str]:
    """The names of segments and archives, in the order of their first numbers; also of those that are gone."""
    return sorted({path.stem for path in root.glob("*.*") if path.stem.isdigit() and path.suffix in SUFFIXES})


def items(frame: Frame, keyring: Keyring) -> list[StoredEvent]:
    """The events of a frame.

    Raises:
        MissingKeyError: they are encrypted with a key that is not here.
        CorruptError: what is encrypted is not what was written there.
    """
    return _decoder.decode(content_of(frame, keyring))


def content_of(frame: Frame, keyring: Keyring) -> bytes:
    """The events of a frame as MessagePack; see `items` for what it raises."""
    return keyring.open(_place(frame.stem, frame.first_seq, frame.count), frame.payload)


def valid_end(path: Path) -> tuple[int, int]:
    """The size in bytes of the good part of an open segment, and its last event's number (0: none)."""
    end, last_seq = 0, 0
    for frame in frames(path):
        end, last_seq = frame.end, frame.first_seq + frame.count - 1
    return end, last_seq


def _checksum(first_seq: int, count: int, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(_CHECKED.pack(first_seq, count)))


def _place(stem: str, first_seq: int, count: int) -> str:
    return f"segment {stem}, events {first_seq} to {first_seq + count - 1}"


def _read(file: BinaryIO, position: int, stem: str) -> Frame | None:
    """The frame at the position, or None when there is no good one."""
    size = os.fstat(file.fileno()).st_size
    file.seek(position)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    magic, length, crc, first_seq, count = _HEADER.unpack(header)
    end = position + _HEADER.size + length
    if magic != _MAGIC or end > size:
        return None
    payload = file.read(length)
    if len(payload) < length or _checksum(first_seq, count, payload) != crc:
        return None
    return Frame(stem=stem, end=end, first_seq=first_seq, count=count, payload=payload)


def _holds_frame(rest: bytes) -> bool:
    """Whether a good frame begins anywhere in the bytes."""
    start = rest.find(_MAGIC)
    while start >= 0:
        if _good(rest, start, "") is not None:
            return True
        start = rest.find(_MAGIC, start + 1)
    return False


def _good(data: bytes, start: int, stem: str) -> Frame | None:
    """The frame that begins at `start`, if it is whole."""
    if start + _HEADER.size > len(data):
        return None
    _, length, crc, first_seq, count = _HEADER.unpack_from(data, start)
    end = start + _HEADER.size + length
    payload = memoryview(data)[start + _HEADER.size : end]
    if len(payload) < length or _checksum(first_seq, count, payload) != crc:
        return None
    return Frame(stem=stem, end=end, first_seq=first_seq, count=count, payload=bytes(payload))
