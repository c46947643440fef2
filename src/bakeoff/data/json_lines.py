"""JSON lines as tables: each column in the type that all its values have, or else as texts.

Numbers stay what they are: whole numbers whole, as texts where 64 bits do not hold them. Lists of numbers of one length
are a column of lists; other nested values are JSON texts. A column of several types holds texts, each as the conversion
of single values writes it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.data.headers import MAX_COLUMNS, clean_names
from bakeoff.data.records import Bad
from bakeoff.data.turns import is_turns
from bakeoff.data.values import as_text
from bakeoff.data.vectors import is_vector

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Values", "column_of", "json_text", "objects_of", "values_of"]

ROWS = 50_000
TEXT_LIMIT = 500
WRAPPERS = ("data", "records", "rows", "results", "items")
CONVERSATIONS = ("messages", "conversations", "conversation")
NO_JSON = (b"NaN", b"Infinity")
WHOLE_BITS = 63
EXACT_WHOLE = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Rows of a file with the columns whose values are nested, the rows set aside, and what was renamed."""

    table: "pl.DataFrame"
    nested: frozenset[str]
    bad: tuple[Bad, ...]
    notes: tuple[str, ...]


def values_of(path: Path, *, name: str) -> Iterator[Values]:
    """The rows of a clean UTF-8 file of JSON objects, some at a time; at least one table.

    Raises:
        DataError: it has too many columns.
    """
    columns: dict[str, list[object]] = {}
    bad: list[Bad] = []
    rows = 0
    for each in objects_of(path, name):
        if isinstance(each, Bad):
            bad.append(each)
            continue
        _add(columns, each, rows)
        rows += 1
        if len(columns) > MAX_COLUMNS:
            clean_names(list(columns), file=name)  # raises
        if rows >= ROWS:
            yield _values(columns, rows, bad, name)
            columns, bad, rows = {}, [], 0
    yield _values(columns, rows, bad, name)


def _add(columns: dict[str, list[object]], row: Mapping[str, object], rows: int) -> None:
    for key, value in row.items():
        column = columns.get(key)
        if column is None:
            column = columns[key] = []
        if len(column) < rows:
            column.extend([None] * (rows - len(column)))
        column.append(value)


