"""Reports of made-up runs, plain and hostile."""

import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Predictions
from bakeoff.data.facts import column_facts
from bakeoff.report import card as cards
from bakeoff.report.build import Evidence, build
from bakeoff.results.outcome import RunOutcome
from bakeoff.results.scorecard import Scorecard

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
    evidence = {
        name: Evidence(scorecard=Scorecard.from_json(cards[name]), outcomes=outcomes[name], params={"depth": "3"})
        for name in outcomes
    }
    return build(RunOutcome.from_json(document | wrong.get("more", {})), evidence, rows, "label", made_ms=0)


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
    pair = {"versus": best, "metric": metric, "difference": -0.01, "low": -0.02, "high": 0.005}
    pair |= {"p_value": 0.2, "p_holm": 0.3}
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
    card |= {"metrics": {}, "per_class": {}, "latency_ms": {}, "train_s": 75.0, "size_bytes": 1, "cost_usd_per_1k": 0.0}
    if task != "classification":
        return card
    names = sorted(classes)
    confusion = [[int(((truth_n == a) & (said.values_n == b)).sum()) for b in names] for a in names]
    score = {key: _interval(0.7) for key in ("precision", "recall", "f1")} | {"support": 10}
    per_class = dict.fromkeys(names, score)
    return card | {"classes": names, "confusion": confusion, "per_class": per_class}


@pytest.fixture(scope="session")
def make_card():
    """A function that makes a data card; with `hostile`, of names and values that would like to be markup."""
    return lambda *, hostile=False, **more: _hostile_card() if hostile else _made_card(**more)


NASTY = "<script>alert('x')</script><img src=x onerror=alert(1)> \x07 \u202e עברית 👩‍👩‍👧 " + "x" * 300


def _columns(rows=200):
    rng = np.random.default_rng(0)
    return {
        "review": ("text", pl.Series("review", [f"a fine film, number {at}" for at in range(rows)], dtype=pl.String)),
        "year": ("numeric", pl.Series("year", rng.integers(1950, 2020, rows).astype(float))),
        "price": ("numeric", pl.Series("price", np.exp(rng.normal(size=rows) * 3))),
        "seen": (
            "datetime",
            pl.Series("seen", rng.integers(0, 10**15, rows)).cast(pl.Datetime("us")),
        ),
        "liked": ("categorical", pl.Series("liked", rng.choice(["yes", "no"], rows).tolist(), dtype=pl.String)),
    }


def _made_card(columns=None, *, text="a fine film", **more):
    columns = _columns() if columns is None else columns
    rows = len(next(iter(columns.values()))[1]) if columns else 0
    facts = tuple(
        column_facts(
            series.alias(name), kind, "target" if name == "liked" else "input", shown=lambda value: value[:240]
        )
        for name, (kind, series) in columns.items()
    )
    settings = {
        "project": "films",
        "task": "classification",
        "version": "ab" * 32,
        "number": 3,
        "run_id": "r1",
        "made_ms": 0,
        "rows": rows,
        "prepared_rows": rows,
        "target": "liked",
        "split": "random",
        "columns": facts,
        "parts": (
            cards.Part(
                name="train", rows=140, since="2020-01-01T00:00:00", until="2020-06-01T00:00:00", classes={text: 90}
            ),
            cards.Part(name="test", rows=60, classes={text: 30}),
        ),
        "classes": {text: 120, "no": 80},
        "duplicates": cards.Duplicates(
            exact=2,
            conflicting=1,
            near=cards.CardNearDuplicates(looked_at=100, clusters=1, rows=1, largest=((text, text),)),
        ),
        "personal": (cards.Personal(column=text, looked_at=10, values=20, counts={"email": 3, "phone": 0}),),
        "languages": (cards.Languages(column=text, looked_at=10, texts=20, rows={"en": 9}, unsure=1),),
        "steps": (
            cards.StepFacts(
                step="squeeze",
                rows_in=9,
                rows_out=8,
                cells_changed=3,
                examples=(cards.CardExample(before=text, after=None),),
            ),
            cards.StepFacts(step="fill_gaps", fitted=True),
        ),
        "sources": (cards.Source(table="source", location=text, digest="cd" * 32),),
        "contract": cards.ContractFacts(file="contract.toml", version="ef" * 32, rules=7, violations=(text,)),
        "warnings": (text,),
        "notes": (text,),
        "set_aside": {text: 3},
    }
    return cards.DataCard(**{**settings, **more})


def _hostile_card():
    """Names and values that would like to be markup, very long, right to left."""
    rows = 30
    columns = {f"{NASTY}{at}": ("categorical", pl.Series([f"{NASTY}{i % 7}" for i in range(rows)])) for at in range(3)}
    columns[f"{NASTY} text"] = ("text", pl.Series([NASTY] * rows))
    columns[f"{NASTY} number"] = ("numeric", pl.Series([1e308, -1e308, 0.0] * 10))
    columns["empty"] = ("numeric", pl.Series([None] * rows, dtype=pl.Float64))
    return _made_card(columns, text=NASTY, target=NASTY, project="<b>films</b>")
