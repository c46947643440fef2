"""Where the columns of a Parquet file lie, by its footer.

Source: Apache Parquet, `parquet.thrift` (FileMetaData, RowGroup, ColumnChunk, ColumnMetaData) and the file format;
Apache Thrift, compact protocol.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["is_cut"]

MAGIC, TAIL = b"PAR1", 8
"""What a file begins and ends with; the bytes after the footer: its length and the magic."""
ROW_GROUPS, COLUMNS, META = 4, 1, 3
SIZE, FIRST_PAGE, DICTIONARY = 7, 9, 11
INDEXES = (4, 5), (6, 7)
"""Where the indexes of a column's pages are, and how long."""
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
INTEGERS = frozenset({4, 5, 6})
LONG = 15
"""The length of a list that says: the length follows."""


def is_cut(path: Path) -> bool:
    """Whether columns of the file would lie where its footer is, or beyond: then some of its bytes are gone.

    A file whose footer cannot be read is not judged: whoever reads it says what is wrong.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        tail = file.read(TAIL)
        length = int.from_bytes(tail[:4], "little")
        start = size - TAIL - length
        if tail[4:] != MAGIC or start < len(MAGIC):
            return False
        file.seek(start)
        footer = file.read(length)
    try:
        return _end(_Compact(footer).struct()) > start
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return False


def _end(footer: dict[int, Any]) -> int:
    """The byte after the last column, and after what tells where its pages are."""
    return max((end for group in footer[ROW_GROUPS] for chunk in group[COLUMNS] for end in _ends(chunk)), default=0)


def _ends(chunk: dict[int, Any]) -> Iterator[int]:
    for place, length in INDEXES:
        if place in chunk:
            yield chunk[place] + chunk[length]
    if META in chunk:
        meta = chunk[META]
        yield min(meta[FIRST_PAGE], meta.get(DICTIONARY) or meta[FIRST_PAGE]) + meta[SIZE]  # 0: it has no dictionary


class _Compact:
    """Reads structs of numbers: fields by their number, what are texts or bytes as None."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._integer()
            fields[number] = kind == TRUE if kind in {TRUE, FALSE} else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in INTEGERS:
            return self._integer()
        if kind in {BINARY, DOUBLE}:
            size = self._size() if kind == BINARY else 8
            self._at += size
            return None
        if kind == STRUCT:
            return self.struct()
        if kind in {LIST, SET}:
            head = self._byte()
            size = head >> 4 if head >> 4 < LONG else self._size()
            return [self._value(head & 15) for _ in range(size)]
        if kind == MAP:
            size = self._size()
            kinds = self._byte() if size else 0
            return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(size)]
        if kind in {TRUE, FALSE, BYTE}:  # within a list a truth is a byte
            return self._byte()
        raise ValueError(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _size(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the first bit says whether more follow
                return value
            shift += 7

    def _integer(self) -> int:
        """Numbers near 0 of either sign are short ("zigzag")."""
        value = self._size()
        return (value >> 1) ^ -(value & 1)
