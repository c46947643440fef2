"""Tables in the stored types of columns, from rows or other tables, by the one conversion of `bakeoff.data.values`.

What a table holds is converted by whole columns where its type allows, else each distinct value once.
"""

import reprlib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, ColumnKind
from bakeoff.data.trimming import trimmed
from bakeoff.data.values import (
    LONG_FLOAT,
    MISSING_WORDS,
    WEAK_WORDS,
    Convert,
    absent_values,
    converter,
    expected,
    short_float,
)

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "FEW_ROWS",
    "absent_n",
    "conform",
    "few_rows",
    "misfits",
    "stored_rows",
    "stored_type",
    "to_kind",
    "value_of",
]

WHOLE_LIMIT = 1e15
FEW_ROWS = 8
"""Rows that are put together at once: a column of its own for each value takes longer than all the rest."""
FEW_COLUMNS = 500


@cache
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
        if rows.height > FEW_ROWS or rows.width > FEW_COLUMNS:
            return pl.DataFrame([to_kind(_series_of(rows, c), c) for c in columns])
        rows = rows.to_dicts()
    if len(rows) <= FEW_ROWS:
        return few_rows(stored_rows(rows, columns), columns)
    _check_rows(rows)
    return pl.DataFrame(
        [pl.Series(column.name, _of_rows(rows, column), dtype=stored_type(column.kind)) for column in columns]
    )


def few_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[Column]) -> "pl.DataFrame":
    """The table of a few rows of stored values, put together at once."""
    import polars as pl

    return pl.from_dicts(rows, schema=_stored_schema(tuple(columns)))


