"""Every metric of the registry through `bakeoff.interval`: an interval that can be, a reason, or one clear error."""

import math
import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bakeoff
from bakeoff.core.errors import BakeoffError, CandidateError, ConfigError, DataError
from bakeoff.metrics.catalogue import DEFINITIONS
from bakeoff.metrics.custom import using
from bakeoff.metrics.registry import find

ARGUMENTS = {"precision_at_recall": "[1, 0.8]", "recall_at_precision": "[1, 0.5]", "top_k": "[1]", "pinball": "[0.9]"}
ARGUMENTS |= dict.fromkeys(("precision", "recall", "f1", "specificity"), "[1]")
ARGUMENTS |= dict.fromkeys(("interval_score", "interval_coverage"), "[0.8]")
COSTS = {"*": {"*": 1.0}, "1": {"0": 7.0}}
METRICS = {
    task: [
        f"{name}{ARGUMENTS.get(name, '')}" for name, each in known.items() if each.needs not in {"likelihood", "scores"}
    ]
    for task, known in DEFINITIONS.items()
}
WORDS = np.array(["a", "b", "c d", "e f g", ""])
WITH_TASK = [(task, name) for task, names in METRICS.items() for name in names]


def drawn(task, metric, seed, n, classes=2):
    """Truth and what is said of it, right in most rows."""
    rng = np.random.default_rng(seed)
    if task == "generation":
        truth = rng.choice(WORDS, n)
        return truth, np.where(rng.random(n) < 0.7, truth, rng.choice(WORDS, n))
    if task == "regression":
        truth = rng.normal(size=n) if seed % 2 else np.exp(rng.normal(size=n))
        said = truth + 0.3 * rng.standard_t(3, size=n) * (seed % 3 > 0)
        if find(metric, task).needs == "quantiles":
            return truth, {"0.1": said - 0.5, "0.5": said, "0.9": said + 0.5}
        return truth, said
    truth = rng.choice(classes, n, p=np.array([0.8, 0.2, 0.0][:classes]))
    height = rng.normal(size=(n, classes)) + 2 * (truth[:, None] == np.arange(classes))
    shares = np.exp(height) / np.exp(height).sum(axis=1, keepdims=True)
    if find(metric, task).needs == "probabilities":
        return truth, {str(at): shares[:, at] for at in range(classes)}
    return truth, shares.argmax(axis=1)


def checked(metric, task, truth, said, **more):
    """The interval, held against what any must be; None where the metric is undefined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = bakeoff.interval(truth, said, metric=metric, **more)
    assert (found.low is None) == (found.high is None) == (found.reason is not None)
    if found.low is not None:
        low, high = find(metric, task).bounds
        assert low <= found.low <= found.value <= found.high <= high
        assert found.low < found.high
        assert found.method is not None
    return found


@pytest.mark.parametrize(("task", "metric"), WITH_TASK)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**16), st.sampled_from([1, 2, 5, 30]), st.sampled_from(["none", "groups", "own groups", "time"]))
def test_no_interval_is_a_point_or_leaves_the_range(task, metric, seed, n, together):
    rng = np.random.default_rng(seed)
    more = {
        "none": {},
        "groups": {"groups": rng.integers(0, 6, n)},
        "own groups": {"groups": np.arange(n)},
        "time": {"time": rng.permutation(n)},
    }[together]
    with using(None, COSTS):
        truth, said = drawn(task, metric, seed, n)
        if metric == "expected_cost":
            truth[0], said[0] = 1, 0  # a class that costs name and no row has is refused (test_one_class_alone)
        checked(metric, task, truth, said, **more)


@pytest.mark.parametrize(("task", "metric"), WITH_TASK)
def test_lists_arrays_and_columns_are_the_same(task, metric):
    with using(None, COSTS):
        truth, said = drawn(task, metric, 1, 40)
        as_numpy = checked(metric, task, truth, said)
        if isinstance(said, dict):
            as_list, as_polars = {name: each.tolist() for name, each in said.items()}, pl.DataFrame(said)
        else:
            as_list, as_polars = said.tolist(), pl.Series(said)
        assert checked(metric, task, truth.tolist(), as_list) == as_numpy
        assert checked(metric, task, pl.Series(truth), as_polars) == as_numpy
        one_each = checked(metric, task, truth, said, groups=np.arange(40))
        assert one_each == as_numpy  # rows that are alone in their groups are independent
        order = np.random.default_rng(0).permutation(40)
        assert math.isclose(checked(metric, task, truth[order], _rows(said, order)).value, as_numpy.value, rel_tol=1e-9)


def _rows(said, order):
    return {name: each[order] for name, each in said.items()} if isinstance(said, dict) else said[order]


@pytest.mark.parametrize(("task", "metric"), WITH_TASK)
def test_time_may_come_in_any_order(task, metric):
    with using(None, COSTS):
        truth, said = drawn(task, metric, 1, 60)
        order = np.random.default_rng(0).permutation(60)
        sorted_, shuffled = (
            checked(metric, task, t, s, time=times)
            for t, s, times in ((truth, said, np.arange(60)), (truth[order], _rows(said, order), order))
        )
        resampled = metric == "median_ae" or "_at_" in metric  # which rows are drawn goes by their place
        for a, b in ((sorted_.value, shuffled.value), (sorted_.low, shuffled.low), (sorted_.high, shuffled.high)):
            assert (a is None) == (b is None)
            assert a is None or math.isclose(a, b, rel_tol=0.2 if resampled else 1e-6, abs_tol=1e-9)


@pytest.mark.parametrize("metric", METRICS["classification"])
def test_one_class_alone(metric):
    """Nobody can tell, or all are right: no error, no certainty."""
    needs = find(metric, "classification").needs if metric != "expected_cost" else "labels"
    shares = {"0": np.full(20, 0.9), "1": np.full(20, 0.1)}
    with using(None, COSTS):
        if metric == "expected_cost":
            with pytest.raises(ConfigError, match="found '1'"):
                checked(metric, "classification", ["0"] * 20, ["0"] * 20)
            return
        found = checked(metric, "classification", ["0"] * 20, shares if needs == "probabilities" else ["0"] * 20)
    assert found.low is None or found.low < found.high


@pytest.mark.parametrize("metric", METRICS["regression"])
def test_what_is_no_number_is_an_error(metric):
    truth, said = drawn("regression", metric, 1, 20)
    broken = (
        {name: np.where(np.arange(20) == 3, np.nan, each) for name, each in said.items()}
        if isinstance(said, dict)
        else (np.where(np.arange(20) == 3, np.nan, said))
    )
    with pytest.raises(BakeoffError, match=r"1 of 20 are missing|1 NaN or infinite of 20"):
        bakeoff.interval(truth, broken, metric=metric)


def test_probabilities_that_do_not_sum_to_one_are_an_error():
    with pytest.raises(CandidateError, match="sum to 1"):
        bakeoff.interval([0, 1] * 10, {"0": [0.5] * 20, "1": [0.4] * 20}, metric="log_loss")
    with pytest.raises(BakeoffError, match="between 0 and 1"):
        bakeoff.interval([0, 1] * 10, [1.4, -0.4] * 10, metric="log_loss")
    with pytest.raises(DataError, match="10 of 20 are missing"):
        bakeoff.interval([0, 1] * 10, [float("nan"), 0.4] * 10, metric="log_loss")
    with pytest.raises(DataError, match="one value or more"):
        bakeoff.interval([], [], metric="accuracy")
