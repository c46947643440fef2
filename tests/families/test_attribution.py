"""What columns add to a score comes to the score, for every family that tells it, and finds what was planted."""

import numpy as np
import polars as pl
import pytest

from bakeoff.core.abilities import abilities_of
from bakeoff.core.families import load_family
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, Schema
from bakeoff.families.wrappers.prepared import PreparedParams, StepSpec

KINDS = {"x": "numeric", "city": "categorical", "when": "datetime", "note": "text", "idle": "numeric"}


def rows(k, n=300):
    rng = np.random.default_rng(k)
    x, city = rng.normal(size=n), rng.choice(["Oslo", "Rome", "Lima"], n)
    note = [" ".join(rng.choice(["good", "bad", "film", "plot!"], 6)) for _ in range(n)]
    score = x + 2 * (city == "Rome") + np.asarray([text.count("good") - text.count("bad") for text in note])
    when = np.datetime64("2024-01-01", "us") + rng.integers(0, 5000, n).astype("timedelta64[h]")
    named = {0: score, 2: np.where(score > 0, "p", "n"), 3: np.select([score < -1, score < 1], ["low", "mid"], "top")}
    gap = rng.random(n) < 0.1
    data = {"x": np.where(gap, np.nan, x), "city": city, "when": when, "note": note, "idle": rng.normal(size=n)}
    return pl.DataFrame({**data, "y": named[k]}).with_columns(pl.col("x").fill_nan(None))


def fitted(name, k, tmp_path, params=None):
    data = rows(k)
    task = "classification" if k else "regression"
    kinds = {**KINDS, "y": "categorical" if k else "numeric"}
    columns = tuple(Column(name=c, kind=kinds[c], dtype=str(data[c].dtype)) for c in data.columns)
    family = load_family(name)
    job = FitJob(
        task=task,
        schema=Schema(columns=columns, target="y", inputs=tuple(KINDS)),
        train=data[:200],
        validation=data[200:250],
        params=params or family.params(),
        metric="f1_macro" if k else "rmse",
        seed=0,
        threads=1,
        cache=tmp_path,
        progress=lambda _: None,
    )
    return family.fit(job), data[250:].drop("y")


def scores(predictions):
    if predictions.probabilities_nk is None:
        return predictions.values_n[:, None]
    log = np.log(predictions.probabilities_nk)
    return log[:, 1:] - log[:, :1] if log.shape[1] == 2 else log - log.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("k", [0, 2, 3])
@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_they_add_up_to_the_score(name, k, tmp_path):
    model, data = fitted(name, k, tmp_path)
    told = model.attribute(data)
    assert told.columns == tuple(KINDS)
    assert np.abs(told.score_nk - scores(model.predict(data))).max() < 1e-6
    size = dict(zip(told.columns, np.abs(told.adds_nck - told.adds_nck.mean(axis=0)).mean(axis=(0, 2)), strict=True))
    assert size["note"] > size["x"] > size["idle"]


def test_words_are_a_part_of_their_column(tmp_path):
    model, data = fitted("linear", 2, tmp_path)
    told = model.attribute(data, words=True)
    for row in range(len(data)):
        assert sum(told.words[row].values()) == pytest.approx(told.adds_nck[row, 3], abs=1e-9)
    mean = {word: np.mean([row[word][0] for row in told.words if word in row]) for row in told.words for word in row}
    assert mean["note", "good"] > 0.5
    assert mean["note", "bad"] < -0.5
    assert abs(mean["note", "film"]) < 0.3


def test_behind_steps_they_are_told_of_the_inputs(tmp_path):
    steps = (StepSpec(name="datetime_parts", version=1, params={}),)
    model, data = fitted("prepared", 2, tmp_path, PreparedParams(family="boosting", params={}, steps=steps))
    told = abilities_of(model).attribute(data)
    assert told.columns == tuple(KINDS)
    assert np.abs(told.score_nk - scores(model.predict(data))).max() < 1e-6
