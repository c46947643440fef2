"""Measures of predicted quantiles of a number: pinball loss, interval score, coverage of the interval.

Quantiles are `scores` of the predictions, named by their level ("0.9").
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import DataError
from bakeoff.metrics.moments import Moments
from bakeoff.metrics.outcome import Outcome

__all__ = ["CentralInterval", "Pinball", "levels", "quantile"]

Floats: TypeAlias = NDArray[np.float64]

DECIMALS = 9
"""Levels that differ by less are the same: 1 - 0.9 is 0.1."""


def levels(outcome: Outcome) -> list[float]:
    """The levels of the quantiles that there are, the lowest first."""
    return sorted(float(name) for name in outcome.scores)


def quantile(outcome: Outcome, level: float) -> Floats:
    """The predicted quantile of each row (n,).

    Raises:
        DataError: that level was not predicted.
    """
    known = {round(float(name), DECIMALS): quantile_n for name, quantile_n in outcome.scores.items()}
    if round(level, DECIMALS) not in known:
        raise DataError(f"expected predictions of the quantile {level:g}; received those of {levels(outcome)}")
    return known[round(level, DECIMALS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinball:
    """Gathers the quantile loss in the truth's unit: of one level, or the mean over all that are predicted (None).

    Where no quantiles are predicted, the predictions are taken as that of the level.
    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978).
    """

    level: float | None = None

    def __call__(self, outcome: Outcome) -> Moments:
        """One column: the loss of each row."""
        if self.level is not None:
            return Moments(_loss(outcome, self.level)[:, None])
        return Moments(np.mean([_loss(outcome, each) for each in levels(outcome)], axis=0)[:, None])


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralInterval:
    """Gathers what the predicted central interval of a level is worth in each row.

    `score`: its width, and where the truth lies outside 2 / (1 - level) times how far. `held`: whether it holds the
    truth (ends included).
    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 102 (2007), eq. 43.
    """

    level: float
    worth: Literal["score", "held"]

    def __call__(self, outcome: Outcome) -> Moments:
        """One column: the worth in each row."""
        low_n, high_n = (quantile(outcome, at) for at in ((1 - self.level) / 2, (1 + self.level) / 2))
        truth_n = outcome.truth_n
        if self.worth == "held":
            held_n = ((low_n <= truth_n) & (truth_n <= high_n)).astype(np.float64)
            return Moments(held_n[:, None], held_n.astype(np.int64))
        outside_n = np.maximum(low_n - truth_n, 0) + np.maximum(truth_n - high_n, 0)
        return Moments((high_n - low_n + 2 / (1 - self.level) * outside_n)[:, None])


def _loss(outcome: Outcome, level: float) -> Floats:
    error_n = outcome.truth_n - (quantile(outcome, level) if outcome.scores else outcome.predicted_n)
    return np.maximum(level * error_n, (level - 1.0) * error_n)
