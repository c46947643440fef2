"""What is known of made-up models comes out: the columns that count, the words that decide, the law of a curve."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.evaluate.explain.associations import alike
from bakeoff.evaluate.explain.contributions import left_out
from bakeoff.evaluate.explain.errors import by_size, curves, over_time
from bakeoff.evaluate.explain.importance import importance
from bakeoff.evaluate.explain.learning import learning_curve
from bakeoff.evaluate.explain.responses import responses
from bakeoff.evaluate.explain.rows import ExplainedRows, units
from bakeoff.evaluate.explain.single import explained_row
from bakeoff.metrics.registry import find

N = 400


def number(name):
    return Column(name=name, kind="numeric", dtype="Float64")


def table():
    rng = np.random.default_rng(1)
    x = rng.normal(size=N)
    return pl.DataFrame(
        {
            "noise": rng.normal(size=N),
            "x": x,
            "copy": 3 * x + 0.01 * rng.normal(size=N),
            "city": rng.choice(["Oslo", "Rome", "Lima"], N),
        }
    )


def predict(rows):
    return Predictions(values_n=2 * rows["x"].to_numpy() + 3.0 * (rows["city"] == "Rome").to_numpy())


COLUMNS = (number("noise"), number("x"), number("copy"), Column(name="city", kind="categorical", dtype="String"))


def rows(rows_table=None, model=predict, columns=COLUMNS, metric="rmse", task="regression", **more):
    rows_table = table() if rows_table is None else rows_table
    predictions = model(rows_table)
    truth_n = predictions.values_n
    if task == "regression":
        truth_n = truth_n + np.random.default_rng(2).normal(scale=0.1, size=len(rows_table))
    known = {"truth_n": truth_n, "unit_n": units(len(rows_table), None, None), "rows_per_s": 1e6, "seed": 0}
    return ExplainedRows(
        predict=model,
        table=rows_table,
        predictions=predictions,
        measure=find(metric, task),
        columns=columns,
        **(known | more),
    )


def test_columns_that_say_the_same_are_shuffled_together_and_the_planted_ones_matter():
    drops, skipped = importance(rows(), 10.0)
    by_columns = {each.columns: each for each in drops}
    assert not skipped
    assert [each.columns for each in drops[:2]] == [("x", "copy"), ("city",)]
    # A shuffled x is an independent one: its error has the variance of 2 (x - x'), which is 8 times that of x.
    expected = np.sqrt(8 * table()["x"].var()) - 0.1
    assert by_columns["x", "copy"].drop == pytest.approx(expected, rel=0.05)
    assert by_columns["x", "copy"].low < expected < by_columns["x", "copy"].high
    assert by_columns["x", "copy"].low > 2
    assert by_columns["noise",].drop == 0
    assert by_columns["noise",].low <= 0 <= by_columns["noise",].high


def test_one_input_is_not_shuffled_and_slow_models_are_left_out():
    alone = importance(rows(columns=(number("x"),)), 10.0)
    slow = importance(rows(rows_per_s=1.0), 1.0)
    assert alone[0] == slow[0] == ()
    assert "only input" in alone[1][0].reason
    assert "longer than 1.0 s" in slow[1][0].reason


def test_categories_that_follow_numbers_or_each_other_are_alike():
    rng = np.random.default_rng(0)
    level = rng.integers(0, 3, 300)
    data = pl.DataFrame(
        {
            "level": level.astype(float) + 0.1 * rng.normal(size=300),
            "name": np.asarray(["low", "mid", "high"])[level],
            "code": np.asarray(["a", "b", "c"])[level],
            "other": rng.choice(["u", "v"], 300),
        }
    )
    kinds = {"level": "numeric", "name": "categorical", "code": "categorical", "other": "categorical"}
    columns = [Column(name=name, kind=kind, dtype="String") for name, kind in kinds.items()]
    assert alike(data, columns) == [("level", "name", "code"), ("other",)]


def test_responses_are_those_of_the_model():
    (x, city), _ = responses(rows(), ["x", "city"], 10.0)
    points = x.outputs[""]
    assert points[-1].mean - points[0].mean == pytest.approx(2 * (points[-1].at - points[0].at))
    assert points[0].low == pytest.approx(points[0].mean)  # all rows go along in parallel
    by_city = {point.at: point.mean for point in city.outputs[""]}
    assert by_city["Rome"] - by_city["Oslo"] == pytest.approx(3.0)


def test_a_time_is_set_to_times():
    start = datetime(2024, 1, 1)  # noqa: DTZ001
    data = pl.DataFrame({"when": [start + timedelta(hours=h) for h in range(200)]})
    columns = (Column(name="when", kind="datetime", dtype="Datetime"),)
    (when,), _ = responses(
        rows(data, lambda t: Predictions(values_n=t["when"].dt.day().to_numpy().astype(float)), columns), ["when"], 9.0
    )
    assert when.kind == "time"
    assert all(datetime.fromisoformat(point.at).day == point.mean for point in when.outputs[""])


def by_word(data):
    yes = np.asarray(["good" in str(text).lower().split() for text in data["note"].to_list()])
    shares = np.where(yes, 0.9, 0.2)
    return Predictions.of_probabilities(np.column_stack([1 - shares, shares]), ("no", "yes"))


NOTE = Column(name="note", kind="text", dtype="String")


def notes():
    rng = np.random.default_rng(3)
    filler = ["film", "plot", "actor", "scene"]
    return pl.DataFrame(
        {"note": [" ".join([*rng.choice(filler, 3), "Good" if i % 2 else "bad"]) for i in range(100)] + [None] * 5}
    )


def test_the_word_that_decides_comes_first():
    words = left_out(rows(notes(), by_word, (NOTE,), "f1_macro", "classification"), ("yes",), 10.0)
    assert [(each.word, each.adds) for each in words] == [("good", pytest.approx(0.7))]


def test_curves_have_the_areas_of_scikit_learn():
    rng = np.random.default_rng(4)
    truth_n = rng.choice(["no", "yes"], 500)
    score_n = np.round(np.clip(rng.normal(size=500) * 0.3 + 0.4 + 0.2 * (truth_n == "yes"), 0.01, 0.99), 2)  # with ties
    predictions = Predictions.of_probabilities(np.column_stack([1 - score_n, score_n]), ("no", "yes"))
    (curve,) = curves(truth_n, predictions, ("yes",))
    assert curve.roc_auc == pytest.approx(roc_auc_score(truth_n == "yes", score_n))
    assert curve.pr_auc == pytest.approx(average_precision_score(truth_n == "yes", score_n))
    assert curve.roc[0] == (0, 0)
    assert curve.roc[-1] == (1, 1)
    assert len(curve.roc) <= 62
    assert curves(np.asarray(["no"] * 500), predictions, ("yes",)) == ()


def test_errors_by_size_and_over_time_find_where_they_are():
    predicted_n = np.arange(100.0)
    truth_n = predicted_n + np.where(predicted_n >= 90, 10.0, 0.0)
    bars = by_size(truth_n, Predictions(values_n=predicted_n))
    assert [bar.mean for bar in bars] == [0.0] * 9 + [10.0]
    times = pl.Series([datetime(2024, 1, 1) + timedelta(days=int(d)) for d in predicted_n])  # noqa: DTZ001
    stretches = over_time(truth_n, Predictions(values_n=predicted_n), times)
    assert stretches[0].mean == 0
    assert stretches[-1].mean == 10
    said = np.where(predicted_n < 50, "a", "b")
    shares = over_time(np.asarray(["a"] * 100), Predictions(values_n=said), times)
    assert (shares[0].mean, shares[-1].mean) == (0, 1)


def test_what_twice_the_rows_would_gain_is_that_of_the_law():
    rng = np.random.default_rng(5)
    truth_n, draw = rng.normal(size=4000), rng.normal(size=4000)

    def said(n):  # its error is 0.5 + 2 / sqrt(n)
        return Predictions(values_n=truth_n + (0.5 + 2 * n**-0.5) * draw / np.sqrt((draw**2).mean()))

    every = np.arange(4000)
    curve = learning_curve(
        {n: [(every, said(n))] for n in (200, 400, 800)},
        1600,
        truth_n,
        said(1600),
        find("rmse", "regression"),
        unit_n=every,
        seed=0,
    )
    true = 2 * (1600**-0.5 - 3200**-0.5)
    assert curve.more == pytest.approx(true, rel=0.1)
    assert curve.more_low < true < curve.more_high
    assert [point.rows for point in curve.points] == [200, 400, 800, 1600]
    assert curve.points[0].behind == pytest.approx(2 * (200**-0.5 - 1600**-0.5))


class Known:
    """A model without abilities."""

    signature = Signature(task="regression", inputs=COLUMNS)

    def predict(self, data):
        return predict(data)


def test_what_columns_add_to_one_answer_comes_to_the_answer():
    data = table()
    row = pl.DataFrame({"noise": [9.0], "x": [1.5], "copy": [0.0], "city": ["Rome"]})
    told = explained_row(Known(), row, data, name="known/1")
    adds = {part.column: part.adds for part in told.columns}
    assert told.score == pytest.approx(6.0)
    assert told.base + sum(adds.values()) == pytest.approx(told.score, abs=1e-9)
    assert adds["noise"] == adds["copy"] == 0
    assert adds["x"] == pytest.approx(3.0, abs=0.5)  # beside the mean of the others, which is about 0


class Reader:
    """A model that reads words."""

    signature = Signature(task="classification", inputs=(NOTE,), classes=("no", "yes"))

    def predict(self, data):
        return by_word(data)


def test_the_word_that_decides_one_answer_is_told():
    told = explained_row(Reader(), pl.DataFrame({"note": ["A good film"]}), notes(), name="reader/1")
    assert told.answer == "yes"
    assert [(part.word, part.adds) for part in told.words] == [("good", pytest.approx(0.7))]
