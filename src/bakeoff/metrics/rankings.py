"""Measures of how high the true class ranks among the probabilities of all classes.

Each row has one class that is relevant. Classes of the same probability share their places: the row gets the mean
over all orders of them, so that nothing hangs on how classes are sorted.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.moments import Moments
from bakeoff.metrics.outcome import Outcome

__all__ = ["Gain", "Ranking"]

Gain: TypeAlias = Literal["hit", "ndcg", "reciprocal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Gathers what the place of the true class is worth, up to place `most` (None: whatever the place).

    `hit` is worth 1 (top-k accuracy). `ndcg` is worth 1 / log2(1 + place): with one relevant class of gain 1 the ideal
    is 1. `reciprocal` is worth 1 / place: with one relevant class, average precision and reciprocal rank are the same.
    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20 (2002); means over
    ties: McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence of
    Tied Scores", ECIR 2008.
    """

    gain: Gain
    most: int | None = None

    def __call__(self, outcome: Outcome) -> Moments:
        """One column: the gain of each row. Rows whose true class has the same places are alike."""
        p_nk = outcome.probabilities_nk
        assert p_nk is not None
        k = p_nk.shape[1]
        p_true_n1 = p_nk[np.arange(len(outcome)), outcome.truth_n][:, None]
        before_n = (p_nk > p_true_n1).sum(axis=1)
        last_n = before_n + (p_nk == p_true_n1).sum(axis=1)
        worth = np.concatenate([[0.0], np.cumsum(self._worth(np.arange(1, k + 1)))])
        gain_n = (worth[last_n] - worth[before_n]) / (last_n - before_n)
        return Moments(gain_n[:, None], (before_n * (k + 1) + last_n).astype(np.int64))

    def _worth(self, place_k: NDArray[np.int64]) -> NDArray[np.float64]:
        counts_k = place_k <= (len(place_k) if self.most is None else self.most)
        match self.gain:
            case "hit":
                return counts_k.astype(np.float64)
            case "ndcg":
                return counts_k / np.log2(1.0 + place_k)
            case "reciprocal":
                return counts_k / place_k
