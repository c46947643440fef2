"""Encoders of table columns; fitted ones are plain data that a model saves as they are."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column
from bakeoff.families.features.columns import categories, number_sources, numbers, of_kind
from bakeoff.families.features.one_row import Row, row_numbers
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CategoryCodes", "LinearTable", "PiecewiseLinear", "TargetMeans"]

_Floats: TypeAlias = NDArray[np.float64]
FOLDS = 5
BLOCK_ROWS = 4096
"""Rows encoded at once: what is written on the way stays in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class CategoryCodes:
    """Category → code: known ones 0 … c-1 by falling frequency, rare and unseen ones c, missing ones c+1."""

    column: Column
    known: tuple[str, ...]
    complete: bool
    """Whether every category of the training rows is known."""

    @classmethod
    def fit(cls, table: "pl.DataFrame", column: Column, *, most: int, min_rows: int) -> "CategoryCodes":
        """Keep the `most` frequent categories of at least `min_rows` rows."""
        counts = Counter(value for value in categories(table, column) if value is not None)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        known = tuple(value for value, count in ranked if count >= min_rows)[:most]
        return cls(column=column, known=known, complete=len(counts) <= most)

    @cached_property
    def _codes(self) -> dict[str | None, int]:
        return {**{value: code for code, value in enumerate(self.known)}, None: len(self.known) + 1}

    def of_row(self, row: Row) -> NDArray[np.int64]:
        """The code of a row (1,)."""
        return np.array([self._codes.get(row[self.column.name], len(self.known))], dtype=np.int64)

    def __call__(self, table: "pl.DataFrame") -> NDArray[np.int64]:
        """The codes of a table's rows (n,)."""
        other = len(self.known)
        return np.array([self._codes.get(value, other) for value in categories(table, self.column)], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class TargetMeans:
    """Category → mean target of its training rows, shrunk towards the mean of all.

    Source: D. Micci-Barreca (2001), "A Preprocessing Scheme for High-Cardinality Categorical Attributes",
    with the weight n / (n + smoothing).
    """

    codes: CategoryCodes
    means_ck: Array

    @classmethod
    def fit(
        cls, table: "pl.DataFrame", column: Column, target_nk: _Floats, *, seed: int, smoothing: float = 30.0
    ) -> tuple["TargetMeans", _Floats]:
        """The encoder, and its values (n, k) for the training rows, each from the folds that lack the row."""
        codes = CategoryCodes.fit(table, column, most=len(table), min_rows=2)
        code_n = codes(table)
        size = len(codes.known) + 2
        fold_n = np.random.default_rng(seed).permutation(len(table)) % FOLDS
        out_nk = np.empty_like(target_nk)
        for fold in range(FOLDS):
            rest = fold_n != fold
            means_ck = _shrunk_means(code_n[rest], target_nk[rest], size, smoothing)
            out_nk[~rest] = means_ck[code_n[~rest]]
        return cls(codes=codes, means_ck=_shrunk_means(code_n, target_nk, size, smoothing)), out_nk

    def of_row(self, row: Row) -> _Floats:
        """The means for a row (1, k)."""
        return self.means_ck[self.codes.of_row(row)]

    def __call__(self, table: "pl.DataFrame") -> _Floats:
        """The means for a table's rows (n, k)."""
        return self.means_ck[self.codes(table)]


def _shrunk_means(code_n: NDArray[np.int64], target_nk: _Floats, size: int, smoothing: float) -> _Floats:
    """Mean target by code (c, k); codes without rows get the mean of all."""
    prior_k = target_nk.mean(axis=0) if len(target_nk) else np.zeros(target_nk.shape[1])
    count_c = np.bincount(code_n, minlength=size)
    sum_ck = np.column_stack([np.bincount(code_n, weights=column, minlength=size) for column in target_nk.T])
    return (sum_ck + smoothing * prior_k) / (count_c[:, None] + smoothing)


@dataclass(frozen=True, kw_only=True)
class PiecewiseLinear:
    """Numbers → how far each reaches into its quantile bins, its standard score, and whether it is missing.

    A linear model over these is a continuous piecewise linear function of each number, flat outside the
    range seen but for the score (clipped at ±3). Missing numbers are the mean of each feature, and the flag: of few
    of them a penalised model learns little, and what it says then is about what it says of a middling number. (As
    zeros, they would be the least number.)

    Source: Y. Gorishniy et al. (2022), "On Embeddings for Numerical Features in Tabular Deep Learning", 3.2.
    """

    center_d: Array
    spread_d: Array
    number_b: Array
    """Which number each bin belongs to."""
    low_b: Array
    width_b: Array
    mean_b: Array | None = None
    """The mean of each bin; models of before it was kept know missing numbers as zeros."""

    @classmethod
    def fit(cls, value_nd: _Floats, bins: int) -> "PiecewiseLinear":
        """Bins between the quantiles of the values that are there."""
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are far too large little is learned
            return cls._fitted(value_nd, bins)

    @classmethod
    def _fitted(cls, value_nd: _Floats, bins: int) -> "PiecewiseLinear":
        moments: list[tuple[float, float]] = []
        pieces: list[tuple[int, float, float]] = []
        places = np.linspace(0, 1, bins + 1)
        for number, value_n in enumerate(value_nd.T):
            present = value_n[~np.isnan(value_n)]
            if not len(present):
                moments.append((0.0, 1.0))
                continue
            moments.append((float(present.mean()), float(present.std()) or 1.0))
            edges = np.unique(np.quantile(present, places))
            pieces += [(number, low, high - low) for low, high in pairwise(edges.tolist())]
        centers, spreads = np.array(moments, dtype=np.float64).reshape(-1, 2).T
        number_b, low_b, width_b = np.array(pieces, dtype=np.float64).reshape(-1, 3).T
        fitted = cls(
            center_d=centers, spread_d=spreads, number_b=number_b.astype(np.int64), low_b=low_b, width_b=width_b
        )
        reach_nb = fitted._clipped(value_nd)[:, len(centers) :]
        present_nb = ~np.isnan(reach_nb)
        sum_b = np.where(present_nb, reach_nb, 0.0).sum(axis=0)
        return replace(fitted, mean_b=sum_b / np.maximum(present_nb.sum(axis=0), 1))

    @property
    def width(self) -> int:
        """Columns of the encoding."""
        return 2 * len(self.center_d) + len(self.number_b)

    @cached_property
    def _ramps(self) -> tuple[NDArray[np.int64], _Floats, _Floats, _Floats, _Floats]:
        """Of each score and bin: its number, what is taken off, what that is divided by, and the limits."""
        numbers, bins = len(self.center_d), len(self.low_b)
        return (
            np.concatenate([np.arange(numbers), self.number_b]),
            np.concatenate([self.center_d, self.low_b]),
            np.concatenate([self.spread_d, self.width_b]),
            np.repeat([-3.0, 0.0], [numbers, bins]),
            np.repeat([3.0, 1.0], [numbers, bins]),
        )

    def __call__(self, value_nd: _Floats) -> _Floats:
        """The encoding: flags, scores, bins."""
        numbers = len(self.center_d)
        x_nd = np.zeros((len(value_nd), self.width))
        x_nd[:, numbers:] = ramp_nr = self._clipped(value_nd)
        # Not only of missing numbers: where the mean or a bin's width is infinite, there is no score or reach.
        if math.isnan(np.add.reduce(ramp_nr, axis=None)):
            x_nd[:, :numbers] = np.isnan(value_nd)
            mean_b = np.zeros(len(self.number_b)) if self.mean_b is None else self.mean_b
            np.copyto(x_nd[:, numbers:], np.concatenate([np.zeros(numbers), mean_b]), where=np.isnan(ramp_nr))
        return x_nd

    def _clipped(self, value_nd: _Floats) -> _Floats:
        """Scores, and how far each number reaches into its bins, from 0 to 1; NaN of what is missing."""
        # Few calls, each for all of them: of single rows most time goes into what stands around them.
        source_r, start_r, width_r, least_r, most_r = self._ramps
        ramp_nr = value_nd.take(source_r, axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # what is far too large is clipped
            ramp_nr -= start_r
            ramp_nr /= width_r
        np.maximum(ramp_nr, least_r, out=ramp_nr)
        return np.minimum(ramp_nr, most_r, out=ramp_nr)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearTable:
    """All columns but texts as features of a linear model: pieces, one-hot codes and target means."""

    numeric: tuple[Column, ...]
    pieces: PiecewiseLinear
    codes: tuple[CategoryCodes, ...]
    means: tuple[TargetMeans, ...]
    mean_scales: tuple[Array, ...]

    @classmethod
    def fit(
        cls, table: "pl.DataFrame", columns: Sequence[Column], target_nk: _Floats, *, bins: int, most: int, seed: int
    ) -> tuple["LinearTable", _Floats]:
        """The encoder, and the encoded training rows (their target means out of fold)."""
        numeric = of_kind(columns, "numeric", "boolean", "datetime")
        codes = tuple(
            CategoryCodes.fit(table, column, most=most, min_rows=3) for column in of_kind(columns, "categorical")
        )
        means: list[TargetMeans] = []
        out_of_fold: list[_Floats] = []
        for code in codes:
            if not code.complete:
                mean, values_nk = TargetMeans.fit(table, code.column, target_nk, seed=seed)
                means.append(mean)
                out_of_fold.append(values_nk)
        encoder = cls(
            numeric=numeric,
            pieces=PiecewiseLinear.fit(numbers(table, numeric), bins),
            codes=codes,
            means=tuple(means),
            mean_scales=tuple(np.stack([values.mean(axis=0), values.std(axis=0) + 1e-12]) for values in out_of_fold),
        )
        return encoder, encoder._join(table, out_of_fold)

    @property
    def sources(self) -> tuple[str, ...]:
        """The column that each feature is made of."""
        made_of = number_sources(self.numeric)
        pieces = [*made_of, *made_of, *(made_of[number] for number in self.pieces.number_b.tolist())]
        codes = [code.column.name for code in self.codes for _ in range(len(code.known) + 2)]
        means = [mean.codes.column.name for mean in self.means for _ in range(mean.means_ck.shape[1])]
        return (*pieces, *codes, *means)

    def __call__(self, table: "pl.DataFrame") -> _Floats:
        """The encoded rows (n, d)."""
        return self._join(table, [mean(table) for mean in self.means])

    def of_row(self, row: Row) -> _Floats:
        """The encoded row (1, d)."""
        code_n = [code.of_row(row) for code in self.codes]
        return self._encoded(row_numbers(row, self.numeric), code_n, [mean.of_row(row) for mean in self.means])

    def of_numbers(self, value_nd: _Floats) -> _Floats:
        """The encoded rows (n, d) of numbers alone, when there is nothing else."""
        assert not self.codes
        return self._encoded(value_nd, (), ())

    def _join(self, table: "pl.DataFrame", means: Sequence[_Floats]) -> _Floats:
        return self._encoded(numbers(table, self.numeric), [code(table) for code in self.codes], means)

    def _encoded(self, value_nd: _Floats, code_n: Sequence[NDArray[np.int64]], means: Sequence[_Floats]) -> _Floats:
        if not self.codes and len(value_nd) <= BLOCK_ROWS:
            return self.pieces(value_nd)
        codes = [(each_n, len(code.known) + 2) for each_n, code in zip(code_n, self.codes, strict=True)]
        scaled = [(mean - scale[0]) / scale[1] for mean, scale in zip(means, self.mean_scales, strict=True)]
        width = self.pieces.width + sum(size for _, size in codes) + sum(values.shape[1] for values in scaled)
        out_nd = np.empty((len(value_nd), width))
        for start in range(0, len(value_nd), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            parts = [self.pieces(value_nd[rows]), *(_one_hot(code_n[rows], size) for code_n, size in codes)]
            np.concatenate([*parts, *(values[rows] for values in scaled)], axis=1, out=out_nd[rows])
        return out_nd


def _one_hot(code_n: NDArray[np.int64], size: int) -> _Floats:
    one_hot = np.zeros((len(code_n), size))
    one_hot[np.arange(len(code_n)), code_n] = 1
    return one_hot
