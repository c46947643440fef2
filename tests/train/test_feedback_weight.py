"""Feedback rows weigh more where that answers others of them better, and not where it does not."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.core.jobs import MODEL, ROWS, TABLE, JobContext
from bakeoff.core.protocols import FEEDBACK_WEIGHT, FitJob
from bakeoff.core.types import Column, Schema
from bakeoff.families.boosting import BoostingFamily, BoostingParams
from bakeoff.families.features.targets import Target, feedback_weights
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.train import worker
from bakeoff.train.feedback_weight import FEWEST_ROWS, feedback_weight, may_weigh

SCHEMA = Schema(columns=(Column(name="x", kind="numeric", dtype="Float64"),), target="y", inputs=("x",))


def job(sign, *, feedback=200, task="classification", params=None, chosen=None, validation=0):
    """2,000 rows in which y rises with x, and feedback rows behind them in which it does so times `sign`."""
    rng = np.random.default_rng(0)
    is_feedback = np.arange(2000 + feedback) >= 2000
    x = rng.normal(size=len(is_feedback))
    value = np.where(is_feedback, sign, 1.0) * x + rng.normal(0, 0.5, len(x))
    table = pl.DataFrame({"x": x, "y": value if task == "regression" else np.where(value > 0, "up", "down")})
    cut = len(table) - validation
    return FitJob(
        task=task,
        schema=SCHEMA,
        train=table[:cut],
        validation=table[cut:],
        params=params or LinearParams(features=False),
        metric="rmse" if task == "regression" else "f1_macro",
        seed=0,
        threads=1,
        cache=None,
        progress=lambda _: None,
        chosen=chosen,
        is_feedback_n=is_feedback,
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_where_the_world_is_another_one_feedback_is_heard(task):
    turned = job(-1.0, task=task, validation=40)
    assert feedback_weight(LinearFamily(), turned, {"penalty": 1.0}) in {10.0, 30.0}


def test_where_it_is_the_same_one_feedback_counts_as_other_rows():
    assert feedback_weight(LinearFamily(), job(1.0), {"penalty": 1.0}) is None


def test_boosting_heeds_the_weights_too():
    turned = job(-1.0, params=BoostingParams(trees=20, features=False))
    assert feedback_weight(BoostingFamily(), turned, {"trees": 20}) in {10.0, 30.0}


def test_a_weight_is_tried_where_there_is_feedback_enough_and_it_could_be_drowned():
    assert may_weigh(job(1.0, feedback=FEWEST_ROWS))
    assert not may_weigh(job(1.0, feedback=FEWEST_ROWS - 1))
    assert not may_weigh(job(1.0, feedback=2100))


def test_weights_are_as_many_times_as_large_and_one_on_average():
    weighed = job(1.0, chosen={"penalty": 1.0, FEEDBACK_WEIGHT: 10.0})
    weights = Target.of(weighed).weight_n
    assert weights.mean() == pytest.approx(1.0)
    assert weights[-1] / weights[0] == pytest.approx(10.0)
    assert feedback_weights(job(1.0, chosen={"penalty": 1.0}), 10) is None


def context(folder):
    return JobContext(
        inputs={TABLE: folder / TABLE, ROWS: folder / ROWS},
        outputs={MODEL: folder / "model"},
        scratch=folder,
        cache=folder / "cache",
        threads=1,
        progress=lambda _: None,
    )


def test_a_fit_chooses_the_weight_and_one_of_all_rows_takes_it(tmp_path):
    """Rows from `own_rows` of the table as read on are feedback, wherever preparation has put them."""
    turned = job(-1.0)
    shuffled = np.random.default_rng(1).permutation(2200)
    turned.train[shuffled].write_parquet(tmp_path / TABLE)
    np.savez(tmp_path / ROWS, train=np.arange(1800), validation=np.arange(1800, 2200), kept=shuffled)
    fields = {
        "family": "linear",
        "params": {"features": False, "penalty": 1.0},
        "task": "classification",
        "schema": SCHEMA,
        "metric": "f1_macro",
        "seed": 0,
    }
    chosen = worker.fit(worker.FitArgument(**fields, own_rows=2000), context(tmp_path)).chosen
    assert chosen[FEEDBACK_WEIGHT] in {10.0, 30.0}
    job_of_all = worker.job_of(
        worker.FitArgument(**fields, own_rows=2000, rows="all", chosen=chosen), LinearFamily(), context(tmp_path)
    )
    assert np.flatnonzero(job_of_all.is_feedback_n).tolist() == np.flatnonzero(shuffled >= 2000).tolist()
    model = LinearFamily().fit(job_of_all)
    assert model.predict(pl.DataFrame({"x": [-2.0, 2.0]})).values_n.tolist() == ["up", "down"]
    unnamed = replace(context(tmp_path), outputs={MODEL: tmp_path / "unnamed"})
    assert FEEDBACK_WEIGHT not in worker.fit(worker.FitArgument(**fields), unnamed).chosen
