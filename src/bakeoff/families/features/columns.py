"""Reading a table's columns as families need them: numbers with NaN for missing, and texts.

Values that came by another way than training (JSON, CSV) may have another type than then: each column is
cast by its kind, and what cannot be cast is missing.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.conversation import conversation_columns, plain_text
from bakeoff.core.errors import CandidateError, DataError
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, ColumnKind, Signature
from bakeoff.data.cast import FEW_ROWS, stored_type

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "categories",
    "complete",
    "complete_row",
    "input_columns",
    "instants",
    "moment_parts",
    "number_names",
    "number_sources",
    "numbers",
    "of_kind",
    "placed_columns",
    "plain",
    "plain_job",
    "require",
    "texts",
]

_Floats: TypeAlias = NDArray[np.float64]

DATETIME_PARTS = (
    *("hour", "hour_sin", "hour_cos"),
    *("weekday", "weekday_sin", "weekday_cos"),
    "day",
    *("month", "month_sin", "month_cos"),
)
MOST_KNOWN = 10_000
"""Categories of a column that are kept with a model, to tell those that it never saw."""
MONDAY = "1970-01-05"


def input_columns(job: FitJob) -> tuple[Column, ...]:
    """The input columns of a job, as they belong into a model's signature: with what fills their gaps.

    A column that has no gap in the job's rows has nothing that a model could learn of one, and whatever its
    arithmetic makes of a gap (the least value, the zero of a scale) would be an answer from nowhere. So such a gap is
    filled with the median, or the most frequent value, by `complete`; texts stay empty.

    Raises:
        CandidateError: there is none.
    """
    columns = tuple(column for column in job.schema.columns if column.name in job.schema.inputs)
    if not columns:
        raise CandidateError("expected at least one input column, received none; look at [data] ignore")
    return tuple(replace(column, fill=_fill(job, column), known=_known(job, column)) for column in columns)


def placed_columns(job: FitJob, family: str) -> tuple[Column, ...]:
    """The same for families that read no texts, which are told as lost.

    Raises:
        CandidateError: all columns are texts.
    """
    columns = input_columns(job)
    read = tuple(column for column in columns if column.kind != "text")
    if not read:
        raise CandidateError(
            f"expected a column of numbers, categories, booleans or dates for {family!r}, received texts alone; use "
            "'linear' or 'embedding'"
        )
    for column in of_kind(columns, "text"):
        reason = f"{family} reads no texts"
        job.on_loss(Loss(kind="column", reason=reason, subject=column.name, count=1, of=len(columns)))
    return read


def _fill(job: FitJob, column: Column) -> float | str | bool | None:
    """The middle of a column without gaps; of equally frequent values the least."""
    import polars as pl

    parts = [part.get_column(column.name) for part in (job.train, job.validation) if part.height]
    typed = [part.cast(stored_type(column.kind), strict=False) for part in parts]
    if not typed or any(_gaps(part).any() for part in typed):
        return None
    if column.kind == "text":
        return ""
    values = pl.concat(typed)
    if column.kind == "numeric":
        return float(values.median())  # type: ignore[arg-type]
    if column.kind == "datetime":  # a row whose time nobody knows is most likely one of the last
        middle = values.max() if column.name == job.schema.time else values.median()
        return str(middle.isoformat())  # type: ignore[union-attr]
    return values.mode().sort().first()  # type: ignore[return-value]


def _known(job: FitJob, column: Column) -> tuple[str, ...] | None:
    """The categories of a column."""
    import polars as pl

    if column.kind != "categorical":
        return None
    parts = [part.get_column(column.name) for part in (job.train, job.validation) if part.height]
    names = {name for part in parts for name in part.cast(pl.String, strict=False).drop_nulls().unique()}
    return tuple(sorted(names)) if len(names) <= MOST_KNOWN else None


def of_kind(columns: Sequence[Column], *kinds: ColumnKind) -> tuple[Column, ...]:
    """The columns of these kinds, in order."""
    return tuple(column for column in columns if column.kind in kinds)


def require(table: "pl.DataFrame", signature: Signature) -> None:
    """Check that a table has the inputs of a signature.

    Raises:
        DataError: columns are missing; all are named.
    """
    names = set(table.columns)
    missing = [column.name for column in signature.inputs if column.name not in names]
    if missing:
        raise DataError(
            f"expected the input columns {[column.name for column in signature.inputs]}, received "
            f"{table.columns}; add {missing} (with nulls where a value is not known)"
        )


def complete(table: "pl.DataFrame", signature: Signature, leave: Collection[str] = ()) -> "pl.DataFrame":
    """The table with the gaps filled that the model has learned nothing of; every family predicts from it.

    Models that are made of others leave that to those; `leave` names columns whose gaps are filled by fitted steps.

    Raises:
        DataError: columns are missing; all are named.
    """
    require(table, signature)
    if table.height <= FEW_ROWS and not _has_gaps(table):
        return table
    filled = [
        _filled(series, column)
        for column in signature.inputs
        if column.fill not in {None, ""}
        and column.name not in leave
        and _gaps(series := table.get_column(column.name)).any()
    ]
    return table.with_columns(filled) if filled else table


def complete_row(row: dict[str, Any], signature: Signature, leave: Collection[str] = ()) -> None:
    """The same for the stored values of one row, in place."""
    for column in signature.inputs:
        if row[column.name] is None and column.fill not in {None, ""} and column.name not in leave:
            value = datetime.fromisoformat(str(column.fill)) if column.kind == "datetime" else column.fill
            row[column.name] = value


def _has_gaps(table: "pl.DataFrame") -> bool:
    """Whether something is missing in a few rows: sooner seen in the rows than in each column."""
    return any(v is None or (type(v) is float and not math.isfinite(v)) for row in table.rows() for v in row)


def _gaps(series: "pl.Series") -> "NDArray[np.bool_]":
    """Which values are missing (n,); of numbers also those that are not finite."""
    if series.dtype.is_float():
        return ~np.isfinite(series.to_numpy())  # nulls are NaN there
    return series.is_null().to_numpy() if series.null_count() else np.zeros(1, dtype=np.bool_)


def _filled(series: "pl.Series", column: Column) -> "pl.Series":
    import polars as pl

    value = datetime.fromisoformat(str(column.fill)) if column.kind == "datetime" else column.fill
    typed = series.cast(stored_type(column.kind), strict=False)
    return typed.set(pl.Series(_gaps(typed)), value) if column.kind == "numeric" else typed.fill_null(value)


def texts(table: "pl.DataFrame", name: str) -> list[str]:
    """A column as texts; missing ones are empty."""
    import polars as pl

    return table.get_column(name).cast(pl.String, strict=False).fill_null("").to_list()


def plain(table: "pl.DataFrame", columns: Sequence[Column]) -> "pl.DataFrame":
    """The table with conversations as the text of their turns, for families that read words and no turns."""
    import polars as pl

    names = conversation_columns(columns) & set(table.columns)
    if not names:
        return table
    shown = [
        pl.Series(name, [None if value is None else plain_text(str(value)) for value in table[name]], dtype=pl.String)
        for name in sorted(names)
    ]
    return table.with_columns(shown)


def plain_job(job: FitJob) -> FitJob:
    """The job with `plain` rows."""
    columns = job.schema.columns
    return replace(job, train=plain(job.train, columns), validation=plain(job.validation, columns))


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


def number_sources(columns: Sequence[Column]) -> tuple[str, ...]:
    """The column that each of the columns of `numbers` is made of."""
    return tuple(column.name for column in columns for _ in number_names([column]))


def numbers(table: "pl.DataFrame", columns: Sequence[Column]) -> _Floats:
    """Numeric, boolean and datetime columns as floats (n, d): NaN where missing or infinite."""
    if not columns:
        return np.empty((len(table), 0))
    series = dict(zip(table.columns, table.get_columns(), strict=True))  # each by its name is slow in wide tables
    parts = [_numbers(series[column.name], column) for column in columns]
    matrix = np.hstack(parts)
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix


def _numbers(series: "pl.Series", column: Column) -> _Floats:
    import polars as pl

    if column.kind == "datetime":
        return moment_parts(instants(series))
    floats = series if series.dtype == pl.Float64 else series.cast(pl.Float64, strict=False)
    return floats.to_numpy()[:, None]  # nulls become NaN


def instants(series: "pl.Series") -> "NDArray[np.datetime64]":
    """Times as what the clock on the wall there shows, in microseconds (n,); NaT where missing."""
    import polars as pl

    if series.dtype == stored_type("datetime"):  # as tables of stored values have them: nothing to convert
        return series.to_numpy()
    if series.dtype == pl.String:
        series = series.str.to_datetime(strict=False, time_unit="us")
    zone = getattr(series.dtype, "time_zone", None)
    moment = series.cast(pl.Datetime("us", zone), strict=False)
    if zone is not None:
        moment = moment.dt.replace_time_zone(None)  # what the clock on the wall there shows
    return moment.to_numpy().astype("datetime64[us]")


def moment_parts(moment_n: "NDArray[np.datetime64]") -> _Floats:
    """The values of `DATETIME_PARTS` of moments (n, 9); the cyclic ones on a circle, so that 23:00 is near 00:00."""
    minute_n = moment_n.astype("datetime64[m]")
    day_n, month_n = minute_n.astype("datetime64[D]"), minute_n.astype("datetime64[M]")
    of_day_n = (minute_n - day_n) / np.timedelta64(1, "m")
    hour_n = of_day_n // 60 + of_day_n % 60 / 60
    weekday_n = (day_n - np.datetime64(MONDAY)) / np.timedelta64(1, "D") % 7
    of_month_n = (day_n - month_n.astype("datetime64[D]")) / np.timedelta64(1, "D") + 1
    of_year_n = (month_n - np.datetime64("1970-01")) / np.timedelta64(1, "M") % 12

    def circle(value_n: _Floats, period: float) -> list[_Floats]:
        angle_n = value_n * (2 * np.pi / period)
        return [value_n, np.sin(angle_n), np.cos(angle_n)]

    return np.column_stack([*circle(hour_n, 24), *circle(weekday_n, 7), of_month_n, *circle(of_year_n, 12)])
