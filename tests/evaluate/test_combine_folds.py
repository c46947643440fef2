"""Combinations by folds: found on some folds, judged on another, over all rows."""

from dataclasses import replace

import numpy as np
import pytest

from bakeoff.config.sections import CombineConfig
from bakeoff.core.types import Predictions
from bakeoff.evaluate.combine.cascade import Climb, joined
from bakeoff.evaluate.combine.combinations import HeldTruth, SingleCandidate, combine
from bakeoff.evaluate.score.scoring import score
from bakeoff.metrics.combined import Ladder, Mix
from bakeoff.results.scorecard import Scorecard

pytestmark = pytest.mark.slow

CLASSES = ("no", "yes")
FOLDS = 5


def part(truth_n, signal, seed, cost):
    look = np.random.default_rng(seed).normal(size=len(truth_n)) + signal * ((truth_n == "yes") - 0.5)
    yes = 1 / (1 + np.exp(-(signal or 1.0) * look))
    said = Predictions.of_probabilities(np.column_stack([1 - yes, yes]), CLASSES)
    scores = score(truth_n, said, "classification", resamples=100, seed=0)
    card = Scorecard(
        **{name: getattr(scores, name) for name in scores.__dataclass_fields__},
        latency_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0},
        throughput_rows_s=1 / cost,
        train_s=1.0,
        size_bytes=1,
        cost_usd_per_1k=cost,
    )
    return SingleCandidate(card=card, held=said, test=said)


def world(signals, n, seed=0, *, folds=True):
    rng = np.random.default_rng(seed)
    truth_n = np.asarray(CLASSES)[rng.integers(2, size=n)]
    parts = {
        name: part(truth_n, signal, 10 * seed + at, 0.001 * 5**at) for at, (name, signal) in enumerate(signals.items())
    }
    return parts, HeldTruth(held_n=truth_n, test_n=truth_n, fold_n=np.arange(n) % FOLDS if folds else None)


def found(parts, rows):
    tried = combine(parts, rows, CombineConfig(), task="classification", metric="f1_macro", seed=0, resamples=100)
    return {each.kind: (each, said) for each, said in tried}


def test_each_fold_is_judged_with_what_the_others_say() -> None:
    parts, rows = world({"small": 1.5, "large": 3.0}, 1500)
    combos = found(parts, rows)
    fold_n = np.asarray(rows.fold_n)
    blend, said = combos["blend"]
    assert len(blend.fold_params) == FOLDS
    for fold, params in enumerate(blend.fold_params):
        mix = Mix(weights=tuple(params["weights"]), biases=params["biases"], log=params["log"])
        alone = mix([parts[name].test.take(fold_n == fold) for name in blend.fold_members[fold]], CLASSES)
        np.testing.assert_allclose(said.probabilities_nk[fold_n == fold], alone.probabilities_nk)
    cascade, said = combos["cascade"]
    assert cascade.members == ("small", "large")
    for fold, params in enumerate(cascade.fold_params):
        ladder = Ladder(**{key: tuple(value) if isinstance(value, list) else value for key, value in params.items()})
        members = [parts[name].test.take(fold_n == fold) for name in cascade.fold_members[fold]]
        alone = Climb.of(ladder, members, np.asarray(rows.test_n)[fold_n == fold])
        assert said.values_n[fold_n == fold].tolist() == alone.predictions.values_n.tolist()
    assert cascade.card.metrics["f1_macro"].value == pytest.approx(
        score(rows.test_n, said, "classification", resamples=100, seed=0).metrics["f1_macro"].value
    )
    assert 0 < cascade.shares[1] < 1


def test_the_rows_of_a_fold_have_no_say_in_what_it_is_judged_with() -> None:
    parts, rows = world(dict.fromkeys(["a", "b", "c"], 1.0), 100)
    first = np.asarray(rows.fold_n) == 0
    turned = np.where(first, np.where(np.asarray(rows.held_n) == "yes", "no", "yes"), rows.held_n)
    (before, after) = (
        combine(
            parts,
            replace(rows, held_n=each, test_n=each),
            CombineConfig(max_members=2, cascades=False),
            task="classification",
            metric="accuracy",
            seed=0,
            resamples=100,
        )[0][0]
        for each in (rows.test_n, turned)
    )
    assert before.fold_members[0] == after.fold_members[0]
    assert before.fold_params[0] == after.fold_params[0]
    assert before.fold_members[1:] != after.fold_members[1:] or before.fold_params[1:] != after.fold_params[1:]


def test_without_folds_nothing_is_said_of_them() -> None:
    parts, rows = world({"small": 1.5, "large": 3.0}, 500, folds=False)
    assert all(each.fold_params == () for each, _ in found(parts, rows).values())


def test_what_is_found_in_noise_does_not_flatter() -> None:
    """Judged on the rows that it was found on, two guesses look better than one; by folds they do not."""

    def gain(seed, *, folds):
        parts, rows = world({"small": 0.0, "large": 0.0}, 150, seed, folds=folds)
        cascade = found(parts, rows)["cascade"][0]
        return 0.0 if cascade.card is None else cascade.card.metrics["f1_macro"].value - 0.5

    seeds = range(12)
    assert np.mean([gain(seed, folds=False) for seed in seeds]) > 0.03
    assert abs(np.mean([gain(seed, folds=True) for seed in seeds])) < 0.02


def test_climbs_over_parts_are_one_over_all() -> None:
    parts, rows = world({"small": 1.0, "large": 2.0}, 400)
    ladder = Ladder(thresholds=(0.7,))
    members = [each.test for each in parts.values()]
    truth_n = np.asarray(rows.test_n)
    whole = Climb.of(ladder, members, truth_n)
    pieces = [np.arange(0, 400, 3), np.setdiff1d(np.arange(400), np.arange(0, 400, 3))]
    together = joined(pieces, [Climb.of(ladder, [m.take(at) for m in members], truth_n[at]) for at in pieces])
    assert together.shares == pytest.approx(whole.shares)
    assert together.answered_right == pytest.approx(whole.answered_right)
    assert together.predictions.values_n.tolist() == whole.predictions.values_n.tolist()


@pytest.mark.parametrize(("folds", "where"), [(True, "the rows that each fold left out"), (False, "validation rows")])
def test_reasons_name_the_rows_that_were_looked_at(folds, where):
    parts, rows = world({"one": 2.0, "two": 2.0}, 200, folds=folds)
    alike = dict.fromkeys(parts, parts["one"])  # none is dearer, so that no cascade is possible
    config = CombineConfig(blends=False)
    tried = [
        each
        for each, _ in combine(alike, rows, config, task="classification", metric="f1_macro", seed=0, resamples=100)
    ]
    assert tried
    assert all(each.reason.startswith(f"Nothing gained on {where} (") for each in tried)
