"""Combinations on synthetic candidates of which it is known what combining them gives."""

import numpy as np
import pytest

from bakeoff.config.sections import CombineConfig, DecideConfig, Gate
from bakeoff.core.types import Predictions
from bakeoff.evaluate.combine.blend import find_mix
from bakeoff.evaluate.combine.cascade import Climb, composed_latency_ms, find_route, settings
from bakeoff.evaluate.combine.combinations import Combination, HeldTruth, SingleCandidate, combine
from bakeoff.evaluate.combine.pareto import enter
from bakeoff.evaluate.score.scoring import score
from bakeoff.metrics.combined import Ladder, Mix
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.metrics.value import value
from bakeoff.results.scorecard import Scorecard

N = 2000
CLASSES = ("no", "yes")


def truth(seed, n=N):
    return np.random.default_rng(seed).integers(2, size=n)


def names(truth_n):
    return np.asarray(CLASSES)[truth_n]


def model(truth_n, signal, seed, *, sharpness=1.0):
    """Calibrated probabilities from one noisy look at the truth; `sharpness` other than 1 spoils calibration."""
    look = np.random.default_rng(seed).normal(size=len(truth_n)) + signal * (truth_n - 0.5)
    odds = sharpness * signal * look
    yes = 1 / (1 + np.exp(-odds))
    return Predictions.of_probabilities(np.column_stack([1 - yes, yes]), CLASSES)


def part(held, test, truth_n, *, cost=0.001, latency=1.0, task="classification"):
    scores = score(truth_n, test, task, resamples=100, seed=0)
    return SingleCandidate(
        card=Scorecard(
            **{f: getattr(scores, f) for f in scores.__dataclass_fields__},
            latency_ms={"p50": latency, "p95": 2 * latency, "p99": 3 * latency},
            throughput_rows_s=1 / cost,
            train_s=2.0,
            size_bytes=100,
            cost_usd_per_1k=cost,
        ),
        held=held,
        test=test,
    )


def world(signals, costs=None, n=N):
    """Independent candidates with these signals, on validation and test rows of their own."""
    held_n, test_n = truth(1, n), truth(2, n)
    parts = {
        name: part(
            model(held_n, signal, 10 + at),
            model(test_n, signal, 20 + at),
            names(test_n),
            cost=(costs or {}).get(name, 0.001),
        )
        for at, (name, signal) in enumerate(signals.items())
    }
    return parts, HeldTruth(held_n=names(held_n), test_n=names(test_n))


def tried(parts, rows, config=None, task="classification", **decide):
    settled = DecideConfig(resamples=500, **decide)
    metric = settled.metric or ("f1_macro" if task == "classification" else "rmse")
    found = combine(parts, rows, config or CombineConfig(), task=task, metric=metric, seed=0, resamples=200)
    return {each.name: each for each in enter(found, parts, rows, settled, task=task, seed=0)}


# --- weights --------------------------------------------------------------------------------------


def test_without_a_sure_gain_it_stays_the_plain_mean():
    truth_n = truth(0, 500)
    same = model(truth_n, 1.5, 1)
    mix = find_mix(names(truth_n), [same, same], "classification", even=True, seed=0)
    assert mix == Mix(weights=(0.5, 0.5))


def test_a_model_that_is_sure_of_what_it_does_not_know_weighs_little():
    truth_n = truth(0, 5000)
    parts = [model(truth_n, 2.0, 1), model(truth_n, 0.1, 2, sharpness=20.0)]
    mix = find_mix(names(truth_n), parts, "classification", even=False, seed=0)
    assert mix.weights[0] > 8 * mix.weights[1]


def test_independent_looks_are_stacked_by_adding_their_log_odds():
    """The right answer is the sum of log odds, since the looks are independent: weights 1 and 1, no bias."""
    truth_n = truth(0, 20_000)
    parts = [model(truth_n, 1.5, 1), model(truth_n, 1.5, 2, sharpness=2.0)]
    mix = find_mix(names(truth_n), parts, "classification", even=False, seed=0)
    assert mix.log
    np.testing.assert_allclose(mix.weights, [1.0, 0.5], atol=0.05)
    np.testing.assert_allclose(mix.biases["yes"] - mix.biases["no"], 0, atol=0.06)


