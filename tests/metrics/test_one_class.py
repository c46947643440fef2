"""Metrics of one class equal scikit-learn's; the class is the one that is named, else the rarer of two."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics as sk

from bakeoff.core.types import Predictions
from bakeoff.evaluate.score.scoring import score
from bakeoff.metrics.bootstrap import replicate
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import bind, find, listed
from bakeoff.testing.metrics import MetricConformance

SHARES = [0.05, 0.5, 0.7, 0.9, 1.0]


def drawn(seed, n, k, ties):
    """Truth in which classes may be absent, and probabilities of classes that may tie."""
    rng = np.random.default_rng(seed)
    names = np.asarray([f"c{i}" for i in range(k)])
    truth = rng.integers(0, rng.integers(1, k + 1), n)
    scores = rng.normal(size=(n, k)) + rng.uniform(0, 3) * (truth[:, None] == np.arange(k))
    shares = np.exp(np.round(scores) if ties else scores)
    shares /= shares.sum(axis=1, keepdims=True)
    return names[truth], Predictions.of_probabilities(shares, tuple(names.tolist()))


def ours(name, truth, predictions):
    return find(name, "classification")(outcome(truth, predictions, "classification"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 4), st.booleans())
@example(0, 1, 2, False)
def test_they_equal_scikit_learn(seed, n, k, ties):
    truth, predictions = drawn(seed, n, k, ties)
    for at, name in enumerate(predictions.classes):
        true, said, shares = truth == name, predictions.values_n == name, predictions.probabilities_nk[:, at]
        some, others, either = true.any(), (~true).any(), (true | said).any()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = {
                "precision": sk.precision_score(true, said, zero_division=0) if either else np.nan,
                "recall": sk.recall_score(true, said) if some else np.nan,
                "f1": sk.f1_score(true, said) if either else np.nan,
                "specificity": sk.recall_score(true, said, pos_label=False) if others else np.nan,
                "roc_auc": sk.roc_auc_score(true, shares) if some and others else np.nan,
                "pr_auc": sk.average_precision_score(true, shares) if some else np.nan,
            }
        for metric, value in expected.items():
            found = ours(f"{metric}[{name}]", truth, predictions)
            assert found == pytest.approx(value, abs=1e-12, nan_ok=True), metric


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans(), st.sampled_from(SHARES))
def test_points_of_the_curve_equal_scikit_learn(seed, n, ties, level):
    truth, predictions = drawn(seed, n, 2, ties)
    true, shares = truth == "c0", predictions.probabilities_nk[:, 0]
    precision, recall = f"precision_at_recall[c0, {level}]", f"recall_at_precision[c0, {level}]"
    if not true.any():
        assert np.isnan(ours(precision, truth, predictions))
        assert np.isnan(ours(recall, truth, predictions))
        return
    precisions, recalls, _ = sk.precision_recall_curve(true, shares)
    assert ours(precision, truth, predictions) == pytest.approx(precisions[recalls >= level].max(), abs=1e-12)
    assert ours(recall, truth, predictions) == pytest.approx(recalls[precisions >= level].max(), abs=1e-12)


def test_a_point_among_many_scores_is_exact_and_cheap_to_resample():
    rng = np.random.default_rng(0)
    n = 60_000
    true = rng.random(n) < 0.06
    shares = 1 / (1 + np.exp(-(rng.normal(size=n) + 2 * true - 2)))
    predictions = Predictions.of_probabilities(np.column_stack([shares, 1 - shares]), ("fraud", "legit"))
    result = outcome(np.where(true, "fraud", "legit"), predictions, "classification")
    measure = find("precision_at_recall[fraud, 0.8]", "classification")
    precisions, recalls, _ = sk.precision_recall_curve(true, shares)
    assert measure(result) == pytest.approx(precisions[recalls >= 0.8].max(), abs=1e-12)
    sums = measure.gather(result)
    assert len(np.unique(sums.key_n)) < 6000
    (found,) = replicate(list(bind([measure], result).values()), n, resamples=500, seed=0)
    assert found.value_m[0] == pytest.approx(measure(result), abs=1e-12)
    rows = (rng.integers(0, n, n) for _ in range(40))
    plain = [measure(result.take(each)) for each in rows]
    assert found.draws_rm.std() == pytest.approx(np.std(plain), rel=0.35)


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (["fraud"] * 6 + ["legit"] * 94, "fraud"),
        (["0"] * 10 + ["1"] * 90, "0"),
        (["no"] * 70 + ["yes"] * 30, "yes"),
        (["no"] * 50 + ["yes"] * 50, "yes"),
        (["false"] * 80 + ["true"] * 20, "true"),
    ],
)
def test_the_rarer_of_two_classes_is_positive(labels, positive):
    truth = np.asarray(labels)
    names = tuple(np.unique(truth).tolist())
    rng = np.random.default_rng(0)
    first = rng.random(len(truth))
    predictions = Predictions.of_probabilities(np.column_stack([first, 1 - first]), names)
    scores = score(truth, predictions, "classification", resamples=100, seed=0)
    assert {f"pr_auc[{positive}]", f"roc_auc[{positive}]", f"recall[{positive}]"} < set(scores.metrics)
    expected = sk.average_precision_score(truth == positive, predictions.probabilities_nk[:, names.index(positive)])
    assert scores.metrics[f"pr_auc[{positive}]"].value == pytest.approx(expected, abs=1e-12)
    assert ours("pr_auc", truth, predictions) == pytest.approx(expected, abs=1e-12)


def test_a_part_of_the_rows_keeps_the_positive_class_of_all():
    truth = np.asarray(["fraud"] * 3 + ["legit"] * 7)
    shares = np.linspace(0.9, 0.1, 10)
    predictions = Predictions.of_probabilities(np.column_stack([shares, 1 - shares]), ("fraud", "legit"))
    result = outcome(truth, predictions, "classification")
    assert find("recall", "classification")(result.take(np.arange(5))) == 1.0  # most of these are fraud


def test_with_three_classes_curves_are_macro_unless_one_is_named():
    truth, predictions = drawn(1, 60, 3, ties=False)
    truth[:3] = ["c0", "c1", "c2"]
    plain = listed("classification", outcome(truth, predictions, "classification"))
    assert "pr_auc" in {each.name for each in plain}
    assert not any("[" in each.name for each in plain)
    named = listed("classification", outcome(truth, predictions, "classification", positive="c1"), ["top_k[2]"])
    assert {"pr_auc", "pr_auc[c1]", "recall[c1]", "top_k[2]"} < {each.name for each in named}
    each = [ours(f"pr_auc[c{at}]", truth, predictions) for at in range(3)]
    assert ours("pr_auc", truth, predictions) == pytest.approx(np.mean(each), abs=1e-12)


@pytest.mark.parametrize("name", ["recall[dog]", "pr_auc[dog]", "precision_at_recall[dog, 0.5]", "specificity[dog]"])
def test_a_class_that_nobody_knows_leaves_it_undefined(name):
    truth, predictions = drawn(1, 20, 2, ties=False)
    assert np.isnan(ours(name, truth, predictions))


class TestOneClass(MetricConformance):
    @pytest.fixture(
        params=[
            "precision[ant]",
            "recall[bee]",
            "f1[cat]",
            "specificity[ant]",
            "roc_auc[bee]",
            "pr_auc[cat]",
            "precision_at_recall[ant, 0.8]",
            "recall_at_precision[ant, 0.8]",
            "top_k[2]",
            "ndcg",
            "ndcg[2]",
            "map",
        ]
    )
    def measure(self, request):
        return find(request.param, "classification")


class TestPinball(MetricConformance):
    task = "regression"

    @pytest.fixture
    def measure(self):
        return find("pinball[0.9]", "regression")
