import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from bakeoff.config.sections import DecideConfig, Gate
from bakeoff.core.errors import ConfigError, DataError, NotFoundError
from bakeoff.core.types import Predictions
from bakeoff.evaluate.decide.looks import look_share
from bakeoff.evaluate.decide.margin import default_margin
from bakeoff.evaluate.decide.settings import check_gates
from bakeoff.evaluate.decide.verdict import Field, compare, decide, takes_over
from bakeoff.evaluate.score.scoring import score
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.metrics.significance import detectable, mcnemar_exact
from bakeoff.results.scorecard import Scorecard
from bakeoff.testing.worlds import candidates

N = 1500


def card_of(measure, true, predictions, cost):
    value = measure(outcome(true, predictions, "classification"))
    metrics = {measure.name: Interval(value=value, low=0.0, high=1.0)}
    return Scorecard.of_metrics(metrics, n_test=len(true), cost_usd_per_1k=cost)


def said(accuracy, *, seed, n=N, hard=0.5):
    """Predictions that are right with this probability; `hard` ties their errors to the same rows."""
    truth = np.random.default_rng(0).integers(0, 2, n)
    own, shared = np.random.default_rng(seed + 1).random(n), np.random.default_rng(99).random(n)
    luck = np.where(np.random.default_rng(7).random(n) < hard, shared, own)
    yes = np.where(luck < accuracy, truth, 1 - truth) * 0.6 + 0.2
    return Predictions.of_probabilities(np.column_stack([1 - yes, yes]), ("no", "yes"))


def truth(n=N):
    return np.array(["no", "yes"])[np.random.default_rng(0).integers(0, 2, n)]


def field(costs=None, n=N, latency=1.0, hard=0.5, **accuracies):
    outcomes = {name: (truth(n), said(a, seed=i, n=n, hard=hard)) for i, (name, a) in enumerate(accuracies.items())}
    cards = {}
    for name, (true, predictions) in outcomes.items():
        scores = score(true, predictions, "classification", resamples=100, seed=0)
        cards[name] = Scorecard(
            **{f: getattr(scores, f) for f in scores.__dataclass_fields__},
            latency_ms={"p50": latency, "p95": 2 * latency, "p99": 3 * latency},
            throughput_rows_s=1000.0,
            train_s=1.0,
            size_bytes=100,
            cost_usd_per_1k=(costs or {}).get(name, 0.01),
        )
    return cards, outcomes


def verdict(cards, outcomes, **config):
    return decide(cards, outcomes, DecideConfig(**config), "classification", 0)


def test_the_distinguishably_best_wins_whatever_it_costs():
    found = verdict(*field({"good": 10.0}, good=0.9, poor=0.7))
    assert found.winner == found.best == "good"
    assert found.best_set == ("good",)
    assert found.pareto == ("poor", "good")
    assert found.comparisons[0].p_holm < 0.001
    assert found.comparisons[0].high < 0
    assert "good wins with f1_macro 0.8959 [" in found.reason
    assert "distinguishably better than poor" in found.reason


def test_the_cheapest_of_those_shown_to_be_as_good_wins():
    cards, outcomes = field({"best": 0.02, "cheap": 0.005}, cheap=0.805, best=0.81)
    found = verdict(cards, outcomes, margin=0.05)
    assert set(found.best_set) == {"cheap", "best"}
    assert found.best == "best"
    assert found.winner == "cheap"
    assert found.value == cards["cheap"].metrics["f1_macro"]
    assert "shown to be within 0.05 of best" in found.reason
    assert "4.0 times cheaper" in found.reason


def test_evidence_that_is_missing_does_not_help_the_cheap_one():
    """Nothing tells the two apart, but nothing shows them to be as good either: the better one wins."""
    cards, outcomes = field({"best": 0.02, "cheap": 0.005}, cheap=0.805, best=0.81)
    found = verdict(cards, outcomes)
    assert found.comparisons[0].p_holm > 0.05
    assert found.margin == 0.01
    assert found.best_set == ("best",)
    assert found.winner == "best"
    assert "cheap is not shown to be within 0.01 of it" in found.reason
    assert f"probability {found.p_best['best']:.2f}" in found.reason
    assert found.rows_for_margin > N
    assert "rows would show as often" in found.reason
    assert 0 < found.comparisons[0].q < 1
    assert found.expected_loss["best"] < found.expected_loss["cheap"]


