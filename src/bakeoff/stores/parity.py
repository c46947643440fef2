"""One damaged block of a file made again: `NAME.parity` holds a checksum of each block, and the XOR of all of them.

Parquet as a format loses much to one bad byte, and its readers may crash on it. With this, an archive in which damage
fell into one block of 64 KiB is exactly what was written again; a smaller archive is made again even when it is gone.
Bytes: magic (4), size of the file (u64), number of blocks (u32), their CRC-32s (u32 each), the XOR, a CRC-32 of all.
"""

import struct
import zlib
from pathlib import Path

__all__ = ["parity", "parity_path", "restored"]

BLOCK = 1 << 16
_HEAD = struct.Struct("<4sQI")
_CRC = struct.Struct("<I")
_MAGIC = b"bkp1"


def parity_path(path: Path) -> Path:
    """Where the parity of a file stands."""
    return path.with_suffix(".parity")


def parity(data: bytes) -> bytes:
    """What the parity file of this content holds."""
    blocks = _blocks(data)
    crcs = b"".join(_CRC.pack(zlib.crc32(block)) for block in blocks)
    body = _HEAD.pack(_MAGIC, len(data), len(blocks)) + crcs + _xor(blocks)
    return body + _CRC.pack(zlib.crc32(body))


def restored(damaged: bytes, known: bytes) -> bytes | None:
    """The content as it was written, from what is left of it and its parity; None when too much is damaged."""
    body = known[: -_CRC.size]
    if len(known) < _HEAD.size + _CRC.size or _CRC.pack(zlib.crc32(body)) != known[-_CRC.size :]:
        return None
    magic, size, count = _HEAD.unpack_from(body)
    if magic != _MAGIC:
        return None
    crcs = [_CRC.unpack_from(body, _HEAD.size + _CRC.size * at)[0] for at in range(count)]
    xor = body[_HEAD.size + _CRC.size * count :]
    blocks = _blocks(damaged[:size] + bytes(max(size - len(damaged), 0)))
    wrong = [at for at, block in enumerate(blocks) if zlib.crc32(block) != crcs[at]]
    if len(wrong) > 1:
        return None
    for at in wrong:
        whole = _xor([xor, *blocks[:at], *blocks[at + 1 :]])
        blocks[at] = whole[: len(blocks[at])]
        if zlib.crc32(blocks[at]) != crcs[at]:
            return None
    return b"".join(blocks)


def _blocks(data: bytes) -> list[bytes]:
    return [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]


def _xor(blocks: list[bytes]) -> bytes:
    total = 0
    for block in blocks:
        total ^= int.from_bytes(block.ljust(BLOCK, b"\0"), "little")
    return total.to_bytes(BLOCK, "little")