def stored_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """A few rows with the values that the columns store, by the one conversion.

    Raises:
        DataError: a value does not fit its column; names the row (from 1) and the column.
    """
    _check_rows(rows)
    plan = _plan(tuple(columns))
    stored: list[dict[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        values: dict[str, Any] = {}
        for column, name, convert in plan:
            try:
                values[name] = convert(row.get(name) if column is None else value_of(row, column))
            except (ValueError, TypeError, OverflowError):
                raise _misfit_of(number, row, next(each for each in columns if each.name == name)) from None
        stored.append(values)
    return stored


@lru_cache(maxsize=256)
def _plan(columns: tuple[Column, ...]) -> tuple[tuple[Column | None, str, Convert], ...]:
    """For each column its name and conversion, and itself when it is the element of a vector."""
    return tuple(
        (column if column.format.vector is not None else None, column.name, converter(column)) for column in columns
    )


@lru_cache(maxsize=256)
def _stored_schema(columns: tuple[Column, ...]) -> "dict[str, pl.DataType]":
    return {column.name: stored_type(column.kind) for column in columns}


def _check_rows(rows: Sequence[object]) -> None:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - comes from outside
            raise DataError(f"row {number}: expected an object of column names and values, received {row!r:.80}")


def value_of(row: Mapping[str, object], column: Column) -> object:
    """The value of a column in a row; of a vector's element, also from the list under the vector's name.

    Raises:
        ValueError: the list has another length than in training.
    """
    style = column.format
    if style.vector is None or column.name in row:
        return row.get(column.name)
    vector: Any = vector_of(row.get(style.vector))
    if vector is None:
        return None
    if not narrow.is_sequence(vector) or len(vector) != style.length:
        raise ValueError(f"a list of {style.length} numbers")
    return vector[style.position]


def vector_of(value: Any) -> Any:
    """A vector as a list, from an array or JSON text; None when it is missing."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if not isinstance(value, str):
        return value
    word = value.strip()
    if word in MISSING_WORDS or word.casefold() in WEAK_WORDS:
        return None
    try:
        return msgspec.json.decode(word)
    except (msgspec.DecodeError, RecursionError):
        return value


def _series_of(table: "pl.DataFrame", column: Column) -> "pl.Series":
    import polars as pl

    if column.name in table.columns:
        return table[column.name]
    style = column.format
    if style.vector is not None and style.vector in table.columns:
        lists = table[style.vector]
        if not isinstance(lists.dtype, (pl.List, pl.Array)):
            values = _of_rows(lists.to_frame().to_dicts(), column)
            return pl.Series(column.name, values, dtype=stored_type(column.kind))
        lists = lists.arr.to_list() if isinstance(lists.dtype, pl.Array) else lists
        wrong = (lists.list.len() != style.length).fill_null(value=False)
        if wrong.any():
            raise _misfit((wrong.arg_max() or 0) + 1, column, f"a list of {style.length} numbers", lists.to_list()[0])
        return lists.list.get(style.position).alias(column.name)
    return pl.Series(column.name, [None] * table.height, dtype=stored_type(column.kind))


def _of_rows(rows: Sequence[Mapping[str, object]], column: Column) -> list[object]:
    convert = converter(column)
    values: list[object] = []
    for number, row in enumerate(rows, start=1):
        try:
            values.append(convert(value_of(row, column)))
        except (ValueError, TypeError, OverflowError):
            raise _misfit_of(number, row, column) from None
    return values


def _misfit_of(number: int, row: Mapping[str, object], column: Column) -> DataError:
    name = column.format.vector
    if name is not None and column.name not in row:
        return _misfit(number, column, f"a list of {column.format.length} numbers", row.get(name))
    return _misfit(number, column, expected(column), row.get(column.name))


def _misfit(row: int, column: Column, wanted: str, value: object) -> DataError:
    name = column.name if column.format.vector is None else column.format.vector
    return DataError(f"row {row}, column {name!r}: expected {wanted}, received {reprlib.repr(value)}")


def to_kind(series: "pl.Series", column: Column) -> "pl.Series":
    """A whole column in its stored type, by the same conversion as single values.

    Raises:
        DataError: a value does not fit; names the row (from 1) and the column.
    """
    stored, wrong = misfits(series, column)
    if wrong is not None:
        row = int(wrong.arg_max() or 0)
        raise _misfit(row + 1, column, expected(column), series[row])
    return stored


def misfits(series: "pl.Series", column: Column) -> "tuple[pl.Series, pl.Series | None]":
    """A whole column in its stored type (missing where a value does not fit), and where that is, if anywhere."""
    import polars as pl

    dtype = series.dtype
    kind = column.kind
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        series = series.cast(pl.String)
    elif isinstance(dtype, pl.Decimal):
        whole = dtype.scale == 0
        series = series.cast(pl.Int64 if whole else pl.Float64, strict=False) if not _is_long(series, whole) else series
    if series.dtype == pl.Null:
        return pl.Series(series.name, [None] * len(series), dtype=stored_type(kind)), None
    fast = _by_type(series, column)
    if fast is not None:
        stored = fast.cast(stored_type(kind)).alias(series.name)
        absent = absent_n(stored, column)
        return stored if absent is None else stored.set(absent, None), None
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return _by_distinct_values(series, column)


def absent_n(stored: "pl.Series", column: Column) -> "pl.Series | None":
    """Where the stored values of a column mean "no value" by its words for it, if anywhere."""
    import polars as pl

    absent = absent_values(column)
    if not absent:
        return None
    mask = stored.is_in(pl.Series(list(absent), dtype=stored.dtype).implode()).fill_null(value=False)
    return mask if mask.any() else None


def _is_long(series: "pl.Series", whole: bool) -> bool:  # noqa: FBT001
    """Whether there are whole numbers that a 64-bit integer does not hold."""
    import polars as pl

    return whole and series.cast(pl.Int64, strict=False).null_count() > series.null_count()


def _by_type(series: "pl.Series", column: Column) -> "pl.Series | None":  # noqa: PLR0911 - a line a type
    """The column converted at once, when its type alone says how."""
    import polars as pl

    dtype, kind, style = series.dtype, column.kind, column.format
    if kind in {"text", "categorical"}:
        if dtype == pl.String:
            if style.form in {"plain", "text"}:
                if kind == "categorical":
                    series = trimmed(series)
                nothing = series.str.strip_chars().is_in(["", *style.missing]) if style.missing else series == ""
                return series.set(nothing.fill_null(value=False), None) if nothing.any() else series
            return None
        if dtype.is_integer() and style.form != "number":
            return series.cast(pl.String)
        if dtype.is_float() or dtype.is_integer():
            return _float_texts(series.cast(pl.Float64))
        return series.cast(pl.String) if dtype == pl.Boolean else None
    if kind == "numeric" and (dtype.is_numeric() or dtype == pl.Boolean) and not dtype.is_decimal():
        numbers = series.cast(pl.Float64)
        odd_n = ~np.isfinite(numbers.to_numpy())  # nulls are NaN there; a tenth of the time of polars for a single row
        return numbers if odd_n.sum() == numbers.null_count() else numbers.set(pl.Series(odd_n), None)
    if kind == "datetime" and isinstance(dtype, (pl.Date, pl.Datetime)):
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series
    return series if kind == "boolean" and dtype == pl.Boolean else None


def _float_texts(series: "pl.Series") -> "pl.Series":
    import polars as pl

    whole = (series.is_finite() & (series == series.floor()) & (series.abs() < WHOLE_LIMIT)).fill_null(value=False)
    short = series.set(series.is_nan().fill_null(value=False), None)
    long = ((short.cast(pl.String).str.len_chars() >= LONG_FLOAT) & ~whole).fill_null(value=False)
    if long.any():
        values = pl.Series([short_float(value) for value in short.filter(long)], dtype=pl.Float64)
        short = short.scatter(long.arg_true(), values)
    texts = short.cast(pl.String)
    return series.set(~whole, None).cast(pl.Int64).cast(pl.String).zip_with(whole, texts)


def _by_distinct_values(series: "pl.Series", column: Column) -> "tuple[pl.Series, pl.Series | None]":
    """Convert each distinct value once, by the conversion of single values."""
    import polars as pl

    dtype = stored_type(column.kind)
    if series.dtype.is_nested() or series.dtype == pl.Object:  # neither can be grouped
        values, fits = _converted(series.to_list(), column)
        wrong = ~pl.Series(fits, dtype=pl.Boolean)
        return pl.Series(series.name, values, dtype=dtype), wrong if wrong.any() else None
    distinct = series.unique(maintain_order=True)
    values, fits = _converted(distinct.to_list(), column)
    pairs = pl.DataFrame(
        {"old": distinct, "new": pl.Series(values, dtype=dtype), "fits": pl.Series(fits, dtype=pl.Boolean)}
    )
    joined = pl.DataFrame({"old": series}).join(pairs, on="old", how="left", nulls_equal=True, maintain_order="left")
    return joined["new"].alias(series.name), None if all(fits) else ~joined["fits"]


def _converted(values: Sequence[object], column: Column) -> tuple[list[object], list[bool]]:
    convert = converter(column)
    converted: list[object] = []
    fits: list[bool] = []
    for value in values:
        try:
            converted.append(convert(value))
            fits.append(True)
        except (ValueError, TypeError, OverflowError):
            converted.append(None)
            fits.append(False)
    return converted, fits
