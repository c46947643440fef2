import math
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import bakeoff
from bakeoff.core.errors import CandidateError, ConfigError, DataError, NotFoundError, UsageError
from bakeoff.testing.worlds import WORLDS, candidates

N = 300


class Column:
    """A column as pandas has them."""

    def __init__(self, values):
        self._values = np.asarray(values)

    def to_numpy(self):
        return self._values

    def __array__(self, dtype=None, copy=None):
        return self._values if dtype is None else self._values.astype(dtype)


class Table:
    """A table as pandas has them, with numbers as names of columns."""

    def __init__(self, columns):
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return Column(self._columns[name])


@pytest.fixture(scope="module")
def sample():
    drawn = WORLDS["50% positive"].draw(np.random.default_rng(0), N)
    return drawn.truth_n.astype(int), drawn.predictions.probabilities_nk


def test_columns_and_tables_of_every_kind_say_the_same(sample):
    truth, shares = sample
    tables = [
        pl.DataFrame({"0": shares[:, 0], "1": shares[:, 1]}),
        Table({0: shares[:, 0], 1: shares[:, 1]}),
        {"0": shares[:, 0].tolist(), "1": shares[:, 1].tolist()},
    ]
    first, *others = (bakeoff.interval(truth, each, metric="log_loss") for each in tables)
    assert all(each == first for each in others)
    labels = shares.argmax(axis=1)
    columns = [labels, labels.tolist(), labels.astype(float), labels.astype(str), pl.Series(labels), Column(labels)]
    first, *others = (bakeoff.interval(pl.Series(truth), each, metric="f1_macro") for each in columns)
    assert all(each == first for each in others)
    assert bakeoff.interval(truth.astype(bool), labels.astype(bool), metric="f1_macro").value == first.value


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc"])
@pytest.mark.parametrize("rarer", [0, 1])
def test_probabilities_of_the_second_class_are_enough_for_two(sample, metric, rarer):
    """As for scikit-learn, whichever class is the rarer one."""
    truth, shares = sample
    rows = np.flatnonzero((truth != rarer) | (np.arange(N) % 3 > 0))
    truth, shares = truth[rows], shares[rows]
    expected = {"roc_auc": roc_auc_score, "pr_auc": average_precision_score}[metric](truth, shares[:, 1])
    alone = bakeoff.interval(truth, shares[:, 1], metric=metric)
    assert alone.value == pytest.approx(expected)
    decision = bakeoff.compare(truth, {"a": shares[:, 1], "b": shares[::-1, 1]}, metric=metric)
    assert decision.values["a"].value == pytest.approx(expected, abs=1e-6)


def test_groups_time_and_level_count(sample):
    truth, shares = sample
    labels = shares.argmax(axis=1)

    def width(**more):
        found = bakeoff.interval(truth, labels, metric="accuracy", **more)
        return found.high - found.low

    assert width(groups=["a", "b", "c", None, "e", "f"] * 50) > width()
    assert width(time=np.arange(N)) >= width()
    assert width(level=0.99) > width() > width(level=0.8)
    assert bakeoff.interval(truth, labels, metric="accuracy", groups=np.arange(N) % 6).method == "cluster t"


def test_numbers_and_texts():
    truth = np.linspace(0, 1, 60)
    found = bakeoff.interval(truth, truth + np.tile([0.1, -0.2], 30), metric="mae")
    assert found.low < 0.15 < found.high
    assert bakeoff.interval(["a b", "c d"] * 20, ["a b", "c e"] * 20, metric="token_f1").value == pytest.approx(0.75)