def objects_of(path: Path, name: str) -> "Iterator[dict[str, Any] | Bad]":
    """The objects of a file, one a line, or one document of all (see `_of_document`); what is none is set aside."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    with path.open("rb") as source:
        first = source.readline().strip()
        alone = not source.readline().strip()
    if first in {b"[", b"[{", b"{"} or (alone and first[:1] in {b"[", b"{"}):
        whole = _of_document(path)
        if whole is not None:
            for number, each in enumerate(whole, start=1):
                if narrow.is_object(each):
                    yield each
                else:
                    yield Bad(file=name, line=number, reason="not a JSON object", text=repr(each)[:TEXT_LIMIT])
            return
    with path.open("rb") as source:
        for number, line in enumerate(source, start=1):
            if line.isspace():
                continue
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                read = _with_nan(line)
                text = line[:TEXT_LIMIT].decode("utf-8", "replace").rstrip("\n")
                reason = f"not a JSON object: {_reason(error)}"
                yield read if read is not None else Bad(file=name, line=number, reason=reason, text=text)


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _of_document(path: Path) -> list[Any] | None:
    """The rows of a file that is one JSON document; None when it is none, or holds no rows.

    A list of objects; an object with such a list under its only key, or under data, records, rows, results or items;
    lists `columns` and `data` (as pandas splits a table); or an object of columns, each a list of equally many values.
    """
    content = path.read_bytes()
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            document = json.loads(content) if any(word in content for word in NO_JSON) else None
        except (ValueError, RecursionError):
            return None
    if narrow.is_array(document):
        return document
    return _of_object(document) if narrow.is_object(document) else None


def _of_object(document: dict[str, Any]) -> list[Any] | None:
    columns, data = document.get("columns"), document.get("data")
    if narrow.is_array(columns) and narrow.is_array(data):
        names = [str(name) for name in columns]
        return [dict(zip(names, row, strict=False)) if isinstance(row, list) else row for row in data]
    lists = {key: value for key, value in document.items() if isinstance(value, list)}
    if any(is_turns(lists.get(key)) for key in CONVERSATIONS):
        return [document]  # one conversation, whose turns are no rows
    wrapped = [key for key in lists if len(document) == 1 or key in WRAPPERS]
    for key in wrapped:
        if lists[key] and all(isinstance(each, dict) for each in lists[key]):
            return lists[key]
    lengths = {len(value) for value in lists.values()}
    if len(lists) == len(document) > 1 and len(lengths) == 1:
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return None


def _with_nan(line: bytes) -> dict[str, Any] | None:
    """An object with NaN or Infinity, which Python writes though JSON knows neither."""
    if not any(word in line for word in NO_JSON):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if narrow.is_object(value) else None


def _values(columns: dict[str, list[object]], rows: int, bad: Sequence[Bad], name: str) -> Values:
    import polars as pl

    columns, joined = _joined(columns, rows, name)
    names, notes = clean_names(list(columns), file=name)
    notes = (*joined, *notes)
    series: list[pl.Series] = []
    nested: set[str] = set()
    for final, values in zip(names, columns.values(), strict=True):
        values.extend([None] * (rows - len(values)))
        column, is_nested = column_of(final, values)
        series.append(column)
        if is_nested:
            nested.add(final)
    table = pl.DataFrame(series) if series else pl.DataFrame()
    return Values(table=table, nested=frozenset(nested), bad=tuple(bad), notes=notes)


def _joined(columns: dict[str, list[object]], rows: int, name: str) -> tuple[dict[str, list[object]], tuple[str, ...]]:
    """Keys that differ in case only, or by blanks around them, and never stand in one row, as one column each."""
    groups: dict[str, list[str]] = {}
    for key in columns:
        groups.setdefault(key.strip().casefold(), []).append(key)
    notes: list[str] = []
    for first, *others in groups.values():
        for other in others:
            one, two = (columns[key] + [None] * (rows - len(columns[key])) for key in (first, other))
            if any(a is not None and b is not None for a, b in zip(one, two, strict=True)):
                continue
            columns[first] = [b if a is None else a for a, b in zip(one, two, strict=True)]
            del columns[other]
            notes.append(f"{name}: the keys {first!r} and {other!r} never stand in one row and are read as one column")
    return columns, tuple(notes)


def column_of(name: str, values: list[object]) -> "tuple[pl.Series, bool]":  # noqa: PLR0911 - a line a type
    """A column in the one type of its values, and whether they are nested."""
    import polars as pl

    types = set(map(type, values)) - {type(None)}
    if not types:
        return pl.Series(name, values, dtype=pl.String), False
    if types == {str}:
        return pl.Series(name, _encodable(values), dtype=pl.String), False
    if types == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean), False
    if types == {int} and _longest(values).bit_length() <= WHOLE_BITS:
        return pl.Series(name, values, dtype=pl.Int64), False
    if types == {float} or (types == {int, float} and _longest(values) <= EXACT_WHOLE):
        numbers = [None if value is None else float(narrow.number(value)) for value in values]
        return pl.Series(name, numbers, dtype=pl.Float64), False
    if types == {list} and is_vector(values):
        return pl.Series(name, values, dtype=pl.List(pl.Float64), strict=False), False
    if types <= {list, dict}:
        return pl.Series(name, [json_text(value) for value in values], dtype=pl.String), True
    texts = [json_text(value) if isinstance(value, (list, dict)) else as_text(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String), False


def _longest(values: Iterable[object]) -> int:
    return max(abs(value) for value in values if isinstance(value, int))


def _encodable(values: list[Any]) -> list[Any]:
    """Texts without halves of characters (lone surrogates), which no file can hold."""
    try:
        "".join(value for value in values if value is not None).encode()
    except UnicodeEncodeError:
        return [as_text(value) for value in values]
    return values


def json_text(value: object) -> str | None:
    """A nested value as compact JSON.

    Raises:
        DataError: it is nested too deeply.
    """
    if value is None:
        return None
    try:
        return msgspec.json.encode(value, enc_hook=str).decode()
    except RecursionError:
        raise DataError("expected values that are nested a few times, received one that is nested too deeply") from None
