"""Rows of data files a batch at a time, for those who answer or record them: read by the rules of training data.

Cells of text files stay text: whoever takes the rows converts them as the columns were in training. A file of any
size is read in bounded memory and in its own order; it is read once before, to know whether it is too bad to be used.
"""

import tempfile
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import DataError
from bakeoff.data.conversations import question_row
from bakeoff.data.encoding import as_utf8
from bakeoff.data.flat import plain_types
from bakeoff.data.headers import clean_names
from bakeoff.data.json_lines import objects_of
from bakeoff.data.parquet import parquet_errors
from bakeoff.data.reading import cells, check_share
from bakeoff.data.records import Bad
from bakeoff.data.sources import SourceFile

__all__ = ["ROWS", "Batch", "batches"]

ROWS = 1000
SLICE_ROWS = 50_000
"""Rows of a Parquet file that are decoded at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of a file: `first` is the number of the first one (from 1, those that are `bad` not counted).

    `names` are the file's columns, when all its rows have the same.
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
        names: Columns that are wanted: in a header, upper and lower case are the same.
        rows: The most rows of a batch.

    Raises:
        DataError: a file cannot be read, too many of its rows are bad, or there are no rows at all.
    """
    wanted = {name.casefold(): name for name in names}
    empty = True
    for file in files:
        read = {"parquet": _parquet, "jsonl": _json_lines}.get(file.format, _texts)
        with closing(read(file, config, SLICE_ROWS)) as parts:
            bad: list[Bad] = []
            count = 0
            for part in parts:
                count += len(part.rows)
                bad += part.bad
        check_share(config, file, rows=count, bad=bad)
        empty = empty and not count and not bad
        first = 1
        with closing(read(file, config, rows)) as parts:
            for part in parts:
                yield _renamed(replace(part, first=first), wanted, config.target)
                first += len(part.rows)
    if empty:
        raise DataError(f"expected rows, found none in {', '.join(file.path.name for file in files[:3])}.")


def _texts(file: SourceFile, config: DataConfig, rows: int) -> Generator[Batch]:
    with closing(cells(config, file)) as parts:
        for part in parts:
            batch = Batch(file=file.path.name, first=1, rows=(), names=tuple(part.table.columns), bad=part.bad)
            if not part.table.height:
                yield batch
            for table in part.table.iter_slices(rows):
                yield replace(batch, rows=table.to_dicts())
                batch = replace(batch, bad=())


def _json_lines(file: SourceFile, config: DataConfig, rows: int) -> Generator[Batch]:
    with tempfile.TemporaryDirectory(prefix="bakeoff-read-") as scratch:
        clean = as_utf8(file.path, config.encoding, Path(scratch), file.path.name).path
        part: list[Mapping[str, object]] = []
        bad: list[Bad] = []
        for each in objects_of(clean, file.path.name):
            (bad if isinstance(each, Bad) else part).append(each)  # type: ignore[arg-type]
            if len(part) == rows:
                yield Batch(file=file.path.name, first=1, rows=part, bad=tuple(bad))
                part, bad = [], []
        yield Batch(file=file.path.name, first=1, rows=part, bad=tuple(bad))


def _parquet(file: SourceFile, config: DataConfig, rows: int) -> Generator[Batch]:
    del config
    import polars as pl

    name = file.path.name
    with parquet_errors(name):
        scanned = pl.scan_parquet(file.path, glob=False)
        raw = scanned.collect_schema().names()
        height = int(scanned.select(pl.len()).collect().item())
    names, _ = clean_names(raw, file=name)
    batch = Batch(file=name, first=1, rows=(), names=tuple(names))
    if not height:
        yield batch
    for start in range(0, height, SLICE_ROWS):
        with parquet_errors(name):
            table = scanned.slice(start, SLICE_ROWS).collect()
        table = plain_types(table.rename(dict(zip(raw, names, strict=True))))
        for part in table.iter_slices(rows):
            yield replace(batch, rows=part.to_dicts())


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
    return replace(batch, rows=rows, names=names)
