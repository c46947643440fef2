"""Read source files into one table: parse, set bad rows aside, give columns their types, join by the project's SQL.

Equal input gives equal rows in equal order: files are loaded in the order named, and DuckDB, which runs the SQL, has
one thread and a fixed seed, so joins and groups come out the same each time.
The query can reach the loaded tables only: no files, no network, no extensions.
"""

import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.config.sections import DataConfig
from bakeoff.core.conversation import is_conversation
from bakeoff.core.errors import DataError
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import CANONICAL, Column, ColumnFormat
from bakeoff.data.cast import to_kind
from bakeoff.data.column_types import TypedTable, type_columns
from bakeoff.data.conversations import TURNS, unpacked
from bakeoff.data.delimited import texts_of
from bakeoff.data.encoding import as_utf8
from bakeoff.data.flat import plain_types, unfolded
from bakeoff.data.json_lines import json_text, values_of
from bakeoff.data.parquet import parquet_table
from bakeoff.data.querying import lineage, run_query
from bakeoff.data.records import Bad
from bakeoff.data.sources import SourceFile

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DELIMITERS", "Cells", "TableReading", "cells", "check_share", "read"]

DELIMITERS = {"csv": None, "tsv": "\t"}
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReading:
    """The rows read, and what became of the rest.

    Attributes:
        table: The rows, after the query.
        rejected: The rows set aside: columns file, line (1-based), reason, text.
        rows: How many rows the files hold, those set aside among them, before the query.
        formats: How the values of columns are written as text, where that is not the canonical way.
        losses: Rows set aside and cells that became missing, by reason.
        notes: What was guessed and what was renamed, one line each.
        layout: The form of conversations that the rows have, as people call it, if they have one.
    """

    table: "pl.DataFrame"
    rejected: "pl.DataFrame"
    rows: int
    formats: Mapping[str, ColumnFormat] = field(default_factory=dict[str, ColumnFormat])
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()
    layout: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Rows of a file before columns have types: texts as written (CSV), or values (JSON lines, Parquet).

    `bakeoff.data.cast.conform` makes them the input of a model.
    """

    table: "pl.DataFrame"
    nested: frozenset[str] = frozenset()
    bad: tuple[Bad, ...] = ()
    notes: tuple[str, ...] = ()
    delimiter: str | None = None


def read(config: DataConfig, files: Mapping[str, Sequence[SourceFile]]) -> TableReading:
    """Read all files and apply the query.

    Args:
        config: The `[data]` section: encoding, query, and how many bad rows are too many.
        files: For each table name the files to append; a lone `source` is the table "source".

    Raises:
        DataError: a file or the query cannot be used, too many rows are bad, or none is left.
    """
    named = lineage(config.query) if config.query else {}
    target = named.get(config.target, config.target)
    bad: list[Bad] = []
    notes: list[str] = []
    tables: dict[str, TypedTable] = {}
    rows = 0
    for name, group in files.items():
        parts = [part for file in group for part in _checked(config, file)]
        bad += [item for part in parts for item in part.bad]
        notes += [note for part in parts for note in part.notes]
        delimiters = [part.delimiter for part in parts if part.delimiter]
        table, nested = _appended(parts)
        rows += table.height
        tables[name] = type_columns(plain_types(table), nested, config, target=target, delimiters=delimiters)
    result = _queried(config, tables, named)
    if result.table.height == 0:
        why = "the query gives no rows" if config.query else "the files hold a header and no rows"
        raise DataError(f"expected rows, found none: {why}.")
    turned = unpacked(result.table, config)
    flat = unfolded(turned.table)
    formats = {**result.formats, **flat.formats, **turned.formats}
    columns = frozenset(flat.table.columns)
    formats = {name: style for name, style in formats.items() if name in columns}
    formats |= {name: TURNS for name, style in formats.items() if style.form == "json" and _turns(flat.table[name])}
    ignored = frozenset(config.ignore)
    lost = [loss for loss in result.losses if loss.subject not in ignored]
    guessed = [note for name, each in result.notes.items() if name not in ignored for note in each]
    return TableReading(
        table=flat.table,
        rejected=_rejected(bad),
        rows=rows + len(bad),
        formats=formats,
        layout=turned.layout,
        losses=(*_row_losses(bad, rows + len(bad)), *turned.losses, *lost),
        notes=(*notes, *turned.notes, *guessed),
    )


def _turns(texts: "pl.Series") -> bool:
    """Whether every value of a nested column is a conversation."""
    present = texts.drop_nulls()
    return bool(len(present)) and all(map(is_conversation, present.to_list()))


def cells(config: DataConfig, file: SourceFile) -> Generator[Cells]:
    """The rows of one file as `[data]` reads it, some at a time; at least one table.

    Raises:
        DataError: the file cannot be read.
    """
    name = file.path.name
    if file.format == "parquet":
        table, notes = parquet_table(file.path, name=name)
        yield Cells(table=table, notes=notes)
        return
    with tempfile.TemporaryDirectory(prefix="bakeoff-read-") as scratch:
        clean = as_utf8(file.path, config.encoding, Path(scratch), name)
        notes = clean.notes
        if file.format in DELIMITERS:
            for texts in texts_of(clean.path, delimiter=DELIMITERS[file.format], name=name):
                each = Cells(table=texts.table, bad=texts.bad, notes=texts.notes, delimiter=texts.delimiter)
                yield replace(each, notes=(*notes, *each.notes))
                notes = ()
            return
        for values in values_of(clean.path, name=name):
            each = Cells(table=values.table, nested=values.nested, bad=values.bad, notes=values.notes)
            yield replace(each, notes=(*notes, *each.notes))
            notes = ()


def _checked(config: DataConfig, file: SourceFile) -> list[Cells]:
    """All rows of a file, unless too many are bad."""
    parts = list(cells(config, file))
    bad = [item for part in parts for item in part.bad]
    check_share(config, file, rows=sum(part.table.height for part in parts), bad=bad)
    return parts


def check_share(config: DataConfig, file: SourceFile, *, rows: int, bad: Sequence[Bad]) -> None:
    """Refuse a file of which too much cannot be read.

    Raises:
        DataError: more rows are bad than `max_bad_share` allows.
    """
    total = rows + len(bad)
    if len(bad) > config.max_bad_share * total:
        first = "\n".join(f"  line {item.line}: {item.reason}: {item.text[:80]!r}" for item in bad[:SHOWN])
        raise DataError(
            f"{file.path.name}: expected at most {config.max_bad_share:.0%} bad rows, found {len(bad):,} "
            f"of {total:,}. The first:\n{first}\nMend the file, or set max_bad_share in [data]."
        )


def _appended(parts: Sequence[Cells]) -> "tuple[pl.DataFrame, frozenset[str]]":
    """All parts below each other; columns meet by name, and those of several types are texts."""
    import polars as pl

    tables = _one_spelling([part.table for part in parts if part.table.height] or [part.table for part in parts[:1]])
    nested = frozenset(name for part in parts for name in part.nested)
    if len(tables) == 1:
        return tables[0], nested
    types: dict[str, list[pl.DataType]] = {}
    for table in tables:
        for name, dtype in table.schema.items():
            types.setdefault(name, []).append(dtype)
    mixed = {name for name, all_types in types.items() if _mixed(all_types)}
    tables = [
        table.with_columns([_as_texts(table[name]) for name in table.columns if name in mixed]) for table in tables
    ]
    return pl.concat(tables, how="diagonal_relaxed"), nested - mixed


def _one_spelling(tables: "list[pl.DataFrame]") -> "list[pl.DataFrame]":
    """Tables whose columns are named as in the first that has them: names that differ in case only are one."""
    spellings: dict[str, str] = {}
    same: list[pl.DataFrame] = []
    for table in tables:
        names = {name: spellings.setdefault(name.casefold(), name) for name in table.columns}
        other = {name: to for name, to in names.items() if name != to and to not in table.columns}
        same.append(table.rename(other) if other else table)
    return same


def _mixed(types: "Sequence[pl.DataType]") -> bool:
    """Whether values of these types only meet as texts."""
    import polars as pl

    present = {dtype for dtype in types if dtype != pl.Null}
    if len(present) <= 1 or all(dtype.is_numeric() for dtype in present):
        return False
    return not all(
        isinstance(dtype, (pl.Date, pl.Datetime)) and not getattr(dtype, "time_zone", None) for dtype in present
    )


def _as_texts(series: "pl.Series") -> "pl.Series":
    import polars as pl

    if isinstance(series.dtype, (pl.String, pl.Null)):
        return series.cast(pl.String)
    if series.dtype.is_nested():
        return pl.Series(series.name, [json_text(value) for value in series.to_list()], dtype=pl.String)
    return to_kind(series, Column(name=series.name, kind="categorical", dtype=""))


def _queried(config: DataConfig, tables: Mapping[str, TypedTable], named: Mapping[str, str]) -> TypedTable:
    """The result of the project's query, whose columns keep the formats of those that it passes on."""
    first = next(iter(tables.values()))
    if config.query is None:
        return first
    table = run_query({name: each.table for name, each in tables.items()}, config.query)
    formats: dict[str, ColumnFormat] = {}
    notes: dict[str, tuple[str, ...]] = {}
    losses: list[Loss] = []
    for name, dtype in table.schema.items():
        source = named.get(name, name)
        origins = [each for each in tables.values() if source in each.table.columns]
        styles = {each.formats.get(source, CANONICAL) for each in origins if each.table.schema[source] == dtype}
        if len(styles) == 1:
            formats[name] = next(iter(styles))
            notes[name] = tuple(note for each in origins for note in each.notes.get(source, ()))
            losses += [
                replace(loss, subject=name) for each in origins for loss in each.losses if loss.subject == source
            ]
    return TypedTable(table=plain_types(table), formats=formats, losses=tuple(losses), notes=notes)


def _row_losses(bad: Sequence[Bad], rows: int) -> Iterator[Loss]:
    reasons = Counter((item.file, item.reason.partition(":")[0]) for item in bad)
    for (file, reason), count in reasons.items():
        some = [item for item in bad if item.file == file and item.reason.startswith(reason)][:EXAMPLES]
        yield Loss(
            kind="row",
            reason=reason,
            subject=file,
            count=count,
            of=rows,
            examples=tuple(example(f"line {item.line}: {item.text}") for item in some),
            remedy="mend these lines of the file",
        )


def _rejected(bad: Sequence[Bad]) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(
        [(item.file, item.line, item.reason, item.text) for item in bad],
        schema={"file": pl.String, "line": pl.Int64, "reason": pl.String, "text": pl.String},
        orient="row",
    )