def test_a_cheap_equal_wins_once_the_rows_show_it():
    cards, outcomes = field({"b": 0.005}, n=12_000, hard=0.9, a=0.8, b=0.8)
    found = verdict(cards, outcomes)
    assert found.rows_for_margin < 12_000
    assert found.winner == "b"


@pytest.mark.parametrize("others", [1, 5])
def test_a_worse_one_hardly_ever_wins_for_its_price(others):
    """One candidate is five points better, all others cost half: of few rows, too, a worse one wins rarely."""
    wrong = 0
    for at in range(40):
        accuracies = {"best": 0.85} | {f"cheap{i}": 0.80 for i in range(others)}
        true, predictions = candidates(np.random.default_rng(at), 300, accuracies)
        cards = {
            name: card_of(find("accuracy", "classification"), true, each, cost=0.01 if name == "best" else 0.005)
            for name, each in predictions.items()
        }
        outcomes = {name: (true, each) for name, each in predictions.items()}
        found = decide(cards, outcomes, DecideConfig(metric="accuracy", margin=0.02), "classification", at)
        wrong += found.winner != found.best
    assert wrong <= 3


def test_a_choice_that_is_not_settled_says_so_and_what_would_settle_it():
    cards, outcomes = field(n=200, best=0.81, close=0.8)
    found = verdict(cards, outcomes, metric="accuracy")
    chance, rows = found.p_worse[found.winner], found.rows_to_settle
    assert 0.05 < chance < 1 - found.p_best[found.winner]
    assert (
        f"The choice is not settled: with probability {chance:.2f} {found.winner} is worse than the best"
        in found.reason
    )
    assert "test rows would settle it (there are 200)" in found.reason
    # So many rows on which the candidates differ as they do on these settle it.
    assert 200 < rows < 50_000
    times = rows // 200 + 1
    more = {
        name: (np.tile(true, times), Predictions(values_n=np.tile(each.values_n, times)))
        for name, (true, each) in outcomes.items()
    }
    measure = find("accuracy", "classification")
    again = {name: card_of(measure, true, each, 0.01) for name, (true, each) in more.items()}
    assert verdict(again, more, metric="accuracy", confidence=0.975).winner == found.winner


def test_a_settled_choice_says_nothing_of_it():
    found = verdict(*field(good=0.9, poor=0.7))
    assert found.p_worse["good"] < 0.001
    assert found.p_worse["poor"] > 0.99
    assert "settled" not in found.reason


def test_with_a_confidence_nobody_wins_who_is_not_shown_to():
    cards, outcomes = field(n=200, best=0.81, close=0.8)
    found = verdict(cards, outcomes, metric="accuracy", confidence=0.95)
    assert found.winner is None
    assert found.best_set == ()
    assert found.value is None
    assert found.reason.startswith(
        "Nobody wins: no candidate is shown to be within 0.01 of every other with the confid"
    )
    assert "test rows would settle it" in found.reason
    assert verdict(cards, outcomes, metric="accuracy", confidence=0.95, margin=0.2).winner is not None
    assert verdict(*field(good=0.9, poor=0.7), confidence=0.95).winner == "good"
    assert verdict(*field(only=0.7), confidence=0.95).winner == "only"
    gated = verdict(cards, outcomes, metric="accuracy", confidence=0.95, gates={"accuracy": Gate(min=0.99)})
    assert gated.reason.startswith("Nobody wins: no candidate passes every gate")


def test_with_a_confidence_a_worse_one_hardly_ever_wins():
    """One candidate is five points better, the margin two: of 100 rows one of the others measures best in 20%."""
    wrong = named = 0
    simulations = 60
    accuracies = {"best": 0.85} | {f"c{i}": 0.8 for i in range(5)}
    measure = find("accuracy", "classification")
    for i in range(simulations):
        true, predictions = candidates(np.random.default_rng([5, i]), 100, accuracies)
        cards = {name: card_of(measure, true, each, 0.01) for name, each in predictions.items()}
        outcomes = {name: (true, each) for name, each in predictions.items()}
        found = verdict(cards, outcomes, metric="accuracy", margin=0.02, confidence=0.95)
        wrong += found.winner not in {None, "best"}
        named += found.winner is not None
    assert wrong / simulations <= 0.05
    assert named > 0


