import datetime as dt
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, ColumnKind, Schema
from bakeoff.families.boosting import BoostingFamily
from bakeoff.families.features.columns import input_columns
from bakeoff.families.features.derivation import Choice, Derivation
from bakeoff.families.features.derived import Derived
from bakeoff.families.features.targets import Target
from bakeoff.families.features.trend import Trend
from bakeoff.families.linear import LinearFamily

HOUR = dt.timedelta(hours=1)
YEAR = 365 * 24 * HOUR
START = dt.datetime.fromisoformat("2022-01-01T00:00:00")
FAMILIES = [LinearFamily(), BoostingFamily()]
KINDS: dict[type[pl.DataType], ColumnKind] = {
    pl.Datetime: "datetime",
    pl.String: "categorical",
    pl.Boolean: "boolean",
}


def job_of(table: pl.DataFrame, family, training: int, *, validation: int | None = None, **schema) -> FitJob:
    columns = tuple(
        Column(name=name, kind=KINDS.get(type(dtype), "numeric"), dtype=str(dtype.base_type()))
        for name, dtype in table.schema.items()
    )
    inputs = tuple(name for name in table.columns if name != "y")
    train = table[:training]
    return FitJob(
        task="regression",
        schema=Schema(columns=columns, target="y", inputs=inputs, **schema),
        train=train,
        validation=table[training:] if validation is None else table[training : training + validation],
        params=family.params(),
        metric="rmse",
        seed=0,
        threads=1,
        cache=Path(),
        progress=lambda _: None,
    )


def rentals(days: int, seed: int = 0) -> pl.DataFrame:
    """Every fourth hour: a daily pattern that differs on weekends and grows by the same share at all hours."""
    rng = np.random.default_rng(seed)
    hour_n = np.arange(0, 24 * days, 4)
    day_n = hour_n // 24
    shape_n = 50 + 40 * np.sin(2 * np.pi * hour_n / 24) * np.where((day_n + 5) % 7 >= 5, -1, 1)
    value_n = shape_n * (1 + 1.5 * hour_n / hour_n.max()) + rng.normal(size=len(hour_n))
    return pl.DataFrame({"when": [START + HOUR * int(hour) for hour in hour_n], "y": value_n}).with_columns(
        pl.col("when").cast(pl.Datetime("us"))
    )


def rmse(model, table: pl.DataFrame) -> float:
    return float(np.sqrt(np.mean((model.predict(table.drop("y")).values_n - table["y"].to_numpy()) ** 2)))


@pytest.mark.parametrize("family", FAMILIES)
def test_growth_goes_on_where_no_training_row_was(family) -> None:
    table = rentals(900)
    late = int(0.8 * len(table))
    job = job_of(table[:late], family, int(0.66 * len(table)), time="when")
    model = family.fit(job)
    assert model.chosen["trend"] == "scaled"
    assert model.chosen["tried"]["trend, scaled"].startswith("kept: loss -")
    assert rmse(model, table[late:]) < 6  # the pattern has a spread of 50 and more, and the level grew by a fifth
    plain = family.fit(FitJob(**{**_fields(job), "params": family.params(features=False)}))
    assert "features" not in plain.chosen
    assert rmse(plain, table[late:]) > 3 * rmse(model, table[late:])


def _fields(job: FitJob) -> dict:
    return {name: getattr(job, name) for name in job.__slots__}


@pytest.mark.parametrize("family", FAMILIES)
def test_times_that_are_missing_or_far_off_are_answered(family) -> None:
    table = rentals(900)
    model = family.fit(job_of(table, family, int(0.8 * len(table)), time="when"))
    odd = pl.Series("when", [None, START - 300 * YEAR, START + 400 * YEAR], dtype=pl.Datetime("us"))
    values_n = model.predict(pl.DataFrame([odd])).values_n
    assert np.isfinite(values_n).all()
    last = table["when"].max()
    assert values_n[0] == model.predict(pl.DataFrame({"when": [last]})).values_n[0]  # most likely one of the last
    assert values_n[2] < 3 * table["y"].max()  # a trend goes on for one more span, not for ever


