import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CorruptError
from bakeoff.evaluate.scorecard import Scorecard
from bakeoff.evaluate.worker import evaluate, read_outcomes


@pytest.fixture(autouse=True)
def models(monkeypatch):
    spec = importlib.util.spec_from_file_location("evaluate_test_models", Path(__file__).with_name("models.py"))
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "evaluate_test_models", module)
    spec.loader.exec_module(module)
    return module


def argument(folder, family, table, task, **more):
    table.write_parquet(folder / "table.parquet")
    rows = np.arange(1, table.height, 2)
    np.save(folder / "rows.npy", rows)
    return {
        "family": f"evaluate_test_models:{family}",
        "model_dir": str(folder / "2.0"),
        "table_path": str(folder / "table.parquet"),
        "test_rows_path": str(folder / "rows.npy"),
        "target": "y",
        "task": task,
        "threads": 1,
        "seed": 3,
        "resamples": 200,
        "out_dir": str(folder / "out" / "deep"),
        "train_s": 1.5,
        "size_bytes": 77,
        **more,
    }


def labelled(n=400):
    rng = np.random.default_rng(0)
    yes = rng.random(n) < 0.5
    x = np.where(yes, 1.0, -1.0) + rng.normal(size=n)
    return pl.DataFrame({"x": x, "who": rng.integers(0, 30, n), "y": np.where(yes, "yes", "no")})


def test_a_classifier_gets_a_whole_scorecard(tmp_path):
    table, lines = labelled(), []
    body = json.loads(
        json.dumps(evaluate(argument(tmp_path, "ThresholdFamily", table, "classification"), lines.append))
    )
    card = Scorecard.from_json(body)
    assert card.to_json() == body
    test = table[1::2]
    right = (test["y"] == pl.Series(np.where(test["x"] > 0, "yes", "no"))).mean()
    accuracy = card.metrics["accuracy"]
    assert accuracy.value == pytest.approx(right)
    assert accuracy.low < right < accuracy.high
    assert card.n_test == 200
    assert sum(map(sum, card.confusion)) == 200
    assert card.per_class["yes"].support == (test["y"] == "yes").sum()
    assert card.train_s == 1.5
    assert card.size_bytes == 77
    assert card.latency_ms["p50"] <= card.latency_ms["p95"] <= card.latency_ms["p99"]
    assert card.cost_usd_per_1k == pytest.approx(0.10 / 3600 * 1000 / card.throughput_rows_s)
    assert card.number("latency_p95_ms") == card.latency_ms["p95"]
    assert card.number("f1_macro") == card.metrics["f1_macro"].value
    assert card.number("rmse") is None
    assert lines


def test_outcomes_are_kept_by_row(tmp_path):
    table = labelled()
    evaluate(argument(tmp_path, "ThresholdFamily", table, "classification"), lambda _: None)
    kept = pl.read_parquet(tmp_path / "out" / "deep" / "outcomes.parquet")
    assert kept["row"].to_list() == list(range(1, 400, 2))
    truth, said = read_outcomes(kept)
    assert truth.tolist() == table["y"][1::2].to_list()
    assert said.classes == ("no", "yes")
    assert said.probabilities_nk.sum(axis=1) == pytest.approx(np.ones(200))
    assert said.values_n.tolist() == np.where(said.probabilities_nk[:, 1] > 0.5, "yes", "no").tolist()


def test_the_same_seed_gives_the_same_metrics_to_the_digit(tmp_path):
    told = argument(tmp_path, "ThresholdFamily", labelled(), "classification")
    first, second = (evaluate(told, lambda _: None) for _ in range(2))
    threaded = evaluate(told | {"threads": 2}, lambda _: None)
    assert first["metrics"] == second["metrics"] == threaded["metrics"]
    assert evaluate(told | {"seed": 4}, lambda _: None)["metrics"] != first["metrics"]


def test_groups_and_price_are_heeded(tmp_path):
    told = argument(tmp_path, "ThresholdFamily", labelled(), "classification", group="who", price_per_hour_usd=36.0)
    card = Scorecard.from_json(evaluate(told, lambda _: None))
    assert "of groups" in card.intervals
    assert card.cost_usd_per_1k == pytest.approx(10 / card.throughput_rows_s)


def test_a_regressor(tmp_path):
    x = np.linspace(1, 5, 60)
    table = pl.DataFrame({"x": x, "y": 2 * x + np.tile([0.5, -0.5], 30)})
    card = Scorecard.from_json(evaluate(argument(tmp_path, "DoublingFamily", table, "regression"), lambda _: None))
    assert card.metrics["rmse"].value == pytest.approx(0.5)
    assert card.per_class == {}
    truth, said = read_outcomes(pl.read_parquet(tmp_path / "out" / "deep" / "outcomes.parquet"))
    assert np.abs(truth - said.values_n) == pytest.approx(np.full(30, 0.5))
    assert said.probabilities_nk is None


def test_damaged_scorecards_and_outcomes_are_refused():
    with pytest.raises(CorruptError, match="scorecard"):
        Scorecard.from_json({"metrics": {}})
    with pytest.raises(CorruptError, match="predicted"):
        read_outcomes(pl.DataFrame({"row": [1], "truth": ["a"]}))
