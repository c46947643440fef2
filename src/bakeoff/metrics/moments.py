"""Measures that are functions of row means: losses of probabilities, and errors of numbers.

`Moments` turns weights (r, n) into weighted means (r, m) of m columns; what follows are the columns of
each measure and what it makes of their means.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.positive import BINARY

__all__ = ["ECE_BINS", "Means", "Moments", "first_mean", "number_moments", "probability_moments", "r2"]

Floats = NDArray[np.float64]

ECE_BINS = 15
"""Equal-width bins of confidence, open below and closed above, as Guo et al. use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Weighted means (r, m) of the columns and the total weight (r,)."""

    mean_rm: Floats
    total_r: Floats


class Moments:
    """Weighted means of row-wise columns (n, m); rows with the same `key_n` have the same columns."""

    def __init__(self, columns_nm: Floats, key_n: NDArray[np.int64] | None = None) -> None:
        self._columns_nm, self.key_n = columns_nm, key_n

    @property
    def only_n(self) -> Floats | None:
        """The one column (n,), when there is but one: what the measure is the mean of."""
        return self._columns_nm[:, 0] if self._columns_nm.shape[1] == 1 else None

    def take(self, units: NDArray[np.intp]) -> "Moments":
        """The same means over some of the rows."""
        return Moments(self._columns_nm[units], None if self.key_n is None else self.key_n[units])

    def __call__(self, weights_ru: NDArray[Any]) -> Means:
        """Means for weights (r, n)."""
        weights = weights_ru.astype(np.float64, copy=False)
        total = weights.sum(axis=1)
        return Means(mean_rm=(weights @ self._columns_nm) / total[:, None], total_r=total)


def probability_moments(outcome: Outcome) -> Moments:
    """Columns: log loss, Brier score, then for each confidence bin right − confidence.

    Log loss clips at the float64 epsilon. The Brier score is the mean squared error of the second class's
    probability for two classes, and the sum of squared errors over all classes for more (as scikit-learn).
    Source: Brier, Monthly Weather Review 78 (1950); Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017, eq. 3.
    """
    p_nk = outcome.probabilities_nk
    assert p_nk is not None
    rows = np.arange(len(outcome))
    eps = np.finfo(np.float64).eps
    log_loss = -np.log(np.clip(p_nk[rows, outcome.truth_n], eps, 1 - eps))
    error_nk = p_nk.copy()
    error_nk[rows, outcome.truth_n] -= 1.0
    brier = (error_nk**2).sum(axis=1) / (2.0 if p_nk.shape[1] == BINARY else 1.0)
    confidence = p_nk.max(axis=1)
    # Of the most probable class, which need not be the answer when errors have costs.
    gap = (outcome.truth_n == p_nk.argmax(axis=1)) - confidence
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(np.intp) - 1, 0, ECE_BINS - 1)
    columns = np.zeros((len(outcome), 2 + ECE_BINS))
    columns[:, 0], columns[:, 1] = log_loss, brier
    columns[rows, 2 + bins] = gap
    return Moments(columns)


def number_moments(outcome: Outcome) -> Moments:
    """Columns: absolute error, squared error, relative error (NaN where the truth is 0), centred truth, its square."""
    error, truth_n = outcome.predicted_n - outcome.truth_n, outcome.truth_n
    relative = np.divide(np.abs(error), np.abs(truth_n), out=np.full(len(error), np.nan), where=truth_n != 0)
    centred = truth_n - truth_n.mean()
    return Moments(np.column_stack([np.abs(error), error**2, relative, centred, centred**2]))


def r2(means: Means) -> Floats:
    """Share of the truth's variance that is explained, (r,); for constant truth 1 when right, else 0.

    Undefined (NaN) for a single row.
    """
    squared, centre, square = means.mean_rm[:, 1], means.mean_rm[:, 3], means.mean_rm[:, 4]
    spread = square - centre**2
    # What the subtraction cannot resolve is no spread.
    constant = spread <= 1e-12 * np.maximum(square, np.finfo(np.float64).tiny)
    explained = 1.0 - squared / np.where(constant, 1.0, spread)
    value = np.where(constant, np.where(squared == 0.0, 1.0, 0.0), explained)
    return np.where(means.total_r == 1, np.nan, value)


def first_mean(means: Means) -> Floats:
    """The mean of the first column, (r,)."""
    return means.mean_rm[:, 0]
