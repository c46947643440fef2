"""The door for tables as Python programs hold them: pandas, polars, Arrow, numpy, dicts and generators.

A library is known by what its objects offer. None is imported here unless one of its objects came in, so that pandas
and Arrow need not be installed. What becomes a file of the project is read as any other file; what is answered keeps
each value as its library has it, and goes through the one conversion of values.
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

from bakeoff.core import narrow
from bakeoff.core.errors import DataError, MissingExtraError, UsageError
from bakeoff.data.headers import MAX_COLUMNS
from bakeoff.data.json_lines import column_of
from bakeoff.data.python_values import plain_value

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "EXPECTED",
    "FRAME_FILE",
    "DataFrame",
    "Library",
    "Taken",
    "given_back",
    "index_of",
    "library_of",
]
__all__ += ["library_named", "names_of", "records_of", "taken"]

Library: TypeAlias = Literal["polars", "pandas", "arrow", "numpy"]
EXPECTED = "rows as dicts, or a table of polars, pandas, Arrow or numpy"
FRAME_FILE = "frame.parquet"
"""Where a project keeps the frame that it was given."""
TIMES = (dt.datetime, dt.date, dt.time, dt.timedelta)
PLACE = "x{}"
"""The name of a column of an array that has none."""
MATRIX = 2


class DataFrame(Protocol):
    """A table of pandas, polars or Arrow, as far as types know it."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    @property
    def columns(self) -> Any:
        """Its columns, or their names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A table that came in, as polars has it.

    `categorical` are columns that their library knows as categories, `index` those of a pandas index that has names;
    `mixed` held values of several types, which a file has as texts.
    """

    table: "pl.DataFrame"
    library: Library
    categorical: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()


def library_of(data: object) -> Library | None:
    """The library of a table; None for rows as dicts, and for what is no table."""
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return "pandas"
    if hasattr(data, "collect_schema"):
        return "polars"
    named = any(hasattr(data, name) for name in ("schema", "columns", "column_names")) and not hasattr(data, "dtype")
    if named and (hasattr(data, "__arrow_c_stream__") or hasattr(data, "to_pylist")):
        return "arrow"
    return "numpy" if hasattr(data, "__array_interface__") and hasattr(data, "dtype") else None


def library_named(name: str, *, argument: str) -> Library:
    """The library of this name, for an argument that takes one.

    Raises:
        UsageError: there is none. MissingExtraError: it is not installed.
    """
    from importlib.util import find_spec

    library = next((each for each in get_args(Library) if each == name), None)
    if library is None:
        raise UsageError(f"{argument}: expected one of {', '.join(get_args(Library))}, received {name!r}")
    module = "pyarrow" if library == "arrow" else library
    if find_spec(module) is None:
        raise MissingExtraError(f"{argument}={name!r} needs {module}, which is not installed: pip install {module}")
    return library


def refused(data: object, argument: str) -> DataError:
    """The error for what is neither rows nor a table."""
    hint = ""
    if isinstance(data, Mapping):
        hint = ": put a single row into a list; of columns make a frame first, as by polars.DataFrame(columns)"
    elif isinstance(data, (str, Path)):
        hint = ": files are read by source= of Project.init and by predict_file"
    elif hasattr(data, "dtype") or hasattr(data, "to_frame"):
        hint = ": one column is no table; make one by to_frame(), or reshape(-1, 1) of an array"
    kind = type(data)
    name = f"one {kind.__name__}" if kind.__module__ == "builtins" else f"a {kind.__module__}.{kind.__name__}"
    return DataError(f"{argument}: expected {EXPECTED}, received {name}{hint}")


# --- as rows: each value as its library has it --------------------------------------------------


def records_of(data: Any, *, argument: str, names: Sequence[str] = ()) -> Iterable[Any]:
    """The rows of a table, or the rows as they came.

    Args:
        data: what came in.
        argument: how the caller calls it, for errors.
        names: of the columns of an array that has none, in their order.

    Raises:
        DataError: it is no table and no rows, or its columns have no names of their own.
    """
    library = library_of(data)
    if library is None:
        if isinstance(data, (str, bytes, Mapping, Path)) or not isinstance(data, Iterable) or hasattr(data, "dtype"):
            raise refused(data, argument)
        return data
    if library == "pandas":
        columns = {name: _pandas_values(column) for name, column in _pandas_columns(data, argument)}
        if not columns:
            return [{}] * len(data)
        return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    if library == "numpy":
        columns = {name: array.tolist() for name, array in _array_columns(data, argument, names)}
        return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return _polars_of(data, argument).to_dicts()


