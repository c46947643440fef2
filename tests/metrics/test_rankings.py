"""Where the true class ranks: equal to scikit-learn, and fair to classes that tie."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, top_k_accuracy_score

from bakeoff.core.types import Predictions
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find


def drawn(seed, n, k, ties=False):
    rng = np.random.default_rng(seed)
    names = np.asarray([f"c{i}" for i in range(k)])
    weights = rng.integers(1, 4, (n, k)).astype(float) if ties else rng.random((n, k))
    shares = weights / weights.sum(axis=1, keepdims=True)
    return names[rng.integers(0, k, n)], Predictions.of_probabilities(shares, tuple(names.tolist()))


def ours(name, truth, predictions):
    return find(name, "classification")(outcome(truth, predictions, "classification"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(3, 6))
def test_top_k_equals_scikit_learn(seed, n, k):
    truth, predictions = drawn(seed, n, k)
    for most in range(1, k):
        expected = top_k_accuracy_score(truth, predictions.probabilities_nk, k=most, labels=predictions.classes)
        assert ours(f"top_k[{most}]", truth, predictions) == pytest.approx(expected, abs=1e-12)
    assert ours(f"top_k[{k}]", truth, predictions) == ours(f"top_k[{k + 5}]", truth, predictions) == 1.0
    assert ours("top_k[1]", truth, predictions) == pytest.approx(ours("accuracy", truth, predictions))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 6), st.booleans())
def test_ndcg_equals_scikit_learn_ties_included(seed, n, k, ties):
    truth, predictions = drawn(seed, n, k, ties)
    relevant = (truth[:, None] == np.asarray(predictions.classes)).astype(float)
    assert ours("ndcg", truth, predictions) == pytest.approx(
        ndcg_score(relevant, predictions.probabilities_nk), abs=1e-12
    )
    for most in (1, 2, k):
        expected = ndcg_score(relevant, predictions.probabilities_nk, k=most)
        assert ours(f"ndcg[{most}]", truth, predictions) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "worth"),
    [
        ("top_k[2]", lambda place: float(place <= 2)),
        ("map", lambda place: 1 / place),
        ("map[2]", lambda place: (place <= 2) / place),
        ("ndcg[3]", lambda place: (place <= 3) / np.log2(1 + place)),
    ],
)
def test_classes_that_tie_share_their_places(name, worth):
    shares = np.asarray([[0.25, 0.25, 0.25, 0.25], [0.4, 0.2, 0.2, 0.2], [0.3, 0.3, 0.3, 0.1]])
    truth = np.asarray(["c1", "c2", "c3"])
    predictions = Predictions.of_probabilities(shares, ("c0", "c1", "c2", "c3"))

    def mean(row, true):
        orders = [order for order in permutations(range(4)) if all(row[a] >= row[b] for a, b in pairwise(order))]
        return np.mean([worth(order.index(true) + 1) for order in orders])

    expected = np.mean([mean(shares[row], true) for row, true in enumerate((1, 2, 3))])
    assert ours(name, truth, predictions) == pytest.approx(expected, abs=1e-12)
