"""Paired comparison of candidates on the same rows, for any metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Predictions, Task
from bakeoff.metrics.bootstrap import replicate
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import Measure, bind, find, measures
from bakeoff.metrics.significance import mcnemar_exact, t_interval, t_p_value

if TYPE_CHECKING:
    from bakeoff.metrics.outcome import Outcome

__all__ = ["Comparison", "Field", "compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How much better `candidate` is than `versus`: positive is better, whichever way the metric runs.

    `low` and `high` bound the difference with 95% confidence. `p_holm` is corrected for all comparisons
    made together.
    """

    candidate: str
    versus: str
    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float

    @property
    def superior(self) -> bool:
        """Whether the candidate is better, beyond chance."""
        return self.low > 0

    def non_inferior(self, margin: float) -> bool:
        """Whether it is shown that the candidate is worse by less than the margin."""
        return self.low > -margin

    def inferior(self, margin: float = 0.0) -> bool:
        """Whether it is shown that the candidate is worse by more than the margin."""
        return self.high < -margin


class Field:
    """Several candidates on the same rows: a metric's values, resampled together.

    The difference of two has the standard error of its resamples and a t distribution whose degrees of
    freedom count the rows (or groups) on which the two differ. Accuracy of ungrouped rows is tested by the
    exact McNemar test.
    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), sections 12.2 and 16.
    """

    def __init__(
        self,
        truth_n: ArrayLike,
        predictions: Mapping[str, Predictions],
        measure: Measure,
        *,
        seed: int,
        resamples: int,
        groups_n: ArrayLike | None = None,
        threads: int = 1,
    ) -> None:
        self.measure = measure
        self._groups_n = None if groups_n is None else np.asarray(groups_n)
        self._outcomes = {name: outcome(truth_n, each, measure.task) for name, each in predictions.items()}
        statistics = [bind([measure], each)[measure.name] for each in self._outcomes.values()]
        rows = len(np.asarray(truth_n))
        found = replicate(statistics, rows, resamples=resamples, seed=seed, groups_n=groups_n, threads=threads)
        self.values = {name: float(each.value_m[0]) for name, each in zip(predictions, found, strict=True)}
        self._draws = {name: each.draws_rm[:, 0] for name, each in zip(predictions, found, strict=True)}

    def se(self, a: str, b: str) -> float:
        """Standard error of the difference between two candidates."""
        apart = self._draws[a] - self._draws[b]
        apart = apart[~np.isnan(apart)]
        return float(apart.std(ddof=1)) if len(apart) > 1 else 0.0

    def compare(self, a: str, b: str, *, margin: float = 0.0) -> Comparison:
        """How much better a is than b; the p-value is for a true difference of at most `margin`."""
        sign = 1.0 if self.measure.higher_is_better else -1.0
        difference = sign * (self.values[a] - self.values[b])
        differing = self._differing(a, b)
        independent = int(differing.sum()) if self._groups_n is None else len(np.unique(self._groups_n[differing]))
        se, freedom = self.se(a, b), max(1, independent - 1)
        low, high = t_interval(difference, se, freedom)
        if self.measure.name == "accuracy" and margin == 0 and self._groups_n is None:
            p_value = self._mcnemar(a, b)
        else:
            p_value = t_p_value(difference, se, freedom, margin=margin)
        return Comparison(
            candidate=a,
            versus=b,
            metric=self.measure.name,
            difference=difference,
            low=low,
            high=high,
            p_value=p_value,
            p_holm=p_value,
        )

    def _differing(self, a: str, b: str) -> NDArray[np.bool_]:
        """The rows on which the metric can tell the two apart."""
        one, other = self._outcomes[a], self._outcomes[b]
        if self.measure.needs == "labels":
            return _names(one) != _names(other)
        if self.measure.needs == "probabilities" and one.classes == other.classes:
            assert one.probabilities_nk is not None
            assert other.probabilities_nk is not None
            return (one.probabilities_nk != other.probabilities_nk).any(axis=1)
        if self.measure.needs == "values":
            return one.predicted_n != other.predicted_n
        return np.ones(len(one), dtype=np.bool_)

    def _mcnemar(self, a: str, b: str) -> float:
        right_a, right_b = (each.truth_n == each.predicted_n for each in (self._outcomes[a], self._outcomes[b]))
        return mcnemar_exact(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum()))


def _names(outcome: "Outcome") -> NDArray[Any]:
    return np.asarray(outcome.classes)[outcome.predicted_n]


def compare(
    truth_n: ArrayLike,
    a: Predictions,
    b: Predictions,
    metric: str,
    *,
    seed: int,
    resamples: int = 2000,
    groups_n: ArrayLike | None = None,
    task: Task | None = None,
    names: tuple[str, str] = ("challenger", "champion"),
) -> Comparison:
    """How much better a is than b on the same rows; ask the result whether it is superior or non-inferior.

    Without a `task` the metric's name tells it: regression if that has one of the name, else classification.

    Raises:
        NotFoundError: the task has no metric of that name.
    """
    if task is None:
        task = "regression" if metric in measures("regression") else "classification"
    field = Field(
        truth_n,
        dict(zip(names, (a, b), strict=True)),
        find(metric, task),
        seed=seed,
        resamples=resamples,
        groups_n=groups_n,
    )
    return field.compare(*names)
