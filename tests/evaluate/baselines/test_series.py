"""Rules of the order of time: what they take as known, and of which series."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column, Schema
from bakeoff.evaluate.baselines.rules import BaselineData, Side
from bakeoff.evaluate.baselines.series import TimedRows, in_order, series_keys, span_words

START = datetime(2024, 1, 1)  # noqa: DTZ001 - times of tables have no zone
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def made(times, target, *, group=None, task="regression", **columns):
    """A table in time with further columns, and its rules' data."""
    table = pl.DataFrame({"when": times, "y": target, **columns})
    kinds = {pl.String: "categorical", pl.Boolean: "boolean"}
    own = tuple(Column(name=n, kind=kinds.get(table[n].dtype, "numeric"), dtype=str(table[n].dtype)) for n in columns)
    inputs = tuple(name for name in columns if name != group)
    schema = Schema(columns=own, target="y", inputs=inputs, time="when", group=group)
    return BaselineData.of(table, schema, task)


def rules(data, train, *, horizon_s=None):
    rows = np.arange(data.table.height)
    side = Side(asked=rows[train:], learn=rows[:train], known=rows)
    return side, {rule.name: rule for rule in in_order(TimedRows(data), [side], horizon_s)}


def test_hours_have_the_hour_day_week_and_year_before():
    hours = 24 * 400
    target = np.arange(hours, dtype=float)
    data = made([START + HOUR * at for at in range(hours)], target)
    side, found = rules(data, hours - 48)
    said = {name: rule.answer(side).predictions.values_n for name, rule in found.items()}
    asked = target[side.asked]
    assert {name: set((asked - values).tolist()) for name, values in said.items()} == {
        "last value": {1.0},
        "same time the day before": {24.0},
        "same time last week": {168.0},
        "same time last year": {24.0 * 364},
    }
    assert [found[name].stops for name in said] == ["none", "equal", "equal", "equal"]
    assert found["last value"].needs == "the truth of an hour before"
    assert found["same time last week"].needs == "the truth of a week before"


def test_truth_that_is_known_late_is_looked_for_as_long_before():
    """Truth comes after 36 hours: two days before is the nearest same time of day that is known."""
    hours = 24 * 40
    target = np.arange(hours, dtype=float)
    data = made([START + HOUR * at for at in range(hours)], target)
    side, found = rules(data, hours - 48, horizon_s=36 * 3600)
    said = {
        name: set((target[side.asked] - rule.answer(side).predictions.values_n).tolist())
        for name, rule in found.items()
    }
    assert said == {"last value": {36.0}, "same time the day before": {48.0}, "same time last week": {168.0}}
    assert all(rule.stops == "equal" for rule in found.values())
    assert found["same time the day before"].needs == "the truth of 2 days before"


