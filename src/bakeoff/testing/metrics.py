"""What every metric of one's own must do; derive from `MetricConformance` and give the fixtures.

    class TestMine(MetricConformance):
        @pytest.fixture
        def metric(self):
            return my_metric

Set `task` when it is not for classification. A measure that is none of a function gives the fixture `measure` instead.
"""

# ruff: noqa: D102, PLR2004  # the names of the tests say it; the numbers are the examples

import math
from collections.abc import Callable

import numpy as np
import pytest

from bakeoff.core.types import Predictions, Task
from bakeoff.metrics.bootstrap import replicate
from bakeoff.metrics.custom import adapted
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.registry import bind

__all__ = ["MetricConformance"]

ROWS = 60


class MetricConformance:
    """Tests of a function that is to be a metric."""

    task: Task = "classification"

    @pytest.fixture
    def metric(self) -> Callable[..., float]:
        raise NotImplementedError("give the fixture 'metric'")

    @pytest.fixture
    def measure(self, metric: Callable[..., float]) -> Measure:
        return adapted("metric", metric, self.task)

    @pytest.fixture
    def good(self) -> Outcome:
        """Rows of which nearly all are right."""
        return _outcome(self.task, noise=0.1)

    @pytest.fixture
    def poor(self) -> Outcome:
        """The same rows predicted by chance."""
        return _outcome(self.task, noise=30.0)

    def test_it_says_which_way_is_better(self, measure: Measure) -> None:
        assert isinstance(measure.higher_is_better, bool)

    def test_good_predictions_are_better_than_chance(self, measure: Measure, good: Outcome, poor: Outcome) -> None:
        sign = 1 if measure.higher_is_better else -1
        assert sign * measure(good) > sign * measure(poor)

    def test_it_keeps_within_its_bounds(self, measure: Measure, good: Outcome, poor: Outcome) -> None:
        low, high = measure.bounds
        assert low <= measure(good) <= high
        assert low <= measure(poor) <= high

    def test_the_order_of_rows_does_not_matter(self, measure: Measure, poor: Outcome) -> None:
        turned = poor.take(np.arange(ROWS)[::-1])
        assert measure(turned) == pytest.approx(measure(poor), rel=1e-9)

    def test_it_leaves_its_arguments_alone(self, measure: Measure, poor: Outcome) -> None:
        assert measure(poor) == measure(poor)

    def test_it_can_be_resampled(self, measure: Measure, poor: Outcome) -> None:
        (found,) = replicate([bind([measure], poor)[measure.name]], ROWS, resamples=50, seed=0)
        assert found.value_m[0] == pytest.approx(measure(poor))
        assert np.isfinite(found.draws_rm).mean() > 0.9

    def test_resamples_weigh_rows_as_often_as_they_are_drawn(self, measure: Measure, poor: Outcome) -> None:
        drawn = np.random.default_rng(1).integers(0, ROWS, ROWS)
        weights = np.bincount(drawn, minlength=ROWS)[None, :]
        value = measure.finish(measure.gather(poor)(weights))[0]
        assert value == pytest.approx(measure(poor.take(drawn)), rel=1e-9)

    def test_few_rows_give_a_number_or_nan(self, measure: Measure, good: Outcome) -> None:
        value = measure(good.take(np.arange(1)))
        assert math.isnan(value) or math.isfinite(value)


def _outcome(task: Task, *, noise: float) -> Outcome:
    rng = np.random.default_rng(0)
    truth_n = rng.integers(0, 3, ROWS)
    if task == "regression":
        said = Predictions(values_n=truth_n + noise * rng.normal(size=ROWS))
        return outcome(truth_n.astype(np.float64), said, task)
    names = np.asarray(["ant", "bee", "cat"])
    scores_nk = 3.0 * (truth_n[:, None] == np.arange(3)) + noise * rng.normal(size=(ROWS, 3))
    shares_nk = np.exp(scores_nk - scores_nk.max(axis=1, keepdims=True))
    said = Predictions.of_probabilities(shares_nk / shares_nk.sum(axis=1, keepdims=True), tuple(names.tolist()))
    return outcome(names[truth_n], said, task)