def test_a_decision_with_costs():
    truth, said = candidates(np.random.default_rng(1), 6000, {"dear": 0.85, "cheap": 0.85, "poor": 0.6}, tie=0.95)
    columns = {name: each.values_n for name, each in said.items()}
    costs = {"dear": 1.0, "cheap": 0.1, "poor": 0.01}
    found = bakeoff.compare(truth, columns, metric="accuracy", cost_usd=costs)
    assert found.winner == "cheap"
    assert set(found.best_set) == {"dear", "cheap"}
    assert found.margin == 0.01
    assert found.p_best["poor"] == 0.0
    assert sum(found.p_best.values()) == pytest.approx(1.0)
    assert {each.candidate for each in found.differences} == set(columns) - {found.best}
    assert 0 < found.detectable < 0.02
    assert found.values["poor"].high < found.values["cheap"].low
    without = bakeoff.compare(truth, columns, metric="accuracy")
    assert without.winner == without.best
    assert bakeoff.compare(truth, columns, metric="accuracy", margin=0.0, cost_usd=costs).winner == found.best
    assert found.p_worse["cheap"] < 0.05 < found.p_worse["poor"]
    assert found.rows_to_settle <= 6000


def test_a_decision_says_when_it_is_not_settled():
    truth = np.random.default_rng(0).integers(0, 2, 300)
    columns = {"a": truth ^ (np.arange(300) % 10 == 0), "b": truth ^ (np.arange(300) % 9 == 1)}
    found = bakeoff.compare(truth, columns, metric="accuracy", margin=0.02)
    assert found.winner is not None
    assert found.p_worse[found.winner] > 0.05
    assert found.rows_to_settle > 300
    assert "The choice is not settled" in found.reason
    assert bakeoff.compare(truth, columns, metric="accuracy", margin=0.02, confidence=0.95).winner is None


def test_what_cannot_be_is_told(sample):
    truth, shares = sample
    with pytest.raises(NotFoundError, match="f1_marco"):
        bakeoff.interval(truth, truth, metric="f1_marco")
    with pytest.raises(DataError, match="300 values"):
        bakeoff.interval(truth, truth[:10], metric="accuracy")
    with pytest.raises(DataError, match="a table with a column of probabilities"):
        bakeoff.interval(truth, truth, metric="log_loss")
    with pytest.raises(DataError, match="groups"):
        bakeoff.interval(truth, truth, metric="accuracy", groups=[1, 2])
    with pytest.raises(UsageError, match="costs of"):
        bakeoff.compare(truth, {"a": truth}, metric="accuracy", cost_usd={"b": 1.0})
    with pytest.raises(UsageError, match="level"):
        bakeoff.interval(truth, truth, metric="accuracy", level=95)
    with pytest.raises(UsageError, match="confidence"):
        bakeoff.compare(truth, {"a": truth}, metric="accuracy", confidence=0.3)
    with pytest.raises(UsageError, match="margin"):
        bakeoff.compare(truth, {"a": truth}, metric="accuracy", margin=-0.1)
    some = pl.DataFrame(shares[:3], schema=["0", "1"])
    undefined = bakeoff.interval([1, 1, 1], some, metric="roc_auc")
    assert np.isnan(undefined.value)
    assert "undefined" in undefined.reason


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([0.5] * 20 + [0.25] * 20, r"to be classes of the truth \(0, 1\); none is: 0.25, 0.5"),
        ([True, False] * 20, "none is: False, True"),
        ([None, 1] * 20, "a value in every row; 20 of 40 are missing"),
        ([float("nan"), 1] * 20, "a value in every row; 20 of 40 are missing"),
        (np.zeros((40, 2)), "a table with a column named for each class"),
        (
            pl.DataFrame({"no": [0.5] * 40, "yes": [0.5] * 40}),
            r"the columns of the predictions of 'a' .* none is: no, yes",
        ),
    ],
)
def test_labels_that_no_truth_has_are_refused_rather_than_counted_as_wrong(predictions, message):
    with pytest.raises(DataError, match=message):
        bakeoff.compare([0, 1] * 20, {"a": predictions, "b": [0, 1] * 20}, metric="accuracy")