def test_noise_in_prices_does_not_decide():
    found = verdict(*field({"best": 0.014, "cheap": 0.01}, cheap=0.805, best=0.81), margin=0.05)
    assert found.winner == "best"
    assert "not clearly cheaper" in found.reason


def test_a_margin_widens_the_best_set():
    cards, outcomes = field({"best": 0.02}, cheap=0.78, best=0.83)
    assert verdict(cards, outcomes).best_set == ("best",)
    assert verdict(cards, outcomes, margin=0.05).best_set == ("best",)
    assert set(verdict(cards, outcomes, margin=0.1).best_set) == {"cheap", "best"}


def test_without_a_margin_of_its_own_a_metric_has_one():
    assert default_margin(find("f1_macro", "classification"), 0.8) == 0.01
    assert default_margin(find("mcc", "classification"), 0.8) == 0.01
    assert default_margin(find("r2", "regression"), 0.8) == 0.01
    assert default_margin(find("rmse", "regression"), 25.0) == 0.5


def test_gates_can_ask_for_confidence():
    cards, outcomes = field(a=0.82, b=0.81)
    plain = verdict(cards, outcomes, gates={"f1_macro": Gate(min=0.8)})
    sure = verdict(cards, outcomes, gates={"f1_macro": Gate(min=0.8, confidence=0.95)})
    assert [gate.passed for gate in plain.gates] == [True, True]
    assert [gate.passed for gate in sure.gates] == [False, False]
    assert sure.winner is None
    low = cards["a"].metrics["f1_macro"].low
    assert sure.gates[0].bound == pytest.approx(low, abs=1e-9)  # of two, each at 97.5%: the end of its interval
    assert "at least 0.8 at 95%, no more than" in sure.reason
    assert verdict(cards, outcomes, gates={"f1_macro": Gate(min=0.78, confidence=0.95)}).winner == "a"
    gates = DecideConfig(gates={"f1_macro": Gate(min=0.78, confidence=0.95)})
    bounds = [decide(cards, outcomes, gates, "classification", 0, look=look).gates[0].bound for look in (None, 1, 2, 9)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1] + 0.01
    assert sum(look_share(number) for number in range(1, 10_000)) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ConfigError, match="a measurement has no interval"):
        verdict(cards, outcomes, gates={"train_s": Gate(max=5, confidence=0.9)})


def test_the_best_of_several_equals_is_told_at_less_than_it_measured():
    cards, outcomes = field(**{f"c{i}": 0.8 for i in range(6)}, n=500)
    found = verdict(cards, outcomes)
    measured = cards[found.best].metrics["f1_macro"]
    assert found.value.value < measured.value - 0.003
    assert found.value.low < measured.low
    assert found.value.high == measured.high  # how much of the lead is luck is not known
    assert f"measured {measured.value:.4f}, less what being the best of 6 adds" in found.reason
    assert sum(found.p_best.values()) == pytest.approx(1.0)


def test_gates_keep_the_best_out_and_the_next_wins():
    cards, outcomes = field(good=0.9, fair=0.8)
    found = verdict(cards, outcomes, gates={"accuracy": Gate(max=0.85), "latency_p95_ms": Gate(max=2.0)})
    assert found.winner == found.best == "fair"
    assert [(g.candidate, g.metric, g.passed) for g in found.gates] == [
        ("good", "accuracy", False),
        ("good", "latency_p95_ms", True),
        ("fair", "accuracy", True),
        ("fair", "latency_p95_ms", True),
    ]
    assert "good (accuracy 0.896" in found.reason
    assert "is over 0.85" in found.reason


def test_when_no_gate_is_passed_nobody_wins():
    found = verdict(*field(good=0.9, fair=0.8), gates={"f1_macro": Gate(min=0.99)})
    assert found.winner is None
    assert found.best == "good"
    assert "Nobody wins" in found.reason
    assert "is under 0.99" in found.reason


def test_a_single_candidate_and_none():
    alone = verdict(*field(only=0.8))
    assert alone.winner == "only"
    assert alone.mdd is None
    assert "only candidate" in alone.reason
    nobody = verdict({}, {})
    assert nobody.winner is None
    assert "no candidate could be evaluated" in nobody.reason


