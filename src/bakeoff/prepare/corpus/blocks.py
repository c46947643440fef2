"""Blocks: where to cut files so that each part can be read alone, whole records only."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from bakeoff.core.errors import DataError
from bakeoff.data.sources import Format, SourceFile

__all__ = ["Block", "cut"]

MOST_RECORD_BYTES = 256 << 20
MARK = b"\xef\xbb\xbf"
OTHER_MARKS = {b"\xff\xfe\x00\x00": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a file: bytes `start` to `end` of whole lines (after `header`), or rows of a Parquet file.

    `file` may be a copy that begins with byte (or row) `base` of the whole.
    """

    file: str
    format: Format
    start: int
    end: int
    header: bytes = b""
    base: int = 0


def cut(file: SourceFile, block_bytes: int) -> Iterator[Block]:
    """The blocks of a file, in order, each about so large.

    Raises:
        DataError: a record that does not end.
    """
    if file.format == "parquet":
        yield from _cut_parquet(file.path, block_bytes)
        return
    with file.path.open("rb") as source:
        begin = source.read(4)
        if encoding := next((name for mark, name in OTHER_MARKS.items() if begin.startswith(mark)), None):
            raise DataError(
                f"{file.path.name}: expected UTF-8, found {encoding} by its first bytes. Convert the file, as by "
                f"iconv -f {encoding} -t UTF-8."
            )
        start = len(MARK) if begin.startswith(MARK) else 0
        source.seek(start)
        header = _record(source, file.path) if file.format != "jsonl" else b""
        start += len(header)
        size = file.path.stat().st_size
        if start >= size and b"\r" in header.rstrip(b"\r\n"):  # the whole file is one line
            raise DataError(
                f"{file.path.name}: expected lines that end in a line feed, found carriage returns alone. Convert the "
                "file, as by tr '\\r' '\\n'."
            )
        while start < size:
            end = (
                _line_end(source, start, block_bytes)
                if file.format == "jsonl"
                else _record_end(source, start, block_bytes)
            )
            if end is None:
                raise _endless(file.path, start)
            yield Block(file=str(file.path), format=file.format, start=start, end=end, header=header)
            start = end


def _cut_parquet(path: Path, block_bytes: int) -> Iterator[Block]:
    import polars as pl

    try:
        rows = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path.name}: expected a Parquet file, found: {str(error).partition(chr(10))[0]}") from error
    # What is packed becomes about three times as large.
    at_once = max(1, rows * block_bytes // max(3 * path.stat().st_size, 1))
    for start in range(0, rows, at_once):
        yield Block(file=str(path), format="parquet", start=start, end=min(start + at_once, rows))


def _line_end(source: IO[bytes], start: int, block_bytes: int) -> int | None:
    source.seek(start + block_bytes - 1)
    line = source.readline(MOST_RECORD_BYTES)
    at_end = len(line) < MOST_RECORD_BYTES
    return source.tell() if at_end or line.endswith(b"\n") else None


def _record(source: IO[bytes], path: Path) -> bytes:
    """The first record of a delimited file."""
    start = source.tell()
    end = _record_end(source, start, 1)
    if end is None:
        raise _endless(path, start)
    source.seek(start)
    return source.read(end - start)


def _record_end(source: IO[bytes], start: int, block_bytes: int) -> int | None:
    """Where a record ends, at or after so many bytes: at a line's end with an even number of quotes before it."""
    source.seek(start)
    quotes = source.read(block_bytes - 1).count(b'"')
    read = 0
    while line := source.readline(MOST_RECORD_BYTES):
        read += len(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            return source.tell()
        if read > MOST_RECORD_BYTES:
            return None
    return source.tell() if quotes % 2 == 0 else None


def _endless(path: Path, start: int) -> DataError:
    return DataError(
        f"{path.name}: expected records of at most {MOST_RECORD_BYTES:,} bytes, found one without an end after byte "
        f"{start:,}: a line that is too long, or a quote that does not close. Mend the file."
    )
