r"""Clean UTF-8 bytes cut into records, and the records that cannot be rows set aside with their lines.

The grammar is that of RFC 4180: cells between delimiters, records between "\n", quotes around cells that hold either.
Positions of delimiters, line ends and quotes are found by numpy over windows of the file, so that a record is
inside quotes exactly when an odd number of quotes stand before its end. A quote in a cell that does not start with one
is a character like others. A quote that never closes costs its own line alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.dialect import Dialect

__all__ = ["Bad", "RecordRows", "rows_of"]

WINDOW = 4 << 20
LEAST_WINDOW = 64 << 10
TEXT_LIMIT = 500
QUOTE, NEWLINE, RETURN = 34, 10, 13
MAX_RECORD = 256 << 20

FEW, MANY = "too few cells", "too many cells"
QUOTES = "a quote that does not close, or text around quotes"
ENCODING = "bytes that are not utf-8"
ZERO = "a zero byte"
AGAIN = "the header again"
LONG = f"a row of more than {MAX_RECORD >> 20} MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A row set aside: the 1-based line where it starts, why, its text (cut), and the lines it spans."""

    file: str
    line: int
    reason: str
    text: str
    lines: int = 1


@dataclass(slots=True, kw_only=True)
class RecordRows:
    """Records that can be rows, as bytes; how many; those that cannot; the line of the last one."""

    content: bytes
    count: int
    bad: list[Bad] = field(default_factory=list[Bad])
    last_line: int = 0


def rows_of(path: Path, dialect: Dialect, *, name: str) -> Iterator[RecordRows]:
    r"""The rows of a file, window by window.

    Args:
        path: A clean UTF-8 file with "\n" line ends.
        dialect: Its layout.
        name: How messages call the file.
    """
    cutter = _Cutter(dialect, name)
    with path.open("rb") as file:
        file.seek(dialect.start)
        rest = b""
        size = WINDOW
        while True:
            piece = file.read(size)
            if dialect.escaped:
                while piece.endswith(b"\\") and (more := file.read(1)):
                    piece += more
                piece = piece.replace(b'\\"', b'""')
            window = rest + piece
            rows, rest = cutter.cut(window, final=not piece)
            # A record that no window holds grows, doubling what is read so that no byte is looked at often.
            size = max(len(rest), WINDOW)
            if rows.count or rows.bad:
                yield rows
            if not piece:
                return


