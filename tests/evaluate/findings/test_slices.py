import json
from datetime import datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column, Predictions
from bakeoff.evaluate.findings.conditions import conditions
from bakeoff.evaluate.findings.slices import row_losses, slices
from bakeoff.metrics.custom import using
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.metrics.value import value

KINDS = {"city": "categorical", "plan": "boolean", "age": "numeric", "when": "datetime", "note": "text"}
COLUMNS = [Column(name=name, kind=kind, dtype="") for name, kind in KINDS.items()]


def rows(n=900, seed=0, notes=None):
    rng = np.random.default_rng(seed)
    words = ["good", "bad?", "see www.x.org", "Zürich", "12", "SHOUT", "!", "line\nbreak"]
    return pl.DataFrame(
        {
            "city": rng.choice(["oslo", "rome", "lima", "bern"], n, p=[0.4, 0.3, 0.2, 0.1]),
            "plan": rng.random(n) < 0.3,
            "age": np.where(rng.random(n) < 0.05, np.nan, rng.integers(18, 80, n)).tolist(),
            "when": [datetime(2024, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 150, n)],  # noqa: DTZ001
            "note": [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(n)]
            if notes is None
            else notes.sample(n, seed=int(rng.integers(2**32))),
        }
    ).with_columns(pl.col("age").fill_nan(None))