def test_numbers_are_weighted_by_the_inverse_of_their_variance():
    rng = np.random.default_rng(0)
    value_n = rng.normal(size=5000)
    parts = [Predictions(values_n=value_n + spread * rng.normal(size=5000)) for spread in (1.0, 2.0)]
    mix = find_mix(value_n, parts, "regression", even=False, seed=0)
    assert mix.weights == (0.8, 0.2)


def test_classes_that_one_model_lacks_count_as_impossible_to_it():
    one = Predictions.of_probabilities(np.array([[0.2, 0.8]]), ("a", "b"))
    other = Predictions.of_probabilities(np.array([[1.0]]), ("c",))
    found = Mix(weights=(0.5, 0.5))([one, other], ("a", "b", "c"))
    np.testing.assert_allclose(found.probabilities_nk, [[0.1, 0.4, 0.5]])
    assert found.values_n.tolist() == ["c"]


# --- cascades -------------------------------------------------------------------------------------


def test_a_cascade_asks_each_stage_only_about_rows_that_reach_it():
    asked = []
    said = [np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]), np.array([[0.5, 0.5], [0.1, 0.9], [0.8, 0.2]])]

    def ask(stage, rows):
        asked.append((stage, rows.tolist()))
        return said[stage][rows]

    answer, stages = Ladder(thresholds=(0.8,)).climb(ask, 3, CLASSES)
    assert asked == [(0, [0, 1, 2]), (1, [1, 2])]
    assert stages.tolist() == [0, 1, 1]
    np.testing.assert_allclose(answer, [[0.9, 0.1], [0.1, 0.9], [0.8, 0.2]])
    pooled, _ = Ladder(thresholds=(0.8,), pooled=True).climb(ask, 3, CLASSES)
    np.testing.assert_allclose(pooled, [[0.9, 0.1], [0.35, 0.65], [0.55, 0.45]])


def test_composed_latency_waits_for_the_stages_that_a_row_reaches():
    quick, slow = {"p50": 1.0, "p95": 2.0, "p99": 3.0}, {"p50": 100.0, "p95": 200.0, "p99": 300.0}
    found = composed_latency_ms([quick, slow], [1.0, 0.1])
    assert found["p50"] < 2.0
    assert 100 < found["p95"] < 210
    assert composed_latency_ms([quick, slow], [1.0, 1.0])["p50"] == pytest.approx(101, rel=0.02)
    assert composed_latency_ms([quick], [1.0])["p95"] == pytest.approx(2.0, rel=0.02)


def test_three_stages_are_tried_in_a_bounded_number_of_settings():
    parts, rows = world({"a": 1.0, "b": 1.5, "c": 2.0}, n=300)
    found = list(
        settings(rows.held_n, [p.held for p in parts.values()], [1, 10, 100], find("accuracy", "classification"))
    )
    assert 0 < len(found) <= 2 * 9 * 9
    assert all(each.shares[0] == 1.0 and each.shares[1] >= each.shares[2] for each in found)


def test_a_route_passes_on_the_class_that_the_first_model_confuses():
    truth_n = np.repeat(["a", "b", "c"], 200)
    rng = np.random.default_rng(0)
    confused = np.where((truth_n != "a") & (rng.random(600) < 0.4), "c", truth_n)

    def said(values):
        shares = (values[:, None] == np.array(["a", "b", "c"])) * 0.7 + 0.1
        return Predictions.of_probabilities(shares, ("a", "b", "c"))

    found = find_route(truth_n, [said(confused), said(truth_n)], [1.0, 10.0], find("accuracy", "classification"))
    assert found.ladder.doubted == ("c",)
    assert found.value == 1.0
    assert found.cost == pytest.approx(1 + 10 * np.mean(confused == "c"))


# --- what enters ------------------------------------------------------------------------------------


def test_a_blend_that_beats_every_candidate_enters_with_its_price():
    found = tried(*world({"left": 1.5, "right": 1.5}))
    (blend,) = (each for each in found.values() if each.kind == "blend")
    assert blend.entered
    assert set(blend.members) == {"left", "right"}
    assert blend.card.cost_usd_per_1k == pytest.approx(0.002)
    assert blend.card.metrics["f1_macro"].value > 0.83
    assert "better than left" in blend.reason
    assert "at 2.0 times the price" in blend.reason


