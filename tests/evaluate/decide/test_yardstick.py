"""Who is not better than a rule that needs no model does not win; who really is, does."""

import numpy as np
import pytest

from bakeoff.config.sections import DecideConfig, Gate
from bakeoff.core.types import Predictions
from bakeoff.evaluate.decide.verdict import decide
from bakeoff.evaluate.decide.yardstick import Baselines, improvement
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.results.baseline import Baseline
from bakeoff.results.scorecard import Scorecard

CLASSES = np.array(["no", "yes"])


def beside(
    accuracies,
    rules,
    *,
    n=2000,
    costs=None,
    late=(),
    kept_rows=(),
    undefined=(),
    alike=False,
    rng=None,
    tie=0.5,
    **config,
):
    """The verdict over candidates and rules that are right so often; on half of the rows, luck is shared."""
    rng = np.random.default_rng(0) if rng is None else rng
    truth = rng.integers(0, 2, n)
    shared, tied = rng.random(n), rng.random(n) < (1.0 if alike else tie)

    def said(accuracy):
        right = np.where(tied, shared, rng.random(n)) < accuracy
        return Predictions(values_n=CLASSES[np.where(right, truth, 1 - truth)])

    return _decided(
        CLASSES[truth],
        {name: said(accuracy) for name, accuracy in accuracies.items()},
        {name: said(accuracy) for name, accuracy in rules.items()},
        DecideConfig(metric="accuracy", **config),
        costs=costs or {},
        late=late,
        kept_rows=kept_rows,
        undefined=undefined,
    )


def in_time(rng, *, n, ratio, correlation=0.8):
    """A model and a rule whose errors go together in time; the model's spread is `ratio` times the rule's."""
    truth = rng.normal(size=n)

    def errors():
        each, drawn = np.zeros(n), rng.normal(size=n)
        for at in range(1, n):
            each[at] = correlation * each[at - 1] + drawn[at] * np.sqrt(1 - correlation**2)
        return each

    return _decided(
        truth,
        {"model": Predictions(values_n=truth + ratio * errors())},
        {"rule": Predictions(values_n=truth + errors())},
        DecideConfig(metric="rmse"),
        task="regression",
        time_n=np.arange(n),
    )


def _decided(
    truth,
    candidates,
    rules,
    config,
    *,
    task="classification",
    costs=None,
    late=(),
    kept_rows=(),
    undefined=(),
    time_n=None,
):
    measure = find(config.metric, task)

    def metrics(predictions):
        value = measure(outcome(truth, predictions, task))
        return {measure.name: Interval(value=value, low=value - 0.1, high=value + 0.1)}

    cards = {
        name: Scorecard.of_metrics(metrics(each), n_test=len(truth), cost_usd_per_1k=(costs or {}).get(name, 0.01))
        for name, each in candidates.items()
    }
    listed = tuple(
        Baseline(
            name=name,
            rule=f"the rule {name}",
            needs="the truth of an hour before" if name in late else None,
            stops="none" if name in late else "worse" if name in kept_rows else "equal",
            metrics={} if name in undefined else metrics(each),
        )
        for name, each in rules.items()
    )
    outcomes = {name: (truth, each) for name, each in candidates.items()}
    baselines = Baselines(listed=listed, predictions=rules)
    return decide(cards, outcomes, config, task, 0, time_n=time_n, baselines=baselines)


def test_who_is_worse_than_the_best_baseline_does_not_win_and_it_is_the_first_thing_to_be_told():
    verdict = beside({"model": 0.7, "other": 0.6}, {"majority class": 0.5, "last value": 0.8})
    yardstick = verdict.yardstick
    assert verdict.winner is None
    assert (yardstick.baseline, yardstick.candidate) == ("last value", "model")
    assert not yardstick.passed
    assert yardstick.comparison.high < 0
    assert verdict.reason.startswith("Nobody wins: model does not beat the baseline: accuracy 0.7")
    assert verdict.warning.startswith("model does not beat the baseline")
    assert verdict.value is None
    assert {each.versus for each in verdict.beside_baselines} == {"majority class", "last value"}


def test_who_is_better_wins_without_a_word():
    verdict = beside({"model": 0.9, "other": 0.6}, {"majority class": 0.5})
    assert verdict.winner == "model"
    assert verdict.warning is None
    assert verdict.yardstick.passed
    assert verdict.yardstick.distinct
    assert verdict.yardstick.improvement == pytest.approx(1 - (1 - verdict.value.value) / 0.5, abs=0.03)