class _Cutter:
    """Cuts windows of one file; knows the line at which the next one starts."""

    def __init__(self, dialect: Dialect, name: str) -> None:
        self._delimiter = ord(dialect.delimiter)
        self._width = len(dialect.names) + dialect.trailing
        self._header = dialect.header
        self._line = dialect.line
        self._name = name

    def cut(self, window: bytes, *, final: bool) -> tuple[RecordRows, bytes]:
        """The rows of a window, and the bytes of its last record when that may go on."""
        rows = RecordRows(content=b"", count=0)
        parts: list[bytes] = []
        at, size = 0, len(window)
        while at < len(window):
            view = window[at : at + size]
            last = final and at + size >= len(window)
            end, damaged = self._sound(view, last, parts, rows)
            at += end
            if damaged:
                size = LEAST_WINDOW
            elif end == 0:
                if at + size >= len(window):
                    break
                size *= 4
            else:
                size = min(size * 4, len(window))
        rows.content = b"".join(parts)
        return rows, window[at:]

    def _sound(self, view: bytes, last: bool, parts: list[bytes], rows: RecordRows) -> tuple[int, bool]:  # noqa: FBT001
        """Take the records of a view up to the first damaged quote; the bytes used, and whether there was one."""
        bytes_n = np.frombuffer(view, dtype=np.uint8)
        newline_n = np.flatnonzero(bytes_n == NEWLINE)
        delimiter_n = np.flatnonzero(bytes_n == self._delimiter)
        end_n, damage = newline_n, None
        if b'"' in view:
            quote_n = np.flatnonzero(bytes_n == QUOTE)
            damage = _damage(bytes_n, quote_n, self._delimiter, last=last)
            end_n = newline_n[np.searchsorted(quote_n, newline_n) % 2 == 0]
            delimiter_n = delimiter_n[np.searchsorted(quote_n, delimiter_n) % 2 == 0]
        if damage is not None:
            end_n = end_n[end_n < damage]
        elif last and len(view) and (not len(end_n) or end_n[-1] != len(view) - 1):
            end_n = np.append(end_n, len(view))
        used = int(end_n[-1]) + 1 if len(end_n) else 0
        if len(end_n):
            self._take(view, end_n, delimiter_n, newline_n, parts, rows)
        self._line += int(np.searchsorted(newline_n, used))
        if damage is None:
            return min(used, len(view)), False
        stop = view.find(b"\n", damage)
        if stop < 0 and not last:
            return used, False
        first = view.find(b"\n", used)
        if 0 <= first < damage and self._is_row(view[first + 1 : view.find(b"\n", first + 1)]):
            stop = first  # a quote that does not close, before a sound row
        stop = len(view) if stop < 0 else stop
        self._damaged(view[used:stop], parts, rows)
        self._line += view.count(b"\n", used, stop) + 1
        return min(stop + 1, len(view)), True

    def _is_row(self, line: bytes) -> bool:
        """Whether a line is a row by itself."""
        bytes_n = np.frombuffer(line, dtype=np.uint8)
        quote_n = np.flatnonzero(bytes_n == QUOTE)
        delimiter_n = np.flatnonzero(bytes_n == self._delimiter)
        if _damage(bytes_n, quote_n, self._delimiter, last=True) is not None:
            return False
        return int((np.searchsorted(quote_n, delimiter_n) % 2 == 0).sum()) + 1 == self._width

    def _damaged(self, record: bytes, parts: list[bytes], rows: RecordRows) -> None:
        """A record with a quote out of place: a row when no cell of it starts with a quote, else set aside."""
        delimiter = bytes([self._delimiter])
        cells = record.split(delimiter)
        literal = b"\n" not in record and len(cells) == self._width
        if literal and not any(c.lstrip().startswith(b'"') for c in cells) and self._reason(record) is None:
            parts.append(delimiter.join(b'"' + cell.replace(b'"', b'""') + b'"' for cell in cells) + b"\n")
            rows.count += 1
            rows.last_line = self._line
            return
        self._set_aside(record, self._line, QUOTES, rows)

    def _take(  # noqa: PLR0917 - the same places again and again
        self,
        view: bytes,
        end_n: NDArray[np.intp],
        delimiter_n: NDArray[np.intp],
        newline_n: NDArray[np.intp],
        parts: list[bytes],
        rows: RecordRows,
    ) -> None:
        """Take records that end at these places: those of the right width, valid and not blank."""
        start_n = np.concatenate(([0], end_n[:-1] + 1))
        before_n = np.searchsorted(delimiter_n, end_n)
        cells_n = np.diff(before_n, prepend=0) + 1
        wrong_n = cells_n != self._width
        blank_n = end_n <= start_n
        stop = min(int(end_n[-1]) + 1, len(view))
        content = view[:stop]
        checked_n = wrong_n.copy()
        if not _is_utf8(content) or b"\0" in content or self._again(content):
            checked_n[:] = True
        bad_n = np.zeros(len(end_n), dtype=np.bool_) | blank_n
        fixes: dict[int, bytes] = {}
        for place in np.flatnonzero(checked_n & ~blank_n):
            record = view[start_n[place] : end_n[place]]
            line = self._line + int(np.searchsorted(newline_n, start_n[place]))
            if not record.strip() and cells_n[place] == 1:
                bad_n[place] = True  # a blank line
                continue
            reason = self._reason(record)
            if reason is None and wrong_n[place]:
                surplus = int(cells_n[place]) - self._width
                fixed = (self._without_empty(record, surplus) or self._returns(record)) if surplus > 0 else None
                if fixed is not None:
                    fixes[int(place)] = fixed
                    rows.count += fixed.count(b"\n") - 1
                    continue
                reason = MANY if cells_n[place] > self._width else FEW
            if reason is not None:
                bad_n[place] = True
                self._set_aside(record, line, reason, rows)
        good = int(len(end_n) - bad_n.sum())
        rows.count += good
        if good:
            last = int(np.flatnonzero(~bad_n)[-1])
            rows.last_line = self._line + int(np.searchsorted(newline_n, start_n[last]))
        if not bad_n.any() and not fixes:
            parts.append(content if content.endswith(b"\n") else content + b"\n")
            return
        parts += _joined(view, start_n, end_n, bad_n, fixes)

    def _again(self, content: bytes) -> bool:
        return content.startswith(self._header + b"\n") or b"\n" + self._header + b"\n" in content

    def _reason(self, record: bytes) -> str | None:
        if not _is_utf8(record):
            return ENCODING
        if b"\0" in record:
            return ZERO
        return AGAIN if record == self._header else None

    def _without_empty(self, record: bytes, surplus: int) -> bytes | None:
        """The row without empty cells at its end, which no column has."""
        end = record.rstrip(b"\r")
        ending = bytes([self._delimiter]) * surplus
        return end[: -len(ending)] + b"\n" if end.endswith(ending) else None

    def _returns(self, record: bytes) -> bytes | None:
        """Rows that lone carriage returns set apart, when each has the right number of cells."""
        if b"\r" not in record or b'"' in record:
            return None
        pieces = [piece for piece in record.split(b"\r") if piece]
        if all(piece.count(bytes([self._delimiter])) == self._width - 1 for piece in pieces):
            return b"".join(piece + b"\n" for piece in pieces)
        return None

    def _set_aside(self, record: bytes, line: int, reason: str, rows: RecordRows) -> None:
        text = record[: TEXT_LIMIT * 4].decode("utf-8", "replace").strip("\n")[:TEXT_LIMIT]
        rows.bad.append(Bad(file=self._name, line=line, reason=reason, text=text, lines=record.count(b"\n") + 1))


