import json
import time
from datetime import datetime

import msgspec
import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column, Predictions
from bakeoff.evaluate.findings.perturbations import perturbations
from bakeoff.evaluate.findings.robustness import robustness
from bakeoff.metrics.registry import find

TEXT = Column(name="note", kind="text", dtype="String")
NUMBER = Column(name="x", kind="numeric", dtype="Float64")
CITY = Column(name="city", kind="categorical", dtype="String")
WHEN = Column(name="when", kind="datetime", dtype="Datetime")


def table(n=400):
    rng = np.random.default_rng(0)
    good = rng.random(n) < 0.5
    note = np.where(good, "What a wonderful, clever film it was.", "A tedious and terrible film, avoid!")
    return pl.DataFrame(
        {
            "note": [str(text) if i % 50 else None for i, text in enumerate(note)],
            "x": np.where(good, 1.0, -1.0) + 0.3 * rng.normal(size=n),
            "city": ["Oslo", "Rome"] * (n // 2),
            "when": [datetime(2024, 1, 1)] * n,  # noqa: DTZ001
            "y": np.where(good, "yes", "no"),
        }
    )


def by_word(rows):
    """Says yes when it reads the very word."""
    yes = rows["note"].str.contains("wonderful").fill_null(value=False).to_numpy()
    return labels(np.where(yes, 0.9, 0.1))


def by_number(rows):
    return labels(np.where(rows["x"].fill_null(0.0).to_numpy() > 0, 0.9, 0.1))


def labels(yes):
    return Predictions.of_probabilities(np.column_stack([1 - yes, yes]), ("no", "yes"))


def drops(predict, columns, rows=None, *, metric="accuracy", **more):
    rows = table() if rows is None else rows
    plain = predict(rows)
    settings = {"seed": 0, "rows_per_s": 1e6} | more
    found = robustness(
        predict, rows, rows["y"].to_numpy(), plain, find(metric, "classification"), columns=columns, **settings
    )
    return {each.name: each for each in found}


def test_texts_are_changed_as_told():
    rows = pl.DataFrame({"note": ["Crème brûlée, twice!", None, ""] * 200, "x": [1.0, None, 2.0] * 200})
    made = {p.name: p.apply(rows, np.random.default_rng(0)) for p in perturbations([TEXT])}
    assert made["upper_case"]["note"][0] == "CRÈME BRÛLÉE, TWICE!"
    assert made["lower_case"]["note"][0] == "crème brûlée, twice!"
    assert made["no_accents"]["note"][0] == "Creme brulee, twice!"
    assert made["no_punctuation"]["note"][0] == "Crème brûlée twice"
    assert made["whitespace"]["note"][0].split() == ["Crème", "brûlée,", "twice!"]
    for name, changed in made.items():
        assert changed["note"].is_null().to_list() == rows["note"].is_null().to_list(), name
        assert changed["x"].equals(rows["x"]), name
    few = sum(a != b for a, b in zip(made["typos"]["note"], rows["note"], strict=True))
    many = sum(a != b for a, b in zip(made["many_typos"]["note"], rows["note"], strict=True))
    assert 20 < few < many < 200


def test_typos_hit_the_stated_share_of_letters():
    rows = pl.DataFrame({"note": ["abcdefghijklmnopqrstuvwxyz" * 40] * 20})
    few = next(p for p in perturbations([TEXT]) if p.name == "typos").apply(rows, np.random.default_rng(1))
    lost = 1 - few["note"].str.len_chars().mean() / 1040
    assert lost == pytest.approx(0.02 / 3, rel=0.3)


def test_cells_are_changed_as_told():
    rows = table(2000)
    made = {p.name: p.apply(rows, np.random.default_rng(0)) for p in perturbations([NUMBER, CITY, WHEN])}
    assert set(made) == {"noise", "missing"}
    assert (made["noise"]["x"] - rows["x"]).std() == pytest.approx(0.1 * rows["x"].std(), rel=0.1)
    for name in ("x", "city", "when"):
        assert made["missing"][name].null_count() / 2000 == pytest.approx(0.1, abs=0.03)
        assert made["missing"][name].dtype == rows[name].dtype
    assert made["missing"]["note"].equals(rows["note"])
    assert [p.name for p in perturbations([CITY])] == ["missing"]


def test_drops_are_paired_and_signed():
    found = drops(by_word, [TEXT])
    upper = found["upper_case"]
    assert upper.rows == 400
    assert upper.drop == pytest.approx(0.5, abs=0.1)
    assert upper.low < upper.drop < upper.high
    assert upper.changed > 0.4
    assert found["whitespace"].drop == 0.0
    assert found["whitespace"].changed == 0.0
    assert found["no_accents"].skipped == "it changes none of these rows"
    assert found["many_typos"].drop > found["typos"].drop > 0
    worse = drops(by_word, [TEXT], metric="log_loss")["upper_case"]
    assert worse.drop > 0
    assert json.loads(msgspec.json.encode(list(found.values())))


def test_tables_get_noise_and_gaps_and_the_same_each_time():
    found = drops(by_number, [NUMBER, CITY])
    assert found["missing"].drop > found["noise"].drop
    assert found == drops(by_number, [NUMBER, CITY])
    assert found != drops(by_number, [NUMBER, CITY], seed=1)
    grouped = drops(by_number, [NUMBER], groups_n=np.arange(400) // 4)
    assert grouped["missing"].drop == pytest.approx(found["missing"].drop, abs=0.05)


@pytest.mark.parametrize(("rate", "rows", "done"), [(800.0, 300, 7), (120.0, 100, 3), (1.0, 100, 0)])
def test_slow_models_are_asked_less_and_it_is_said(rate, rows, done):
    found = drops(by_word, [TEXT], rows_per_s=rate)
    made = [each for each in found.values() if each.rows]
    assert {each.rows for each in made} <= {rows}
    assert len(made) == max(0, done - ("no_accents" in list(found)[:done]))
    late = list(found.values())[done:]
    assert all("predicting takes too long" in each.skipped for each in late)


def test_a_model_that_turns_slow_is_left_alone():
    def slow(rows):
        time.sleep(0.15)
        return by_word(rows)

    found = drops(slow, [TEXT], budget_s=0.05)
    assert sum(each.skipped is None for each in found.values()) == 1


def test_a_model_that_fails_on_changed_rows_is_told_of():
    def brittle(rows):
        if rows["x"].null_count():
            raise ValueError("expected no gaps")
        return by_number(rows)

    found = drops(brittle, [NUMBER])
    assert found["noise"].skipped is None
    assert found["missing"].skipped == "the model fails: expected no gaps"


def test_numbers_are_compared_by_size():
    rows = table()
    truth = rows["x"].to_numpy()
    found = robustness(
        lambda t: Predictions(values_n=t["x"].fill_null(0.0).to_numpy()),
        rows,
        truth,
        Predictions(values_n=truth),
        find("rmse", "regression"),
        columns=[NUMBER],
        seed=0,
        rows_per_s=1e6,
    )
    assert [each.name for each in found] == ["noise", "missing"]
    assert found[1].drop > found[0].drop > 0
    assert found[0].changed is None
