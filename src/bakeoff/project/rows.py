"""Rows as Python programs hold them: dicts, and tables of polars, pandas or Arrow, as plain values.

The libraries are known by what their tables offer, never imported: pandas and Arrow need not be installed.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.core.types import Json
from bakeoff.data.labels import label_text
from bakeoff.data.values import plain

__all__ = ["as_rows", "plain_items"]

PLAIN = (str, bool, int, float, datetime, date, time, timedelta, list, dict)
EXPECTED = "rows as dicts, or a table of polars, pandas or Arrow"


def as_rows(rows: object) -> list[dict[str, object]]:
    """Rows with plain values: what JSON, the log and the conversion of columns take.

    Raises:
        DataError: they are no rows, or a value is none that a table can hold; names the row (from 1) and the column.

    >>> import numpy as np
    >>> as_rows([{"x": np.float32(0.5), "n": np.int64(3), "t": np.datetime64("NaT")}])
    [{'x': 0.5, 'n': 3, 't': None}]
    """
    return [_plain_row(row, number) for number, row in enumerate(_rows_of(rows), start=1)]


def plain_items(items: object) -> "list[Mapping[str, Json]]":
    """Feedback items, or a table of them, with plain values; what is missing says nothing. Times are texts.

    >>> import numpy as np
    >>> plain_items([{"id": "a", "label": np.int64(1), "rating": np.nan}])
    [{'id': 'a', 'label': 1}]
    """
    rows = items if narrow.is_sequence(items) else as_rows(items)
    return [_plain_item(row) for row in rows]


def _plain_item(item: Any) -> Any:
    if not narrow.is_mapping(item):
        return item  # what takes it in says what is wrong
    pairs = {str(name): _plain(value, str(name), 1) for name, value in item.items()}
    return {
        name: label_text(value) if isinstance(value, date) else value
        for name, value in pairs.items()
        if value is not None
    }


def _rows_of(rows: object) -> Iterable[Any]:
    if isinstance(rows, (str, bytes, Mapping)):
        hint = ": put a single row into a list" if isinstance(rows, Mapping) else ""
        raise DataError(f"expected {EXPECTED}, received one {type(rows).__name__}{hint}")
    table: Any = rows
    if hasattr(table, "collect") and hasattr(table, "collect_schema"):  # polars, not read yet
        table = table.collect()
    if hasattr(table, "iloc") and hasattr(table, "columns"):  # pandas; by columns, so that each keeps its own type
        return _pandas_rows(table)
    for name in ("to_dicts", "to_pylist"):  # polars; Arrow
        if hasattr(table, name) and hasattr(table, "columns"):
            return getattr(table, name)()
    if isinstance(rows, Iterable) and not hasattr(rows, "dtype"):
        return rows
    raise DataError(f"expected {EXPECTED}, received {type(rows).__module__}.{type(rows).__name__}")


def _pandas_rows(table: Any) -> Iterable[dict[str, object]]:
    names = [str(name) for name in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"expected distinct column names, received {', '.join(map(repr, twice))} more than once")
    columns = [table.iloc[:, at].tolist() for at in range(len(names))]
    if not columns:
        return [{}] * len(table)
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _plain_row(row: object, number: int) -> dict[str, object]:
    if not narrow.is_mapping(row):
        raise DataError(f"row {number}: expected an object of column names and values, received {row!r:.80}")
    return {str(name): _plain(value, str(name), number) for name, value in row.items()}


def _plain(value: object, name: str, number: int) -> object:
    if value is None or type(value) in {str, bool, int}:
        return value
    try:
        found = plain(value.value if isinstance(value, Enum) else value)
    except (ValueError, TypeError, OverflowError):
        found = value
    if narrow.is_array(found):
        return [_plain(each, name, number) for each in found]
    if found is not None and not isinstance(found, PLAIN):
        raise DataError(
            f"row {number}, column {name!r}: expected a text, number, boolean, time or list of them, "
            f"received {value!r:.80} ({type(value).__name__})"
        )
    return _own(found)


def _own(value: object) -> object:
    """Values of classes that are made from Python's own (numpy's, pandas') as Python's own, which JSON takes."""
    if isinstance(value, datetime) and type(value) is not datetime:
        day = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
        return datetime(*day, tzinfo=value.tzinfo, fold=value.fold)
    if isinstance(value, timedelta) and type(value) is not timedelta:
        return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
    for kind in (str, int, float):
        if isinstance(value, kind) and type(value) not in {kind, bool}:
            return kind(value)
    return value
