"""One way from any value to a column's stored type, for training tables and serving requests alike.

| kind | stored as | also accepted |
|---|---|---|
| text, categorical | String | numbers and booleans (5.0 is "5", True is "true"), a list of chat messages |
| numeric | Float64 | booleans, text that is a number; what is not finite is missing |
| datetime | Datetime, UTC without a zone | ISO 8601 text, dates, times with a zone |
| boolean | Boolean | "true", "false", 0, 1 |

An empty string is missing, whatever the kind.
"""

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, ColumnKind
from bakeoff.data.conversations import question_text

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CONVERSIONS", "EXPECTED", "conform", "stored_type", "to_kind"]

EXPECTED: Mapping[ColumnKind, str] = {
    "text": "text",
    "categorical": "text, a number or a boolean",
    "numeric": "a number",
    "datetime": "an ISO 8601 time such as '2024-05-01T12:30:00'",
    "boolean": "true or false",
}
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
WHOLE_LIMIT = 1e15


def stored_type(kind: ColumnKind) -> "pl.DataType":
    """The polars type in which a kind is stored."""
    import polars as pl

    types: dict[ColumnKind, pl.DataType] = {
        "text": pl.String(),
        "categorical": pl.String(),
        "numeric": pl.Float64(),
        "datetime": pl.Datetime("us"),
        "boolean": pl.Boolean(),
    }
    return types[kind]


def conform(rows: "Sequence[Mapping[str, object]] | pl.DataFrame", columns: Sequence[Column]) -> "pl.DataFrame":
    """The exact input table of a model from decoded JSON rows or another table.

    Missing keys and columns become nulls; unknown ones are ignored.

    Raises:
        DataError: a value does not fit its column; names the row (from 1) and the column.

    >>> column = Column(name="size", kind="numeric", dtype="Float64")
    >>> conform([{"size": 3, "other": 1}, {}], (column,))["size"].to_list()
    [3.0, None]
    """
    import polars as pl

    if isinstance(rows, pl.DataFrame):
        height = rows.height
        series = [
            to_kind(rows[c.name], c.kind) if c.name in rows.columns else pl.Series(c.name, [None] * height)
            for c in columns
        ]
        return pl.DataFrame([s.cast(stored_type(c.kind)) for s, c in zip(series, columns, strict=True)])
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - comes from outside
            raise DataError(f"row {number}: expected an object of column names and values, received {row!r:.80}")
    return pl.DataFrame([_of_values([row.get(c.name) for row in rows], c.name, c.kind) for c in columns])


def _of_values(values: list[object], name: str, kind: ColumnKind) -> "pl.Series":
    import polars as pl

    convert = CONVERSIONS[kind]
    found: list[object] = []
    for number, value in enumerate(values, start=1):
        try:
            found.append(None if value is None or value == "" else convert(value))
        except (ValueError, TypeError, OverflowError):
            raise _misfit(number, name, kind, value) from None
    return pl.Series(name, found, dtype=stored_type(kind))


def _misfit(row: int, name: str, kind: ColumnKind, value: object) -> DataError:
    shown = reprlib.repr(value)
    return DataError(f"row {row}, column {name!r}: expected {EXPECTED[kind]}, received {shown}")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < WHOLE_LIMIT else _float_text(value)
    if isinstance(value, (datetime, date)):
        return _time(value).isoformat()
    if isinstance(value, list):
        return question_text(cast("list[Any]", value))
    raise TypeError


def _float_text(value: float) -> str:
    import polars as pl

    return pl.Series([value]).cast(pl.String)[0]


def _number(value: object) -> float | None:
    if not isinstance(value, (str, int, float)) or (isinstance(value, str) and "_" in value):
        raise TypeError
    number = float(value)
    return number if math.isfinite(number) else None


def _time(value: object) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise TypeError
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float, str)):
        found = BOOLEANS.get(_text(value).strip().lower())
        if found is not None:
            return found
    raise ValueError


CONVERSIONS: Mapping[ColumnKind, Callable[[object], object]] = {
    "text": _text,
    "categorical": _text,
    "numeric": _number,
    "datetime": _time,
    "boolean": _boolean,
}


def to_kind(series: "pl.Series", kind: ColumnKind) -> "pl.Series":
    """A whole column in the stored type of a kind, by the same rules as single values.

    Raises:
        DataError: a value does not fit; names the row (from 1) and the column.
    """
    import polars as pl

    dtype = series.dtype
    if dtype.is_nested() or isinstance(dtype, (pl.Binary, pl.Object)):
        raise DataError(f"column {series.name!r}: expected plain values, found {dtype}. Unpack it in [data] query.")
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        series = series.cast(pl.String)
    if dtype.is_decimal():
        series = series.cast(pl.Float64)
    if kind in {"text", "categorical"}:
        return _as_text(series)
    if kind == "numeric" and (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        numbers = series.cast(pl.Float64)
        odd_n = ~np.isfinite(numbers.to_numpy())  # nulls are NaN there; a tenth of the time of polars for a single row
        return numbers if odd_n.sum() == numbers.null_count() else numbers.set(pl.Series(odd_n), None)
    if kind == "datetime" and series.dtype.is_temporal():
        return _as_time(series)
    if kind == "boolean" and series.dtype == pl.Boolean:
        return series
    return _by_distinct_values(series, kind)


def _as_text(series: "pl.Series") -> "pl.Series":
    import polars as pl

    if series.dtype == pl.String:
        empty = series == ""
        return series.set(empty.fill_null(value=False), None) if empty.any() else series
    if series.dtype.is_float():
        whole = (series.is_finite() & (series == series.floor()) & (series.abs() < WHOLE_LIMIT)).fill_null(value=False)
        texts = series.cast(pl.Float64).cast(pl.String)
        return series.set(~whole, None).cast(pl.Int64).cast(pl.String).zip_with(whole, texts)
    if series.dtype.is_integer() or series.dtype == pl.Boolean:
        return series.cast(pl.String)
    return _by_distinct_values(series, "categorical")


def _as_time(series: "pl.Series") -> "pl.Series":
    import polars as pl

    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if isinstance(series.dtype, (pl.Time, pl.Duration)):
        return _by_distinct_values(series, "datetime")
    return series.cast(pl.Datetime("us"))


def _by_distinct_values(series: "pl.Series", kind: ColumnKind) -> "pl.Series":
    """Convert each distinct value once, by the rules for single values."""
    import polars as pl

    convert = CONVERSIONS[kind]
    distinct = series.unique(maintain_order=True)
    converted: list[object] = []
    for value in distinct.to_list():
        try:
            converted.append(None if value is None or value == "" else convert(value))
        except (ValueError, TypeError, OverflowError):
            first = series.index_of(value)
            raise _misfit((first or 0) + 1, series.name, kind, value) from None
    names = {"old": distinct, "new": pl.Series(converted, dtype=stored_type(kind))}
    joined = pl.DataFrame({"old": series}).join(
        pl.DataFrame(names), on="old", how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["new"].alias(series.name)
