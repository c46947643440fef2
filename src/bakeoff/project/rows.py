"""Rows as Python programs hold them: dicts, and tables of polars, pandas, Arrow or numpy, as plain values."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.core.types import Json
from bakeoff.data.labels import label_text
from bakeoff.data.python_values import plain_value
from bakeoff.project.frames import records_of

__all__ = ["as_rows", "plain_items"]


def as_rows(rows: object, *, argument: str = "rows", names: Sequence[str] = ()) -> list[dict[str, object]]:
    """Rows with plain values: what JSON, the log and the conversion of columns take.

    Args:
        rows: dicts, a generator of them, or a table.
        argument: how the caller calls them, for errors.
        names: of the columns of an array that has none, in their order.

    Raises:
        DataError: they are no rows, or a value is none that a table can hold; names the row (from 1) and the column.

    >>> import numpy as np
    >>> as_rows([{"x": np.float32(0.5), "n": np.int64(3), "t": np.datetime64("NaT")}])
    [{'x': 0.5, 'n': 3, 't': None}]
    """
    records = records_of(rows, argument=argument, names=names)
    return [_plain_row(row, number) for number, row in enumerate(records, start=1)]


def plain_items(items: object) -> "list[Mapping[str, Json]]":
    """Feedback items, or a table of them, with plain values; what is missing says nothing. Times are texts.

    >>> import numpy as np
    >>> plain_items([{"id": "a", "label": np.int64(1), "rating": np.nan}])
    [{'id': 'a', 'label': 1}]
    """
    rows = items if narrow.is_sequence(items) else as_rows(items, argument="items")
    return [_plain_item(row) for row in rows]


def _plain_item(item: Any) -> Any:
    if not narrow.is_mapping(item):
        return item  # what takes it in says what is wrong
    pairs = {str(name): plain_value(value, str(name), 1) for name, value in item.items()}
    return {
        name: label_text(value) if isinstance(value, date) else value
        for name, value in pairs.items()
        if value is not None
    }


def _plain_row(row: object, number: int) -> dict[str, object]:
    if not narrow.is_mapping(row):
        raise DataError(f"row {number}: expected an object of column names and values, received {row!r:.80}")
    return {str(name): plain_value(value, str(name), number) for name, value in row.items()}
