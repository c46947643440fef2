import importlib.util
import json
import sys
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CorruptError
from bakeoff.core.jobs import METRICS, MODEL, ROWS, TABLE, JobContext
from bakeoff.core.types import Column, Schema
from bakeoff.evaluate.score.worker import OUTCOMES, EvaluateArgument, evaluate, read_outcomes
from bakeoff.results.scorecard import Scorecard


@pytest.fixture(autouse=True)
def models(monkeypatch, register_family):
    spec = importlib.util.spec_from_file_location("evaluate_test_models", Path(__file__).parents[1] / "models.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "evaluate_test_models", module)
    spec.loader.exec_module(module)
    for name in ("ThresholdFamily", "DoublingFamily"):
        register_family(name, f"evaluate_test_models:{name}")
    return module


def run(folder, family, table, task, *, threads=1, metrics=None, **more):
    table.write_parquet(folder / TABLE)
    np.savez(folder / ROWS, test=np.arange(1, table.height, 2))
    kinds = {"x": "numeric", "who": "categorical", "y": "categorical" if task == "classification" else "numeric"}
    columns = tuple(Column(name=name, kind=kinds[name], dtype=str(table[name].dtype)) for name in table.columns)
    given = {"metric": "accuracy" if task == "classification" else "rmse", "findings": False, "resamples": 200} | more
    group = given.pop("group", None)
    argument = EvaluateArgument(
        family=family,
        task=task,
        schema=Schema(columns=columns, target="y", inputs=("x",), group=group),
        seed=given.pop("seed", 3),
        train_s=1.5,
        size_bytes=77,
        **given,
    )
    inputs = {MODEL: folder / "2.0", TABLE: folder / TABLE, ROWS: folder / ROWS}
    context = JobContext(
        inputs=inputs if metrics is None else inputs | {METRICS: metrics},
        outputs={OUTCOMES: folder / OUTCOMES},
        scratch=folder / "scratch",
        cache=folder / "cache",
        threads=threads,
        progress=lambda _: None,
    )
    return msgspec.to_builtins(evaluate(argument, context))


def labelled(n=400):
    rng = np.random.default_rng(0)
    yes = rng.random(n) < 0.5
    x = np.where(yes, 1.0, -1.0) + rng.normal(size=n)
    return pl.DataFrame({"x": x, "who": rng.integers(0, 30, n), "y": np.where(yes, "yes", "no")})


def test_a_classifier_gets_a_whole_scorecard(tmp_path):
    table = labelled()
    body = json.loads(json.dumps(run(tmp_path, "ThresholdFamily", table, "classification")))
    card = Scorecard.from_json(body["scorecard"])
    assert card.to_json() == body["scorecard"]
    assert body["findings"] == {}
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
    assert card.batch_latency_ms["p50"] >= 1000 * card.batch_rows / card.throughput_rows_s
    assert card.number("batch_latency_p95_ms") == card.batch_latency_ms["p95"]
    assert card.predict_memory_bytes > 10_000_000
    assert card.throughput_rows_s_per_core > 0
    assert card.number("latency_p95_ms") == card.latency_ms["p95"]
    assert card.number("f1_macro") == card.metrics["f1_macro"].value
    assert card.number("rmse") is None


def test_outcomes_are_kept_by_row(tmp_path):
    table = labelled()
    run(tmp_path, "ThresholdFamily", table, "classification")
    kept = pl.read_parquet(tmp_path / OUTCOMES)
    assert kept["row"].to_list() == list(range(1, 400, 2))
    truth, said = read_outcomes(kept)
    assert truth.tolist() == table["y"][1::2].to_list()
    assert said.classes == ("no", "yes")
    assert said.probabilities_nk.sum(axis=1) == pytest.approx(np.ones(200))
    assert said.values_n.tolist() == np.where(said.probabilities_nk[:, 1] > 0.5, "yes", "no").tolist()


def test_the_same_seed_gives_the_same_metrics_to_the_digit(tmp_path):
    told = (tmp_path, "ThresholdFamily", labelled(), "classification")
    first, second, threaded = (run(*told, threads=threads) for threads in (1, 1, 2))
    first, second, threaded = (each["scorecard"]["metrics"] for each in (first, second, threaded))
    assert first == second == threaded
    assert run(*told, seed=4)["scorecard"]["metrics"] != first


def test_groups_and_price_are_heeded(tmp_path):
    found = run(tmp_path, "ThresholdFamily", labelled(), "classification", group="who", price_per_hour_usd=36.0)
    card = Scorecard.from_json(found["scorecard"])
    assert "groups of rows" in card.intervals
    assert card.cost_usd_per_1k == pytest.approx(10 / card.throughput_rows_s)


def test_a_regressor(tmp_path):
    x = np.linspace(1, 5, 60)
    table = pl.DataFrame({"x": x, "y": 2 * x + np.tile([0.5, -0.5], 30)})
    card = Scorecard.from_json(run(tmp_path, "DoublingFamily", table, "regression")["scorecard"])
    assert card.metrics["rmse"].value == pytest.approx(0.5)
    assert card.per_class == {}
    truth, said = read_outcomes(pl.read_parquet(tmp_path / OUTCOMES))
    assert np.abs(truth - said.values_n) == pytest.approx(np.full(30, 0.5))
    assert said.probabilities_nk is None


def test_findings_are_json_and_the_same_each_time(tmp_path):
    told = (tmp_path, "ThresholdFamily", labelled(2000), "classification")
    first, second = (run(*told, findings=True)["findings"] for _ in range(2))
    assert first == second
    json.dumps(first, allow_nan=False)
    assert {each["column"] for each in first["slices"]} == {"x", "who"}
    assert first["weak_slices"][0]["slice"].startswith("x: ")  # near the threshold
    assert first["slices_tested"] > 4
    assert [each["name"] for each in first["robustness"]] == ["noise", "missing"]
    assert first["robustness"][1]["drop"] > 0
    assert sum(each["rows"] for each in first["calibration"]["bins"]) == 1000


def test_a_projects_own_metrics_are_scored(tmp_path):
    file = tmp_path / METRICS
    file.write_text(
        "def cost(truth, predicted):\n    return 10 * float((truth != predicted).mean())\n"
        "cost.higher_is_better = False\n"
    )
    told = (tmp_path, "ThresholdFamily", labelled(), "classification")
    found = run(*told, metric="cost", metrics=file, findings=True)
    metrics = found["scorecard"]["metrics"]
    assert metrics["cost"]["value"] == pytest.approx(10 * (1 - metrics["accuracy"]["value"]))
    assert metrics["cost"]["low"] < metrics["cost"]["value"] < metrics["cost"]["high"]
    assert found["findings"]["robustness"][1]["drop"] > 0


def test_damaged_scorecards_and_outcomes_are_refused():
    with pytest.raises(CorruptError, match="scorecard"):
        Scorecard.from_json({"metrics": {}})
    with pytest.raises(CorruptError, match="predicted"):
        read_outcomes(pl.DataFrame({"row": [1], "truth": ["a"]}))
