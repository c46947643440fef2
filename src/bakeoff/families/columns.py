"""Reading a table's columns as families need them: numbers with NaN for missing, and texts.

Values that came by another way than training (JSON, CSV) may have another type than then: each column is
cast by its kind, and what cannot be cast is missing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import CandidateError, DataError
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, ColumnKind, Signature

if TYPE_CHECKING:
    import polars as pl

__all__ = ["categories", "input_columns", "number_names", "numbers", "of_kind", "require", "texts"]

_Floats: TypeAlias = NDArray[np.float64]

DATETIME_PARTS = (
    *("hour", "hour_sin", "hour_cos"),
    *("weekday", "weekday_sin", "weekday_cos"),
    "day",
    *("month", "month_sin", "month_cos"),
)


def input_columns(job: FitJob) -> tuple[Column, ...]:
    """The input columns of a job.

    Raises:
        CandidateError: there is none.
    """
    columns = tuple(column for column in job.schema.columns if column.name in job.schema.inputs)
    if not columns:
        raise CandidateError("expected at least one input column, received none; look at [data] ignore")
    return columns


def of_kind(columns: Sequence[Column], *kinds: ColumnKind) -> tuple[Column, ...]:
    """The columns of these kinds, in order."""
    return tuple(column for column in columns if column.kind in kinds)


def require(table: "pl.DataFrame", signature: Signature) -> None:
    """Check that a table has the inputs of a signature.

    Raises:
        DataError: columns are missing; all are named.
    """
    missing = [column.name for column in signature.inputs if column.name not in table.columns]
    if missing:
        raise DataError(
            f"expected the input columns {[column.name for column in signature.inputs]}, received "
            f"{table.columns}; add {missing} (with nulls where a value is not known)"
        )


def texts(table: "pl.DataFrame", name: str) -> list[str]:
    """A column as texts; missing ones are empty."""
    import polars as pl

    return table.get_column(name).cast(pl.String, strict=False).fill_null("").to_list()


def categories(table: "pl.DataFrame", column: Column) -> list[str | None]:
    """A column as category names; None where missing."""
    import polars as pl

    values = table.get_column(column.name)
    if values.dtype.is_float() and "Int" in column.dtype:  # 3.0 of a column with gaps is the 3 of training
        values = values.cast(pl.Int64, strict=False)
    return values.cast(pl.String, strict=False).to_list()


def number_names(columns: Sequence[Column]) -> tuple[str, ...]:
    """Names of the columns of `numbers`: a datetime column becomes its parts."""
    return tuple(
        name
        for column in columns
        for name in (
            [f"{column.name}.{part}" for part in DATETIME_PARTS] if column.kind == "datetime" else [column.name]
        )
    )


def numbers(table: "pl.DataFrame", columns: Sequence[Column]) -> _Floats:
    """Numeric, boolean and datetime columns as floats (n, d): NaN where missing or infinite."""
    import polars as pl

    if not columns:
        return np.empty((len(table), 0))
    values: list[pl.Series] = []
    for column in columns:
        series = table.get_column(column.name)
        if column.kind == "datetime":
            values.extend(_datetime_parts(series))
        else:
            values.append(series.cast(pl.Float64, strict=False))
    matrix = np.column_stack([series.fill_null(float("nan")).to_numpy() for series in values]).astype(np.float64)
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix


def _datetime_parts(series: "pl.Series") -> "list[pl.Series]":
    """The values of `DATETIME_PARTS`; the cyclic ones on a circle, so that 23:00 is near 00:00."""
    import polars as pl

    if series.dtype == pl.String:
        series = series.str.to_datetime(strict=False, time_unit="us")
    moment = series.cast(pl.Datetime("us", getattr(series.dtype, "time_zone", None)), strict=False)
    hour = moment.dt.hour().cast(pl.Float64) + moment.dt.minute().cast(pl.Float64) / 60
    weekday = moment.dt.weekday().cast(pl.Float64) - 1
    day = moment.dt.day().cast(pl.Float64)
    month = moment.dt.month().cast(pl.Float64) - 1

    def circle(values: "pl.Series", period: float) -> "list[pl.Series]":
        angle = values * (2 * np.pi / period)
        return [values, angle.sin(), angle.cos()]

    return [*circle(hour, 24), *circle(weekday, 7), day, *circle(month, 12)]