def test_an_undefined_metric_decides_nothing():
    shares = np.full((30, 2), 0.5)
    one_class = (np.full(30, "no"), Predictions.of_probabilities(shares, ("no", "yes")))
    scores = score(*one_class, "classification", resamples=100, seed=0)
    assert not any(name.startswith("roc_auc") for name in scores.metrics)
    cards, _ = field(x=0.8)
    card = Scorecard(
        **{f: getattr(scores, f) for f in scores.__dataclass_fields__},
        **{f: getattr(cards["x"], f) for f in ("latency_ms", "throughput_rows_s", "train_s", "size_bytes")},
        cost_usd_per_1k=0.1,
    )
    found = verdict({"x": card}, {"x": one_class}, metric="roc_auc", gates={"roc_auc": Gate(min=0.1)})
    assert found.winner is None
    assert "undefined" in found.reason
    assert found.gates[0].value is None


def test_accuracy_is_tested_by_mcnemar():
    cards, outcomes = field(a=0.82, b=0.80)
    found = verdict(cards, outcomes, metric="accuracy")
    right = {name: true == p.values_n for name, (true, p) in outcomes.items()}
    only_a, only_b = (right["a"] & ~right["b"]).sum(), (right["b"] & ~right["a"]).sum()
    assert found.comparisons[0].p_value == mcnemar_exact(int(only_a), int(only_b))


def test_lower_is_better_where_it_is():
    cards, outcomes = field(good=0.9, poor=0.7)
    found = verdict(cards, outcomes, metric="log_loss")
    assert found.winner == "good"
    assert found.comparisons[0].difference < 0


def test_three_candidates_are_corrected_for_all_pairs():
    found = verdict(*field(a=0.85, b=0.80, c=0.79))
    assert [c.candidate for c in found.comparisons] == ["b", "c"]
    assert all(c.versus == "a" and c.p_holm >= c.p_value for c in found.comparisons)


def test_the_verdict_is_json_and_the_same_each_time():
    cards, outcomes = field(a=0.82, b=0.80, c=0.7)
    first, second = (verdict(cards, outcomes, gates={"f1_macro": Gate(min=0.75)}) for _ in range(2))
    assert first == second
    body = json.loads(json.dumps(msgspec.to_builtins(first), allow_nan=False))
    assert body["winner"] == "a"
    assert body["gates"][2] == {
        "candidate": "c",
        "metric": "f1_macro",
        "value": cards["c"].metrics["f1_macro"].value,
        "min": 0.75,
        "max": None,
        "passed": False,
        "confidence": None,
        "bound": None,
    }


def test_outcomes_on_different_rows_are_refused():
    cards, outcomes = field(a=0.8, b=0.8)
    outcomes["b"] = (outcomes["b"][0][::-1], outcomes["b"][1])
    with pytest.raises(DataError, match="same test rows"):
        verdict(cards, outcomes)


def test_unknown_gates_and_metrics_are_told_all_together():
    config = DecideConfig(metric="rmse", gates={"f1_marco": Gate(min=0.5), "latency_p95": Gate(max=5)})
    with pytest.raises(ConfigError) as caught:
        check_gates(config, "classification")
    told = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "decide.metric" in told
    assert "Did you mean 'f1_macro'?" in told
    assert "Did you mean 'latency_p95_ms'?" in told
    check_gates(DecideConfig(metric="f1_macro", gates={"train_s": Gate(max=5)}), "classification")


def test_champion_against_challenger():
    better, worse = said(0.85, seed=1), said(0.80, seed=2)
    found = compare(truth(), better, worse, "f1_macro", seed=0)
    assert (found.candidate, found.versus) == ("challenger", "champion")
    assert found.superior
    assert found.non_inferior(0.0)
    back = compare(truth(), worse, better, "f1_macro", seed=0)
    assert back.inferior()
    assert not back.inferior(0.2)
    assert back.non_inferior(0.2)
    assert back.difference == pytest.approx(-found.difference)
    same = compare(truth(), better, better, "roc_auc", seed=0)
    assert (same.difference, same.p_value, same.inferior()) == (0.0, 1.0, False)
    with pytest.raises(NotFoundError, match="bleu"):
        compare(truth(), better, worse, "bleu", seed=0)


def test_regression_errors_compare_by_size():
    rng = np.random.default_rng(0)
    true = rng.normal(size=300)
    near, far = (Predictions(values_n=true + s * rng.normal(size=300)) for s in (0.1, 1.0))
    assert compare(true, near, far, "rmse", seed=0).superior
    assert compare(true, near, far, "pinball[0.9]", seed=0).metric == "pinball[0.9]"


