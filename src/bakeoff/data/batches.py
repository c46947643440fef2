"""Rows of data files a batch at a time, for those who answer or record them: read by the rules of training data.

Cells of text files stay text: whoever takes the rows converts them as the columns were in training. A file of any
size is read in bounded memory (text goes through a table on disk), in its own order.
"""

import tempfile
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.core.config import DataConfig
from bakeoff.core.errors import DataError
from bakeoff.data.conversations import question_row
from bakeoff.data.delimited import Bad, first_line, load_texts
from bakeoff.data.encoding import as_utf8
from bakeoff.data.reading import DELIMITERS, SETTINGS, check_share, sound_lines
from bakeoff.data.sources import SourceFile

__all__ = ["ROWS", "Batch", "batches"]

ROWS = 1000
SLICE_ROWS = 50_000
"""Rows of a Parquet file that are decoded at once."""
TABLE = "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of a file: `first` is the number of the first one (from 1, without those that are `bad`).

    `names` are the file's columns, when all its rows have the same. The rows that could not be read stand in the
    file's first batch.
    """

    file: str
    first: int
    rows: Sequence[Mapping[str, object]]
    names: tuple[str, ...] | None = None
    bad: tuple[Bad, ...] = ()


def batches(
    files: Sequence[SourceFile], config: DataConfig, *, names: Collection[str] = (), rows: int = ROWS
) -> Generator[Batch]:
    """The rows of all files, in order; each file gives at least one batch. Close it when it is left before its end.

    Args:
        files: What `bakeoff.data.sources.resolve` gives.
        config: How they are written (encoding), and how many bad rows are too many.
        names: Columns that are wanted: as when files are appended, upper and lower case in a header are the same.
        rows: The most rows of a batch.

    Raises:
        DataError: a file cannot be read, too many of its rows are bad, or there are no rows at all.
    """
    wanted = {name.casefold(): name for name in names}
    empty = True
    for file in files:
        with tempfile.TemporaryDirectory(prefix="bakeoff-read-") as scratch:
            read = {"parquet": _parquet, "jsonl": _json_lines}.get(file.format, _texts)
            for batch in read(file, config, Path(scratch), rows):
                empty = empty and not batch.rows and not batch.bad
                yield _renamed(batch, wanted, config.target)
    if empty:
        raise DataError(f"expected rows, found none in {', '.join(file.path.name for file in files[:3])}.")


def _texts(file: SourceFile, config: DataConfig, scratch: Path, rows: int) -> Iterator[Batch]:
    import duckdb

    name = file.path.name
    clean = as_utf8(file.path, config.encoding, scratch, name)
    with duckdb.connect(str(scratch / "rows.db"), config=SETTINGS) as connection:
        bad = load_texts(connection, TABLE, clean, delimiter=DELIMITERS[file.format], name=name)
        counted = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()  # noqa: S608
        assert counted is not None
        check_share(name, counted[0], bad, config)
        cursor = connection.execute(f"SELECT * FROM {TABLE}")  # noqa: S608
        columns = tuple(column[0] for column in cursor.description or ())
        read = iter(lambda: cursor.fetchmany(rows), [])
        tables = ([dict(zip(columns, row, strict=True)) for row in part] for part in read)
        yield from _numbered(name, tables, columns, bad)


def _json_lines(file: SourceFile, config: DataConfig, scratch: Path, rows: int) -> Iterator[Batch]:
    import msgspec

    name = file.path.name
    clean, lines = as_utf8(file.path, config.encoding, scratch, name), scratch / "lines"
    bad = list(sound_lines(clean, lines, name))
    with lines.open("rb") as source:
        check_share(name, sum(1 for _ in source), bad, config)

    def tables() -> Iterator[list[dict[str, object]]]:
        decode = msgspec.json.Decoder(dict[str, object]).decode
        with lines.open("rb") as source:
            part: list[dict[str, object]] = []
            for line in source:
                part.append(decode(line))
                if len(part) == rows:
                    yield part
                    part = []
            if part:
                yield part

    yield from _numbered(name, tables(), None, bad)


def _parquet(file: SourceFile, config: DataConfig, scratch: Path, rows: int) -> Iterator[Batch]:
    """By way of DuckDB, as training data come, so that every type is what it was there."""
    del config
    import duckdb
    import polars as pl

    name, copy = file.path.name, scratch / "rows.parquet"
    try:
        with duckdb.connect(config=SETTINGS) as connection:
            connection.sql("SELECT * FROM read_parquet(?)", params=[str(file.path)]).write_parquet(str(copy))
    except duckdb.Error as error:
        raise DataError(f"{name}: could not be read: {first_line(error)}") from error
    scanned = pl.scan_parquet(copy)
    height = scanned.select(pl.len()).collect().item()

    def tables() -> Iterator[list[dict[str, object]]]:
        for start in range(0, height, SLICE_ROWS):
            for part in scanned.slice(start, SLICE_ROWS).collect().iter_slices(rows):
                yield part.to_dicts()

    yield from _numbered(name, tables(), tuple(scanned.collect_schema().names()), [])


def _numbered(
    name: str, tables: Iterator[list[dict[str, object]]], columns: tuple[str, ...] | None, bad: Sequence[Bad]
) -> Iterator[Batch]:
    first, kept = 1, tuple(bad)
    for rows in tables:
        yield Batch(file=name, first=first, rows=rows, names=columns, bad=kept)
        first, kept = first + len(rows), ()
    if first == 1:
        yield Batch(file=name, first=1, rows=(), names=columns, bad=kept)


def _renamed(batch: Batch, wanted: Mapping[str, str], target: str) -> Batch:
    """The batch with the names of columns that are wanted, and conversations without the answers."""
    new: dict[tuple[str, ...], dict[str, str]] = {}

    def names_of(names: tuple[str, ...]) -> dict[str, str]:
        if names not in new:
            taken = set(names)
            better = {name: wanted.get(name.strip().casefold(), name) for name in names}
            new[names] = {name: to if to not in taken else name for name, to in better.items()}
        return new[names]

    rows = [question_row({to: row[name] for name, to in names_of(tuple(row)).items()}, target) for row in batch.rows]
    names = None if batch.names is None else tuple(names_of(batch.names).values())
    return Batch(file=batch.file, first=batch.first, rows=rows, names=names, bad=batch.bad)