def test_days_and_months_have_the_rules_that_their_step_allows():
    days = made([START + DAY * at for at in range(900)], np.arange(900.0))
    _, found = rules(days, 800)
    assert list(found) == ["last value", "same time last week", "same time last year"]
    assert found["last value"].stops == "equal"  # a day before
    months = [START.replace(year=2010 + at // 12, month=at % 12 + 1) for at in range(60)]
    side, found = rules(made(months, np.arange(60.0)), 48)
    assert list(found) == ["last value", "same time last year"]
    assert found["same time last year"].answer(side).predictions.values_n.tolist() == list(np.arange(36.0, 48.0))


def test_rules_that_know_nothing_of_most_rows_are_not_there():
    data = made([START + HOUR * at for at in range(72)], np.arange(72.0))
    _, found = rules(data, 60)
    assert list(found) == ["last value", "same time the day before"]


def test_panels_are_parted_by_the_columns_that_tell_rows_of_one_time_apart():
    rows = [(START + DAY * day, shop, item) for day in range(40) for shop in ("a", "b") for item in ("x", "y", "z")]
    times, shops, items = (list(column) for column in zip(*rows, strict=True))
    level = {"a": 100.0, "b": 500.0}
    extra = {"x": 0.0, "y": 10.0, "z": 20.0}
    target = [level[shop] + extra[item] + day // 6 for day, (_, shop, item) in enumerate(rows)]
    weather = [float(time.day % 5) for time in times]
    data = made(times, target, shop=shops, item=items, weather=weather)
    assert set(series_keys(data.table, data.schema)) == {"shop", "item"}
    side, found = rules(data, 6 * 30)
    assert list(found) == ["last value", "same time last week"]
    values = found["last value"].answer(side).predictions.values_n
    assert (np.asarray(target)[side.asked] - values).tolist() == [1.0] * 60
    assert "of the same" in found["last value"].rule


def test_the_group_names_series_and_one_without_past_has_the_mean():
    times = [START + DAY * at for at in (*range(10), *range(10), 12)]
    users = ["u"] * 10 + ["v"] * 10 + ["new"]
    target = [1.0] * 10 + [5.0] * 10 + [99.0]
    order = sorted(range(21), key=lambda at: times[at])
    data = made(
        [times[at] for at in order], [target[at] for at in order], group="user", user=[users[at] for at in order]
    )
    side, found = rules(data, 16)
    said = found["last value"].answer(side)
    assert said.predictions.values_n.tolist() == [1.0, 5.0, 1.0, 5.0, 3.0]
    assert said.unknown_n.tolist() == [False] * 4 + [True]


def test_rows_of_one_time_and_series_are_averaged():
    times = [START + DAY * (at // 2) for at in range(20)]
    data = made(times, [float(at) for at in range(20)], colour=["red", "red"] * 10)
    assert series_keys(data.table, data.schema) == ()
    side, found = rules(data, 18)
    assert found["last value"].answer(side).predictions.values_n.tolist() == [16.5, 16.5]


def test_gaps_are_stepped_over_by_the_period_then_by_what_is_known_last():
    hours = [at for at in range(24 * 30) if at not in range(24 * 22, 24 * 23)]  # one whole day is missing
    data = made([START + HOUR * at for at in hours], [float(at) for at in hours])
    side, found = rules(data, len(hours) - 24 * 3)
    values = found["same time last week"].answer(side).predictions.values_n
    asked = np.asarray(hours, dtype=float)[side.asked]
    assert (asked - values).tolist() == [168.0] * 48 + [336.0] * 24  # the day before the 29th is missing


def test_times_that_jitter_are_matched_by_the_nearest():
    rng = np.random.default_rng(0)
    jitter = rng.integers(-300, 300, 24 * 21)
    times = [START + HOUR * at + timedelta(seconds=int(jitter[at])) for at in range(24 * 21)]
    data = made(times, np.arange(24.0 * 21))
    side, found = rules(data, 24 * 20)
    difference = np.arange(24.0 * 21)[side.asked] - found["same time last week"].answer(side).predictions.values_n
    assert set(difference.tolist()) == {168.0}


def test_classes_in_time_have_probabilities_by_how_often_the_rule_was_right():
    labels = ["a", "a", "b", "b"] * 30
    data = made([START + DAY * at for at in range(120)], labels, task="classification")
    side, found = rules(data, 100)
    said = found["last value"].answer(side).predictions
    assert said.values_n.tolist() == ["b", *labels[100:119]]
    # Right half of the time: (49 + 1) / (99 + 2) of the 99 training rows that have one before them.
    assert said.probabilities_nk.max() == pytest.approx(51 / 101, abs=0.011)
    assert said.probabilities_nk.sum(axis=1).tolist() == pytest.approx([1.0] * 20)


def test_rows_without_a_time_get_the_constant():
    times = [START + DAY * at for at in range(20)] + [None]
    data = made(times, [2.0] * 20 + [7.0])
    side, found = rules(data, 15)
    said = found["last value"].answer(side)
    assert said.unknown_n.tolist() == [False] * 5 + [True]
    assert said.predictions.values_n[-1] == 2.0


def test_by_folds_nothing_of_the_own_fold_is_known():
    data = made([START + DAY * at for at in range(10)], np.arange(10.0))
    even, odd = np.arange(0, 10, 2), np.arange(1, 10, 2)
    sides = [Side(asked=even, learn=odd, known=odd), Side(asked=odd, learn=even, known=even)]
    rule = in_order(TimedRows(data), sides, None)[0]
    assert rule.answer(sides[0]).predictions.values_n.tolist() == [5.0, 1.0, 3.0, 5.0, 7.0]  # the first: the mean


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (365.25 * 86_400, "a year"),
        (30 * 86_400, "30 days"),
        (600, "10 minutes"),
        (0.25, "0.25 seconds"),
        (7200, "2 hours"),
    ],
)
def test_spans_in_words(seconds, words):
    assert span_words(seconds) == words
