"""The outcome of a run and its JSON: what goes in comes out, and what was not looked for is left out."""

import json

import msgspec
import pytest

from bakeoff.core.errors import CorruptError
from bakeoff.results.outcome import RunOutcome

INTERVAL = {"value": 0.8, "low": 0.7, "high": 0.9, "method": "t", "reason": None}
UNKNOWN = {"value": 1.0, "low": None, "high": None, "method": None, "reason": "3 rows of 'b'"}
MEASURED = {
    "name": "linear", "family": "linear", "status": "ok", "run_id": "r1-0", "model_version": "films/1",
    "metrics": {"f1_macro": INTERVAL, "recall[b]": UNKNOWN},
    "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}, "latency_ends_ms": {"p50": [0.9, 1.1], "p99": [2.5, None]},
    "latency_calls": 400, "wall_latency_ms": {"p50": 1.5}, "cost_usd_per_1k": 1e-5, "single_cost_usd_per_1k": None,
    "train_s": 2.5, "peak_memory_bytes": 10**8, "size_bytes": 10**6, "predict_memory_bytes": 10**7,
    "throughput_rows_s": 1e4, "throughput_rows_s_per_core": None, "batch_latency_ms": {}, "chosen": {"penalty": 1.0},
    "fold_metrics": None,
}  # fmt: skip
FOUND = {
    "slices": [{"column": "year", "slice": "year = 1999", "rows": 12, "value": 0.5}],
    "weak_slices": [
        {"slice": "year = 1999", "rows": 12, "value": 0.5, "low": 0.3, "high": 0.7, "rest": 0.8, "p_value": 0.01}
    ],
    "slices_tested": 7,
    "robustness": [
        {"name": "case", "told": "in capitals", "rows": 50, "value": 0.7, "drop": 0.1, "low": 0.0, "high": 0.2},
        {"name": "typos", "told": "with typing mistakes", "rows": 0, "skipped": "too slow"},
    ],
    "calibration": {"bins": [{"rows": 10, "confidence": 0.9, "right": 0.8}], "ece": 0.1, "validation_rows": 0},
}
USAGE = dict.fromkeys(("rows", "calls", "cached", "tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning"), 3)
CANDIDATES = [
    MEASURED,
    MEASURED | FOUND | {"fold_metrics": {"f1_macro": [0.7, None, 0.9]}},
    MEASURED | FOUND | {"calibration": None, "memorisation": {"skipped": "there are no rows to compare"}},
    MEASURED
    | {"usage": USAGE | {"cost_usd": None, "refused": 0, "unreadable": 1}}
    | {"safety": {"rows": 2, "safe": 0.5, "low": 0.1, "high": 0.9, "kinds": [], "failures": ["1: no"]}}
    | {"monthly": {"requests": 30.0, "used_usd": 1.0, "machines": 1, "machines_usd": 70.0}},
    {"name": "boosting", "family": "boosting", "status": "failed", "run_id": "r1-1", "model_version": None}
    | {"error": "no memory", "traceback": None},
]
DATASET = {
    "version": "ab" * 32, "rows": 10, "train": 6, "validation": 2, "test": 2, "split": "random", "columns": 3,
    "folds": 0, "repeats": 1, "rejected": 0, "from_feedback": 0, "prepared_rows": 10, "set_aside": {}, "files": [],
    "notes": [], "schema_notes": [], "warnings": [{"kind": "leak", "told": "a leak", "column": None, "value": 0.9}],
    "changes": [], "contract": None, "near_duplicates": None,
}  # fmt: skip
COMBINATIONS = [
    {"name": "a>b", "kind": "cascade", "members": ["a", "b"], "validation": 0.7, "shares": [], "right": [], "curve": []}
    | {"entered": False, "reason": "no better", "quality": None, "cost_usd_per_1k": None},
    {"name": "a+b", "kind": "blend", "members": ["a", "b"], "weights": [0.5, 0.5], "biases": {"yes": 0.1}, "log": True}
    | {"validation": 0.8, "shares": [1.0], "right": [0.8, None], "curve": [], "entered": True, "reason": "better"}
    | {"quality": INTERVAL, "metrics": {"f1_macro": INTERVAL}, "latency_ms": {"p50": 1.0}, "cost_usd_per_1k": 0.1}
    | {"size_bytes": 5},
]
BUDGET = {
    "limit_s": 60.0, "used_s": 59.0, "metric": "f1_macro", "scored_rows": 2,
    "rungs": [{"share": 1.0, "rows": 6, "trials": 1}],
    "by_candidate": [
        {"name": "linear", "trials": 1, "seconds": 2.0, "default": 0.7, "best": None, "params": {}, "searched": ["c"]},
        {"name": "boosting", "trials": 0, "seconds": 0.0, "params": {}, "searched": []},
    ],
    "trials": [
        {"candidate": "linear", "setting": 0, "rung": 0, "params": {}, "status": "done", "seconds": 2.0, "at_s": 3.0}
        | {"value": 0.7, "error": None}
    ],
}  # fmt: skip
COMPARED = {"candidate": "linear", "versus": "nearest text", "metric": "f1_macro", "difference": 0.1, "low": -0.1}
BASELINES = [
    {"name": "class prior", "rule": "the shares", "needs": None, "lag_s": 0.0, "stops": "equal", "fallback": 0.0}
    | {"metrics": {"f1_macro": INTERVAL}, "undefined": ["recall[b]"], "comparison": None},
    {"name": "last value", "rule": "the row before", "needs": "the truth of a day before", "lag_s": 86400.0}
    | {"stops": "none", "fallback": 0.25, "metrics": {"f1_macro": UNKNOWN}, "undefined": []}
    | {"comparison": COMPARED | {"high": 0.3, "p_value": 0.2, "p_holm": 0.4, "q": None, "alike": False}},
]
DOCUMENT = {
    "run_id": "r1", "project": "films", "task": "classification", "dataset": DATASET,
    "split": {"by": "random", "folds": 0}, "candidates": CANDIDATES, "baselines": BASELINES,
    "combinations": COMBINATIONS,
    "not_combined": {"boosting": "it failed"}, "positive": None, "endpoint": None, "release": None,
    "shipped": {"rows": 10, "evaluated_rows": 8, "reason": None, "folds": 0}, "advice": [],
    "budget": BUDGET, "judge": {"model": "judge", "error": "no answer"}, "paid": {"usd": 0.0, "budget_usd": None},
}  # fmt: skip


