"""A table's columns as coordinates: what is near in them is alike. For kernels and neighbours.

Source: D. Holzmüller et al. (2024), "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data",
for the robust scale and its smooth clipping.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column
from bakeoff.families.features.columns import numbers, of_kind
from bakeoff.families.features.table import CategoryCodes, TargetMeans
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ScaledTable", "alike"]

_Floats: TypeAlias = NDArray[np.float64]

CLIP = 3.0
"""Spreads beyond which a number is not much further away."""
FARTHEST = 1e100
"""A coordinate whose square is still a number."""
MOST_CODES = 20
"""Categories of a column that are coordinates of their own; those of columns with more are placed by target means."""
ALIKE = 2.0


def alike(table: "pl.DataFrame", columns: Sequence[Column]) -> bool:
    """Whether the numbers of a table are all of one kind (pixels, counts), so that one scale may be right for all."""
    value_nd = numbers(table, of_kind(columns, "numeric"))
    if value_nd.shape[1] < 8 or len(of_kind(columns, "numeric")) < len(columns):  # noqa: PLR2004
        return False
    span_d = np.nanmax(value_nd, axis=0, initial=-np.inf) - np.nanmin(value_nd, axis=0, initial=np.inf)
    span_d = span_d[np.isfinite(span_d) & (span_d > 0)]
    return len(span_d) > 0 and float(span_d.max()) <= ALIKE * float(np.median(span_d))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledTable:
    """Numbers by their spread, each gap as a coordinate of its own, categories one-hot or by target means.

    Missing numbers are middling ones. A category is as far from another as two numbers that are two spreads apart.
    """

    numeric: tuple[Column, ...]
    center_d: Array
    scale_d: Array
    gaps: Array
    """Which numbers were missing in training rows."""
    clipped: bool
    codes: tuple[CategoryCodes, ...]
    means: tuple[TargetMeans, ...]
    mean_scale: Array

    @classmethod
    def fit(
        cls, table: "pl.DataFrame", columns: Sequence[Column], target_nk: _Floats, *, one_scale: bool, seed: int
    ) -> tuple["ScaledTable", _Floats]:
        """The encoder, and the encoded training rows; `one_scale`: all numbers have the same spread and no clipping."""
        numeric = of_kind(columns, "numeric", "boolean", "datetime")
        value_nd = numbers(table, numeric)
        center_d, scale_d = _spreads(value_nd)
        if one_scale:
            scale_d = np.full_like(scale_d, 1 / (_one_spread(value_nd) or 1.0))
        codes = [
            CategoryCodes.fit(table, column, most=MOST_CODES, min_rows=2) for column in of_kind(columns, "categorical")
        ]
        fitted = [TargetMeans.fit(table, code.column, target_nk, seed=seed) for code in codes if not code.complete]
        mean_scale = np.array([1 / (values_nk.std() or 1.0) for _, values_nk in fitted])
        encoder = cls(
            numeric=numeric,
            center_d=center_d,
            scale_d=scale_d,
            gaps=np.flatnonzero(np.isnan(value_nd).any(axis=0)),
            clipped=not one_scale,
            codes=tuple(code for code in codes if code.complete),
            means=tuple(mean for mean, _ in fitted),
            mean_scale=mean_scale,
        )
        return encoder, encoder._join(table, [values_nk for _, values_nk in fitted])

    def __call__(self, table: "pl.DataFrame") -> _Floats:
        """The encoded rows (n, d)."""
        return self._join(table, [mean(table) for mean in self.means])

    def _join(self, table: "pl.DataFrame", means: Sequence[_Floats]) -> _Floats:
        value_nd = numbers(table, self.numeric)
        with np.errstate(over="ignore"):
            scaled_nd = np.clip((value_nd - self.center_d) * self.scale_d, -FARTHEST, FARTHEST)
        if self.clipped:
            scaled_nd = scaled_nd / np.sqrt(1 + (scaled_nd / CLIP) ** 2)
        parts = [np.nan_to_num(scaled_nd), np.isnan(value_nd[:, self.gaps]).astype(np.float64)]
        for code in self.codes:
            code_n = code(table)
            parts.append(np.sqrt(2) * (code_n[:, None] == np.arange(len(code.known) + 2)))
        parts += [mean_nk * scale for mean_nk, scale in zip(means, self.mean_scale, strict=True)]
        return np.hstack(parts)


def _one_spread(value_nd: _Floats) -> float:
    """The spread of all columns that have numbers: the root of their mean variance; 0 where none has."""
    there_nd = value_nd[:, ~np.isnan(value_nd).all(axis=0)]
    return float(np.sqrt(np.nanvar(there_nd, axis=0).mean())) if there_nd.shape[1] else 0.0


def _spreads(value_nd: _Floats) -> tuple[_Floats, _Floats]:
    """The middle of each column and one by its spread: of its quartiles, else of its range; 0 of a constant."""
    if not value_nd.size:
        return np.zeros(value_nd.shape[1]), np.zeros(value_nd.shape[1])
    empty_d = np.isnan(value_nd).all(axis=0)
    value_nd = np.where(empty_d, 0.0, value_nd)
    low_d, first_d, center_d, third_d, high_d = np.nanquantile(value_nd, [0, 0.25, 0.5, 0.75, 1], axis=0)
    spread_d = np.where(third_d > first_d, (third_d - first_d) / 1.349, (high_d - low_d) / 2)
    return center_d, np.divide(1.0, spread_d, out=np.zeros_like(spread_d), where=spread_d > 0)
