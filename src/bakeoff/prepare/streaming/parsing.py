"""From a block to a table whose columns are those of the corpus; lines that are no records are set aside."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.errors import DataError
from bakeoff.prepare.streaming.blocks import Block

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Parsed", "conform", "parse"]

SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The rows of a block, and the lines that are no records: why, and how they start."""

    table: "pl.DataFrame"
    bad: tuple[str, ...] = ()


def parse(block: Block) -> Parsed:
    """Read a block; cells of csv and tsv stay text.

    Raises:
        DataError: it cannot be read at all.
    """
    import polars as pl

    if block.format == "parquet":
        return Parsed(table=pl.scan_parquet(block.file).slice(block.start, block.end - block.start).collect())
    with open(block.file, "rb") as source:  # noqa: PTH123 - a path as the block holds it
        source.seek(block.start)
        data = source.read(block.end - block.start)
    return _json_lines(data) if block.format == "jsonl" else _delimited(data, block)


def _json_lines(data: bytes) -> Parsed:
    import polars as pl

    try:
        return Parsed(table=_read_json(data))
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
        sound: list[bytes] = []
        bad: list[str] = []
        for line in data.split(b"\n"):
            try:
                if line.strip():
                    line.decode()
                    decoder.decode(line)
                    sound.append(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                bad.append(f"not a JSON object ({error}): {_start(line)}")
        try:
            return Parsed(table=_read_json(b"\n".join(sound)), bad=tuple(bad))
        except pl.exceptions.PolarsError as error:
            raise DataError(f"JSON lines could not be read: {str(error).partition(chr(10))[0]}") from error


def _read_json(data: bytes) -> "pl.DataFrame":
    import polars as pl

    if not data.strip():
        return pl.DataFrame()
    data.decode()  # polars would take bytes that are not UTF-8 as they are
    return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)


def _delimited(data: bytes, block: Block) -> Parsed:
    import polars as pl

    separator = "\t" if block.format == "tsv" else _separator(block.header)
    try:
        table = pl.read_csv(io.BytesIO(block.header + data), separator=separator, infer_schema=False)
        return Parsed(table=table)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return _by_hand(data, block.header, separator)


def _separator(header: bytes) -> str:
    return max(",;\t|", key=lambda mark: header.count(mark.encode()))


def _by_hand(data: bytes, header: bytes, separator: str) -> Parsed:
    """Record by record, where some have too few or too many cells, or bytes that are not UTF-8."""
    import polars as pl

    def records(part: bytes) -> Iterator[list[str]]:
        csv.field_size_limit(len(part) + 1)
        return csv.reader(io.StringIO(part.decode("utf-8", "replace"), newline=""), delimiter=separator)

    (names,) = records(header)
    rows: list[list[str | None]] = []
    bad: list[str] = []
    for cells in records(data):
        if len(cells) != len(names):
            if cells:
                bad.append(f"{len(cells)} cells where the header has {len(names)}: {_start(separator.join(cells))}")
        elif any("\ufffd" in cell for cell in cells):
            bad.append(f"bytes that are not utf-8: {_start(separator.join(cells))}")
        else:
            rows.append([cell or None for cell in cells])
    return Parsed(table=pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row"), bad=tuple(bad))


def _start(line: bytes | str) -> str:
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    return repr(text[:SHOWN_CHARACTERS])


def conform(table: "pl.DataFrame", like: "pl.DataFrame") -> "tuple[pl.DataFrame, list[str]]":
    """The columns of `like` with its types (missing ones empty), and the names of columns that it does not have.

    Raises:
        DataError: values that have no place in a column's type.
    """
    import polars as pl

    found: list[pl.Expr] = []
    for name, dtype in like.schema.items():
        present = name in table.columns
        found.append((pl.col(name).cast(dtype) if present else pl.lit(None, dtype=dtype)).alias(name))
    left_out = [name for name in table.columns if name not in like.schema]
    if not table.width:
        return like.clear(), left_out
    try:
        return table.select(found), left_out
    except pl.exceptions.PolarsError as error:
        told = str(error).partition("\n")[0]
        raise DataError(f"expected values of the types that the first rows have, found others: {told}") from error
