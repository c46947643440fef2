"""Weights by age: taken where they pay, and not where they do not; and they are what they say."""

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.core.jobs import MODEL, TABLE, JobContext
from bakeoff.core.jobs import ROWS as ROWS_FILE
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import HALF_LIFE, FitJob
from bakeoff.core.types import Column, Schema
from bakeoff.families.boosting import BoostingFamily, BoostingParams
from bakeoff.families.features.targets import Target, age_weights, both_weights
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.results.search import Cut
from bakeoff.train import worker
from bakeoff.train.recency import half_life, span_days

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


class Telling(LinearFamily):
    """A family that says of every fit what it lost, what it cut short and what it said of validation rows."""

    def __init__(self):
        self.fits = []

    def fit(self, job):
        self.fits.append(dict(job.chosen or {}))
        job.on_loss(LOSS)
        job.on_cut("a grid was not tried to its end")
        return super().fit(job)


LOSS = Loss(kind="text", reason="cut", count=3)
CUT = "a grid was not tried to its end"


@pytest.fixture
def telling(tmp_path, monkeypatch):
    """Fits the turning rows by a worker, in so many seconds; the family, and what the worker says."""
    turning = job(lambda day: np.where(day < 350, -1.0, 1.0))
    start = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - times are stored without a zone
    table = pl.concat([turning.train, turning.validation]).with_columns(
        at=pl.Series([start + dt.timedelta(hours=12 * row) for row in range(ROWS)], dtype=pl.Datetime("us"))
    )
    table.write_parquet(tmp_path / TABLE)
    np.savez(tmp_path / ROWS_FILE, train=np.arange(1000), validation=np.arange(1000, ROWS))
    family = Telling()
    monkeypatch.setattr(worker, "load_family", lambda _: family)

    def fit(limit_s=None, metric="rmse"):
        argument = worker.FitArgument(
            family="telling",
            params={"features": False, "penalty": 1.0},
            task="regression",
            schema=replace(turning.schema, time="at"),
            metric=metric,
            seed=0,
            by_time=True,
            limit_s=limit_s,
        )
        context = JobContext(
            inputs={TABLE: tmp_path / TABLE, ROWS_FILE: tmp_path / ROWS_FILE},
            outputs={MODEL: tmp_path / "model"},
            scratch=tmp_path,
            cache=tmp_path / "cache",
            threads=1,
            progress=lambda _: None,
        )
        return worker.fit(argument, context)

    return family, fit


def test_what_a_fit_loses_is_told_once_however_many_half_lives_are_tried(telling):
    family, fit = telling
    value = fit(limit_s=1000.0)
    assert value.chosen[HALF_LIFE] in {62.4, 125.0}
    assert len(family.fits) >= 4
    assert family.fits[-1] == value.chosen
    assert value.losses == [LOSS]
    assert value.cut == Cut(limit_s=1000.0, what=CUT)


def test_where_the_limit_has_no_room_for_more_fits_no_weights_are_tried(telling, monkeypatch):
    """They were tried, and the fit was killed for it."""
    family, fit = telling
    ticks = iter(range(0, 10_000, 100))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(ticks))  # a fit takes 100 s
    monkeypatch.setattr(worker, "MOST_FIT_S", 1000.0)
    value = fit(limit_s=599.0)
    assert HALF_LIFE not in value.chosen
    assert len(family.fits) == 1
    assert value.cut == Cut(limit_s=599.0, what=f"{CUT}; weights by age were not tried")


def test_where_there_is_just_room_for_them_they_are_tried(telling, monkeypatch):
    _, fit = telling
    ticks = iter(range(0, 10_000, 100))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(worker, "MOST_FIT_S", 1000.0)
    assert HALF_LIFE in fit(limit_s=600.0).chosen


def test_the_days_that_training_rows_span_are_known_where_half_lives_can_be_compared():
    turning = job(lambda day: day)
    assert span_days(turning) == 499.5
    assert span_days(replace(turning, validation=turning.validation[:49])) is None
    assert span_days(replace(turning, age_days_n=None)) is None
    assert span_days(replace(turning, age_days_n=np.zeros(ROWS))) is None
