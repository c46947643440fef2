"""What several models say together: weighted means (blends), and cascades that ask the next one when unsure.

Pure functions of what the models said, so that the evaluation of kept outcomes and the models that are
served compute the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions

__all__ = ["LEAST", "Ask", "Ladder", "Mix", "common_classes", "spread"]

Floats: TypeAlias = NDArray[np.float64]
Ask: TypeAlias = Callable[[int, NDArray[np.intp]], Floats]
"""Probabilities (r, k) of some rows from the model of a stage."""

LEAST = 1e-9
"""A probability below which its logarithm does not follow it: a model's certainty must not overrule all others."""


def common_classes(classes: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """All classes of several models, sorted."""
    return tuple(sorted({name for each in classes for name in each}))


def spread(predictions: Predictions, classes: Sequence[str]) -> Floats:
    """Probabilities (n, k) in the order of `classes`; zero where the model does not know one."""
    given_nk = predictions.probabilities_nk
    assert given_nk is not None, "only classes with probabilities can be combined"
    if tuple(classes) == predictions.classes:
        return given_nk
    spread_nk = np.zeros((len(predictions), len(classes)))
    spread_nk[:, [list(classes).index(name) for name in predictions.classes]] = given_nk
    return spread_nk


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A weighted mean of what models say: numbers and their quantiles, probabilities, or (`log`) log probabilities.

    With `log` the class's bias (0 for those not named) is added and the sum is normalised, which for two
    classes is logistic regression on the models' log odds.
    Source: Genest and Zidek, "Combining Probability Distributions", Statistical Science 1 (1986): the
    linear and the logarithmic opinion pool. Quantiles: Lichtendahl, Grushka-Cockayne and Winkler, "Is It Better to
    Average Probabilities or Quantiles?", Management Science 59 (2013).
    """

    weights: tuple[float, ...]
    biases: Mapping[str, float] = field(default_factory=dict[str, float])
    log: bool = False

    def of_probabilities(self, parts: Sequence[Floats], classes: Sequence[str]) -> Floats:
        """Probabilities (n, k) from those of each model."""
        if not self.log:
            return sum((w * part_nk for w, part_nk in zip(self.weights, parts, strict=True)), np.zeros_like(parts[0]))
        score_nk = np.zeros_like(parts[0]) + np.asarray([self.biases.get(name, 0.0) for name in classes])
        for weight, part_nk in zip(self.weights, parts, strict=True):
            score_nk += weight * np.log(np.maximum(part_nk, LEAST))
        power_nk = np.exp(score_nk - score_nk.max(axis=1, keepdims=True, initial=-np.inf))
        return power_nk / power_nk.sum(axis=1, keepdims=True)

    def _of_numbers(self, parts: Sequence[NDArray[Any]]) -> Floats:
        return np.column_stack([np.asarray(part_n, dtype=np.float64) for part_n in parts]) @ np.asarray(self.weights)

    def __call__(self, parts: Sequence[Predictions], classes: Sequence[str]) -> Predictions:
        """Predictions from those of each model on the same rows; `classes` are empty for numbers."""
        if not classes:
            levels = set[str].intersection(*(set(part.scores) for part in parts))
            return Predictions(
                values_n=self._of_numbers([part.values_n for part in parts]),
                scores={level: self._of_numbers([part.scores[level] for part in parts]) for level in sorted(levels)},
            )
        mixed_nk = self.of_probabilities([spread(part, classes) for part in parts], classes)
        return Predictions.of_probabilities(mixed_nk, tuple(classes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """When a cascade asks the next stage about a row.

    It does when the probability of the row's most probable class is below the stage's threshold, or when
    that class is one of the `doubted`.

    `pooled`: a row's answer is the plain mean of all stages that it reached, else that of the last one.
    """

    thresholds: tuple[float, ...]
    doubted: tuple[str, ...] = ()
    pooled: bool = False

    def climb(self, ask: Ask, n: int, classes: Sequence[str]) -> tuple[Floats, NDArray[np.intp]]:
        """The answers (n, k) to n rows, and the stage (n,) that gave each; a stage is asked of rows that reach it."""
        doubted_k = np.isin(np.asarray(classes, dtype=np.str_), np.asarray(self.doubted, dtype=np.str_))
        answer_nk, stage_n = np.zeros((n, len(classes))), np.zeros(n, dtype=np.intp)
        rows = np.arange(n)
        for stage in range(len(self.thresholds) + 1):
            said_rk = ask(stage, rows)
            stage_n[rows] = stage
            answer_nk[rows] = (answer_nk[rows] * stage + said_rk) / (stage + 1) if self.pooled else said_rk
            if stage == len(self.thresholds):
                break
            now_rk = answer_nk[rows]
            unsure_r = (now_rk.max(axis=1, initial=0.0) < self.thresholds[stage]) | doubted_k[now_rk.argmax(axis=1)]
            rows = rows[unsure_r]
            if not len(rows):
                break
        return answer_nk, stage_n

    def shares(self, stage_n: NDArray[np.intp]) -> tuple[float, ...]:
        """The share of rows that reach each stage."""
        return tuple(float((stage_n >= stage).mean()) for stage in range(len(self.thresholds) + 1))
