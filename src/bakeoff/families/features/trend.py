"""A target that grows or falls with time: the trend is taken off before a model learns, and put back on its answers.

Trees know nothing beyond the range that they have seen, and piecewise linear functions little: both repeat the level
of the last rows. A trend goes on. It is a straight line in time, estimated beside all other columns (so that a season
or a warm year is not taken for growth), either added to the target or, when the target grows in proportion (twice the
customers: twice the rentals of every hour), multiplied with it.

Source: P. M. Robinson (1988), "Root-N-Consistent Semiparametric Regression": a linear part beside a free one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column
from bakeoff.families.features.calendar import days_since
from bakeoff.families.features.choice import sampled
from bakeoff.families.features.columns import instants
from bakeoff.families.features.table import LinearTable

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LEAST_DAYS", "Trend", "TrendKind"]

TrendKind: TypeAlias = Literal["none", "added", "scaled", "from known", "times known"]
"""A line in time that is added or multiplied; or an earlier value of the target, to which is added or multiplied."""
_Floats: TypeAlias = NDArray[np.float64]
BINS = 6
MOST_CATEGORIES = 200
MOST_ROWS = 4000
"""Rows that are enough to estimate a slope."""
PENALTY = 1.0
LEAST_DAYS = 440
"""Days that training rows must cover: of a single year nobody can say what is growth and what is the season."""
LEAST_LEVEL = 0.1
"""What of its middle level a scaled target keeps at least, however steep it falls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The level of a row: a straight line in its time, from the first training row on to one such span after the last.

    Or, `known`, an earlier value of the target, which the model tells it from.

    Attributes:
        column: The time, or the lag.
        scaled: Whether the target is multiplied with the level (1 in the middle), or the level is added to it.
        slope: Change of the level a day.
        origin_us: The first time, in microseconds since the epoch.
        middle: Where the level is 1 (scaled) or 0, in days since the first.
        last: The last time, in days since the first; a time that nobody knows counts as this one.
        known: Whether the level is a lag.
        otherwise: What stands for a lag where nothing earlier is known.
    """

    column: str
    scaled: bool
    slope: float = 0.0
    origin_us: float = 0.0
    middle: float = 0.0
    last: float = 0.0
    known: bool = False
    otherwise: float = 0.0

    @classmethod
    def fit(
        cls,
        table: "pl.DataFrame",
        columns: Sequence[Column],
        value_n: _Floats,
        column: str,
        *,
        scaled: bool,
        seed: int,
    ) -> "Trend | None":
        """The trend of the rows, if they cover enough time; for a scaled one the target must never be below 0."""
        time_n = instants(table.get_column(column))
        rows = sampled(np.flatnonzero(~np.isnat(time_n)), MOST_ROWS, seed)
        if len(rows) < len(columns) or (scaled and (value_n.min() < 0 or value_n.mean() <= 0)):
            return None
        first_us = float(time_n[~np.isnat(time_n)].min().astype(np.int64))
        day_n = days_since(time_n[rows], first_us)
        last = float(np.nanmax(days_since(time_n, first_us)))
        if last < LEAST_DAYS:
            return None
        _, x_nd = LinearTable.fit(table[rows], columns, value_n[rows, None], bins=BINS, most=MOST_CATEGORIES, seed=seed)
        middle = float(day_n.mean())
        slope = _slope(x_nd, value_n[rows], day_n - middle, scaled=scaled)
        return cls(column=column, scaled=scaled, slope=slope, origin_us=first_us, middle=middle, last=last)

    @classmethod
    def of_lag(cls, table: "pl.DataFrame", value_n: _Floats, column: str, *, scaled: bool) -> "Trend | None":
        """The level that a lag is; for a scaled one all targets and lags must be above 0."""
        lag_n = table.get_column(column).to_numpy()
        if scaled and (value_n.min() <= 0 or not np.nanmin(lag_n, initial=1.0) > 0):
            return None
        return cls(column=column, scaled=scaled, known=True, otherwise=float(value_n.mean()))

    def level(self, table: "pl.DataFrame") -> _Floats:
        """The level of each row (n,)."""
        if self.known:
            lag_n = table.get_column(self.column).to_numpy()
            return np.where(np.isnan(lag_n), self.otherwise, lag_n)
        day_n = days_since(instants(table.get_column(self.column)), self.origin_us)
        day_n = np.clip(np.where(np.isnan(day_n), self.last, day_n), 0.0, 2 * self.last)
        level_n = self.slope * (day_n - self.middle)
        return np.maximum(1.0 + level_n, LEAST_LEVEL) if self.scaled else level_n

    def removed(self, value_n: _Floats, level_n: _Floats) -> _Floats:
        """The target without its level."""
        return value_n / level_n if self.scaled else value_n - level_n

    def restored(self, value_n: _Floats, level_n: _Floats) -> _Floats:
        """What a model says of the target without its level, as the target."""
        return value_n * level_n if self.scaled else value_n + level_n

    def weights(self, level_n: _Floats) -> _Floats | None:
        """Weights of rows with which squared errors are those of the target itself; None when all are 1."""
        return level_n**2 / np.mean(level_n**2) if self.scaled else None


def _slope(x_nd: _Floats, value_n: _Floats, day_n: _Floats, *, scaled: bool) -> float:
    """Change a day beside all else; of a scaled target, as a share of its level in the middle."""
    spread = float(day_n.std())
    standard_n = day_n / spread
    added = float(_ridge(np.column_stack([standard_n, x_nd]), value_n)[0]) / spread
    if not scaled:
        return added
    level_n = np.maximum(1.0 + added / value_n.mean() * day_n, LEAST_LEVEL)
    shape_n = np.maximum(_fitted(x_nd, value_n / level_n), 0.0)
    both_n2 = np.column_stack([shape_n, shape_n * standard_n])
    (base, growth), *_ = np.linalg.lstsq(both_n2, value_n, rcond=None)
    return float(growth / base / spread) if base > 0 else 0.0


def _fitted(x_nd: _Floats, value_n: _Floats) -> _Floats:
    coef_d = _ridge(x_nd, value_n)
    return value_n.mean() + (x_nd - x_nd.mean(axis=0)) @ coef_d


def _ridge(x_nd: _Floats, value_n: _Floats) -> _Floats:
    """Coefficients of ridge regression (d,); the first column, which is standardised, is hardly penalised."""
    centered_nd = x_nd - x_nd.mean(axis=0)
    gram_dd = centered_nd.T @ centered_nd
    penalty_d = np.full(len(gram_dd), PENALTY)
    penalty_d[0] = 1e-3
    return np.linalg.solve(gram_dd + np.diag(penalty_d), centered_nd.T @ (value_n - value_n.mean()))