def test_pairs_are_told_apart_as_the_project_says():
    parts, rows = world({"left": 1.5, "right": 1.5}, n=800)
    only = CombineConfig(cascades=False)
    (drawn,), (swapped,) = (tried(parts, rows, only, test=test).values() for test in ("bootstrap", "permutation"))
    assert drawn.entered
    assert swapped.entered
    assert drawn.reason != swapped.reason


def test_what_adds_nothing_does_not_enter_and_says_why():
    found = tried(*world({"good": 2.0, "noise": 0.05}))
    (blend,) = (each for each in found.values() if each.kind == "blend")
    assert not blend.entered
    assert "good" in blend.reason
    assert "p = " in blend.reason


def test_a_cascade_as_good_as_the_best_and_cheaper_enters():
    found = tried(*world({"cheap": 2.0, "dear": 3.5}, {"cheap": 0.001, "dear": 0.1}), CombineConfig(blends=False))
    cascade = found["cascade+cheap+dear"]
    assert cascade.entered
    assert cascade.shares[0] == 1.0
    assert 0.1 < cascade.shares[1] < 0.65
    assert cascade.card.cost_usd_per_1k == pytest.approx(0.001 + 0.1 * cascade.shares[1])
    assert "better than cheap" in cascade.reason
    assert "times cheaper" in cascade.reason
    costs = [point.cost_usd_per_1k for point in cascade.curve]
    assert min(costs) < cascade.card.cost_usd_per_1k < max(costs) <= 0.101
    assert Combination.from_json(cascade.to_json()) == cascade


def test_models_of_one_price_make_no_cascade():
    found = tried(*world({"left": 1.5, "right": 1.5}))
    assert not found["cascade+2"].entered
    assert "1.5 times as much" in found["cascade+2"].reason


def test_a_third_member_must_be_worth_its_price():
    parts, rows = world({"left": 1.5, "right": 1.5, "idle": 0.05})
    found = tried(parts, rows, CombineConfig(cascades=False))
    entered = [each for each in found.values() if each.entered]
    assert [set(each.members) for each in entered] == [{"left", "right"}]
    third = next(each for each in found.values() if len(each.members) == 3)
    assert "not distinguishably better than blend+" in third.reason


def test_a_stack_of_all_that_are_needed_enters_with_its_price():
    parts, rows = world({"a": 1.2, "b": 1.2, "c": 1.2, "d": 1.2, "idle": 0.02})
    found = tried(parts, rows, CombineConfig(cascades=False, max_members=2))
    stack = next(each for each in found.values() if each.kind == "stack")
    assert stack.entered
    assert set(stack.members) == {"a", "b", "c", "d"}
    assert stack.card.cost_usd_per_1k == pytest.approx(0.004)
    mix = Mix(weights=tuple(stack.params["weights"]))
    assert sum(mix.weights) == pytest.approx(1.0)
    answers = mix([parts[name].test for name in stack.members], CLASSES)
    assert stack.card.metrics["f1_macro"].value == value("f1_macro", rows.test_n, answers, "classification")
    assert stack.card.metrics["f1_macro"].value > max(part.card.metrics["f1_macro"].value for part in parts.values())
    assert "better than a" in stack.reason


def test_a_stack_of_as_many_as_blends_have_is_none_of_its_own():
    found = tried(*world({"a": 1.5, "b": 1.5, "idle": 0.02}), CombineConfig(cascades=False, max_members=2))
    stack = next(each for each in found.values() if each.kind == "stack")
    assert stack.card is None
    assert "blends of so many are tried" in stack.reason


def test_a_gate_that_it_cannot_pass_keeps_it_out():
    parts, rows = world({"left": 1.5, "right": 1.5})
    gates = {"latency_p95_ms": Gate(max=3.0), "predict_memory_bytes": Gate(max=1e9)}
    found = tried(parts, rows, CombineConfig(cascades=False), gates=gates)
    (blend,) = found.values()
    assert not blend.entered
    assert "fails the gate latency_p95_ms" in blend.reason


