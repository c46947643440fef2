"""What reports say of folds."""

import pytest

from bakeoff.cli.run_page import full_report
from bakeoff.report.html import html
from bakeoff.report.markdown import markdown
from bakeoff.report.phrases import by_fold, sides
from bakeoff.results.outcome import RunOutcome

VALUES = [0.7, None, 0.9]


def folded(make):
    data = {"version": "ab" * 32, "rows": 200, "train": 200, "validation": 0, "test": 200, "split": "group", "folds": 3}
    tried = [{"name": "cascade+2", "kind": "cascade", "reason": "nothing gained"}]
    return make(found={"fold_metrics": {"f1_macro": VALUES}}, more={"dataset": data, "combinations": tried})


def test_values_and_their_spread_stand_in_every_report(make):
    report = folded(make)
    assert by_fold(report)[0] == ("linear", (0.7, None, 0.9), pytest.approx(0.1414, abs=1e-4))
    assert "every row tested once, in 3 folds (split: group)" in markdown(report)
    assert "| Spread (SD) |" in markdown(report)
    page = html(report)
    assert "By fold" in page
    assert "Settings were found on the rows of the other folds" in page
    assert "3, every row tested once" in page


def test_without_folds_nothing_is_said_of_them(make):
    report = make()
    assert by_fold(report) == []
    assert "Spread" not in markdown(report)
    assert "By fold" not in html(report)
    assert sides(report.dataset) == "700 train, 100 validation, 200 test (split: random)"


def test_the_terminal_shows_them():
    interval = {"value": 0.8, "low": 0.7, "high": 0.9}
    candidate = {
        "name": "linear",
        "status": "ok",
        "run_id": "r1-0",
        "family": "linear",
        "metrics": {"accuracy": interval},
    }
    candidate |= {"latency_ms": {"p50": 1.0, "p95": 2.0}, "cost_usd_per_1k": 0.1, "train_s": 1.0, "size_bytes": 10}
    candidate |= {"model_version": None, "fold_metrics": {"accuracy": VALUES}}
    verdict = {"metric": "accuracy", "winner": None, "reason": "", "contest": None, "gates": [], "promoted": False}
    data = {"rows": 200, "version": "ab" * 32, "split": "group", "folds": 3, "train": 200, "validation": 0, "test": 200}
    document = {
        "run_id": "r1",
        "project": "films",
        "task": "classification",
        "dataset": data | {"notes": [], "schema_notes": []},
        "verdict": verdict,
    }
    told = full_report(
        RunOutcome.from_json(document | {"candidates": [candidate], "release": None, "combinations": []})
    )
    assert "split by group into 3 folds: each of 200 rows is tested once" in told
    assert "spread" in told
    assert "0.1414" in told