def test_what_is_missing_or_no_price_is_told():
    truth = [0, 1] * 20
    with pytest.raises(DataError, match="the truth to have a value in every row; 1 of 40"):
        bakeoff.compare([None, *truth[1:]], {"a": truth}, metric="accuracy")
    with pytest.raises(DataError, match="time to have a value in every row; 2 of 40"):
        bakeoff.compare(truth, {"a": truth}, metric="accuracy", time=[None, None, *range(38)])
    with pytest.raises(UsageError, match="costs of 0 or more"):
        bakeoff.compare(truth, {"a": truth}, metric="accuracy", cost_usd={"a": float("nan")})
    with pytest.raises(UsageError, match="by the candidate's name"):
        bakeoff.compare(truth, [truth, truth], metric="accuracy")
    columns = pl.DataFrame({"a": truth, "b": truth[::-1]})
    assert bakeoff.compare(truth, columns, metric="accuracy").winner == "a"


def test_a_single_group_shows_nothing_of_a_difference():
    """Nothing tells how far the next group lies: none is shown to be as good, or better."""
    truth = [0, 1] * 20
    found = bakeoff.compare(truth, {"a": truth, "b": [0] * 40}, metric="accuracy", groups=["one"] * 40)
    (difference,) = found.differences
    assert difference.low <= -1 < 1 <= difference.high
    assert 0.2 < found.p_worse["a"] < 0.8
    assert found.best_set == ("a",)
    assert bakeoff.compare(truth, {"a": truth}, metric="accuracy", groups=["one"] * 40).winner == "a"
    (alike,) = bakeoff.compare([1], {"a": [1], "b": [1]}, metric="accuracy").differences
    assert alike.low <= -1 < 1 <= alike.high


def test_candidates_that_answer_alike_are_never_worse_than_each_other():
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    found = bakeoff.compare(truth, {"a": said, "b": said, "c": said}, metric="f1_macro", margin=0.0)
    assert set(found.p_worse.values()) == {0.0}
    assert list(found.p_best.values()) == pytest.approx([1 / 3] * 3)


def test_importing_costs_nothing():
    code = "import sys, bakeoff; sys.exit('numpy' in sys.modules or 'polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_in_the_order_of_time_are_warned_of_unless_it_is_named():
    sample = WORLDS["time, AR .9"].draw(np.random.default_rng(0), N)
    said = sample.predictions.values_n
    with pytest.warns(UserWarning, match="rows next to each other are right or wrong together.*Pass `time`"):
        bakeoff.interval(sample.truth_n, said, metric="accuracy")
    with pytest.warns(UserWarning, match="rows next to each other"):
        bakeoff.compare(sample.truth_n, {"a": said, "b": said}, metric="accuracy")
    bakeoff.interval(sample.truth_n, said, metric="accuracy", time=np.arange(N))
    harder = np.arange(N) < N // 2  # rows in the order of their classes, of which one is harder
    truth = np.where(harder, "a", "b")
    wrong = np.random.default_rng(0).random(N) < np.where(harder, 0.5, 0.05)
    bakeoff.interval(truth, np.where(wrong, np.where(harder, "b", "a"), truth), metric="accuracy")


def test_errors_have_the_costs_that_are_given():
    rng = np.random.default_rng(0)
    truth = (rng.random(400) < 0.2).astype(int)
    bold, shy = np.where(rng.random(400) < 0.9, truth, 1), np.where(rng.random(400) < 0.9, truth, 0)
    costs = {1: {0: 10.0}, 0: {1: 1.0}}
    found = bakeoff.interval(truth, shy, metric="expected_cost", error_costs=costs)
    assert found.value == pytest.approx(np.where((truth == 1) & (shy == 0), 10.0, 0.0).mean())
    assert found.low < found.value < found.high
    decision = bakeoff.compare(truth, {"bold": bold, "shy": shy}, metric="expected_cost", error_costs=costs)
    assert decision.winner == "bold"
    with pytest.raises(ConfigError, match="0 → 1"):
        bakeoff.interval(truth, bold, metric="expected_cost", error_costs={1: {0: 10.0}})
    with pytest.raises(UsageError, match="what errors cost"):
        bakeoff.interval(truth, bold, metric="expected_cost")


HALF, FIFTH = [0, 1] * 30, [0, 1] * 24 + [1, 0] * 6


