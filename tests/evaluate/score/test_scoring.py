import numpy as np
import pytest

from bakeoff.core.types import Predictions
from bakeoff.evaluate.score.estimates import ScoredRows, estimate
from bakeoff.evaluate.score.scoring import score
from bakeoff.metrics.intervals import wilson
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find


def test_few_rows_of_a_class_are_no_certainty():
    truth = np.array(["a"] * 40 + ["b"] * 10)
    said = Predictions(values_n=np.array(["a"] * 38 + ["b"] * 12))
    b = score(truth, said, "classification", resamples=200, seed=0).per_class["b"]
    assert (b.recall.value, b.recall.low, b.recall.high) == (1.0, *wilson(10, 10))
    assert (b.precision.low, b.precision.high) == wilson(10, 12)
    assert b.f1.value == pytest.approx(20 / 22)
    assert 0.6 < b.f1.low < b.f1.value < b.f1.high < 1.0


def test_groups_widen_the_intervals_of_classes():
    truth = np.array(["a"] * 40 + ["b"] * 10)
    said = Predictions(values_n=np.array(["a"] * 38 + ["b"] * 12))
    alone = score(truth, said, "classification", resamples=200, seed=0).per_class["b"]
    b = score(truth, said, "classification", resamples=200, seed=0, groups_n=np.arange(50) % 5).per_class["b"]
    assert b.recall.high == 1.0
    assert b.recall.low == wilson(5, 5)[0] < alone.recall.low
    assert b.precision.low <= alone.precision.low


def test_one_measure_has_the_interval_of_all():
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b"], 300)
    said = Predictions(values_n=np.where(rng.random(300) < 0.8, truth, "a"))
    result = outcome(truth, said, "classification")
    for name in ("accuracy", "f1_macro"):
        whole = score(truth, said, "classification", resamples=400, seed=0).metrics[name]
        assert estimate(find(name, "classification"), ScoredRows(outcome=result)) == whole
    one = outcome(["a"], Predictions(values_n=np.array(["a"])), "classification")
    assert estimate(find("accuracy", "classification"), ScoredRows(outcome=one)).low < 0.3
