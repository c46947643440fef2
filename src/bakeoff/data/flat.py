"""Tables of plain columns: vectors as a column an element, other nested values as texts, odd types as plain ones."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, ColumnFormat
from bakeoff.data.cast import to_kind
from bakeoff.data.headers import MAX_COLUMNS
from bakeoff.data.json_lines import json_text
from bakeoff.data.vectors import MOST_ELEMENTS

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Flat", "plain_types", "unfolded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """A table of plain columns, and the formats of those that stem from nested ones."""

    table: "pl.DataFrame"
    formats: dict[str, ColumnFormat]


def plain_types(table: "pl.DataFrame") -> "pl.DataFrame":
    """The table with dictionaries and bytes that are texts as texts, decimals as numbers, and zones taken to UTC."""
    return table.with_columns([_plain(series) for series in table])


def _plain(series: "pl.Series") -> "pl.Series":  # noqa: PLR0911 - a line a type
    import polars as pl

    dtype = series.dtype
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return series.cast(pl.String)
    if isinstance(dtype, pl.Binary):
        try:
            return series.cast(pl.String)
        except pl.exceptions.ComputeError:  # bytes that are no text
            return series
    if isinstance(dtype, pl.Decimal):
        if dtype.scale:
            return series.cast(pl.Float64)
        whole = series.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == series.null_count() else series.cast(pl.String)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if isinstance(dtype, (pl.UInt64, pl.Int128, pl.UInt128)):
        whole = series.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == series.null_count() else series.cast(pl.String)
    return series


def unfolded(table: "pl.DataFrame") -> Flat:
    """The table without nested columns.

    Times of day and durations become seconds. A column of lists of equally many numbers becomes a column `name[0]`
    for each element; other lists, structs and maps become JSON texts.
    """
    import polars as pl

    columns: list[pl.Series] = []
    formats: dict[str, ColumnFormat] = {}
    for series in table:
        if isinstance(series.dtype, pl.Array):
            series = series.arr.to_list() if len(series.dtype.shape) == 1 else series  # noqa: PLW2901
        if isinstance(series.dtype, (pl.Time, pl.Duration)):
            columns.append(to_kind(series, Column(name=series.name, kind="numeric", dtype="")))
            formats[series.name] = ColumnFormat(form="duration")
            continue
        if not series.dtype.is_nested():
            columns.append(series)
            continue
        length = _length(series)
        if length is None:
            columns.append(pl.Series(series.name, [json_text(value) for value in series.to_list()], dtype=pl.String))
            formats[series.name] = ColumnFormat(form="json")
            continue
        for place in range(length):
            name = f"{series.name}[{place}]"
            columns.append(series.list.get(place).cast(pl.Float64).alias(name))
            formats[name] = ColumnFormat(vector=series.name, position=place, length=length)
    names = [column.name for column in columns]
    if len(names) > MAX_COLUMNS:
        raise DataError(f"expected at most {MAX_COLUMNS:,} columns, found {len(names):,} with the elements of lists.")
    taken = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if taken:
        raise DataError(f"expected distinct names, found {', '.join(map(repr, taken[:5]))} twice: rename the columns.")
    return Flat(table=pl.DataFrame(columns), formats=formats)


def _length(lists: "pl.Series") -> int | None:
    """How many numbers each list has, when all have equally many."""
    import polars as pl

    dtype = lists.dtype
    if not isinstance(dtype, pl.List) or not (dtype.inner.is_numeric() or dtype.inner == pl.Boolean):  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType,reportAttributeAccessIssue]
        return None
    lengths = lists.list.len().drop_nulls().unique()
    return int(lengths[0]) if len(lengths) == 1 and 0 < lengths[0] <= MOST_ELEMENTS else None