def _damage(bytes_n: NDArray[np.uint8], quote_n: NDArray[np.intp], delimiter: int, *, last: bool) -> int | None:
    """The place of the first quote that neither opens nor closes a cell nor is doubled; None when all are in place.

    An opening quote follows a delimiter or a line end, a closing one comes before one of them; a doubled quote
    closes and opens again without anything between.
    """
    if not len(quote_n):
        return None
    size = len(bytes_n)
    ends = (delimiter, NEWLINE)
    opening_n, closing_n = quote_n[::2], quote_n[1::2]
    before_n = bytes_n[np.maximum(opening_n - 1, 0)]
    opens_n = (opening_n == 0) | np.isin(before_n, ends)
    opens_n[1:] |= opening_n[1:] == closing_n[: len(opening_n) - 1] + 1
    after_n = bytes_n[np.minimum(closing_n + 1, size - 1)]
    closes_n = (closing_n == size - 1) | np.isin(after_n, ends)
    doubled = min(len(closing_n), len(opening_n) - 1)
    closes_n[:doubled] |= opening_n[1 : doubled + 1] == closing_n[:doubled] + 1
    places = [*opening_n[~opens_n][:1].tolist(), *closing_n[~closes_n][:1].tolist()]
    if last and len(quote_n) % 2:
        places.append(int(quote_n[-1]))  # it never closes
    return min(places, default=None)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _joined(
    view: bytes,
    start_n: NDArray[np.intp],
    end_n: NDArray[np.intp],
    bad_n: NDArray[np.bool_],
    fixes: dict[int, bytes],
) -> Iterator[bytes]:
    """The records without the bad ones, each ended, in their order."""
    at = 0
    changed = sorted({*np.flatnonzero(bad_n).tolist(), *fixes})
    for place in changed:
        if place > at:
            yield view[start_n[at] : start_n[place]]
        if place in fixes:
            yield fixes[place]
        at = place + 1
    if at < len(end_n):
        tail = view[start_n[at] : min(int(end_n[-1]) + 1, len(view))]
        yield tail if tail.endswith(b"\n") else tail + b"\n"
