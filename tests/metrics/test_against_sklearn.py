"""Every measure equals scikit-learn's on random inputs, corner cases included."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics as sk

from bakeoff.core.types import Predictions
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.positive import positive_class
from bakeoff.metrics.registry import find

SEEDS = st.integers(0, 2**32 - 1)


def classified(seed, n, k, ties):
    """Truth and probabilities in which classes may be absent, predictions constant, scores tied."""
    rng = np.random.default_rng(seed)
    names = tuple(f"c{i}" for i in range(k))
    seen = rng.integers(1, k + 1)
    truth = rng.integers(0, seen, n)
    scores = rng.normal(size=(n, k)) + rng.uniform(0, 3) * (truth[:, None] == np.arange(k))
    if ties:
        scores = np.round(scores)
    if rng.random() < 0.1:
        scores[:] = scores[0]
    shares = np.exp(scores)
    shares /= shares.sum(axis=1, keepdims=True)
    if ties:
        shares = np.where(np.arange(k) == k - 1, 0, np.round(shares, 1))
        shares[:, -1] = np.clip(1 - shares.sum(axis=1), 0, 1)
        shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(names)[truth], Predictions.of_probabilities(shares, names)


def ours(name, truth, predictions, task="classification"):
    return find(name, task)(outcome(truth, predictions, task))


@given(SEEDS, st.integers(1, 60), st.integers(2, 5), st.booleans())
@example(0, 1, 2, False)
@example(1, 1, 4, True)
def test_label_measures(seed, n, k, ties):
    truth, predictions = classified(seed, n, k, ties)
    said = predictions.values_n
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": sk.accuracy_score(truth, said),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, said),
            "mcc": sk.matthews_corrcoef(truth, said),
        }
        for average in ("macro", "micro", "weighted"):
            three = sk.precision_recall_fscore_support(truth, said, average=average, zero_division=0)
            expected |= {f"{m}_{average}": v for m, v in zip(("precision", "recall", "f1"), three[:3], strict=True)}
    for name, value in expected.items():
        assert ours(name, truth, predictions) == pytest.approx(value, abs=1e-9), name


@given(SEEDS, st.integers(1, 60), st.integers(2, 5), st.booleans())
def test_probability_measures(seed, n, k, ties):
    truth, predictions = classified(seed, n, k, ties)
    shares, classes = predictions.probabilities_nk, list(predictions.classes)
    onehot = truth[:, None] == np.asarray(classes)
    expected = {
        "log_loss": sk.log_loss(truth, shares, labels=classes),
        "brier": sk.brier_score_loss(truth, shares, labels=classes)
        if k > 2
        else sk.brier_score_loss(onehot[:, 1], shares[:, 1], pos_label=True),
    }
    positive = positive_class({name: int((truth == name).sum()) for name in classes})
    asked = range(k) if positive is None else [classes.index(positive)]
    rocs = [sk.roc_auc_score(onehot[:, j], shares[:, j]) for j in asked if 0 < onehot[:, j].sum() < n]
    prs = [sk.average_precision_score(onehot[:, j], shares[:, j]) for j in asked if onehot[:, j].any()]
    expected |= {"roc_auc": np.mean(rocs) if rocs else np.nan, "pr_auc": np.mean(prs) if prs else np.nan}
    for name, value in expected.items():
        assert ours(name, truth, predictions) == pytest.approx(value, abs=1e-9, nan_ok=True), name


@given(SEEDS, st.integers(1, 60), st.integers(2, 5), st.booleans())
def test_ece_equals_a_plain_loop_over_bins(seed, n, k, ties):
    truth, predictions = classified(seed, n, k, ties)
    confidence = predictions.probabilities_nk.max(axis=1)
    right = truth == predictions.values_n
    expected = 0.0
    for b in range(15):
        inside = (np.ceil(confidence * 15) == b + 1) if b else (np.ceil(confidence * 15) <= 1)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert ours("ece", truth, predictions) == pytest.approx(expected, abs=1e-9)


@given(SEEDS, st.integers(1, 60), st.sampled_from(["random", "constant truth", "perfect", "zeros"]))
def test_regression_measures(seed, n, kind):
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 2, n)
    if kind == "constant truth":
        truth[:] = 3.0  # of which the mean is exact
    if kind == "zeros":
        truth[rng.random(n) < 0.5] = 0.0
    said = truth.copy() if kind == "perfect" else truth + rng.normal(size=n)
    predictions = Predictions(values_n=said)
    expected = {
        "rmse": sk.root_mean_squared_error(truth, said),
        "mae": sk.mean_absolute_error(truth, said),
        "median_ae": sk.median_absolute_error(truth, said),
        # scikit-learn divides by the least float instead: about 1e15
        "mape": sk.mean_absolute_percentage_error(truth, said) if truth.all() else float("nan"),
    }
    if n > 1:
        expected["r2"] = sk.r2_score(truth, said)
    for name, value in expected.items():
        assert ours(name, truth, predictions, "regression") == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), (
            name
        )
    for quantile in (0.1, 0.5, 0.9):
        loss = sk.mean_pinball_loss(truth, said, alpha=quantile)
        assert ours(f"pinball[{quantile}]", truth, predictions, "regression") == pytest.approx(
            loss, rel=1e-12, abs=1e-12
        )


def test_r2_of_one_row_is_undefined():
    assert np.isnan(ours("r2", [1.0], Predictions(values_n=np.array([1.0])), "regression"))


def test_a_class_that_the_model_does_not_know():
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    truth = np.array(["a", "b", "new"])
    predictions = Predictions.of_probabilities(shares, ("a", "b"))
    assert ours("f1_macro", truth, predictions) == sk.f1_score(truth, predictions.values_n, average="macro")
    assert ours("log_loss", truth, predictions) > 10


def test_of_two_equally_frequent_classes_the_later_by_name_is_positive():
    truth = np.array(["no", "yes", "yes", "no"])
    predictions = Predictions.of_probabilities(
        np.array([[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), ("yes", "no")
    )
    assert ours("roc_auc", truth, predictions) == sk.roc_auc_score(truth == "yes", [0.1, 0.9, 0.8, 0.3])
