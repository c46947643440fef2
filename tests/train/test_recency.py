"""Weights by age: taken where they pay, and not where they do not; and they are what they say."""

import numpy as np
import polars as pl
import pytest

from bakeoff.core.protocols import HALF_LIFE, FitJob
from bakeoff.core.types import Column, Schema
from bakeoff.families.boosting import BoostingFamily, BoostingParams
from bakeoff.families.features.targets import Target, age_weights, both_weights
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.train.recency import half_life

ROWS = 1200


def job(slope, *, task="regression", params=None, chosen=None):
    """Rows of 600 days; `slope` is what x does, by day."""
    rng = np.random.default_rng(0)
    day = np.arange(ROWS) / 2
    x = rng.normal(size=ROWS)
    value = slope(day) * x + rng.normal(0, 0.3, ROWS)
    target = value if task == "regression" else np.where(value > 0, "up", "down")
    table = pl.DataFrame({"x": x, "y": target})
    schema = Schema(columns=(Column(name="x", kind="numeric", dtype="Float64"),), target="y", inputs=("x",))
    return FitJob(
        task=task,
        schema=schema,
        train=table[:1000],
        validation=table[1000:],
        params=params or LinearParams(),
        metric="rmse" if task == "regression" else "f1_macro",
        seed=0,
        threads=1,
        cache=None,
        progress=lambda _: None,
        chosen=chosen,
        age_days_n=day.max() - day,
    )


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_where_the_world_turns_what_is_old_weighs_less(task):
    turning = job(lambda day: np.where(day < 350, -1.0, 1.0), task=task)
    days = half_life(LinearFamily(), turning, {"penalty": 1.0})
    assert days in {62.4, 125.0}  # an eighth or a quarter of the 499.5 days of training


def test_where_it_stays_nothing_is_weighed():
    assert half_life(LinearFamily(), job(np.ones_like), {"penalty": 1.0}) is None


def test_boosting_heeds_weights_too():
    turning = job(lambda day: np.where(day < 350, -1.0, 1.0), params=BoostingParams(trees=30))
    assert half_life(BoostingFamily(), turning, {"trees": 30}) in {62.4, 125.0}


def test_weights_are_halved_with_every_half_life_and_are_one_on_average():
    weights = age_weights(job(lambda day: day, chosen={HALF_LIFE: 100.0}), 1000)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[200] / weights[0] == pytest.approx(2.0)  # 100 days later
    assert age_weights(job(lambda day: day, chosen={"penalty": 1.0}), 1000) is None
    assert Target.of(job(lambda day: day)).weight_n is None
    assert both_weights(None, None) is None
    assert both_weights(np.array([2.0]), np.array([3.0])).tolist() == [6.0]


def test_a_weighted_ridge_is_the_one_that_repeats_rows():
    """By hand: a slope without penalty is the weighted covariance over the weighted variance."""
    turning = job(lambda day: day / 300 - 1, chosen={"penalty": 1e-9, HALF_LIFE: 50.0}, params=LinearParams(bins=1))
    model = LinearFamily().fit(turning)
    said = model.predict(pl.DataFrame({"x": [0.0, 1.0]})).values_n
    rows = pl.concat([turning.train, turning.validation])
    x, y = rows["x"].to_numpy(), rows["y"].to_numpy()
    weight = 0.5 ** (turning.age_days_n / 50.0)
    mx, my = np.average(x, weights=weight), np.average(y, weights=weight)
    slope = np.average((x - mx) * (y - my), weights=weight) / np.average((x - mx) ** 2, weights=weight)
    assert said[1] - said[0] == pytest.approx(slope, abs=0.02)
