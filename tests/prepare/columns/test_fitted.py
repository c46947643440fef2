"""Steps that learn from training rows: what each of them does, and what holds of all on any table."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bakeoff.config.params import check
from bakeoff.core import plugins
from bakeoff.core.errors import CandidateError, ConfigError
from bakeoff.core.protocols import TrainingRows
from bakeoff.core.types import Column, Schema
from bakeoff.data.cast import conform
from bakeoff.prepare.steps import Preparation
from bakeoff.testing.steps import sample_rows

COLUMNS = (
    Column(name="size", kind="numeric", dtype="Float64"),
    Column(name="town", kind="categorical", dtype="String"),
    Column(name="day", kind="datetime", dtype="Datetime"),
    Column(name="open", kind="boolean", dtype="Boolean"),
)
NAMES = sorted(n for n in plugins.names("bakeoff.prepare") if plugins.load("bakeoff.prepare", n).kind == "fitted")


def rows(target, task="classification", **columns) -> TrainingRows:
    known = tuple(column for column in COLUMNS if column.name in columns)
    return TrainingRows(
        table=conform(pl.DataFrame(columns), known), columns=known, target=pl.Series("y", target), task=task, seed=1
    )


def fitted(name, training, **given):
    step = plugins.load("bakeoff.prepare", name)
    return step.fit(training, check(step.params, given, owner=name, key="steps"))


# --- one by one ---------------------------------------------------------------------------------


def test_gaps_are_flagged_and_filled_with_what_training_rows_suggest():
    training = rows(
        list("abab"), size=[1.0, None, 5.0, 3.0], town=["x", None, "y", "y"], open=[True, None, True, False]
    )
    transform, table = fitted("impute", training)
    assert table["size"].to_list() == [1, 3, 5, 3]
    assert table["town"].to_list() == ["x", "missing", "y", "y"]
    assert table["open"].to_list() == [True, True, True, False]
    assert table["size_missing"].to_list() == [False, True, False, False]
    served = transform(conform([{"size": None, "town": None, "open": None}], training.columns))
    assert served.rows() == [(3.0, "missing", True, True, True, True)]


@pytest.mark.parametrize(
    ("given", "size", "town"),
    [
        ({"numeric": "mean", "categorical": "mode"}, 3.25, "y"),
        ({"numeric": "mode"}, 5.0, "missing"),
        ({"numeric": "constant", "value": -1.0, "category": "?"}, -1.0, "?"),
        ({"numeric": "keep", "categorical": "keep"}, None, None),
    ],
)
def test_ways_to_fill_gaps(given, size, town):
    training = rows(list("ababa"), size=[1.0, None, 5.0, 2.0, 5.0], town=["x", None, "y", "y", "x"])
    training = replace(training, table=training.table.with_columns(town=pl.Series(["x", None, "y", "y", "z"])))
    transform, _ = fitted("impute", training, **given)
    served = transform(conform([{}], training.columns))
    assert (served["size"][0], served["town"][0]) == (size, town)


def test_rare_and_unseen_categories_become_one():
    training = rows(["a"] * 6, town=["x", "x", "x", "y", "z", None])
    transform, table = fitted("group_rare", training, min_rows=2)
    assert table["town"].to_list() == ["x", "x", "x", "other", "other", None]
    assert transform(conform([{"town": "new"}, {"town": "x"}], training.columns))["town"].to_list() == ["other", "x"]
    _, by_share = fitted("group_rare", training, min_rows=1, min_share=0.4)
    assert by_share["town"].to_list() == table["town"].to_list()


def test_outliers_are_pulled_in():
    training = rows(["a"] * 101, size=[*(float(i) for i in range(100)), 1e9])
    _, by_quantiles = fitted("clip_outliers", training, low=0.01, high=0.99)
    assert by_quantiles["size"].to_list() == [1.0, *(float(i) for i in range(1, 100)), 99.0]
    transform, by_quartiles = fitted("clip_outliers", training, by="iqr", reach=1.5)
    assert by_quartiles["size"].max() == 75 + 1.5 * 50
    served = transform(conform([{"size": -1e300}, {"size": None}], training.columns))
    assert served["size"].to_list() == [25 - 1.5 * 50, None]
    _, mostly_one = fitted("clip_outliers", rows(["a"] * 10, size=[0.0] * 9 + [7.0]), by="iqr")
    assert mostly_one["size"].max() == 7


def test_scales_are_made_alike():
    training = rows(["a"] * 5, size=[1.0, 2.0, 3.0, 4.0, None])
    _, standard = fitted("scale", training)
    assert standard["size"].mean() == pytest.approx(0)
    assert np.std(standard["size"].drop_nulls().to_numpy()) == pytest.approx(1)
    _, robust = fitted("scale", training, by="robust")
    assert robust["size"].to_list() == pytest.approx([-1, -1 / 3, 1 / 3, 1, None])
    _, constant = fitted("scale", rows(["a"] * 3, size=[7.0] * 3))
    assert constant["size"].to_list() == [0, 0, 0]


def test_times_become_parts():
    training = rows(["a", "b"], day=["2024-02-03T18:30:00", None])
    transform, table = fitted("datetime_parts", training)
    assert table.columns == [f"day_{part}" for part in ("year", "month", "day", "weekday", "hour", "is_weekend")]
    assert table.rows() == [(2024, 2, 3, 6, 18, True), (None,) * 6]
    served = transform(conform([{"day": "2023-12-31T00:00:00Z"}], training.columns))
    assert served.rows() == [(2023, 12, 31, 7, 0, True)]
    _, cyclic = fitted("datetime_parts", training, parts=[], cyclic=True, keep=True)
    assert cyclic["day_hour_sin"][0] == pytest.approx(np.sin(2 * np.pi * 18.5 / 24))
    assert cyclic.columns[0] == "day"


def test_shares_of_categories():
    training = rows(["a"] * 4, town=["x", "x", "y", None])
    transform, table = fitted("encode_frequency", training)
    assert table.to_dict(as_series=False) == {"town_frequency": [0.5, 0.5, 0.25, 0.25]}
    assert transform(conform([{"town": "new"}], training.columns))["town_frequency"][0] == 0


def test_buckets_depend_on_the_category_alone_and_stay_the_same():
    training = rows(["a"] * 3, town=["x", "é", None])
    _, table = fitted("encode_hash", training, buckets=1000)
    assert table["town"].to_list() == ["806", "417", None]  # kept models rely on these
    assert table.equals(fitted("encode_hash", rows(["b"] * 3, town=["x", "é", None]), buckets=1000)[1])


def test_constant_columns_go_but_never_all():
    training = rows(list("abab"), size=[1.0] * 4, town=["x", "x", "x", "y"], open=[None] * 4)
    transform, table = fitted("drop_constant", training)
    assert table.columns == ["town"]
    assert transform.columns(training.columns) == (COLUMNS[1],)
    assert fitted("drop_constant", rows(["a"] * 2, size=[1.0, 1.0]))[1].columns == ["size"]


def test_target_means_are_those_of_the_source():
    target = ["yes", "yes", "no", "yes", "no", "no"]
    training = rows(target, town=["x", "x", "x", "y", "y", None])
    transform, _ = fitted("encode_target", training, smoothing=2.0)
    served = transform(conform([{"town": town} for town in ("x", "y", None, "new")], training.columns))
    assert served["town_target"].to_list() == pytest.approx([(2 + 2 * 0.5) / 5, (1 + 1) / 4, (0 + 1) / 3, 0.5])


def test_target_means_of_several_classes_and_of_numbers():
    several = rows(["a", "b", "c", "a"], town=["x", "x", "y", "y"])
    transform, _ = fitted("encode_target", several, smoothing=1e-9)
    served = transform(conform([{"town": "x"}], several.columns))
    assert served.columns == ["town_target_a", "town_target_b", "town_target_c"]
    assert served.row(0) == pytest.approx((0.5, 0.5, 0), abs=1e-6)
    numbers = rows([1.0, 3.0, 10.0], task="regression", town=["x", "x", "y"])
    transform, _ = fitted("encode_target", numbers, smoothing=1e-9)
    assert transform(conform([{"town": "x"}], numbers.columns))["town_target"][0] == pytest.approx(2)
    with pytest.raises(CandidateError, match="use encode_frequency"):
        fitted("encode_target", replace(numbers, task="generation"))


def test_no_training_row_is_encoded_with_its_own_target():
    training = sample_rows()
    _, before = fitted("encode_target", training)
    for row in range(0, 160, 13):
        label = training.target[row]
        flipped = training.target.clone()
        flipped[row] = "class 1" if label == "class 0" else "class 0"
        _, after = fitted("encode_target", replace(training, target=flipped))
        assert after["categorical_target"][row] == before["categorical_target"][row]
    assert not after.equals(before)


def test_noise_tells_nothing_once_it_is_encoded_out_of_fold():
    rng = np.random.default_rng(5)
    target = rng.choice(["no", "yes"], 3000)
    training = rows(target, town=[f"t{i}" for i in rng.integers(600, size=3000)])
    transform, cross_fitted = fitted("encode_target", training, smoothing=1.0)
    label_n = (target == "yes").astype(float)
    own = np.corrcoef(transform(training.table)["town_target"].to_numpy(), label_n)[0, 1]
    honest = np.corrcoef(cross_fitted["town_target"].to_numpy(), label_n)[0, 1]
    assert own > 0.3
    assert abs(honest) < 0.1


def test_columns_of_the_wrong_kind_are_refused():
    with pytest.raises(CandidateError, match=r"of kind numeric, received 'town' \(categorical\)"):
        fitted("clip_outliers", rows(["a"], town=["x"], size=[1.0]), columns=["town"])


# --- any table ----------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
ANY_ROW = st.fixed_dictionaries(
    {
        "size": st.none() | st.floats() | st.sampled_from([0.0, 1.0, 1e308, -1e308]),
        "town": st.none() | st.sampled_from(["x", "y", "", "other"]) | ANY_TEXT,
        "day": st.none() | st.datetimes(),
        "open": st.none() | st.booleans(),
    }
)
TABLES = st.lists(ANY_ROW, max_size=12)
SETTLED = {"impute", "group_rare", "clip_outliers", "drop_constant"}
"""Steps that change nothing when what they gave is put through them again."""


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(trained=st.lists(ANY_ROW, min_size=1, max_size=12), served=TABLES, seed=st.integers(0, 99))
@example(trained=[{}], served=[], seed=0)
@example(trained=[{"size": 1e308}, {"size": -1e308}, {"size": 1e-300}], served=[{"size": -1e308}], seed=0)
def test_rows_stay_in_place_whatever_they_hold(name, trained, served, seed):
    labels = np.random.default_rng(seed).choice(["a", "b", "c"], len(trained)).tolist()
    table = conform(trained, COLUMNS)
    training = TrainingRows(
        table=table, columns=COLUMNS, target=pl.Series("y", labels), task="classification", seed=seed
    )
    transform, after = fitted(name, training)
    assert after.height == len(trained)
    told = [column.name for column in transform.columns(COLUMNS)]
    asked = conform(served, COLUMNS).with_columns(pl.Series("id", range(len(served)), dtype=pl.Int64))
    answered = transform(asked)
    assert answered["id"].equals(asked["id"])
    assert sorted(answered.columns) == sorted([*told, "id"])
    for at in range(len(served)):
        assert transform(asked[at : at + 1]).equals(answered[at : at + 1])
    for series in answered:
        assert not series.dtype.is_float() or not (series.is_nan().any() or series.is_infinite().any())
    if name in SETTLED:
        flags = [column for column in answered.columns if column.endswith("_missing")]
        assert transform(answered).drop(flags).equals(answered.drop(flags))


# --- as steps of a project ----------------------------------------------------------------------


def test_fitted_steps_do_not_run_with_the_others():
    schema = Schema(columns=COLUMNS, target="y", inputs=tuple(column.name for column in COLUMNS))
    table = conform([{"size": 1.0}, {"size": None}], COLUMNS).with_columns(y=pl.Series(["a", "b"]))
    preparation = Preparation(["drop_duplicates", {"name": "impute", "numeric": "mean"}, "scale"])
    assert preparation.key == Preparation(["drop_duplicates"]).key
    assert preparation.requires == ()
    assert preparation.apply_rows_and_columns(table, schema).table.equals(table)
    assert preparation.apply_columns(table, COLUMNS).equals(table)
    assert preparation.fitted == (
        {"name": "impute", "version": 1, "params": {"numeric": "mean"}},
        {"name": "scale", "version": 1, "params": {}},
    )
    assert preparation.fitted_requires == ("numpy", "polars")


def test_a_fitted_step_may_stand_before_some_candidates_only():
    preparation = Preparation(["impute", {"name": "scale", "by": "robust", "only": ["linear"]}])
    assert [step["name"] for step in preparation.fitted_for("linear")] == ["impute", "scale"]
    assert [step["name"] for step in preparation.fitted_for("boosting")] == ["impute"]
    assert preparation.fitted_for("linear")[1]["params"] == {"by": "robust"}
    for wrong in ("linear", [], [1]):
        with pytest.raises(ConfigError, match=r"prepare\.steps\.0\.only: expected names of candidates"):
            Preparation([{"name": "scale", "only": wrong}])
    with pytest.raises(ConfigError, match="a parameter of 'drop_empty', found 'only'"):
        Preparation([{"name": "drop_empty", "only": ["linear"]}])


def test_all_that_is_wrong_with_fitted_steps_is_told_together():
    with pytest.raises(ConfigError) as caught:
        Preparation(["imput", {"name": "impute", "numeric": "medium"}, {"name": "scale", "bye": 1}, "drop_empty"])
    told = str(caught.value)
    assert "Did you mean 'impute'?" in told
    assert "prepare.steps.1.numeric" in told
    assert "Did you mean 'by'?" in told


def test_steps_that_learn_stand_after_all_others():
    with pytest.raises(ConfigError, match=r"prepare\.steps\.1: .*found 'drop_empty' after 'impute'"):
        Preparation(["impute", "drop_empty"])
