"""Simulations: intervals cover as often as they say, and equal candidates are rarely called different."""

import numpy as np
import pytest

from bakeoff.core.types import Predictions
from bakeoff.evaluate.paired import Field
from bakeoff.evaluate.scoring import score
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.registry import find

pytestmark = pytest.mark.slow

SIMULATIONS = 2000
CLASSES = ("a", "b", "c")


def drawn(rng, n):
    """Rows of three classes, unevenly common, and what a fair model says of them."""
    truth = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return truth, (rng.normal(size=(n, 3)) + 1.3 * (truth[:, None] == np.arange(3))).argmax(axis=1)


def named(codes):
    return np.asarray(CLASSES)[codes]


def score_of_class(whole, name):
    """F1 of one class."""
    is_true, is_said = (codes == CLASSES.index(name) for codes in (whole.truth_n, whole.predicted_n))
    return 2 * (is_true & is_said).sum() / (is_true.sum() + is_said.sum())


def test_intervals_cover_the_truth():
    population = drawn(np.random.default_rng(123), 2_000_000)
    whole = Outcome(truth_n=population[0], predicted_n=population[1], classes=CLASSES)
    names = ("f1_macro", "mcc", "accuracy", "balanced_accuracy")
    true = {name: find(name, "classification")(whole) for name in names}
    per_class = {name: score_of_class(whole, name) for name in CLASSES}
    covered = dict.fromkeys([*names, *CLASSES], 0)
    for i in range(SIMULATIONS):
        truth, said = drawn(np.random.default_rng([1, i]), 400)
        scores = score(named(truth), Predictions(values_n=named(said)), "classification", resamples=400, seed=i)
        for name in names:
            covered[name] += scores.metrics[name].low <= true[name] <= scores.metrics[name].high
        for name in CLASSES:
            found = scores.per_class[name].f1
            covered[name] += found.low <= per_class[name] <= found.high
    for name, hits in covered.items():
        assert 0.93 <= hits / SIMULATIONS <= 0.97, (name, hits / SIMULATIONS)


@pytest.mark.parametrize(("metric", "n"), [("f1_macro", 300), ("f1_macro", 60), ("accuracy", 60)])
def test_equal_candidates_are_called_different_at_most_one_time_in_twenty(metric, n):
    rejected = 0
    for i in range(SIMULATIONS):
        rng = np.random.default_rng([2, i])
        truth, first = drawn(rng, n)
        again = (rng.normal(size=(n, 3)) + 1.3 * (truth[:, None] == np.arange(3))).argmax(axis=1)
        second = np.where(rng.random(n) < 0.5, first, again)
        pair = {"a": Predictions(values_n=named(first)), "b": Predictions(values_n=named(second))}
        field = Field(named(truth), pair, find(metric, "classification"), seed=i, resamples=200)
        rejected += field.compare("a", "b").p_value < 0.05
    # three standard errors of the simulation itself are allowed for
    assert rejected / SIMULATIONS <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / SIMULATIONS)