def answers(wrong, seed=0):
    """Truth, and predictions that are wrong with these probabilities."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(["no", "yes"], len(wrong))
    flip = rng.random(len(wrong)) < wrong
    said = np.where(flip, np.where(truth == "no", "yes", "no"), truth)
    yes = np.where(said == "yes", 0.8, 0.2)
    return truth, Predictions.of_probabilities(np.column_stack([1 - yes, yes]), ("no", "yes"))


def accuracy():
    return find("accuracy", "classification")


def test_conditions_of_every_kind_cover_the_rows():
    table = rows()
    found = conditions(table, COLUMNS)
    by_column = {name: [c for c in found if c.column == name] for name in KINDS}
    for name in ("city", "plan", "age", "when"):
        assert (sum(c.rows_n.astype(int) for c in by_column[name]) == 1).all(), name
    assert [c.told for c in by_column["city"]] == ["oslo", "rome", "lima", "bern"]
    assert [c.told for c in by_column["age"]][-1] == "missing"
    assert by_column["age"][0].told.startswith("≤ ")
    assert [c.told for c in by_column["when"]] == [f"2024-0{m}" for m in range(1, 6)]
    told = {c.told: c for c in by_column["note"]}
    assert told["with a line break"].rows_n.tolist() == table["note"].str.contains("\n", literal=True).to_list()
    assert (told["with a digit"].rows_n ^ told["without a digit"].rows_n).all()
    assert any(what.endswith("characters") for what in told)


def test_many_levels_and_many_months():
    table = pl.DataFrame(
        {
            "city": [f"c{i % 40}" for i in range(400)],
            "when": [datetime(1990 + i // 20, 1 + i % 12, 1) for i in range(400)],  # noqa: DTZ001
        }
    )
    found = conditions(table, [COLUMNS[0], COLUMNS[3]])
    city = [c for c in found if c.column == "city"]
    assert len(city) == 13
    assert city[-1].told == "another level"
    assert city[-1].size == 280
    assert [c.told for c in found if c.column == "when"][:2] == ["1990", "1991"]


def test_an_empty_and_an_all_missing_column():
    table = pl.DataFrame({"age": pl.Series([None, None], dtype=pl.Float64), "city": ["a", None]})
    told = [(c.column, c.told, c.size) for c in conditions(table, [COLUMNS[2], COLUMNS[0]])]
    assert told == [("age", "missing", 2), ("city", "a", 1), ("city", "missing", 1)]


def test_each_slice_has_the_metric_of_its_rows():
    table = rows()
    truth, said = answers(np.full(len(table), 0.2))
    found = slices(table, truth, said, find("f1_macro", "classification"), COLUMNS, seed=0)
    rome = next(s for s in found.slices if s.slice == "rome")
    inside = (table["city"] == "rome").to_numpy()
    part = Predictions(values_n=said.values_n[inside])
    assert rome.rows == inside.sum()
    assert rome.value == pytest.approx(value("f1_macro", truth[inside], part, "classification"))
    assert rome.low < rome.value < rome.high
    assert all(s.rows >= 30 for s in found.slices)
    assert json.loads(msgspec.json.encode(found))["metric"] == "f1_macro"


def test_a_weak_condition_and_a_weak_pair_are_found():
    table = rows()
    lima = (table["city"] == "lima").to_numpy()
    truth, said = answers(np.where(lima, 0.4, 0.1))
    (weak, *_) = slices(table, truth, said, accuracy(), COLUMNS, seed=0).weak
    assert weak.slice == "city: lima"
    assert weak.p_value <= 0.05
    assert weak.value < weak.rest
    both = lima & table["plan"].to_numpy()
    truth, said = answers(np.where(both, 0.7, 0.1))
    (weak, *_) = slices(table, truth, said, accuracy(), COLUMNS, seed=0).weak
    assert weak.slice == "city: lima and plan: true"
    assert weak.rows == both.sum()


def test_the_same_each_time_and_nothing_to_find():
    table = rows(200)
    truth, said = answers(np.full(200, 0.2))
    assert slices(table, truth, said, accuracy(), COLUMNS, seed=1) == slices(
        table, truth, said, accuracy(), COLUMNS, seed=1
    )
    truth, said = answers(np.zeros(200))
    assert slices(table, truth, said, accuracy(), COLUMNS, seed=1).weak == ()
    assert slices(table[:20], truth[:20], said_of(said, 20), accuracy(), COLUMNS, seed=1).slices == ()


def said_of(said, n):
    return Predictions(values_n=said.values_n[:n], probabilities_nk=said.probabilities_nk[:n], classes=said.classes)


@pytest.mark.parametrize("name", ["log_loss", "brier", "roc_auc", "accuracy"])
def test_row_losses_go_with_the_measure(name):
    truth, said = answers(np.full(100, 0.3))
    result = outcome(truth, said, "classification")
    losses = row_losses(result, find(name, "classification"))
    assert (losses >= 0).all()
    if name == "log_loss":
        assert losses.mean() == pytest.approx(find(name, "classification")(result))
    if name == "accuracy":
        assert 1 - losses.mean() == pytest.approx(find(name, "classification")(result))


def test_losses_of_a_mean_of_rows_are_its_numbers():
    truth, said = answers(np.full(100, 0.3))
    result = outcome(truth, said, "classification")
    with using(None, {"*": {"*": 3.0}}):
        cost = find("expected_cost", "classification")
    assert row_losses(result, cost).mean() == pytest.approx(cost(result))
    ranked = find("top_k[1]", "classification")
    assert 1 - row_losses(result, ranked).mean() == pytest.approx(ranked(result))


def test_numbers_and_texts_have_slices_too():
    table = rows(300)
    truth = np.random.default_rng(0).normal(size=300)
    off = np.where(table["city"] == "oslo", 2.0, 0.1)
    said = Predictions(values_n=truth + off * np.random.default_rng(1).normal(size=300))
    for name in ("rmse", "mae", "mape"):
        found = slices(table, truth, said, find(name, "regression"), COLUMNS[:3], seed=0)
        assert found.slices
        if name != "mape":
            assert found.weak[0].slice.startswith("city: oslo")
    texts = np.asarray(["a b c"] * 300, dtype=object)
    poor = np.where(table["city"] == "oslo", "a", "a b c").astype(object)
    found = slices(table, texts, Predictions(values_n=poor), find("rouge_l", "generation"), COLUMNS[:2], seed=0)
    assert found.weak[0].slice.startswith("city: oslo")


def false_alarms(simulations, *, grouped):
    alarms = 0
    notes = rows(2000)["note"]  # to put a text together takes longer than all else that is drawn
    for i in range(simulations):
        rng = np.random.default_rng([7, i])
        table = rows(400, seed=[8, i], notes=notes)
        groups = np.arange(400) if not grouped else np.repeat(np.arange(80), 5)
        hard = rng.beta(1, 3, 400) if not grouped else rng.beta(1, 3, 80)[groups]
        if grouped:  # what is sliced by belongs to the group, too: rows are far from independent
            table = table[np.repeat(np.arange(80), 5).tolist()]
        truth, said = answers(hard, seed=[9, i])
        found = slices(table, truth, said, accuracy(), COLUMNS, seed=i, groups_n=groups if grouped else None)
        alarms += bool(found.weak)
    return alarms / simulations


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_without_a_weak_slice_the_alarm_is_false_at_most_one_time_in_twenty(grouped, monkeypatch):
    monkeypatch.setattr("bakeoff.evaluate.findings.slices.MOST_SHOWN", 1)
    monkeypatch.setattr("bakeoff.evaluate.findings.slices.PERMUTATIONS", 199)
    monkeypatch.setattr("bakeoff.evaluate.findings.slices.RESAMPLES", 10)
    share = false_alarms(80, grouped=grouped)
    # three standard errors of the simulation itself are allowed for
    assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 80), share