def test_candidates_can_be_told_apart_by_swapping_their_answers():
    found = verdict(*field(a=0.85, b=0.80, c=0.6), test="permutation", resamples=500)
    usual = verdict(*field(a=0.85, b=0.80, c=0.6))
    assert found.best_set == usual.best_set
    assert found.comparisons[1].p_value == pytest.approx(1 / 501)
    assert [each.difference for each in found.comparisons] == [each.difference for each in usual.comparisons]


def test_prices_that_differ_less_than_their_timings_vary_do_not_decide():
    """Two equal candidates of which one was timed while the machine was busy: the better one wins, as in any run."""
    cards, outcomes = field({"best": 0.02, "cheap": 0.01}, cheap=0.805, best=0.81)
    assert verdict(cards, outcomes, margin=0.05).winner == "cheap"
    cards["cheap"] = replace(cards["cheap"], cost_spread=1.6)
    assert verdict(cards, outcomes, margin=0.05).winner == "best"


@pytest.mark.parametrize("costs", [{"a": 0.01, "b": 0.0149}, {"a": 0.0149, "b": 0.01}])
def test_of_equals_the_one_named_first_wins(costs):
    cards, outcomes = field(costs, a=0.8, b=0.8)
    cards["b"], outcomes["b"] = replace(cards["a"], cost_usd_per_1k=costs["b"]), outcomes["a"]
    assert verdict(cards, outcomes).winner == "a"
    assert verdict(cards, outcomes, utility="f1_macro").winner == "a"


def test_the_best_of_several_is_told_at_a_larger_loss():
    true = np.random.default_rng(0).normal(size=300)
    outcomes = {
        f"c{i}": (true, Predictions(values_n=true + np.random.default_rng(i + 1).normal(size=300))) for i in range(6)
    }
    cards = {
        name: Scorecard.of_metrics(
            {"mae": score(*each, "regression", resamples=100, seed=0).metrics["mae"]}, n_test=300, cost_usd_per_1k=1.0
        )
        for name, each in outcomes.items()
    }
    found = decide(cards, outcomes, DecideConfig(metric="mae"), "regression", 0)
    measured = cards[found.best].metrics["mae"]
    assert found.value.value > measured.value + 0.005
    assert found.value.low == measured.low
    assert found.value.high > measured.high


def test_the_difference_that_is_promised_is_shown_as_often_once_it_is_there():
    """Wherever the better one is right on so many more rows, the spread is the one that was reckoned with."""
    rng, n = np.random.default_rng(4), 200
    true, other = np.array(["a", "b"])[np.arange(n) % 2], np.array(["b", "a"])[np.arange(n) % 2]
    tied, shared = rng.random(n) < 0.5, rng.random(n)
    right = {name: np.where(tied, shared, rng.random(n)) < 0.8 for name in "xy"}

    def field_of(right):
        said = {
            name: Predictions(values_n=np.where(each, true, other), classes=("a", "b")) for name, each in right.items()
        }
        return Field(true, said, find("accuracy", "classification"), seed=0, resamples=100)

    equals = field_of(right)
    promised = equals.detectable("x", "y", level=0.999)
    plain = detectable(equals.spread("x", "y").se, level=0.999, freedom=equals.spread("x", "y").freedom)
    wrong, needed = np.flatnonzero(~right["y"]), []
    for _ in range(20):
        better = right["y"].copy()
        better[rng.choice(wrong, round(promised * n), replace=False)] = True
        spread = field_of({"x": right["x"], "y": better}).spread("x", "y")
        needed.append(detectable(spread.se, level=0.999, freedom=spread.freedom))
    assert promised == pytest.approx(np.mean(needed), rel=0.01)
    assert plain < 0.985 * np.mean(needed)


def test_of_those_that_measure_best_alike_the_cheapest_wins():
    """With so few rows none is shown to be within the margin: the best wins, and there are two of them."""
    outcomes = alike(60)
    cards = {name: card_of(find("accuracy", "classification"), *outcomes[name], cost=1.0) for name in outcomes}
    cards["second"] = replace(cards["second"], cost_usd_per_1k=0.1)
    found = verdict(cards, outcomes, metric="accuracy")
    assert found.best == found.winner == "second"
    assert found.best_set == ("second",)
    assert found.value.value < cards["second"].metrics["accuracy"].value  # the best of three, all the same
    dear_is_useful = verdict(cards, outcomes, metric="accuracy", utility="accuracy + cost_usd_per_1k")
    assert dear_is_useful.best == dear_is_useful.winner == "first"