@pytest.mark.parametrize("metric", ["f1_macro", "balanced_accuracy", "precision_macro", "mcc"])
def test_rows_of_one_class_say_nothing_of_averages_over_classes(metric):
    """Half of the intervals of 60 rows with 2% positives were such ones, and held the true value never."""
    found = bakeoff.interval([0] * 60, [0] * 60, metric=metric)
    assert found.low is None
    assert "all rows are of one class, '0'" in found.reason
    assert bakeoff.interval([0] * 60, [0] * 60, metric="accuracy").low is not None


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_with_too_few_groups_the_winner_is_told_as_measured(groups):
    """How much its choice adds is not known: it was once told at 0.43 of 1.0."""
    found = bakeoff.compare(HALF, {"a": FIFTH, "b": HALF}, metric="accuracy", groups=[at % groups for at in range(60)])
    assert found.values["b"].value == 1.0
    assert found.values["b"].reason == f"{groups} groups; at least 4 are needed"


def test_no_difference_goes_beyond_what_the_metric_can_differ_by():
    with pytest.warns(UserWarning, match="never true here"):
        found = bakeoff.compare([0] * 60, {"a": [0] * 60, "b": [0] * 59 + [1]}, metric="f1_macro")
    assert all(-1 <= each.low <= each.high <= 1 for each in found.differences)
    few = [at % 4 for at in range(60)]
    found = bakeoff.compare(HALF, {"a": FIFTH, "b": [0] * 60}, metric="accuracy", groups=few)
    assert all(-1 <= each.low <= each.high <= 1 for each in found.differences)


def test_a_table_that_lacks_a_class_of_the_truth_names_it():
    table = {"0": [0.5] * 60, "1": [0.5] * 60}
    with pytest.raises(DataError, match="received none for 2"):
        bakeoff.interval([0, 1, 2] * 20, table, metric="log_loss")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"metric": None}, "the name of a metric"),
        ({"level": "95%"}, "a level between 0 and 1"),
        ({"level": None}, "a level between 0 and 1"),
        ({"seed": -1}, "a seed that is a whole number"),
    ],
)
def test_what_is_no_setting_is_one_clear_error(more, expected):
    with pytest.raises(UsageError, match=expected):
        bakeoff.interval(HALF, FIFTH, **({"metric": "accuracy"} | more))


def test_margins_and_costs_that_are_no_numbers():
    for more, expected in (
        ({"margin": "x"}, "a margin of 0 or more"),
        ({"cost_usd": {"a": "x"}}, "costs of 0 or more"),
    ):
        with pytest.raises(UsageError, match=expected):
            bakeoff.compare(HALF, {"a": FIFTH}, metric="accuracy", **more)


def test_words_where_numbers_are_measured():
    with pytest.raises(DataError, match="expected the truth to be numbers; received 'no' first"):
        bakeoff.interval(["no", "yes"] * 30, ["no", "yes"] * 30, metric="mae")


@pytest.mark.parametrize("metric", ["f1_macro", "balanced_accuracy", "f1[yes]"])
def test_a_few_rows_of_a_class_tell_no_candidates_apart(metric):
    truth = ["no"] * 198 + ["yes"] * 2
    found = bakeoff.compare(truth, {"right": truth, "never": ["no"] * 200}, metric=metric)
    (difference,) = found.differences
    assert difference.low <= 0 <= difference.high
    assert difference.p_value > 0.3
    assert found.winner == "right"
    assert found.detectable is None
    assert "do not tell the candidates apart" in found.reason
    assert "only 2 test rows are of a class" in found.reason
    by_rows = bakeoff.compare(truth, {"right": truth, "wrong": ["yes"] * 200}, metric="accuracy")
    assert by_rows.differences[0].high < 0  # of all rows 198 speak


