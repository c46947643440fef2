"""Points of precision-recall curves: the best precision at a recall, the best recall at a precision.

Each is the best over all thresholds on one class's probability that keep the level.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.labels import Grouped
from bakeoff.metrics.outcome import Outcome

__all__ = ["Counts", "ThresholdCurve", "Thresholds"]

Floats: TypeAlias = NDArray[np.float64]

MOST_THRESHOLDS = 2000
"""Of more distinct probabilities than this, resamples look at so many thresholds, that of the value among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdCurve:
    """Gathers the thresholds of one class (None: the positive one), and finds the point among them.

    `wanted` is what is to be large, while the other is at least `level`. Undefined (NaN) when the class is nowhere
    true; a recall that no threshold gives at the wanted precision is 0.
    """

    wanted: Literal["precision", "recall"]
    level: float
    of_class: str | None = None

    def __call__(self, outcome: Outcome) -> "Thresholds":
        """The thresholds of an outcome with probabilities."""
        p_nk, name = outcome.probabilities_nk, outcome.positive if self.of_class is None else self.of_class
        assert p_nk is not None
        if name not in outcome.classes:
            return Thresholds(np.zeros(len(outcome), dtype=np.int64), np.zeros(len(outcome), dtype=np.bool_), 1)
        at = outcome.classes.index(name)
        return self._coarse(Thresholds.of(p_nk[:, at], outcome.truth_n == at))

    def finish(self, counts: "Counts") -> Floats:
        """Values (r,)."""
        return np.where(counts.above_rt[:, -1] > 0, self._along(counts).max(axis=1), np.nan)

    def _along(self, counts: "Counts") -> Floats:
        """What is wanted at each threshold (r, t), 0 where the level is not kept."""
        above_rt, seen_rt = counts.above_rt, counts.seen_rt
        precision_rt = np.divide(above_rt, seen_rt, out=np.zeros_like(above_rt), where=seen_rt > 0)
        total_r1 = above_rt[:, -1:]
        recall_rt = np.divide(above_rt, total_r1, out=np.zeros_like(above_rt), where=total_r1 > 0)
        wanted_rt, kept_rt = (precision_rt, recall_rt) if self.wanted == "precision" else (recall_rt, precision_rt)
        return np.where(kept_rt >= self.level, wanted_rt, 0.0)

    def _coarse(self, every: "Thresholds") -> "Thresholds":
        if every.size <= MOST_THRESHOLDS:
            return every
        counts = every(np.ones((1, len(every.threshold_u)), dtype=np.int64))
        return every.some(counts, best=int(self._along(counts)[0].argmax()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Weights of positive rows (`above`) and of all rows (`seen`), (r, t), at or over each of t falling thresholds."""

    above_rt: Floats
    seen_rt: Floats


class Thresholds:
    """Sums weights over thresholds. Units of the same threshold and truth are alike."""

    def __init__(self, threshold_u: NDArray[np.int64], positive_u: NDArray[np.bool_], size: int) -> None:
        self.threshold_u, self.size = threshold_u, size
        self._positive_u = positive_u
        positives = np.flatnonzero(positive_u)
        self._seen = Grouped(threshold_u, size)
        self._above = Grouped(threshold_u[positives], size, positives)

    @classmethod
    def of(cls, score_n: Floats, positive_n: NDArray[np.bool_]) -> "Thresholds":
        """A threshold at every score, the highest first."""
        scores, rising_n = np.unique(score_n, return_inverse=True)
        return cls((len(scores) - 1 - rising_n).astype(np.int64), positive_n, len(scores))

    @property
    def key_n(self) -> NDArray[np.int64]:
        """The threshold and truth of each unit."""
        return self.threshold_u * 2 + self._positive_u

    def take(self, units: NDArray[np.intp]) -> "Thresholds":
        """The same over some of the units."""
        return Thresholds(self.threshold_u[units], self._positive_u[units], self.size)

    def some(self, counts: Counts, *, best: int) -> "Thresholds":
        """Fewer thresholds, as evenly spread over positive rows and over all rows as can be; `best` is among them."""
        last = self.size - 1
        steps = np.linspace(0, 1, MOST_THRESHOLDS // 2)
        places = [np.searchsorted(line, steps * line[-1]) for line in (counts.above_rt[0], counts.seen_rt[0])]
        ends = np.unique(np.minimum(np.concatenate([*places, [best, last]]), last))
        return Thresholds(np.searchsorted(ends, self.threshold_u), self._positive_u, len(ends))

    def __call__(self, weights_ru: NDArray[Any]) -> Counts:
        """Counts for weights (r, u)."""
        return Counts(
            above_rt=np.cumsum(self._above(weights_ru), axis=1), seen_rt=np.cumsum(self._seen(weights_ru), axis=1)
        )
