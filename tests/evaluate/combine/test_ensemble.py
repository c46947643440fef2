"""Stacks of candidates of which it is known what their mean should be."""

import numpy as np
import pytest

from bakeoff.core.types import Predictions
from bakeoff.evaluate.combine.ensemble import find_stack

N = 20_000


def noisy(truth_n, spread, seed):
    return Predictions(values_n=truth_n + spread * np.random.default_rng(seed).normal(size=len(truth_n)))


def test_numbers_are_weighed_by_one_over_the_variance_of_their_errors():
    truth_n = np.random.default_rng(0).normal(size=N)
    parts = [noisy(truth_n, 1.0, 1), noisy(truth_n, 2.0, 2), noisy(truth_n, 20.0, 3)]
    mix = find_stack(truth_n, parts, "regression", even=False, seed=0)
    assert mix.weights == pytest.approx((0.8, 0.2, 0.0), abs=0.03)
    assert mix.weights[2] == 0.0  # too little to be paid for
    assert not mix.log


def test_on_few_rows_weights_are_nearly_equal():
    truth_n = np.random.default_rng(0).normal(size=30)
    parts = [noisy(truth_n, 1.0, 1), noisy(truth_n, 1.5, 2)]
    few = find_stack(truth_n, parts, "regression", even=False, seed=0)
    assert few.weights == pytest.approx((0.5, 0.5), abs=0.12)


def test_what_is_worse_than_chance_is_not_taken():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=4000)

    def said(signal, seed):
        odds = signal * (np.random.default_rng(seed).normal(size=4000) + signal * (truth - 0.5))
        yes = 1 / (1 + np.exp(-odds))
        return Predictions.of_probabilities(np.column_stack([1 - yes, yes]), ("no", "yes"))

    names_n = np.array(["no", "yes"])[truth]
    good = [said(1.5, seed) for seed in (1, 2, 3)]
    wrong = Predictions.of_probabilities(said(1.5, 4).probabilities_nk[:, ::-1].copy(), ("no", "yes"))
    mix = find_stack(names_n, [*good, wrong], "classification", even=False, seed=0)
    assert mix.weights[3] == 0.0
    assert mix.weights[:3] == pytest.approx((1 / 3,) * 3, abs=0.08)


def test_the_same_rows_give_the_same_weights():
    truth_n = np.random.default_rng(0).normal(size=500)
    parts = [noisy(truth_n, 1.0 + at / 5, at) for at in range(5)]
    one, other = (find_stack(truth_n, parts, "regression", even=False, seed=7) for _ in range(2))
    assert one == other
    assert sum(one.weights) == pytest.approx(1.0)