def test_numbers_are_blended_and_not_cascaded():
    rng = np.random.default_rng(0)
    held_n, test_n = rng.normal(size=N), rng.normal(size=N)

    def noisy(of):
        return Predictions(values_n=of + rng.normal(size=N))

    parts = {name: part(noisy(held_n), noisy(test_n), test_n, task="regression") for name in ("left", "right")}
    found = tried(parts, HeldTruth(held_n=held_n, test_n=test_n), task="regression")
    blend = next(each for each in found.values() if each.kind == "blend")
    assert blend.entered
    assert blend.card.metrics["rmse"].value == pytest.approx(0.5**0.5, abs=0.03)
    assert "how sure" in found["cascade"].reason


def test_groups_widen_what_must_be_shown():
    parts, rows = world({"left": 1.5, "right": 1.2}, n=400)
    few = HeldTruth(held_n=rows.held_n, test_n=rows.test_n, groups_n=np.arange(400) // 100)
    free, grouped = (next(iter(tried(parts, each).values())) for each in (rows, few))
    assert free.card.intervals != grouped.card.intervals
    assert grouped.reason != free.reason


def test_the_same_seed_finds_the_same():
    parts, rows = world({"cheap": 1.2, "dear": 2.0, "third": 1.6}, {"cheap": 0.001, "dear": 0.1, "third": 0.01}, n=600)
    assert tried(parts, rows) == tried(parts, rows)


def test_test_rows_do_not_shape_a_combination():
    """Weights, thresholds and routes stay as they are when the test rows say something else."""
    parts, rows = world({"cheap": 1.2, "dear": 2.0}, {"cheap": 0.001, "dear": 0.1}, n=800)
    other = names(1 - truth(2, 800))
    turned = {name: part(each.held, each.test, other, cost=each.card.cost_usd_per_1k) for name, each in parts.items()}
    before, after = tried(parts, rows), tried(turned, HeldTruth(held_n=rows.held_n, test_n=other))
    assert {name: (each.params, each.validation) for name, each in before.items()} == {
        name: (each.params, each.validation) for name, each in after.items()
    }


def test_a_blend_scores_what_its_answers_score():
    parts, rows = world({"left": 1.5, "right": 1.5}, n=500)
    found = tried(parts, rows)
    blend = next(each for each in found.values() if each.kind == "blend")
    mix = Mix(weights=tuple(blend.params["weights"]), biases=blend.params["biases"], log=blend.params["log"])
    said = mix([parts[name].test for name in blend.members], CLASSES)
    assert blend.card.metrics["f1_macro"].value == value("f1_macro", rows.test_n, said, "classification")


def test_a_blend_of_numbers_mixes_the_quantiles_that_all_predict():
    one = Predictions(values_n=np.asarray([1.0]), scores={"0.1": np.asarray([0.0]), "0.9": np.asarray([4.0])})
    other = Predictions(values_n=np.asarray([3.0]), scores={"0.9": np.asarray([8.0]), "0.5": np.asarray([3.0])})
    mixed = Mix(weights=(0.75, 0.25))([one, other], ())
    assert mixed.values_n.tolist() == [1.5]
    assert {name: score_n.tolist() for name, score_n in mixed.scores.items()} == {"0.9": [5.0]}


@pytest.mark.parametrize("metric", ["f1_macro", "mcc", "accuracy", "log_loss"])
def test_every_setting_has_the_metric_of_what_it_answers(metric):
    rng = np.random.default_rng(4)
    truth_n = rng.choice(["a", "b", "c"], 300)
    parts = [Predictions.of_probabilities(rng.dirichlet([1.0, 1.0, 2.0], 300), ("a", "b", "d")) for _ in range(2)]
    measure = find(metric, "classification")
    tried = list(settings(truth_n, parts, (1.0, 3.0), measure))
    assert len(tried) > 30
    for setting in tried:
        climb = Climb.of(setting.ladder, parts, truth_n)
        assert setting.value == measure(outcome(truth_n, climb.predictions, "classification"))
        assert setting.shares == climb.shares
        assert setting.cost == pytest.approx(1.0 + 3.0 * climb.shares[1])