def test_who_is_better_but_not_distinguishably_wins_with_a_warning():
    verdict = beside({"model": 0.62}, {"majority class": 0.60}, n=300)
    assert verdict.winner == "model"
    assert not verdict.yardstick.distinct
    assert "is better than the baseline, but not distinguishably so" in verdict.warning
    assert f"p = {verdict.yardstick.comparison.p_holm:.2g}" in verdict.warning


def test_a_cheap_one_that_no_baseline_is_worse_than_cannot_win_for_its_price():
    """Within the margin of the best, and ten times cheaper; but a rule without a model is better."""
    config = {"margin": 0.5}
    accuracies = {"best": 0.9, "cheap": 0.7}
    assert beside(accuracies, {"rule": 0.6}, costs={"cheap": 0.001}, **config).winner == "cheap"
    assert beside(accuracies, {"rule": 0.8}, costs={"cheap": 0.001}, **config).winner == "best"


def test_beside_a_rule_that_keeps_all_rows_only_who_is_distinguishably_worse_does_not_win():
    near = {"majority class": 0.5, "nearest text": 0.72}
    verdict = beside({"model": 0.7}, near | {"nearest text": 0.75}, n=150, kept_rows=("nearest text",))
    assert verdict.winner == "model"
    assert verdict.yardstick.baseline == "nearest text"
    assert "is not better than the baseline, and not distinguishably worse" in verdict.warning
    verdict = beside({"model": 0.6}, near, n=4000, kept_rows=("nearest text",))
    assert verdict.winner is None
    assert "does not beat the baseline" in verdict.reason


def test_a_baseline_that_stops_nobody_warns():
    verdict = beside({"model": 0.7}, {"majority class": 0.5, "last value": 0.8}, late=("last value",))
    assert verdict.winner == "model"
    assert verdict.yardstick.baseline == "majority class"
    assert verdict.yardstick.ahead == ("last value",)
    assert "'last value' would be better" in verdict.warning
    assert "[data] horizon" in verdict.warning


def test_gates_are_told_first_where_the_candidate_fails_them_too():
    gates = {"accuracy": Gate(min=0.99)}
    verdict = beside({"model": 0.7}, {"rule": 0.8}, gates=gates)
    assert verdict.winner is None
    assert verdict.reason.startswith("Nobody wins: no candidate passes every gate")
    assert verdict.warning.startswith("model does not beat the baseline")


def test_the_best_that_there_can_be_is_enough():
    verdict = beside({"model": 1.0}, {"rule": 1.0})
    assert verdict.winner == "model"
    assert "is not better than the baseline, and not distinguishably worse" in verdict.warning
    equal = beside({"model": 0.8}, {"rule": 0.8}, alike=True)
    assert equal.winner is None


def test_without_a_baseline_of_the_metric_all_is_as_it_was():
    verdict = beside({"model": 0.7}, {"rule": 0.9}, undefined=("rule",))
    assert verdict.winner == "model"
    assert verdict.yardstick is None
    assert beside({"model": 0.7}, {}).yardstick is None


@pytest.mark.parametrize(
    ("metric", "value", "baseline", "expected"),
    [("rmse", 120.0, 160.0, 0.25), ("accuracy", 0.9, 0.6, 0.75), ("r2", 0.5, -0.5, 2 / 3), ("rmse", 1.0, 0.0, None)],
)
def test_how_much_of_the_baselines_error_is_gone(metric, value, baseline, expected):
    measure = find(metric, "classification" if metric == "accuracy" else "regression")
    gone = improvement(measure, value, baseline)
    assert gone is None if expected is None else gone == pytest.approx(expected)


def test_real_winners_are_hardly_ever_refused_and_losers_hardly_ever_win():
    """Of 200 test rows and five candidates: the best is 6 points better than the rule, or 6 worse."""
    rng = np.random.default_rng(5)
    real = [beside(dict.fromkeys("abcde", 0.7) | {"a": 0.76}, {"rule": 0.70}, n=200, rng=rng) for _ in range(60)]
    assert np.mean([verdict.winner is None for verdict in real]) < 0.1
    losers = [beside(dict.fromkeys("abcde", 0.70), {"rule": 0.76}, n=200, rng=rng) for _ in range(60)]
    assert np.mean([verdict.winner is not None for verdict in losers]) < 0.35


def test_in_time_what_goes_together_makes_differences_unsure():
    rng = np.random.default_rng(3)
    runs = [in_time(rng, n=600, ratio=1.0) for _ in range(40)]
    assert np.mean([verdict.yardstick.distinct for verdict in runs]) <= 0.1  # equals: 2.5% are meant
    better = [in_time(rng, n=600, ratio=0.8) for _ in range(20)]
    assert all(verdict.winner == "model" for verdict in better)
