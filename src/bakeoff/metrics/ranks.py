"""Measures that need an order of rows: areas under ROC and precision-recall curves, the median error.

For two classes the positive one is the second in sorted order; for more, each class is held against the
rest and the plain mean is taken over the classes for which the area is defined.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.outcome import BINARY, Outcome

__all__ = ["Areas", "Curves", "Sorted", "median"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Areas:
    """Areas (r,) under the ROC curve and the precision-recall curve (average precision); NaN if undefined."""

    roc_r: Floats
    pr_r: Floats


class Curves:
    """Weighted areas from scores (n, c) and truth (n, c) of c one-against-rest questions."""

    key_n: NDArray[np.int64] | None = None

    def __init__(self, scores_nc: Floats, positive_nc: NDArray[np.bool_]) -> None:
        self._scores_nc, self._positive_nc = scores_nc, positive_nc
        self._orders: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]] = []
        for score, positive in zip(scores_nc.T, positive_nc.T, strict=True):
            order = np.argsort(-score, kind="stable")
            ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
            self._orders.append((order, ends, positive[order]))

    @classmethod
    def of(cls, outcome: Outcome) -> "Curves":
        """The questions of an outcome with probabilities."""
        p_nk = outcome.probabilities_nk
        assert p_nk is not None
        asked = [1] if p_nk.shape[1] == BINARY else list(range(p_nk.shape[1]))
        return cls(p_nk[:, asked], outcome.truth_n[:, None] == np.asarray(asked)[None, :])

    @property
    def work(self) -> int:
        """Steps that one resample takes: rows × questions."""
        return self._scores_nc.size

    def take(self, units: NDArray[np.intp]) -> "Curves":
        """The same areas over some of the rows."""
        return Curves(self._scores_nc[units], self._positive_nc[units])

    def __call__(self, weights_ru: NDArray[Any]) -> Areas:
        """Areas for weights (r, n)."""
        pairs = [_areas(weights_ru[:, order], ends, positive) for order, ends, positive in self._orders]
        return Areas(roc_r=_mean_defined([roc for roc, _ in pairs]), pr_r=_mean_defined([pr for _, pr in pairs]))


def _areas(weights_ru: NDArray[Any], ends: NDArray[np.intp], positive_u: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """ROC and PR areas (r,) of rows sorted by falling score; `ends` are the last rows of equal scores.

    Source: the Mann-Whitney form of the ROC area with ties counted half (Hanley and McNeil, Radiology 143,
    1982); average precision is the sum of precision times the step in recall, without interpolation.
    """
    above = np.cumsum(weights_ru * positive_u, axis=1, dtype=np.float64)[:, ends]
    seen = np.cumsum(weights_ru, axis=1, dtype=np.float64)[:, ends]
    gained = np.diff(above, axis=1, prepend=0.0)
    false = seen - above
    lost = np.diff(false, axis=1, prepend=0.0)
    positives, negatives = above[:, -1], false[:, -1]
    wins = (gained * (negatives[:, None] - false + 0.5 * lost)).sum(axis=1)
    precision = np.divide(above, seen, out=np.zeros_like(above), where=seen > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return wins / (positives * negatives), (gained * precision).sum(axis=1) / positives


def _mean_defined(areas: list[Floats]) -> Floats:
    stacked = np.stack(areas)
    defined = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(defined, stacked, 0.0).sum(axis=0) / defined.sum(axis=0)


class Sorted:
    """Weights (r, n) of rows in the order of a value, for weighted medians."""

    key_n: NDArray[np.int64] | None = None

    def __init__(self, values_n: Floats) -> None:
        self._values_n = values_n
        self._order = np.argsort(values_n, kind="stable")

    @classmethod
    def of(cls, outcome: Outcome) -> "Sorted":
        """Absolute errors of an outcome, in order."""
        return cls(np.abs(outcome.predicted_n - outcome.truth_n))

    def take(self, units: NDArray[np.intp]) -> "Sorted":
        """The same over some of the rows."""
        return Sorted(self._values_n[units])

    def __call__(self, weights_ru: NDArray[Any]) -> Floats:
        """Medians (r,) for weights (r, n)."""
        seen = np.cumsum(weights_ru[:, self._order], axis=1)
        total = seen[:, -1:]
        ordered = self._values_n[self._order]
        low = (seen >= (total + 1) // 2).argmax(axis=1)
        high = (seen >= total // 2 + 1).argmax(axis=1)
        return (ordered[low] + ordered[high]) / 2


def median(middle_r: Floats) -> Floats:
    """The weighted median as `Sorted` found it, (r,)."""
    return middle_r