def alike(n):
    """Two candidates that are right equally often, on different rows, and a third that is worse."""
    true = np.array(["a", "b"])[np.arange(n) % 2]
    other = np.array(["b", "a"])[np.arange(n) % 2]
    wrong = {"first": slice(0, 10), "second": slice(10, 20), "third": slice(20, 40)}

    def answers(rows):
        values = true.copy()
        values[rows] = other[rows]
        return Predictions(values_n=values, classes=("a", "b"))

    return {name: (true, answers(rows)) for name, rows in wrong.items()}


def test_the_highest_utility_of_the_best_set_wins():
    cards, outcomes = field({"best": 0.02, "cheap": 0.005}, cheap=0.805, best=0.81, poor=0.6)
    found = verdict(cards, outcomes, utility="f1_macro - cost_usd_per_1k", margin=0.05)
    assert found.winner == "cheap"
    assert set(found.utilities) == {"cheap", "best", "poor"}
    assert "expected utility 0.7" in found.reason
    assert sum(found.utility_p_best.values()) == pytest.approx(1)
    assert found.utility_loss["cheap"] < found.utility_loss["best"]
    assert "the highest of the best set, before best" in found.reason
    assert verdict(cards, outcomes, utility="100 * f1_macro - cost_usd_per_1k", margin=0.05).winner == "best"
    # poor is not in the best set
    assert (
        verdict(cards, outcomes, utility="0 - f1_macro", margin=0.05).winner == "cheap"
    )  # poor is not in the best set
    alone = verdict(
        cards, outcomes, utility="f1_macro", margin=0.0, gates={"cost_usd_per_1k": Gate(max=0.01, min=0.01)}
    )
    assert "the only one of the best set with one" in alone.reason
    assert alone.utility == "f1_macro"


def test_a_threshold_in_a_utility_counts_as_surely_as_it_is_kept():
    """Just over it in 200 rows is not safely over it: then the dearer one that is far over is worth more."""
    truth, said = candidates(np.random.default_rng(0), 200, {"near": 0.8, "far": 0.93}, tie=0.9)
    measure = find("accuracy", "classification")
    cards = {name: card_of(measure, truth, each, 1.0) for name, each in said.items()}
    at = cards["near"].metrics["accuracy"].value - 0.002
    found = decide(
        cards,
        {name: (truth, each) for name, each in said.items()},
        DecideConfig(metric="accuracy", margin=0.5, utility=f"(accuracy >= {at})"),
        "classification",
        0,
    )
    assert found.winner == "far"
    assert 0.4 < found.utilities["near"] < 0.7
    assert found.utilities["far"] > 0.99


def test_a_utility_without_a_value_lets_nobody_win():
    cards, outcomes = field(a=0.8, b=0.79)
    found = verdict(cards, outcomes, utility="log(0 - f1_macro)", margin=0.1)
    assert found.winner is None
    assert "the utility (log(0 - f1_macro)) is undefined for a and b" in found.reason


@pytest.mark.parametrize(
    ("utility", "told"), [("f1_marco - 1", "Did you mean 'f1_macro'?"), ("open(1)", "expected numbers")]
)
def test_a_wrong_utility_is_told_before_anything_runs(utility, told):
    with pytest.raises(ConfigError) as caught:
        check_gates(DecideConfig(utility=utility), "classification")
    assert "decide.utility" in str(caught.value)
    assert told in str(caught.value)


def test_when_a_challenger_takes_over():
    better, equal = (
        compare(truth(), said(0.9, seed=1), said(0.8, seed=2), "f1_macro", seed=0),
        compare(truth(), said(0.8, seed=1), said(0.8, seed=2), "f1_macro", seed=0),
    )
    worse = compare(truth(), said(0.7, seed=1), said(0.8, seed=2), "f1_macro", seed=0)

    def rule(name, margin=0.0):
        return [takes_over(each, DecideConfig(champion=name), margin) for each in (better, equal, worse)]

    assert rule("unless_worse") == [True, True, False]
    assert rule("non_inferior", 0.05) == [True, True, False]
    assert rule("non_inferior", 0.0001) == [True, False, False]
    assert rule("superior") == [True, False, False]
