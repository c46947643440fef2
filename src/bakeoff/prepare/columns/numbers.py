"""Steps over numbers: outliers pulled in to limits, and scales made alike."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.core.protocols import TrainingRows
from bakeoff.core.types import Column
from bakeoff.prepare.columns.fitted import LARGEST, TableStep, finite

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Clipped", "Scaled", "clip_outliers", "scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipParams:
    """Limits are the quantiles `low` and `high`, or `reach` interquartile ranges beyond the quartiles."""

    columns: tuple[str, ...] = ()
    by: Literal["quantiles", "iqr"] = "quantiles"
    low: Annotated[float, Field(ge=0, lt=0.5)] = 0.001
    high: Annotated[float, Field(gt=0.5, le=1)] = 0.999
    reach: Annotated[float, Field(gt=0)] = 3.0


@dataclass(frozen=True, kw_only=True)
class Clipped:
    """Column → the least and the largest value that it keeps."""

    limits: dict[str, tuple[float, float]]

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        import polars as pl

        # most single rows lie within, and a query takes longer than all else that is done with a row
        outside = [name for name, (low, high) in self.limits.items() if _leaves(table[name].to_numpy(), low, high)]
        clips = [pl.col(name).clip(*self.limits[name]) for name in outside]
        return table.with_columns(clips) if clips else table

    def in_row(self, row: dict[str, Any]) -> None:
        """See `bakeoff.core.protocols.RowTransform`."""
        for name, (low, high) in self.limits.items():
            value = row[name]
            if value is not None and not low <= value <= high:
                row[name] = low if value < low else high

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        return columns


def _leaves(value_n: NDArray[np.float64], low: float, high: float) -> bool:
    return bool(((value_n < low) | (value_n > high)).any())


def _limits(rows: TrainingRows, columns: tuple[Column, ...], params: ClipParams) -> Clipped:
    """Limits of columns with at least two different values.

    Source: J. W. Tukey (1977), "Exploratory Data Analysis", for limits by interquartile ranges. A column whose
    quartiles are equal is left alone by them: most of its values are one, and all others would be cut off.
    """
    found: dict[str, tuple[float, float]] = {}
    for column in columns:
        present = rows.table[column.name].drop_nulls()
        shares = (params.low, params.high) if params.by == "quantiles" else (0.25, 0.75)
        low, high = (present.quantile(share, interpolation="nearest") for share in shares)
        if low is None or high is None or low == high:
            continue
        if params.by == "iqr":
            reach = finite(params.reach * (high - low), otherwise=0.0)
            low, high = low - reach, high + reach
        found[column.name] = (finite(low, otherwise=0.0), finite(high, otherwise=0.0))
    return Clipped(limits=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleParams:
    """`standard`: mean 0 and standard deviation 1; `robust`: median 0 and interquartile range 1."""

    columns: tuple[str, ...] = ()
    by: Literal["standard", "robust"] = "standard"


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Column → its centre and its spread (1 when all values are the same)."""

    scales: dict[str, tuple[float, float]]

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """See `bakeoff.core.protocols.Transform`."""
        import polars as pl

        return table.with_columns(
            pl.Series(name, _scaled(table[name].to_numpy(), center, spread), nan_to_null=True)
            for name, (center, spread) in self.scales.items()
        )

    def in_row(self, row: dict[str, Any]) -> None:
        """See `bakeoff.core.protocols.RowTransform`."""
        for name, (center, spread) in self.scales.items():
            value = row[name]
            if value is not None:
                row[name] = min(max((value - center) / spread, -LARGEST), LARGEST)

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """See `bakeoff.core.protocols.Transform`."""
        return columns


def _scaled(value_n: NDArray[np.float64], center: float, spread: float) -> NDArray[np.float64]:
    """With numpy, because polars 2.1 divides a column by a number otherwise than a single value (last bit)."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.clip((value_n - center) / spread, -LARGEST, LARGEST)


def _scales(rows: TrainingRows, columns: tuple[Column, ...], params: ScaleParams) -> Scaled:
    found: dict[str, tuple[float, float]] = {}
    for column in columns:
        values_n = rows.table[column.name].drop_nulls().to_numpy()
        if not len(values_n):
            continue
        with np.errstate(over="ignore", invalid="ignore"):  # of values near the largest: not scaled
            if params.by == "standard":
                center, spread = values_n.mean(), values_n.std()
            else:
                low, center, high = np.quantile(values_n, (0.25, 0.5, 0.75))
                spread = high - low
        if np.isfinite(center) and np.isfinite(spread):
            found[column.name] = (float(center), float(spread) or 1.0)
    return Scaled(scales=found)


clip_outliers = TableStep(
    name="clip_outliers", version=1, params=ClipParams, transform=Clipped, kinds=("numeric",), learn=_limits
)
scale = TableStep(name="scale", version=1, params=ScaleParams, transform=Scaled, kinds=("numeric",), learn=_scales)
