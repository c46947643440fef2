"""Content-defined chunking: cut where the content says so, so that an insertion moves few cuts.

Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage Systems", IEEE
TPDS 2020 (FastCDC 2020), by the library pyfastcdc. Measured on one core of an EPYC: 3.9 GB/s, where BLAKE3 has 4.4 and
our own numpy, which came before it, had 0.2.
"""

from collections.abc import Iterator
from typing import Any, Protocol

__all__ = ["LARGEST", "SMALLEST", "Readable", "chunks"]

SMALLEST, LARGEST = 16 * 1024, 512 * 1024
_AVERAGE = 64 * 1024  # beyond the smallest: chunks have 80 KiB on average


class Readable(Protocol):
    """What is cut: a file, or something that reads like one."""

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at the end."""
        ...


def chunks(stream: Readable) -> Iterator[bytes]:
    """Cut a stream into chunks of 16 to 512 KiB (the last may be smaller); joined they are the stream.

    >>> import io
    >>> [len(chunk) for chunk in chunks(io.BytesIO(b"abcdef"))]
    [6]
    """
    from pyfastcdc import FastCDC

    # The cuts of stored files depend on these: they must never change.
    cutter: Any = FastCDC(_AVERAGE, min_size=SMALLEST, max_size=LARGEST)
    for chunk in cutter.cut_stream(stream):
        yield bytes(chunk.data)