def whole():
    verdict = RunOutcome.from_json(DOCUMENT | {"verdict": {"winner": None, "reason": "", "metric": "f1_macro"}}).verdict
    return DOCUMENT | {"verdict": msgspec.json.decode(msgspec.json.encode(verdict))}


def test_what_goes_in_comes_out():
    document = whole()
    assert RunOutcome.from_json(document).to_json() == json.loads(json.dumps(document))


def test_judges_and_warnings_leave_out_what_they_lack():
    judged = {"name": "a", "score": INTERVAL, "unreadable": 0, "bias": None, "uncorrected": "two labels"}
    judge = {"model": "j", "criteria": "", "against": "reference", "rows": 2, "unread": 0, "bias": None, "pairs": None}
    judge |= {"candidates": [judged], "ratings": None, "calls": 2, "tokens": 10, "cost_usd": None}
    warned = {"kind": "contract", "told": "too long", "column": "review"}
    contract = {"file": "contract.toml", "version": "cd" * 32, "rules": 2, "violations": [], "warnings": [warned]}
    document = whole() | {"judge": judge}
    document["dataset"] = DATASET | {"contract": contract, "imbalance": 3.0}
    assert RunOutcome.from_json(document).to_json() == json.loads(json.dumps(document))


def test_what_is_no_outcome_is_named():
    with pytest.raises(CorruptError, match="verdict"):
        RunOutcome.from_json(DOCUMENT)


def test_candidates_by_how_they_ended():
    outcome = RunOutcome.from_json(whole())
    assert [each.name for each in outcome.failed] == ["boosting"]
    assert outcome.candidate("boosting") is outcome.candidates[-1]
    assert outcome.candidate("nobody") is None
    assert outcome.score(outcome.fine[0]).value == 0.8
