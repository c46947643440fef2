"""Reports of made-up runs, plain and hostile."""

import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Predictions
from bakeoff.report.build import Kept, build

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)> | `a` & \"b\" \x07 \u202e"


@pytest.fixture(scope="session")
def make():
    """A function that makes a report: of a task, classes, candidates, and what shall have gone wrong."""
    return _make


def _make(*, task="classification", classes=("no", "yes"), names=("linear", "boosting"), n=200, **wrong):
    rng = np.random.default_rng(0)
    truth_n = np.asarray(classes)[rng.integers(0, len(classes), n)] if task == "classification" else rng.normal(size=n)
    failed = wrong.get("failed", ())
    found = {name: wrong.get("found", {}) for name in names if name not in failed}
    outcomes = {name: (truth_n, _said(rng, truth_n, classes, task)) for name in names if name not in failed}
    metric = "f1_macro" if task == "classification" else "rmse"
    document = {
        "run_id": "r1",
        "project": "films",
        "task": task,
        "dataset": {"version": "ab" * 32, "rows": 1000, "train": 700, "validation": 100, "test": n, "split": "random"}
        | {"notes": [wrong.get("text", "a note")], "set_aside": {"without a target": 3}},
        "candidates": [_candidate(name, at, metric, failed) | found.get(name, {}) for at, name in enumerate(names)],
        "verdict": _verdict(names, failed, metric, winner=wrong.get("winner", True)),
        "release": None,
        "endpoint": None,
    }
    text = wrong.get("text", "a fine film")
    rows = pl.DataFrame({wrong.get("column", "review"): [text] * n, "year": [1999] * n, "label": truth_n.tolist()})
    cards = {name: _card(outcomes[name], classes, task, wrong) for name in outcomes}
    kept = {name: Kept(scorecard=cards[name], outcomes=outcomes[name], params={"depth": "3"}) for name in outcomes}
    return build(document | wrong.get("more", {}), kept, rows, "label", made_ms=0)


def _said(rng, truth_n, classes, task):
    if task == "regression":
        return Predictions(values_n=truth_n + rng.normal(scale=0.3, size=len(truth_n)))
    shares_nk = rng.dirichlet(np.full(len(classes), 0.3), len(truth_n))
    shares_nk[:, :] += 1.5 * (np.asarray(classes)[None, :] == truth_n[:, None])
    return Predictions.of_probabilities(shares_nk / shares_nk.sum(axis=1, keepdims=True), tuple(classes))


def _interval(value):
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def _candidate(name, at, metric, failed):
    told = {"name": name, "family": "firstword", "run_id": f"r1-{at}", "model_version": None, "status": "ok"}
    if name in failed:
        return told | {"status": "failed", "error": HOSTILE, "traceback": "Traceback\n" + HOSTILE}
    return told | {
        "metrics": {metric: _interval(0.8 - at / 100), "accuracy": _interval(0.7)},
        "latency_ms": {"p50": 1.0, "p95": 2.5, "p99": 4.0},
        "cost_usd_per_1k": 1e-6 * 10**at,
        "train_s": 75.0,
        "peak_memory_bytes": 10**8,
        "size_bytes": 3_168_213,
        "chosen": {"trees": 100 + at},
    }


def _verdict(names, failed, metric, *, winner):
    fine = [name for name in names if name not in failed]
    best = fine[0] if fine else None
    pair = {"versus": best, "difference": -0.01, "low": -0.02, "high": 0.005, "p_holm": 0.3}
    gate = {"metric": metric, "min": 0.75, "max": None, "value": 0.8, "passed": winner}
    return {
        "winner": best if winner else None,
        "reason": "Because of <b>numbers</b>.",
        "metric": metric,
        "best": best,
        "best_set": fine[:1],
        "gates": [gate | {"candidate": name} for name in fine],
        "comparisons": [pair | {"candidate": name} for name in fine[1:]],
        "pareto": fine[:1],
        "mdd": 0.02 if len(fine) > 1 else None,
    }


def _card(outcomes, classes, task, wrong):
    truth_n, said = outcomes
    card = {"n_test": len(truth_n), "intervals": "BCa, 200 resamples", "throughput_rows_s": 12345.6}
    if task != "classification":
        return card
    names = sorted(classes)
    confusion = [[int(((truth_n == a) & (said.values_n == b)).sum()) for b in names] for a in names]
    score = {key: _interval(0.7) for key in ("precision", "recall", "f1")} | {"support": 10}
    per_class = dict.fromkeys(names, score)
    return card | {"classes": names, "confusion": confusion, "per_class": per_class}
