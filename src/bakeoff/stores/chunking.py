"""Content-defined chunking: cut where the content says so, so that an insertion moves few cuts.

Source: Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
Deduplication", USENIX ATC 2016 (gear hash; a smallest and a largest chunk). The gear hash is computed for
all positions of a block at once by doubling: the hash of a window of 2w bytes is the hash of its last w
plus the hash of the w before, shifted by w.
"""

from collections.abc import Generator, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "chunks"]

SMALLEST = 128 * 1024
LARGEST = 2 * 1024 * 1024
_BITS = 19  # a cut every 512 KiB after the smallest size, on average
_BLOCK = 64 * 1024  # hashed at a time, to stay in the processor's cache
_WINDOW = 32  # bytes that a 32-bit gear hash looks back on

# The cuts of stored files depend on this table: it must never change.
_GEAR = np.random.Generator(np.random.PCG64(20_160_622)).integers(0, 2**32, size=256, dtype=np.uint32)
_MASK = np.uint32(((1 << _BITS) - 1) << (32 - _BITS))  # the high bits depend on the whole window


def _gear_hashes(data: memoryview) -> "NDArray[np.uint32]":
    """The gear hash (n,) at each of the n bytes, of the window that ends there."""
    hashes = _GEAR[np.frombuffer(data, dtype=np.uint8)]
    width = 1
    while width < _WINDOW:
        shifted = hashes[:-width] << np.uint32(width)
        hashes[width:] += shifted
        width *= 2
    return hashes


def chunks(pieces: Iterable[bytes]) -> Generator[bytes]:
    """Cut a stream into chunks of 128 KiB to 2 MiB (the last may be smaller); joined they are the stream.

    >>> [len(chunk) for chunk in chunks([b"abc", b"def"])]
    [6]
    """
    buffer = b""
    for piece in pieces:
        buffer += piece
        if len(buffer) >= 4 * LARGEST:
            buffer = yield from _cut(buffer, keep=LARGEST)
    buffer = yield from _cut(buffer, keep=0)
    if buffer:
        yield buffer


def _cut(buffer: bytes, *, keep: int) -> Generator[bytes, None, bytes]:
    """Yield chunks while more than `keep` bytes are left; return the rest."""
    cuts = _candidates(buffer)
    start = 0
    cut = next(cuts, None)
    while len(buffer) - start > keep:
        while cut is not None and cut < start + SMALLEST:
            cut = next(cuts, None)
        end = min(start + LARGEST, len(buffer) if cut is None else cut)
        if end == len(buffer) and not keep:
            break
        yield buffer[start:end]
        start = end
    return buffer[start:]


def _candidates(buffer: bytes) -> Iterator[int]:
    """Ends of chunks that the content suggests, ascending."""
    view = memoryview(buffer)
    for start in range(0, len(buffer), _BLOCK):
        before = min(start, _WINDOW)
        hashes = _gear_hashes(view[start - before : start + _BLOCK])[before:]
        yield from (np.flatnonzero((hashes & _MASK) == 0) + (start + 1)).tolist()
