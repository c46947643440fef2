"""Missing values: flagged, and filled with what training rows suggest."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bakeoff.core.protocols import TrainingRows
from bakeoff.core.types import Column
from bakeoff.prepare.columns.fitted import TableStep, finite, new_column, unused

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Filled", "impute"]

Value: TypeAlias = float | str | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputeParams:
    """How gaps of numbers and of categories are filled; `keep` leaves them, booleans follow categories.

    `value` and `category` are the constants, and what columns get that are empty in all training rows. A `category`
    that no training row ends with is not used: such gaps are left to the model, which takes the most frequent one.
    `indicators` adds a column that tells where a gap was, for columns that have some in training rows.
    """

    columns: tuple[str, ...] = ()
    numeric: Literal["median", "mean", "mode", "constant", "keep"] = "median"
    categorical: Literal["mode", "constant", "keep"] = "constant"
    value: float = 0.0
    category: str = "missing"
    indicators: bool = True


@dataclass(frozen=True, kw_only=True)
class Filled:
    """Column → what fills its gaps, and column → the name of the column that tells of them."""

    values: dict[str, Value]
    flags: dict[str, str]

    @property
    def fills(self) -> Collection[str]:
        """See `bakeoff.core.protocols.Filling`."""
        return self.values

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        import polars as pl

        # most single rows have no gaps, and a query takes longer than all else that is done with a row
        gappy = [name for name in self.values if table[name].null_count()]
        flags = [_gaps(table[name], flag) for name, flag in self.flags.items()]
        fillings = [pl.col(name).fill_null(pl.lit(self.values[name])) for name in gappy]
        return table.with_columns(*flags, *fillings) if flags or fillings else table

    def in_row(self, row: dict[str, Any]) -> None:
        """See `bakeoff.core.protocols.RowTransform`."""
        for name, flag in self.flags.items():
            row[flag] = row[name] is None
        for name, value in self.values.items():
            if row[name] is None:
                row[name] = value

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        return (*columns, *(new_column(flag, "boolean") for flag in self.flags.values()))


def _gaps(series: "pl.Series", flag: str) -> "pl.Series":
    import polars as pl

    if series.null_count() == 0:
        return pl.Series(flag, np.zeros(len(series), dtype=bool))
    return series.is_null().alias(flag)


def _fillings(rows: TrainingRows, columns: tuple[Column, ...], params: ImputeParams) -> Filled:
    values: dict[str, Value] = {}
    flags: dict[str, str] = {}
    for column in columns:
        series = rows.table[column.name]
        filling = _filling(series, column, params)
        if filling is not None:
            values[column.name] = filling
        if params.indicators and 0 < series.null_count() < len(series):
            taken = (*(c.name for c in rows.columns), rows.target.name, *flags.values())
            flags[column.name] = unused(f"{column.name}_missing", taken)
    return Filled(values=values, flags=flags)


def _filling(series: "pl.Series", column: Column, params: ImputeParams) -> Value | None:
    present = series.drop_nulls()
    if column.kind == "numeric":
        ways: dict[str, Any] = {"median": present.median, "mean": present.mean, "mode": lambda: _mode(present)}
        if params.numeric == "keep":
            return None
        found = ways[params.numeric]() if params.numeric in ways else params.value
        return finite(found, otherwise=params.value)
    if params.categorical == "keep":
        return None
    if column.kind == "boolean":
        return bool(_mode(present))
    if params.categorical == "constant" and len(present) == len(series) and not (present == params.category).any():
        return None  # nobody could learn what that category means
    found = _mode(present) if params.categorical == "mode" else params.category
    return params.category if found is None else found


def _mode(present: "pl.Series") -> Any:
    """The most frequent value, the least of several; None when there is none."""
    return present.mode().sort().first() if len(present) else None


impute = TableStep(
    name="impute",
    version=1,
    params=ImputeParams,
    transform=Filled,
    kinds=("numeric", "categorical", "boolean"),
    learn=_fillings,
)
