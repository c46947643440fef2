import numpy as np
import pytest

from bakeoff.core.types import Predictions
from bakeoff.evaluate.score.estimates import ScoredRows, estimate, estimates
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.rare import pr_ends
from bakeoff.metrics.registry import find, listed
from bakeoff.metrics.tails import excess
from bakeoff.testing.worlds import WORLDS

N = 400
LABELS = ("accuracy", "f1_macro", "mcc", "balanced_accuracy", "f1_weighted")
SHARES = ("roc_auc", "pr_auc", "log_loss", "brier", "ece")


def rows_of(world, n, seed=0, **more):
    sample = WORLDS[world].draw(np.random.default_rng(seed), n)
    return ScoredRows(outcome=sample.outcome, dependence=sample.dependence, **more)


def perfect(n=10, **dependence):
    labels = np.array(["no", "yes"] * (n // 2))
    result = outcome(
        labels, Predictions.of_probabilities((labels[:, None] == ["no", "yes"]) * 1.0, ("no", "yes")), "classification"
    )
    return ScoredRows(outcome=result, dependence=Dependence.of(n, **dependence))


@pytest.mark.parametrize("n", [20, 600])
@pytest.mark.parametrize("name", LABELS)
def test_all_right_is_no_certainty(name, n):
    found = estimate(find(name, "classification"), perfect(n))
    assert found.value == found.high == 1.0
    assert 1 - 8 / n < found.low < 1 - 1 / n


def test_all_right_in_every_group_is_worth_the_groups():
    rows = perfect(200, groups_n=np.arange(200) // 20)
    for name in ("accuracy", "f1_macro", "roc_auc"):
        assert estimate(find(name, "classification"), rows).low < 0.85


def test_no_interval_is_a_point_or_leaves_the_bounds_or_its_value():
    for world in WORLDS:
        rows = rows_of(world, N, draws=200)
        task = WORLDS[world].task
        found = estimates(listed(task, rows.outcome), rows)
        assert found
        for name, each in found.items():
            low, high = find(name, task).bounds
            assert (each.low is None) == (each.high is None) == (each.reason is not None), (world, name)
            if each.low is not None:
                assert low <= each.low <= each.value <= each.high <= high, (world, name)
                assert each.low < each.high, (world, name)
                assert each.method is not None, (world, name)


def test_three_positives_say_too_little():
    truth = np.array(["no"] * 197 + ["yes"] * 3)
    shares = np.linspace(0.01, 0.9, 200)
    result = outcome(
        truth, Predictions.of_probabilities(np.column_stack([1 - shares, shares]), ("no", "yes")), "classification"
    )
    found = estimates(listed("classification", result), ScoredRows(outcome=result))
    for name in ("f1_macro", "mcc", "recall[yes]", "pr_auc[yes]", "log_loss"):
        assert found[name].low is None
        assert "3 rows of 'yes'" in found[name].reason
    assert found["accuracy"].method == "mid-p"


def test_methods_follow_the_data():
    def method(world, name, n=N):
        return estimate(find(name, WORLDS[world].task), rows_of(world, n)).method

    assert method("50% positive", "accuracy") == "mid-p"
    assert method("50% positive", "f1_macro") == "posterior"
    assert method("77 classes, even", "f1_macro", 2000) == "t"
    assert method("77 classes, even", "recall[07]", 2000) == "posterior"
    assert method("50% positive", "log_loss") == "t"
    assert method("50% positive", "ece") == "inverted"
    assert method("groups", "f1_macro") == "cluster t"
    assert method("time, AR .9", "accuracy", 2000) == "serial t"
    assert method("normal errors", "median_ae") == "bca"


def test_heavy_tails_have_room_above():
    """Prices with errors of 30%: of 200 rows a few carry the squared error, and the next ones may be larger still."""
    found = estimate(find("rmse", "regression"), rows_of("prices", 200))
    assert found.low > 0.5 * found.value
    assert found.high > 2 * found.value
    calm = estimate(find("rmse", "regression"), rows_of("normal errors", 200, seed=1))
    assert calm.high < 1.2 * calm.value
    explained = estimate(find("r2", "regression"), rows_of("prices", 200))
    assert 1 - explained.low > 2 * (1 - explained.value)


def test_rare_classes_and_few_groups_are_refused_with_the_reason():
    found = estimate(find("f1_macro", "classification"), rows_of("77 classes, Zipf", 300))
    assert "of 77 classes have fewer than 4 rows" in found.reason
    assert "3 groups" in estimate(find("mcc", "classification"), perfect(30, groups_n=np.arange(30) % 3)).reason


def test_an_area_that_is_perfect_by_luck_is_as_wide_as_its_few_rows():
    """Five positives above 95 others: the area may well be 0.8."""
    truth = np.array(["no"] * 95 + ["yes"] * 5)
    shares = np.linspace(0.01, 0.9, 100)
    result = outcome(
        truth, Predictions.of_probabilities(np.column_stack([1 - shares, shares]), ("no", "yes")), "classification"
    )
    found = estimates(
        [find(name, "classification") for name in ("roc_auc[yes]", "pr_auc[yes]")], ScoredRows(outcome=result)
    )
    assert found["roc_auc[yes]"].method == "score"
    assert 0.7 < found["roc_auc[yes]"].low < 0.8
    assert 0.2 < found["pr_auc[yes]"].low < 0.8


def test_an_average_over_many_classes_is_centred_where_it_is_not_biased():
    """Of 13 rows a class, F1 is too low by half a standard error on average: its interval leans upwards."""
    found = estimate(find("f1_macro", "classification"), rows_of("77 classes, even", 1000))
    assert found.high - found.value > 1.3 * (found.value - found.low)


def test_dependence_only_widens():
    rows = rows_of("groups", 600)
    measure = find("f1_macro", "classification")
    grouped, alone = estimate(measure, rows), estimate(measure, ScoredRows(outcome=rows.outcome))
    assert grouped.low < alone.low < alone.high < grouped.high
    rows = rows_of("time, AR .9", 2000)
    serial, alone = estimate(measure, rows), estimate(measure, ScoredRows(outcome=rows.outcome))
    assert serial.high - serial.low > 2 * (alone.high - alone.low)


def test_all_right_in_time_says_nothing_of_how_far_rows_go_together():
    for name in ("accuracy", "f1_macro"):
        found = estimate(find(name, "classification"), perfect(200, time_n=np.arange(200)))
        assert found.value == 1.0
        assert found.low is None
        assert "all rows are alike" in found.reason


def test_errors_in_a_row_in_time_are_one_event():
    """Ten wrong answers of 200: one after the other they say far less than here and there."""
    lows = [
        estimate(find("accuracy", "classification"), wrong_at(at)).low for at in (range(90, 100), range(5, 200, 20))
    ]
    assert lows[0] < 0.75
    assert lows[1] > 0.9


def wrong_at(places, n=200):
    labels = np.arange(n) % 2
    said = labels.copy()
    said[list(places)] = 1 - said[list(places)]
    named = np.array(["no", "yes"])
    result = outcome(named[labels], Predictions(values_n=named[said]), "classification")
    return ScoredRows(outcome=result, dependence=Dependence.of(n, time_n=np.arange(n)))


def test_means_of_heavy_tails_have_room_for_larger_ones():
    """Errors of prices: the next may exceed the largest of 50. Normal ones hardly do."""
    for world, least in (("prices", 1.1), ("normal errors", 1.0)):
        rows = rows_of(world, 50, seed=3)
        found = estimate(find("mae", "regression"), rows)
        errors = np.abs(rows.outcome.truth_n - rows.outcome.predicted_n)
        room = excess(errors) / (found.high - found.value)
        assert least - 1 <= room < 0.5, world
        assert estimate(find("pinball[0.5]", "regression"), rows).high == pytest.approx(found.high / 2)


def test_the_best_recall_of_few_rows_that_no_threshold_gives_may_be_large():
    """Of ten rows none is reached at the wanted precision: not a share of none in ten, but one threshold too many."""
    truth = np.array(["yes", "no"] * 10 + ["no"] * 80)
    shares = np.linspace(0.9, 0.01, 100)
    shares[[0, 1]] = shares[[1, 0]]
    result = outcome(
        truth, Predictions.of_probabilities(np.column_stack([1 - shares, shares]), ("no", "yes")), "classification"
    )
    found = estimate(find("recall_at_precision[yes, 0.8]", "classification"), ScoredRows(outcome=result, draws=200))
    assert found.value == found.low == 0.0
    assert found.high == pytest.approx(pr_ends(0.0, 10)[1])
    assert found.high > 0.5


def test_the_mean_precision_recall_area_of_many_classes_is_centred():
    """Areas of classes of few rows are too large on average: the interval leans downwards."""
    rows = rows_of("10 ranked classes", 200)
    found = estimate(find("pr_auc", "classification"), rows)
    assert found.value - found.low > 1.4 * (found.high - found.value)


def test_folds_widen_too():
    rows = rows_of("50% positive", N)
    measure = find("log_loss", "classification")
    folds = estimate(measure, ScoredRows(outcome=rows.outcome, dependence=Dependence.of(N, folds=5)))
    alone = estimate(measure, rows)
    assert folds.high - folds.low == pytest.approx(1.5 * (alone.high - alone.low), rel=0.05)


def test_a_higher_level_is_wider():
    low, high = (estimate(find("f1_macro", "classification"), rows_of("3 classes", N, level=p)) for p in (0.8, 0.99))
    assert high.low < low.low < low.high < high.high
