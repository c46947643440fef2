"""Routers between a cheap and a dear candidate, on rows that say themselves where the cheap one fails."""

import json

import numpy as np
import polars as pl
import pytest
from tests.evaluate.combine.test_combinations import names, part, truth

from bakeoff.config.sections import CombineConfig, DecideConfig
from bakeoff.core.types import Column, Predictions
from bakeoff.data.row_router import RowFeatures, RowRouter
from bakeoff.evaluate.combine.cascade import mixed_latency_ms
from bakeoff.evaluate.combine.combinations import HeldTruth, combine
from bakeoff.evaluate.combine.pareto import enter
from bakeoff.evaluate.combine.router import ROUTING_S, RowInputs
from bakeoff.families.wrappers.router import RouterFamily, RouterParams

COLUMNS = (
    Column(name="text", kind="text", dtype="String"),
    Column(name="size", kind="numeric", dtype="Float64"),
)
N, LEGAL = 1000, 0.3
SECOND_USD = 0.1 / 3600


def rows(seed, telling=True):
    """Texts of which three in ten are about law, and a number that says nothing; and which those are."""
    rng = np.random.default_rng(seed)
    legal_n = rng.random(N) < LEGAL
    words = rng.choice(["a", "note", "on", "many", "things"], size=(N, 4))
    texts = [
        " ".join([*each, "contract" if legal and telling else "letter"])
        for each, legal in zip(words, legal_n, strict=True)
    ]
    return pl.DataFrame({"text": texts, "size": rng.normal(size=N)}), legal_n


def answers(truth_n, right_n):
    """Right where it says so, and as sure of itself as ever: a cascade sees nothing in that."""
    said_n = np.where(right_n, truth_n, 1 - truth_n)
    yes = np.where(said_n == 1, 0.9, 0.1)
    return Predictions.of_probabilities(np.column_stack([1 - yes, yes]), ("no", "yes"))


def world(*, telling=True, folds=False):
    sides = {}
    for side, seed in (("held", 1), ("test", 2)):
        table, legal_n = rows(seed, telling)
        truth_n, rng = truth(seed, N), np.random.default_rng(10 + seed)
        cheap_n, dear_n = rng.random(N) < np.where(legal_n, 0.5, 0.95), rng.random(N) < 0.95
        sides[side] = table, truth_n, answers(truth_n, cheap_n), answers(truth_n, dear_n)
    if folds:
        sides["held"] = sides["test"]
    held, test = sides["held"], sides["test"]
    parts = {
        "cheap": part(held[2], test[2], names(test[1]), cost=0.001, latency=1.0),
        "dear": part(held[3], test[3], names(test[1]), cost=1.0, latency=100.0),
    }
    fold_n = np.arange(N) % 5 if folds else None
    inputs = RowInputs(columns=COLUMNS, held=held[0], test=test[0])
    return parts, HeldTruth(held_n=names(held[1]), test_n=names(test[1]), fold_n=fold_n, inputs=inputs)


def tried(parts, of, **config):
    decide = DecideConfig(resamples=100)
    settings = CombineConfig(blends=False, **config)
    found = combine(
        parts, of, settings, task="classification", metric="accuracy", seed=0, resamples=100, second_usd=SECOND_USD
    )
    return {each.kind: each for each in enter(found, parts, of, decide, task="classification", seed=0)}


@pytest.fixture(scope="module")
def routed():
    """The world with what was tried in it."""
    parts, of = world()
    return parts, of, tried(parts, of)["router"]


@pytest.mark.parametrize("folds", [False, True])
def test_rows_that_say_where_the_cheap_one_fails_go_to_the_dear_one(folds, routed):
    parts, of, router = routed
    if folds:
        parts, of = world(folds=True)
        router = tried(parts, of)["router"]
    assert router.name == "router+cheap+dear"
    assert router.entered, router.reason
    assert router.shares[1] == pytest.approx(LEGAL, abs=0.05)
    assert sum(router.shares) == pytest.approx(1)
    accuracy = {name: each.card.metrics["accuracy"].value for name, each in parts.items()}
    assert router.card.metrics["accuracy"].value == pytest.approx(accuracy["dear"], abs=0.015)
    expected = router.shares[0] * 0.001 + router.shares[1] * 1.0 + ROUTING_S * 1000 * SECOND_USD
    assert router.card.cost_usd_per_1k == pytest.approx(expected)
    assert router.card.latency_ms["p50"] < 10
    assert router.card.latency_ms["p95"] > 50
    assert len(router.fold_params) == (5 if folds else 0)


def test_rows_that_say_nothing_of_it_make_no_router_that_enters():
    parts, of = world(telling=False)
    router = tried(parts, of)["router"]
    assert not router.entered
    assert "cheap" in router.reason or "Nothing gained" in router.reason


def test_test_rows_have_no_say_in_the_rule(routed):
    parts, of, router = routed
    turned = Predictions.of_probabilities(parts["dear"].test.probabilities_nk[:, ::-1], ("no", "yes"))
    other = parts | {"dear": part(parts["dear"].held, turned, of.test_n, cost=1.0)}
    assert tried(other, of)["router"].params == router.params


def test_the_rule_stands_in_json_and_the_family_asks_by_it(routed):
    told = json.loads(json.dumps(routed[2].to_json()))["params"]["rule"]
    assert len(told["weights"]) == 1368  # 512 numbers of two bytes
    rule = RowRouter(
        features=RowFeatures(**told["features"]), **{key: told[key] for key in ("weights", "bias", "threshold")}
    )
    table = pl.DataFrame({"text": ["a note on many contract", "a note on many letter"], "size": [0.1, None]})
    assert rule.asks_second(table).tolist() == [True, False]
    assert RouterParams().rule.asks_second(pl.DataFrame({"text": ["any", None]})).tolist() == [False, False]
    assert RouterFamily.tasks == {"classification"}


def test_each_row_waits_for_the_one_that_answers_it():
    fast, slow = {"p50": 1.0, "p95": 1.0}, {"p50": 100.0, "p95": 100.0}
    assert mixed_latency_ms([fast, slow], (0.9, 0.1)) == {"p50": 1.0, "p95": 100.0}
    assert mixed_latency_ms([fast, slow], (0.99, 0.01)) == {"p50": 1.0, "p95": 1.0}