def shops() -> pl.DataFrame:
    """Eight shops, each growing or shrinking by its own, 500 days."""
    rng = np.random.default_rng(1)
    day_n, shop_n = np.repeat(np.arange(500), 8), np.tile(np.arange(8), 500)
    value_n = 100 * (shop_n + 1) + (shop_n - 3) * day_n + rng.normal(size=4000)
    return pl.DataFrame(
        {
            "when": [START + dt.timedelta(days=int(day)) for day in day_n],
            "shop": [f"shop {shop}" for shop in shop_n],
            "y": value_n,
        },
        schema_overrides={"when": pl.Datetime("us")},
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_target_is_told_from_what_was_known_of_its_group(family, tmp_path) -> None:
    table = shops()
    job = job_of(table[:3600], family, 3360, time="when", group="shop", horizon="2d")
    model, test = family.fit(job), table[3600:3840]
    assert model.chosen["lags"]["span_s"] == 30 * 86_400
    blind = family.fit(job_of(table[:3600], family, 3360, time="when", group="shop"))
    assert rmse(model, test) < 0.5 * rmse(blind, test)
    folder = tmp_path / "model"
    folder.mkdir()
    model.save(folder)
    loaded = family.load(folder, 1)
    np.testing.assert_array_equal(loaded.predict(test).values_n, model.predict(test).values_n)
    alone = np.concatenate([loaded.predict(test[at : at + 1]).values_n for at in range(len(test))])
    np.testing.assert_allclose(alone, model.predict(test).values_n, rtol=1e-9)
    assert loaded.losses() == ()
    loaded.predict(test.with_columns(pl.col("when").dt.offset_by("1y")))
    assert loaded.losses()[0].count == len(test)


def test_lags_need_the_time_among_the_inputs() -> None:
    table = shops().drop("when")
    with pytest.raises(CandidateError, match="horizon"):
        LinearFamily().fit(job_of(table, LinearFamily(), 3360, time="when", horizon="2d"))


def test_products_and_ratios_stay_where_they_help() -> None:
    rng = np.random.default_rng(2)
    size = 3000
    table = pl.DataFrame({name: rng.uniform(1, 9, size) for name in "abcd"})
    table = table.with_columns(y=pl.col("a") / pl.col("b") * 10 + pl.Series(rng.normal(size=size) * 0.1))
    family = BoostingFamily()
    job = job_of(table, family, 2000, validation=500)
    model = family.fit(job)
    assert ["ratio", "a", "b"] in model.chosen["features"]
    noise = table.with_columns(y=pl.Series(rng.normal(size=size)))
    assert family.fit(job_of(noise, family, 2000, validation=500)).chosen["features"] == []
    zero = pl.DataFrame({"a": [1.0], "b": [0.0], "c": [1.0], "d": [None]}, schema_overrides={"d": pl.Float64})
    assert np.isfinite(model.predict(zero).values_n).all()


def test_few_rows_of_numbers_cost_nothing() -> None:
    rng = np.random.default_rng(3)
    table = pl.DataFrame({f"n{at}": rng.normal(size=569) for at in range(30)}).with_columns(y=pl.col("n1"))
    job = job_of(table, BoostingFamily(), 455)
    target, columns = Target.of(job), input_columns(job)
    spent: list[float] = []
    for _ in range(3):
        started = time.process_time()
        derivation = Derivation(job, target, columns, "trees")
        assert derivation.fit(569).derived is None
        assert derivation.chosen == {}
        spent.append(time.process_time() - started)
    assert min(spent) < 0.05


def test_a_choice_comes_back_from_json() -> None:
    job = job_of(rentals(900), BoostingFamily(), 4500, time="when")
    chosen = Derivation(job, Target.of(job), input_columns(job), "trees").choice
    assert Choice.of_json(chosen.to_json()) == chosen
    assert Choice.of_json({"trees": 7}) == Choice()


def test_every_feature_is_what_its_name_says() -> None:
    table = pl.DataFrame(
        {
            "in": [START, START + 36 * HOUR, None],
            "out": [START + 12 * HOUR, START, START],
            "town": ["x", "x", None],
            "n": [1.0, 3.0, None],
            "m": [2.0, 0.0, 1.0],
            "y": [0.0, 0.0, 0.0],
        },
        schema_overrides={"in": pl.Datetime("us"), "out": pl.Datetime("us")},
    )
    job = job_of(table, BoostingFamily(), 2)
    specs = [
        ("elapsed", ("in",)),
        ("days_between", ("out", "in")),
        ("product", ("n", "m")),
        ("difference", ("n", "m")),
        ("ratio", ("n", "m")),
        ("count", ("town",)),
        ("deviation", ("town", "n")),
        ("pair", ("town", "town")),
    ]
    made = Derived.fit(table, job.schema.columns, specs, job.schema)(table)
    values = {feature: _whole(made[feature]) for feature in made.columns[table.width :]}
    assert values == {
        "elapsed(in)": [0.0, 1.5, None],
        "days_between(out, in)": [0.5, -1.5, None],
        "product(n, m)": [2.0, 0.0, None],
        "difference(n, m)": [-1.0, 3.0, None],
        "ratio(n, m)": [0.5, None, None],
        "count(town)": [np.log(3), np.log(3), None],
        "deviation(town, n)": [-1.0, 1.0, None],
        "pair(town, town)": ["x & x", "x & x", None],
    }


def _whole(series: pl.Series) -> list:
    return (series.fill_nan(None) if series.dtype == pl.Float64 else series).to_list()


def test_a_limit_ends_the_trying_and_what_was_not_tried_is_told() -> None:
    cuts: list[str] = []
    job = replace(job_of(rentals(900), BoostingFamily(), 4500, time="when"), limit_s=0.0, on_cut=cuts.append)
    choice = Derivation(job, Target.of(job), input_columns(job), "trees").choice
    assert (choice.features, choice.trend) == ((), "none")
    assert set(choice.tried.values()) == {"left out: there was no time to try it"}
    assert cuts == [f"features were not tried: {'; '.join(choice.tried)}"]
    assert list(choice.tried)[:2] == ["elapsed time", "calendar"]
    assert "trend, scaled" in choice.tried


def test_a_trend_is_learned_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is chosen: its last digits must not depend on how many threads there are."""
    job = job_of(rentals(900), BoostingFamily(), 4500, time="when")
    job = replace(job, chosen={"trend": "scaled", "features": [], "tried": {"trend, scaled": "kept: loss -9.0%"}})
    derivation = Derivation(job, Target.of(job), input_columns(job), "trees")
    threads: list[int] = []
    fit = Trend.fit

    def seen(*args, **more):
        threads.extend(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return fit(*args, **more)

    monkeypatch.setattr(Trend, "fit", seen)
    with threadpool_limits(2):
        assert derivation.fit(4500).trend is not None
    assert set(threads) == {1}


@pytest.mark.parametrize("trend", ["added", "scaled"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_with_a_trend_is_the_same_when_it_is_loaded(family, trend, tmp_path) -> None:
    table = rentals(900)
    job = job_of(table, family, len(table), time="when")
    tried = {f"trend, {trend}": "kept: loss -9.0%"}
    chosen = {"trend": trend, "features": [], "tried": tried, "penalty": 1.0, "trees": 20}
    model = family.fit(replace(job, chosen=chosen))
    assert model.chosen["trend"] == trend
    model.save(tmp_path)
    again = family.load(tmp_path, 1)
    rows = table.drop("y")[:50]
    np.testing.assert_array_equal(again.predict(rows).values_n, model.predict(rows).values_n)


def cooled(days: int) -> pl.DataFrame:
    """Every second hour: what cooling takes follows the heat of the last day, and the hour."""
    rng = np.random.default_rng(4)
    hour_n = np.arange(0, 24 * days, 2)
    walk_n = np.convolve(rng.normal(size=len(hour_n) + 40), np.exp(-np.arange(20) / 8), "same")[20:-20]
    heat_n = 15 + 5 * walk_n + 6 * np.sin(2 * np.pi * hour_n / 24)
    mean_n = np.array([heat_n[max(at - 11, 0) : at + 1].mean() for at in range(len(heat_n))])
    value_n = 20 + 3 * mean_n + 4 * np.cos(2 * np.pi * hour_n / 24) + rng.normal(size=len(hour_n))
    when = pl.Series("when", [START + HOUR * int(hour) for hour in hour_n], dtype=pl.Datetime("us"))
    return pl.DataFrame([when, pl.Series("heat", heat_n), pl.Series("y", value_n)])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_past_of_inputs_is_used_where_calls_bring_it(family, tmp_path) -> None:
    table = cooled(250)
    rows, test = table[:2400], table[2400:]
    blind = family.fit(job_of(rows, family, 1900, time="when"))
    assert blind.chosen["tried"]["earlier values of inputs"].startswith("not used (loss -")
    assert blind.rows_before == 0
    model = family.fit(job_of(rows, family, 1900, time="when", history="2d"))
    assert model.chosen["tried"]["earlier values of inputs"].startswith("kept: loss -")
    assert 12 <= model.rows_before <= 14  # a day of rows is enough
    assert rmse(model, test) < 0.6 * rmse(blind, test)
    assert model.losses() == ()
    model.save(tmp_path)
    again, inputs = family.load(tmp_path, 1), test.drop("y")
    np.testing.assert_array_equal(again.predict(inputs).values_n, model.predict(inputs).values_n)
    # What comes long after the model's rows and alone is answered as by a model without the past, and told.
    late = inputs[-1:]
    assert again.predict(late).values_n[0] == blind.predict(late).values_n[0]
    assert [(loss.count, loss.of) for loss in again.losses()] == [(1, 1)]
    assert again.attribute(late).score_nk[0, 0] == pytest.approx(blind.predict(late).values_n[0])
    assert again.attribute(inputs).score_nk[:, 0] == pytest.approx(model.predict(inputs).values_n)
    refitted = family.fit(replace(job_of(rows, family, 1900, time="when", history="2d"), chosen=model.chosen))
    np.testing.assert_array_equal(refitted.predict(inputs).values_n, model.predict(inputs).values_n)


def test_a_past_that_tells_nothing_is_left_out() -> None:
    rng = np.random.default_rng(5)
    table = cooled(150).with_columns(heat=pl.Series(rng.normal(size=1800)))
    table = table.with_columns(y=pl.col("heat") + pl.Series(rng.normal(size=1800)))
    family = BoostingFamily()
    model = family.fit(job_of(table, family, 1440, time="when", history="2d"))
    assert model.chosen["tried"]["earlier values of inputs"].startswith("left out: loss")
    assert model.alone is None
    blind = family.fit(job_of(table, family, 1440, time="when"))
    inputs = table.drop("y")[-50:]
    np.testing.assert_array_equal(model.predict(inputs).values_n, blind.predict(inputs).values_n)
    twice = pl.concat([table, table])
    told = family.fit(job_of(twice.sort("when"), family, 2880, time="when", history="2d")).chosen["tried"]
    assert told["earlier values of inputs"] == "left out: several rows have one time"
