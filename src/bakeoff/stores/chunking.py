"""Content-defined chunking: cut where the content says so, so that an insertion moves few cuts.

Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage Systems", IEEE
TPDS 2020 (FastCDC 2020), by the library pyfastcdc. Measured on one core of an EPYC: 3.9 GB/s, where BLAKE3 has 4.4 and
our own numpy, which came before it, had 0.2.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from bakeoff.core.threads import ahead

__all__ = ["LARGEST", "SMALLEST", "Readable", "chunks"]

SMALLEST, LARGEST = 16 * 1024, 512 * 1024
_AVERAGE = 64 * 1024  # beyond the smallest: chunks have 80 KiB on average
_BLOCK = 2 << 20
"""Bytes that are read at once."""


class Readable(Protocol):
    """What is cut: a file, or something that reads like one."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Put the next bytes into a buffer; how many, none at the end."""
        ...


def chunks(stream: Readable, seen: Callable[[memoryview], object] = len) -> Iterator[bytes]:
    """Cut a stream into chunks of 16 to 512 KiB (the last may be smaller); joined they are the stream.

    Args:
        stream: what is read, by a thread, ahead of what is cut.
        seen: gets in that thread all that is read, in order.

    >>> import io
    >>> [len(chunk) for chunk in chunks(io.BytesIO(b"abcdef"))]
    [6]
    """
    from pyfastcdc import FastCDC

    # The cuts of stored files depend on these: they must never change.
    cutter: Any = FastCDC(_AVERAGE, min_size=SMALLEST, max_size=LARGEST)
    rest = memoryview(b"")
    for buffer, length in ahead(_blocks(stream, seen)):
        start = LARGEST - len(rest)  # what is left of the block before goes into the room before this one
        buffer[start:LARGEST] = rest
        block = buffer[start : LARGEST + length]
        at, until = 0, len(block) - LARGEST if length else len(block)  # a cut depends on as many bytes as a chunk has
        pieces = iter(cutter.cut_buf(block))
        while at < until:
            chunk = next(pieces).data
            at += len(chunk)
            yield bytes(chunk)
        rest = block[at:]


def _blocks(stream: Readable, seen: Callable[[memoryview], object]) -> Iterator[tuple[memoryview, int]]:
    """Buffers with room for a chunk and then what was read, and how much that is; of the last one nothing."""
    length = 1
    while length:
        buffer = memoryview(bytearray(LARGEST + _BLOCK))
        length = stream.readinto(buffer[LARGEST:]) or 0
        seen(buffer[LARGEST : LARGEST + length])
        yield buffer, length
