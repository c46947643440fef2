import numpy as np
import pytest
from scipy.stats import binomtest

from bakeoff.core.types import Predictions
from bakeoff.evaluate.decide.permutation import permutation_p_value
from bakeoff.metrics.registry import find

NAMES = np.asarray(["a", "b", "c"])


def pair(n, *, gap=0.0, seed=0):
    """Truth and two candidates, the second worse by `gap`; their errors go together."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    shared = rng.normal(size=(n, 3))

    def said(signal):
        scores = shared + 0.7 * rng.normal(size=(n, 3)) + signal * (truth[:, None] == np.arange(3))
        shares = np.exp(scores)
        return Predictions.of_probabilities(shares / shares.sum(axis=1, keepdims=True), tuple(NAMES))

    return NAMES[truth], said(1.5), said(1.5 - gap)


@pytest.mark.parametrize("metric", ["f1_macro", "roc_auc", "log_loss"])
def test_a_difference_is_found_and_none_is_not(metric):
    measure = find(metric, "classification")
    truth, good, poor = pair(400, gap=0.8)
    assert permutation_p_value(truth, good, poor, measure, seed=0, permutations=400) < 0.01
    assert permutation_p_value(truth, good, good, measure, seed=0, permutations=400) == 1.0


def test_of_accuracy_it_is_the_sign_test():
    truth, a, b = pair(300, gap=0.3)
    right_a, right_b = a.values_n == truth, b.values_n == truth
    only_a, only_b = (right_a & ~right_b).sum(), (right_b & ~right_a).sum()
    exact = binomtest(int(only_a), int(only_a + only_b)).pvalue
    found = permutation_p_value(truth, a, b, find("accuracy", "classification"), seed=0, permutations=20_000)
    assert found == pytest.approx(exact, abs=0.01)


def test_numbers_texts_and_classes_that_only_one_knows():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    near, far = (Predictions(values_n=truth + s * rng.normal(size=200)) for s in (0.1, 1.0))
    assert permutation_p_value(truth, near, far, find("r2", "regression"), seed=0, permutations=300) < 0.01
    texts = np.asarray(["the cat sat here"] * 30, dtype=object)
    poor = Predictions(values_n=np.asarray(["a dog"] * 30, dtype=object))
    bleu = find("bleu", "generation")
    assert permutation_p_value(texts, Predictions(values_n=texts), poor, bleu, seed=0, permutations=300) < 0.01
    truth, a, _ = pair(200)
    other = Predictions(values_n=np.asarray(["d"] * 200))
    assert permutation_p_value(truth, a, other, find("mcc", "classification"), seed=0, permutations=300) < 0.01


@pytest.mark.parametrize("grouped", [False, True])
def test_equal_candidates_are_called_different_at_most_one_time_in_twenty(grouped):
    measure, rejected = find("f1_macro", "classification"), 0
    groups = np.repeat(np.arange(20), 5)
    for i in range(600):
        truth, a, b = pair(20 if grouped else 60, seed=i)
        if grouped:  # every row five times: only the groups are independent
            rows = np.repeat(np.arange(20), 5)
            truth, a, b = truth[rows], *(Predictions(values_n=each.values_n[rows]) for each in (a, b))
        p_value = permutation_p_value(
            truth, a, b, measure, seed=i, permutations=199, groups_n=groups if grouped else None
        )
        rejected += p_value <= 0.05
    assert rejected / 600 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