def _pandas_values(column: Any) -> list[Any]:
    """The values of a column; categories as they are, which beside missing ones would become floats."""
    if not hasattr(column.dtype, "categories"):
        return column.tolist()
    names = column.dtype.categories.tolist()
    return [None if code < 0 else names[code] for code in column.cat.codes]


def names_of(data: Any, *, argument: str) -> tuple[str, ...]:
    """The names of a table's columns (of an array without names: none)."""
    library = library_of(data)
    if library == "pandas":
        return tuple(name for name, _ in _pandas_columns(data, argument))
    if library == "numpy":
        return tuple(data.dtype.names or ())
    return tuple(_polars_of(data, argument).columns) if library else ()


def _polars_of(data: Any, argument: str) -> "pl.DataFrame":
    import polars as pl

    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    try:
        return pl.DataFrame(data) if hasattr(data, "__arrow_c_stream__") else pl.DataFrame(data.to_pylist())
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        raise DataError(f"{argument}: expected a table of Arrow whose columns polars can read: {error}") from error


def _pandas_columns(frame: Any, argument: str) -> list[tuple[str, Any]]:
    """The columns of a pandas frame by name, those of an index that has names first."""
    if getattr(frame.columns, "nlevels", 1) > 1:
        raise DataError(
            f"{argument}: expected a name for each column, received levels of names such as {frame.columns[0]!r}: join "
            "them first, as by frame.columns = ['_'.join(map(str, names)) for names in frame.columns]"
        )
    index = index_of(frame)
    levels = [(str(name), frame.index.get_level_values(name).to_series(index=frame.index)) for name in index]
    named = [*levels, *((str(name), frame.iloc[:, at]) for at, name in enumerate(frame.columns))]
    names = [name for name, _ in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{argument}: expected distinct column names (the index's among them), received "
            f"{', '.join(map(repr, twice))} more than once"
        )
    return named


def index_of(frame: Any) -> tuple[str, ...]:
    """The names of the index of a pandas frame; an index without a name numbers the rows, and is none."""
    return tuple(name for name in getattr(getattr(frame, "index", None), "names", ()) if name is not None)


def _array_columns(array: Any, argument: str, names: Sequence[str]) -> list[tuple[str, Any]]:
    """The columns of an array: of one with fields by their names, else by place."""
    if array.dtype.names:
        return [(name, array[name]) for name in array.dtype.names]
    if array.ndim != MATRIX:
        raise DataError(
            f"{argument}: expected an array of rows and columns, received one of shape {array.shape}: "
            "reshape(1, -1) makes one row of it, reshape(-1, 1) one column"
        )
    if names and len(names) != array.shape[1]:
        raise DataError(
            f"{argument}: expected an array of {len(names)} columns ({', '.join(names[:10])}), received one of "
            f"{array.shape[1]}; a frame with names may have them in any order"
        )
    return [(names[at] if names else PLACE.format(at), array[:, at]) for at in range(array.shape[1])]


# --- as a table ---------------------------------------------------------------------------------


def taken(data: object, *, argument: str) -> Taken:
    """A table, or rows as dicts, as a table of polars in types that a file has.

    Raises:
        DataError: it is neither, it has no rows or no columns, or a column can be no column of a table.
    """
    library = library_of(data)
    if library is None:
        result = _of_rows(data, argument)
    elif library == "pandas":
        result = _of_pandas(data, argument)
    elif library == "numpy":
        result = _table({name: _of_array(name, each) for name, each in _array_columns(data, argument, ())}, "numpy")
    else:
        result = _of_polars(_polars_of(data, argument), library)
    rows, columns = result.table.shape
    if not rows or not columns:
        raise DataError(
            f"{argument}: expected a table with rows and columns, received one of {rows} rows and {columns} columns"
        )
    if columns > MAX_COLUMNS:
        raise DataError(f"{argument}: expected at most {MAX_COLUMNS:,} columns, received {columns:,}")
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column of a table that came in; see `Taken`."""

    series: "pl.Series"
    mixed: bool = False
    categorical: bool = False


def _table(columns: Mapping[str, _Column], library: Library, *, index: tuple[str, ...] = ()) -> Taken:
    import polars as pl

    return Taken(
        table=pl.DataFrame([column.series for column in columns.values()]),
        library=library,
        categorical=tuple(name for name, column in columns.items() if column.categorical),
        index=index,
        mixed=tuple(name for name, column in columns.items() if column.mixed),
    )


def _of_values(name: str, values: Sequence[object]) -> _Column:
    """Python values as a column of their one type, as JSON lines have them; times of one type stay times."""
    import polars as pl

    plain = [plain_value(value, name, row) for row, value in enumerate(values, start=1)]
    types = set(map(type, plain)) - {type(None)}
    if len(types) == 1 and issubclass(next(iter(types)), TIMES):
        aware = {getattr(value, "tzinfo", None) is not None for value in plain if value is not None}
        if len(aware) == 1:
            dtype = pl.Datetime("us", "UTC") if types == {dt.datetime} and aware == {True} else None
            return _Column(series=pl.Series(name, plain, dtype=dtype))
    series, nested = column_of(name, plain)
    return _Column(series=series, mixed=nested or (len(types) > 1 and series.dtype == pl.String))


def _of_array(name: str, array: Any) -> _Column:
    """An array of numpy as a column; NaN is missing."""
    import polars as pl

    if array.dtype.kind not in "biuf" or hasattr(array, "mask"):
        return _of_values(name, array.tolist())
    series = pl.Series(name, array.astype(NUMBERS[array.dtype.kind]))
    return _Column(series=series.fill_nan(None) if array.dtype.kind == "f" else series)


def _of_rows(data: object, argument: str) -> Taken:
    rows = list(records_of(data, argument=argument))
    for number, row in enumerate(rows, start=1):
        if not narrow.is_mapping(row):
            raise DataError(
                f"{argument}: row {number}: expected an object of column names and values, received {row!r:.80}"
            )
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return _table({name: _of_values(name, [row.get(name) for row in rows]) for name in names}, "polars")


def _of_polars(table: "pl.DataFrame", library: Library) -> Taken:
    import polars as pl

    columns: dict[str, _Column] = {}
    for series in table:
        categorical = isinstance(series.dtype, (pl.Categorical, pl.Enum))
        if series.dtype == pl.Object:
            columns[series.name] = _of_values(series.name, series.to_list())
        elif series.dtype == pl.Null or categorical:
            columns[series.name] = _Column(series=series.cast(pl.String), categorical=categorical)
        else:
            columns[series.name] = _Column(series=series.fill_nan(None) if series.dtype.is_float() else series)
    return _table(columns, library)


def _of_pandas(frame: Any, argument: str) -> Taken:
    columns = {name: _pandas_column(name, column) for name, column in _pandas_columns(frame, argument)}
    return _table(columns, "pandas", index=tuple(map(str, index_of(frame))))


def _pandas_column(name: str, column: Any) -> _Column:
    """A column of pandas: categories each once, numbers and times at once, others value by value."""
    import polars as pl

    if hasattr(column.dtype, "categories"):
        names = _of_values(name, column.dtype.categories.tolist())
        places = pl.Series([None if code < 0 else int(code) for code in column.cat.codes], dtype=pl.UInt32)
        return _Column(series=names.series.gather(places).alias(name), mixed=names.mixed, categorical=True)
    kind = str(getattr(column.dtype, "kind", "O"))
    if kind in NUMBERS:
        missing = pl.Series(column.isna().to_numpy())
        series = pl.Series(name, column.to_numpy(dtype=NUMBERS[kind], na_value=math.nan if kind == "f" else 0))
        return _Column(series=series.set(missing, None) if missing.any() else series)
    if kind == "M":
        if aware := getattr(column.dt, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        series = pl.Series(name, column.to_numpy(dtype="datetime64[us]"))
        return _Column(series=series.dt.replace_time_zone("UTC") if aware else series)
    return _of_values(name, column.tolist())


NUMBERS: Mapping[str, str] = {"b": "bool", "i": "int64", "u": "uint64", "f": "float64"}
"""In which type numbers are read, by the kind that numpy and pandas give to theirs."""


# --- a table out --------------------------------------------------------------------------------


def given_back(table: "pl.DataFrame", library: Library, *, index: Any = None) -> Any:
    """A table in the library of the one that came in; of pandas with its index.

    Raises:
        MissingExtraError: the library is not installed.
    """
    if library == "polars":
        return table
    if library == "arrow":
        return table.to_arrow()
    if library == "numpy":
        return table.to_numpy(structured=True)
    import pandas as pd

    return pd.DataFrame({series.name: _for_pandas(series, pd) for series in table}, index=index)


def _for_pandas(series: "pl.Series", pandas: Any) -> Any:
    import polars as pl

    dtype = series.dtype
    if series.null_count() and (dtype.is_integer() or dtype == pl.Boolean):
        return pandas.array(series.to_list(), dtype="boolean" if dtype == pl.Boolean else "Int64")
    if dtype.is_numeric() or dtype == pl.Boolean or isinstance(dtype, (pl.Date, pl.Datetime, pl.Duration)):
        return series.to_numpy()
    return series.to_list()
