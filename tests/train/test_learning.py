"""Parts of the training rows for a learning curve: drawn as splits are, and what was said of test rows comes back."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from bakeoff.core.jobs import ROWS, TABLE, JobContext
from bakeoff.core.types import Column, Predictions, Schema
from bakeoff.train import learning
from bakeoff.train.learning import LEARNED, LearnArgument, PartialFit, learn, read_fits

ROWS_THERE = 400


class Quantiles:
    """Of a number: its mean, with one quantile; the rows that it was fitted on are kept for the test."""

    name, tasks, params, requires, extra = "quantiles", frozenset({"regression"}), None, (), None

    def __init__(self):
        self.fitted = []

    def fit(self, job):
        self.fitted.append((job.train["x"].to_list(), job.validation["x"].to_list()))
        return self

    def predict(self, table):
        n = len(table)
        return Predictions(values_n=np.full(n, 0.5), scores={"0.9": np.full(n, 2.0), "0.1": np.full(n, -1.0)})


@pytest.fixture
def curve(tmp_path, monkeypatch):
    """Makes a job's context of a shuffled table, learns, and gives the family and what was learned."""

    def of(*, time=None, group=None, groups=40, **more):
        rng = np.random.default_rng(3)
        x = rng.permutation(ROWS_THERE)
        start = datetime.fromisoformat("2024-01-01")
        table = pl.DataFrame(
            {
                "x": x.astype(float),
                "day": [start + timedelta(days=int(at)) for at in x],
                "who": [f"user {at % groups}" for at in x],
                "y": rng.normal(size=ROWS_THERE),
            }
        )
        table.write_parquet(tmp_path / "table.parquet")
        latest = np.argsort(x)
        parts = {"train": latest[:240], "validation": latest[240:320], "test": latest[320:]}
        np.savez(tmp_path / "rows.npz", **{name: np.sort(rows) for name, rows in parts.items()})
        columns = (
            Column(name="x", kind="numeric", dtype="Float64"),
            Column(name="day", kind="datetime", dtype="Datetime"),
            Column(name="who", kind="categorical", dtype="String"),
            Column(name="y", kind="numeric", dtype="Float64"),
        )
        schema = Schema(columns=columns, target="y", inputs=("x",), time=time, group=group)
        family = Quantiles()
        monkeypatch.setattr(learning, "load_family", lambda _: family)
        monkeypatch.setattr(learning, "check_params", lambda *_: None)
        context = JobContext(
            inputs={TABLE: tmp_path / "table.parquet", ROWS: tmp_path / "rows.npz"},
            outputs={LEARNED: tmp_path / LEARNED},
            scratch=tmp_path,
            cache=tmp_path,
            threads=1,
            progress=lambda _: None,
        )
        given = {"family": "quantiles", "params": {}, "task": "regression", "metric": "rmse", "seed": 0}
        argument = LearnArgument(**given, schema=schema, **{"all_fits_s": 100.0, "whole_s": 0.0, **more})
        value = learn(argument, context)
        with np.load(context.outputs[LEARNED], allow_pickle=False) as stored:
            return family, value, list(read_fits(stored))

    return of


def test_by_time_the_latest_rows_are_those_of_the_last_days_and_not_the_end_of_the_file(curve):
    family, value, fits = curve(time="day", by_time=True)
    assert [fit.share for fit in fits] == [0.125, 0.25, 0.5]  # once: the latest are always the same
    assert value.fits == 3
    for (train, validation), count in zip(family.fitted, (40, 80, 160), strict=True):
        assert sorted(train + validation) == list(range(320 - count, 320))
        assert sorted(validation) == list(range(320 - count // 4, 320))  # a quarter of them, as of all rows


def test_a_time_that_the_split_does_not_go_by_draws_at_random(curve):
    family, _, fits = curve(time="day")
    assert len(fits) == 9
    assert max(family.fitted[0][0]) > 200
    assert min(family.fitted[0][0]) < 40
    assert family.fitted[0] != family.fitted[3]


def test_groups_are_drawn_whole(curve):
    family, _, fits = curve(group="who")
    assert len(fits) == 9
    for train, _ in family.fitted:
        users = {int(at) % 40 for at in train}
        assert len(train) == 6 * len(users)  # 240 training rows, 6 of each of 40 users
    sizes = [len(train) for train, _ in family.fitted[:3]]
    assert sizes == [30, 60, 120]


def test_what_was_said_of_test_rows_comes_back_whole(curve):
    _, _, fits = curve()
    first = fits[0]
    assert (first.rows, first.tested_n.tolist()) == (40, list(range(80)))
    assert first.predictions.values_n.tolist() == [0.5] * 80
    assert {name: set(score_n.tolist()) for name, score_n in first.predictions.scores.items()} == {
        "0.9": {2.0},
        "0.1": {-1.0},
    }


def test_answers_by_cost_are_not_taken_for_the_most_probable_class(tmp_path):
    shares_nk = np.asarray([[0.6, 0.4]])
    said = Predictions(values_n=np.asarray(["yes"]), probabilities_nk=shares_nk, classes=("no", "yes"))
    fit = PartialFit(share=0.5, rows=10, tested_n=np.asarray([4]), predictions=said)
    np.savez(tmp_path / LEARNED, **{f"0.{name}": value for name, value in learning._arrays(fit).items()})
    with np.load(tmp_path / LEARNED, allow_pickle=False) as stored:
        (again,) = read_fits(stored)
    assert again.predictions.values_n.tolist() == ["yes"]
    assert again.predictions.classes == ("no", "yes")
    assert again.predictions.probabilities_nk.tolist() == [[0.6, 0.4]]


def test_fits_that_would_be_late_are_not_begun(curve):
    family, value, fits = curve(whole_s=1.0, all_fits_s=0.2)
    assert len(family.fitted) == len(fits) == 1  # an eighth of a second is, a quarter is not
    assert value.stopped == "the next fit would have taken longer than 0.2 s in all"
