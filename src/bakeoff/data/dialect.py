"""How a file of delimited text is laid out: its delimiter, its header, and what stands before it.

Told from how consistently each delimiter cuts the first lines, not from the header alone.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.core.errors import DataError
from bakeoff.data.cells import records_of
from bakeoff.data.headers import clean_names

__all__ = ["Dialect", "dialect_of"]

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 256 << 10
HEADER_BYTES = 16 << 20
RECORDS = 200
PREAMBLE = 50
HEADER_BONUS = 0.2
MOST_FIT = 0.9
SEPARATOR = re.compile(r"sep=(.)\s*$", re.IGNORECASE)
NUMBERS = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)?%?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    r"""The layout of a file.

    Attributes:
        delimiter: What stands between cells.
        names: The columns, by the rule for names.
        header: The header's line as bytes, without its end.
        start: The byte at which the first row starts.
        line: The line (from 1) at which it starts.
        escaped: Whether quotes inside quotes are written \" instead of "".
        trailing: Whether each row ends with one delimiter more than the header.
        notes: What was passed over, renamed or guessed.
    """

    delimiter: str
    names: tuple[str, ...]
    header: bytes
    start: int
    line: int
    escaped: bool
    trailing: bool = False
    notes: tuple[str, ...] = ()


def dialect_of(head: bytes, *, delimiter: str | None, file: str) -> Dialect:
    """The layout that the first bytes of a clean UTF-8 file show.

    Raises:
        DataError: there is no header, or it has too many columns.
    """
    if not head.strip():
        raise DataError(f"{file}: expected a header line and rows, found an empty file.")
    lines = _lines(head)
    notes: list[str] = []
    skipped = 0
    if match := SEPARATOR.fullmatch(lines[0].strip()):  # as spreadsheets write it
        delimiter, skipped = match[1], 1
    best, records = _split(lines[skipped:], delimiter, escaped=False)
    escaped = False
    if '\\"' in "".join(lines):
        escaped = _faults(lines[skipped:], best, escaped=True) < _faults(lines[skipped:], best, escaped=False)
        best, records = _split(lines[skipped:], delimiter, escaped=escaped)
    if not records:
        raise DataError(f"{file}: expected a header line and rows, found {lines[skipped][:80]!r} and nothing readable.")
    place = _header_place([cells for cells, _ in records])
    before = skipped + (records[place - 1][1] if place else 0)
    cells, end = records[place]
    header_lines = lines[before : skipped + end]
    blank = next((i for i, line in enumerate(header_lines) if line.strip()), 0)
    if place:
        first = next(line.strip() for line in lines[skipped:] if line.strip())
        notes.append(f"{file}: {before + blank:,} lines before the header are passed over, the first: {first[:80]!r}")
    cells, trailing, note = _fitted(cells, [each for each, _ in records[place + 1 :]], file)
    notes += note
    if cells and cells[0].startswith("#"):
        cells = [cells[0].lstrip("# "), *cells[1:]]
    cells = [cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for cell in cells]
    names, renamed = clean_names(cells, file=file)
    return Dialect(
        delimiter=best,
        names=tuple(names),
        header="".join(header_lines[blank:]).rstrip("\n").encode("utf-8", "surrogateescape"),
        start=sum(len(line.encode("utf-8", "surrogateescape")) for line in lines[: skipped + end]),
        line=skipped + end + 1,
        escaped=escaped,
        trailing=trailing,
        notes=(*notes, *renamed),
    )


def _lines(head: bytes) -> list[str]:
    """The first lines; a header of any length is whole."""
    size = HEAD_BYTES
    while size < len(head) and head.count(b"\n", 0, size) < 3:  # noqa: PLR2004
        size *= 4
    piece = head[:size]
    if len(piece) < len(head) and b"\n" in piece:
        piece = piece[: piece.rindex(b"\n") + 1]
    return io.StringIO(piece.decode("utf-8", "surrogateescape"), newline="\n").readlines()


def _records(lines: Sequence[str], delimiter: str, *, escaped: bool) -> list[tuple[list[str], int]]:
    """The first records that are not blank, and how many lines they and those before them take."""
    records: list[tuple[list[str], int]] = []
    lines = [line.replace("\r", " ") for line in lines]  # the reader takes one in a line for a fault
    reader = records_of(lines, delimiter=delimiter, escaped=escaped)
    for cells in reader:
        if any(cell.strip() for cell in cells) or len(cells) > 1:
            records.append((cells, reader.line_num))
        if len(records) >= RECORDS:
            break
    return records


def _regularity(widths: Sequence[int]) -> tuple[float, int]:
    """How large a share of the records have the most frequent number of cells, and that number."""
    if not widths:
        return 0.0, 1
    width, rows = max(Counter(widths).items(), key=lambda item: (item[1], item[0]))
    if width == 1:
        wide = Counter(each for each in widths if each > 1)
        if not wide or max(wide.values()) < 0.5 * len(widths):
            return 0.0, 1
        width, rows = max(wide.items(), key=lambda item: (item[1], item[0]))
    return rows / len(widths) + HEADER_BONUS * (widths[0] == width), width


def _split(lines: Sequence[str], delimiter: str | None, *, escaped: bool) -> tuple[str, list[tuple[list[str], int]]]:
    """The delimiter that cuts the lines most regularly (of equals the one with most cells), and the records."""
    best: tuple[float, int, str, list[tuple[list[str], int]]] | None = None
    for each in (delimiter,) if delimiter else DELIMITERS:
        records = _records(lines, each, escaped=escaped)
        share, width = _regularity([len(cells) for cells, _ in records])
        score = (round(share, 1), width)
        if records and (best is None or score > best[:2]):
            best = (*score, each, records)
    return (best[2], best[3]) if best else (delimiter or ",", [])


def _faults(lines: Sequence[str], delimiter: str, *, escaped: bool) -> int:
    """How many records have quotes out of place when quotes inside quotes are written in one way."""
    faults = 0
    lines = [line.replace("\r", " ") for line in lines]
    reader = records_of(lines, delimiter=delimiter, escaped=escaped, strict=True)
    while reader.line_num < len(lines):
        try:
            next(reader)
        except csv.Error:
            faults += 1
        except StopIteration:
            break
    return faults


def _header_place(records: Sequence[Sequence[str]]) -> int:
    """Which record is the header: the first that is as wide as the rows, or one cell less before a row of values."""
    widths = [len(cells) for cells in records]
    own = widths[0]
    if own > 1 and sum(_fits(cells, own) for cells in records) > MOST_FIT * len(records):
        return 0
    _, width = _regularity(widths[1:] or widths)
    if width == 1 or widths[0] >= width:
        return 0
    place = next((i for i, each in enumerate(widths[:PREAMBLE]) if each >= width), 0)
    if place and widths[place - 1] == width - 1 and width > 2 and _has_values(records[place]):  # noqa: PLR2004
        return place - 1
    return place


def _fits(cells: Sequence[str], width: int) -> bool:
    """Whether a record has so many cells, empty ones at its end aside."""
    return len(cells) >= width and not any(cell.strip() for cell in cells[width:])


def _has_values(cells: Sequence[str]) -> bool:
    return any(not cell.strip() or NUMBERS.fullmatch(cell.strip()) for cell in cells)


def _fitted(cells: list[str], rows: Sequence[Sequence[str]], file: str) -> tuple[list[str], bool, tuple[str, ...]]:
    """The header made to fit rows that all have one cell more or one less; whether rows end with a delimiter."""
    widths = Counter(len(row) for row in rows)
    width = max(widths, key=lambda each: widths[each], default=len(cells))
    if len(cells) > 1 and width == len(cells) + 1 and widths[width] > 0.9 * len(rows):
        if all(not row[-1].strip() for row in rows if len(row) == width):
            return cells, True, (f"{file}: rows end with a delimiter that the header lacks",)
        return ["", *cells], False, (f"{file}: the header has one name less than rows have cells; the first has none",)
    if len(cells) > 2 and width == len(cells) - 1 and not cells[-1].strip() and widths[width] > 0.9 * len(rows):  # noqa: PLR2004
        return cells[:-1], False, ()
    return cells, False, ()
