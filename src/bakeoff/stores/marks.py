"""How far a segment of the event log was written: `NUMBER.mark` beside it.

The mark of a segment tells its committed size and its last event's number; it is written after each commit, without
waiting for the disk, so that it is never ahead of the segment. A segment that is shorter than its mark was damaged:
that is how lost events are told from the torn tail of a crash, which nobody was promised. The mark of an archive tells
the digest of its Parquet file. Bytes: magic (4), size (u64), last number (u64), BLAKE3 digest (32, zero if there is
none), CRC-32 of all before (u32), little-endian.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mark", "mark_path", "read_mark"]

_MARK = struct.Struct("<4sQQ32s")
_CRC = struct.Struct("<I")
_MAGIC = b"bkm1"
_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The committed size in bytes, the last event's number (0: none yet), and of an archive the digest."""

    end: int = 0
    last_seq: int = 0
    digest: str | None = None

    def encode(self) -> bytes:
        """As the file holds it."""
        digest = bytes.fromhex(self.digest) if self.digest else _NO_DIGEST
        body = _MARK.pack(_MAGIC, self.end, self.last_seq, digest)
        return body + _CRC.pack(zlib.crc32(body))


def mark_path(segment: Path) -> Path:
    """Where the mark of a segment or archive stands."""
    return segment.with_suffix(".mark")


def read_mark(segment: Path) -> Mark | None:
    """The segment's mark; None when there is none (segments of before have none), or it is damaged."""
    try:
        data = mark_path(segment).read_bytes()
    except FileNotFoundError:
        return None
    if len(data) != _MARK.size + _CRC.size or _CRC.pack(zlib.crc32(data[: _MARK.size])) != data[_MARK.size :]:
        return None
    magic, end, last_seq, digest = _MARK.unpack(data[: _MARK.size])
    if magic != _MAGIC:
        return None
    return Mark(end=end, last_seq=last_seq, digest=None if digest == _NO_DIGEST else digest.hex())