@pytest.mark.parametrize("first", ["right", "other"])
def test_what_candidates_answer_does_not_make_a_rare_class_less_rare(first):
    order = np.random.default_rng(0).permutation(200)
    truth = np.asarray(["a"] * 100 + ["b"] * 98 + ["c"] * 2)[order]
    answers = {"right": truth, "other": np.asarray(["a"] * 100 + ["b"] * 90 + ["d"] * 10)[order]}
    with pytest.warns(UserWarning, match="never true here: d"):
        found = bakeoff.compare(
            truth, {name: answers[name] for name in sorted(answers, key=first.__ne__)}, metric="mcc"
        )
    assert found.differences[0].low <= 0 <= found.differences[0].high
    assert "only 2 test rows are of a class" in found.reason


def test_rows_of_one_class_alone_tell_no_candidates_apart():
    truth = ["a"] * 200
    with pytest.warns(UserWarning, match="50 of 200 labels of the predictions of 'poor' are never true here: b"):
        found = bakeoff.compare(truth, {"good": truth, "poor": ["a"] * 150 + ["b"] * 50}, metric="f1_macro")
    assert found.differences[0].low <= 0 <= found.differences[0].high
    assert "all test rows are of one class" in found.reason


def test_of_many_classes_a_rare_one_does_not_silence_the_others():
    truth = [f"class {i % 20}" for i in range(400)] + ["rare"]
    poor = [f"class {(i + (i % 3 == 0)) % 20}" for i in range(400)] + ["rare"]
    found = bakeoff.compare(truth, {"good": truth, "poor": poor}, metric="f1_macro")
    assert found.differences[0].high < 0


@pytest.mark.parametrize(
    ("time", "received"),
    [
        (["mon", "tue"] * 50, "received 'mon'"),
        ([1] * 100, "received 1 in each of 100"),
        ([1, "a"] * 50, "received '1'"),
        (["12/1/2026", "1/12/2026"] * 50, "received '12/1/2026'"),
        ([{}, {"a": 1}] * 50, "received dict"),
    ],
)
def test_a_time_that_orders_nothing_is_refused(time, received):
    truth = [0, 1] * 50
    with pytest.raises(DataError, match="expected time to .*" + re.escape(received)):
        bakeoff.interval(truth, truth, metric="accuracy", time=time)


def test_times_as_texts_dates_and_numbers_order_alike():
    rng = np.random.default_rng(0)
    truth, answers = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=int(day)) for day in rng.permutation(60)]
    times = [
        days,
        [day.isoformat() for day in days],
        [day.date().isoformat() for day in days],
        np.argsort(np.argsort(days)),
    ]
    found = {bakeoff.interval(truth, answers, metric="accuracy", time=each).low for each in times}
    assert len(found) == 1
    assert None not in found


def test_a_class_that_no_row_has_is_named():
    found = bakeoff.interval([0, 1] * 20, [0, 1] * 20, metric="recall[7]")
    assert math.isnan(found.value)
    assert found.reason == "no row is or is called '7'; the classes are 0, 1"


def test_probabilities_that_are_none_are_told_by_value():
    truth = [0, 1] * 20
    with pytest.raises(DataError, match=r"between 0 and 1; received 1\.5"):
        bakeoff.interval(truth, [0.5, 1.5] * 20, metric="log_loss")
    with pytest.raises(CandidateError, match=r"received -0\.5"):
        bakeoff.interval(truth, {"0": [-0.5] * 40, "1": [1.5] * 40}, metric="log_loss")
    with pytest.raises(DataError, match="every true value is '1', so that one column does not say which class"):
        bakeoff.interval([1] * 20, [0.5] * 20, metric="roc_auc")


def test_shares_of_a_truth_of_zero_and_sizes_beyond_squares_are_no_numbers():
    found = bakeoff.interval([0.0, *range(1, 40)], [1.0] * 40, metric="mape")
    assert math.isnan(found.value)
    assert "is a true value 0?" in (found.reason or "")
    with pytest.raises(DataError, match=r"up to 1e[+]150 in size; received 1e[+]200"):
        bakeoff.interval([1e200] * 20, [1.0] * 20, metric="rmse")


def test_true_texts_that_say_nothing_are_counted():
    with pytest.warns(UserWarning, match="2 of 20 true texts are empty or missing"):
        bakeoff.interval(["", " ", *["yes"] * 18], ["yes"] * 20, metric="exact_match")
