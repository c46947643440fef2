"""Measures that need an order of rows: areas under ROC and precision-recall curves, the median error.

An area is of one class, held against the rest. Where none is named it is that of the positive class of two; of more,
the plain mean over the classes for which the area is defined.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.positive import BINARY

__all__ = ["Areas", "Curves", "LinearCurves", "OneCurve", "Sorted", "median"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Areas:
    """Areas (r,) under the ROC curve and the precision-recall curve (average precision); NaN if undefined."""

    roc_r: Floats
    pr_r: Floats


CELLS = 2048
"""Steps of each derivative within which rows are alike."""
FEWEST_ALIKE = 10_000
"""Rows from which on that pays."""


class Curves:
    """Weighted areas from scores (n, c) and truth (n, c) of c one-against-rest questions."""

    key_n: NDArray[np.int64] | None = None

    def __init__(self, scores_nc: Floats, positive_nc: NDArray[np.bool_]) -> None:
        self._scores_nc, self._positive_nc = scores_nc, positive_nc

    @classmethod
    def of(cls, outcome: Outcome) -> "Curves":
        """The questions of an outcome with probabilities: about the positive class of two, about each of more."""
        p_nk = outcome.probabilities_nk
        assert p_nk is not None
        k = p_nk.shape[1]
        if k == BINARY and outcome.positive is not None:
            return cls.about(outcome, outcome.positive)
        return cls(p_nk, outcome.truth_n[:, None] == np.arange(k)[None, :])

    @classmethod
    def about(cls, outcome: Outcome, name: str) -> "Curves":
        """The question about one class; its areas are undefined when the class is not among those of the outcome."""
        p_nk = outcome.probabilities_nk
        assert p_nk is not None
        if name not in outcome.classes:
            return cls(np.zeros((len(outcome), 1)), np.zeros((len(outcome), 1), dtype=np.bool_))
        at = outcome.classes.index(name)
        return cls(p_nk[:, [at]], outcome.truth_n[:, None] == at)

    @property
    def work(self) -> int:
        """Steps that one resample takes: rows × questions."""
        return self._scores_nc.size

    def take(self, units: NDArray[np.intp]) -> "Curves":
        """The same areas over some of the rows."""
        return Curves(self._scores_nc[units], self._positive_nc[units])

    def linear(self) -> "LinearCurves":
        """The areas as linear functions of the weights near 1: far cheaper, and as good for many rows."""
        size = len(self._scores_nc)
        gradient_nm = np.zeros((size, 2))
        defined = np.zeros(2)
        for order, ends, positive in self._questions():
            gradient_um = _gradient(ends, positive)
            known = ~np.isnan(gradient_um).any(axis=0)
            defined += known
            gradient_nm[order] += np.where(known, gradient_um, 0.0)
        areas = self(np.ones((1, size), dtype=np.int64))
        with np.errstate(invalid="ignore"):
            return LinearCurves.of(float(areas.roc_r[0]), float(areas.pr_r[0]), gradient_nm / defined)

    def __call__(self, weights_ru: NDArray[Any]) -> Areas:
        """Areas for weights (r, n)."""
        pairs = [_areas(weights_ru[:, order], ends, positive) for order, ends, positive in self._questions()]
        return Areas(roc_r=_mean_defined([roc for roc, _ in pairs]), pr_r=_mean_defined([pr for _, pr in pairs]))

    def _questions(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]]:
        """For each question: rows by falling score, the last of each run of equal scores, which are positive."""
        for score, positive in zip(self._scores_nc.T, self._positive_nc.T, strict=True):
            order = np.argsort(-score, kind="stable")
            ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
            yield order, ends, positive[order]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCurve:
    """Gathers the curves of one class (None: as `Curves.of`)."""

    of_class: str | None = None

    def __call__(self, outcome: Outcome) -> Curves:
        """The curves of an outcome with probabilities."""
        return Curves.of(outcome) if self.of_class is None else Curves.about(outcome, self.of_class)


class LinearCurves:
    """Areas to first order in the weights; `gradient_nm` has a column for each of the two.

    Rows whose derivatives lie in the same of very many cells are alike, with their mean: that loses a millionth of the
    variance, and resampling them takes as long as there are cells, not rows.
    """

    key_n: NDArray[np.int64] | None

    def __init__(self, roc: float, pr: float, gradient_nm: Floats, key_n: NDArray[np.int64] | None = None) -> None:
        self._roc, self._pr, self._gradient_nm, self.key_n = roc, pr, gradient_nm, key_n

    @classmethod
    def of(cls, roc: float, pr: float, gradient_nm: Floats) -> "LinearCurves":
        """With alike rows brought together."""
        if len(gradient_nm) < FEWEST_ALIKE or not np.isfinite(gradient_nm).all():
            return cls(roc, pr, gradient_nm)
        width_m = np.maximum(np.ptp(gradient_nm, axis=0), np.finfo(np.float64).tiny)
        place_nm = ((gradient_nm - gradient_nm.min(axis=0)) / width_m * (CELLS - 1)).astype(np.int64)
        _, key_n, rows_c = np.unique(place_nm[:, 0] * CELLS + place_nm[:, 1], return_inverse=True, return_counts=True)
        means = [np.bincount(key_n, weights=column) / rows_c for column in gradient_nm.T]
        return cls(roc, pr, np.column_stack([mean[key_n] for mean in means]), key_n.astype(np.int64))

    def take(self, units: NDArray[np.intp]) -> "LinearCurves":
        """The same over some of the rows, or one of each of those that are alike."""
        return LinearCurves(self._roc, self._pr, self._gradient_nm[units])

    def __call__(self, weights_ru: NDArray[Any]) -> Areas:
        """Areas for weights (r, n)."""
        # Derivatives sum to nothing over all rows: the weights of 1 that they are around need no taking off.
        change_rm = weights_ru.astype(np.float64) @ self._gradient_nm
        return Areas(roc_r=self._roc + change_rm[:, 0], pr_r=self._pr + change_rm[:, 1])


def _gradient(ends: NDArray[np.intp], positive_u: NDArray[np.bool_]) -> Floats:
    """Derivatives (u, 2) of the two areas by each row's weight, where all weights are 1.

    For the ROC area these are the placements of DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).
    """
    run_u = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
    above = np.cumsum(positive_u, dtype=np.float64)[ends]
    seen = ends + 1.0
    gained, false = np.diff(above, prepend=0.0), seen - above
    lost = np.diff(false, prepend=0.0)
    positives, negatives = above[-1], false[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        beaten, beaten_by = negatives - false + 0.5 * lost, above - 0.5 * gained
        roc = (gained * beaten).sum() / (positives * negatives)
        of_positive, of_negative = beaten / negatives - roc, beaten_by / positives - roc
        by_roc = np.where(positive_u, of_positive[run_u] / positives, of_negative[run_u] / negatives)
        precision = above / seen
        pr = (gained * precision).sum() / positives
        at_or_below = np.stack([gained / seen, gained * above / seen**2])[:, ::-1].cumsum(axis=1)[:, ::-1]
        added = np.where(positive_u, (precision + at_or_below[0])[run_u] - pr, 0.0)
        return np.column_stack([by_roc, (added - at_or_below[1][run_u]) / positives])


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
