"""CSV and TSV files as tables of texts: every cell as it is written, what is empty as missing."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.data.dialect import HEADER_BYTES, Dialect, dialect_of
from bakeoff.data.records import Bad, RecordRows, rows_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Texts", "texts_of"]

TOTALS = re.compile(
    r"\W*(?:grand\s+|sub)?(?:total|totals|sum|summe|gesamt|gesamtsumme|summary|somme)\b\W*", re.IGNORECASE
)
TOTAL = "a line of totals"
PIECE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Rows of a file as texts, the rows set aside, and what was passed over or renamed."""

    table: "pl.DataFrame"
    bad: tuple[Bad, ...]
    notes: tuple[str, ...]
    delimiter: str


def texts_of(path: Path, *, delimiter: str | None, name: str) -> Iterator[Texts]:
    """The rows of a clean UTF-8 file, some at a time; at least one table.

    Raises:
        DataError: the file has no header.
    """
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    dialect = dialect_of(head, delimiter=delimiter, file=name)
    pending: list[RecordRows] = []
    size = 0
    notes = dialect.notes
    for rows in rows_of(path, dialect, name=name):
        pending.append(rows)
        size += len(rows.content)
        if size > PIECE_BYTES:
            yield _texts(pending, dialect, notes)
            pending, size, notes = [], 0, ()
    texts = _texts(pending, dialect, notes)
    yield _without_total(texts, name, max((rows.last_line for rows in pending), default=0))


def _texts(pending: list[RecordRows], dialect: Dialect, notes: tuple[str, ...]) -> Texts:
    content = b"".join(rows.content for rows in pending)
    table = _parsed(content, dialect)
    expected = sum(rows.count for rows in pending)
    assert table.height == expected, (table.height, expected)
    bad = tuple(item for rows in pending for item in rows.bad)
    return Texts(table=table, bad=bad, notes=notes, delimiter=dialect.delimiter)


def _parsed(content: bytes, dialect: Dialect) -> "pl.DataFrame":
    """Records of one width, all of them sound, as a table."""
    import polars as pl

    names = list(dialect.names)
    if not content:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    places = [str(place) for place in range(len(names) + dialect.trailing)]
    table = pl.read_csv(
        io.BytesIO(content),
        has_header=False,
        new_columns=places,
        separator=dialect.delimiter,
        quote_char='"' if b'"' in content else None,
        infer_schema=False,
    )
    table = table.select(pl.col(place).alias(name) for place, name in zip(places, names, strict=False))
    if b'="' in content:  # as spreadsheets keep a text from becoming a number
        table = table.with_columns(pl.all().str.replace(r'^="([^"]*)"$', "$1"))
    if b'""' in content:  # an empty text in quotes is missing, too
        table = table.with_columns(pl.when(pl.all() != "").then(pl.all()))
    return table


def _without_total(texts: Texts, name: str, line: int) -> Texts:
    """Without a last row that sums up the others: "total" in it, and half of its cells empty."""
    table = texts.table
    if table.height < 2 or table.width < 2:  # noqa: PLR2004
        return texts
    last = table.row(-1)
    present = [cell for cell in last if cell is not None]
    if not present or not TOTALS.fullmatch(present[0]) or len(present) > 1 + table.width / 2:
        return texts
    bad = Bad(file=name, line=line, reason=TOTAL, text=texts.delimiter.join(cell or "" for cell in last)[:500])
    return replace(texts, table=table.head(-1), bad=(*texts.bad, bad))
