"""How often bakeoff's statistics hold in worlds where the truth is known; `make bench-statistics`.

    python benchmarks/statistics.py [SIMULATIONS] [PART[:WORLD] ...]

Parts: intervals, verdicts, wrong, winner, gates, power. Each line is a cell: what was simulated and how often it held.
"""

# ruff: noqa: E402 - this file's name is that of a standard module, which must be found first
import sys

sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import time

import numpy as np

from bakeoff.core.config import DecideConfig, Gate
from bakeoff.evaluate.estimates import Rows, estimates
from bakeoff.evaluate.scorecard import Scorecard
from bakeoff.evaluate.verdict import decide
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.testing.worlds import WORLDS, candidates

MANY = 1_000_000
LABELS = ("accuracy", "f1_macro", "mcc", "balanced_accuracy", "f1_weighted")
CHANCES = ("log_loss", "brier", "ece", "roc_auc", "pr_auc")
NUMBERS = ("rmse", "mae", "median_ae", "mape", "r2")
CELLS = [
    ("50% positive", (50, 200, 1000), LABELS + CHANCES),
    ("10% positive", (50, 200, 1000), LABELS + CHANCES),
    ("2% positive", (50, 200, 1000), LABELS + CHANCES),
    ("0.5% positive", (1000, 5000), LABELS + CHANCES),
    ("2% positive, 1% errors", (50, 200, 1000), LABELS),
    ("0.5% errors", (50, 200, 1000), LABELS),
    ("3 classes", (50, 200), LABELS),
    ("77 classes, even", (200, 1000), LABELS),
    ("77 classes, Zipf", (200, 1000, 5000), LABELS),
    ("groups", (100, 200, 600, 2000), ("accuracy", "f1_macro", "mcc")),
    ("time, AR .9", (200, 1000, 5000), ("accuracy", "f1_macro")),
    ("time, AR .99", (1000, 5000), ("accuracy", "f1_macro")),
    ("normal errors", (50, 200, 1000), NUMBERS[:3] + NUMBERS[4:]),
    ("t3 errors", (50, 200, 1000), NUMBERS[:3] + NUMBERS[4:]),
    ("prices", (50, 200, 1000), NUMBERS),
]


def intervals(simulations, only=""):
    print("intervals: share of those given that cover | share given | mean width")
    for name, sizes, metrics in CELLS:
        if only and only not in name:
            continue
        world = WORLDS[name]
        measures = [find(metric, world.task) for metric in metrics]
        whole = world.draw(np.random.default_rng(99), MANY)
        seen = outcome(whole.truth_n, whole.predictions, world.task)
        true = {measure.name: measure(seen) for measure in measures}
        for n in sizes:
            covered, given, width = (dict.fromkeys(metrics, 0.0) for _ in range(3))
            for at in range(simulations):
                sample = world.draw(np.random.default_rng([1, n, at]), n)
                rows = Rows(
                    outcome=outcome(sample.truth_n, sample.predictions, world.task),
                    dependence=Dependence.of(n, groups_n=sample.groups_n, time_n=sample.time_n),
                    draws=400,
                    seed=at,
                )
                for metric, found in estimates(measures, rows).items():
                    if found.low is not None:
                        given[metric] += 1
                        covered[metric] += found.low <= true[metric] <= found.high
                        width[metric] += found.high - found.low
            cells = [
                f"{metric} {covered[metric] / given[metric]:.3f} | {given[metric] / simulations:.2f} | "
                f"{width[metric] / given[metric]:.3f}"
                if given[metric]
                else f"{metric} – | 0.00 | –"
                for metric in metrics
            ]
            print(f"{name}, n = {n}: " + "; ".join(cells), flush=True)


def decided(seed, n, accuracies, *, costs=None, metric="accuracy", margin=None, classes=2, gates=None):
    """A verdict between candidates of known strength, and what they truly are."""
    truth, predictions = candidates(np.random.default_rng(seed), n, accuracies, classes=classes)
    measure = find(metric, "classification")
    cards = {}
    for name, each in predictions.items():
        result = outcome(truth, each, "classification")
        cards[name] = Scorecard(
            metrics=estimates([measure], Rows(outcome=result)),
            n_test=n,
            intervals="",
            per_class={},
            latency_ms={},
            throughput_rows_s=1.0,
            train_s=0.0,
            size_bytes=0,
            cost_usd_per_1k=(costs or {}).get(name, 1.0),
        )
    outcomes = {name: (truth, each) for name, each in predictions.items()}
    config = DecideConfig(metric=metric, margin=margin, gates=gates or {})
    return decide(cards, outcomes, config, "classification", int(seed[-1])), cards


def verdicts(simulations):
    print("verdicts: how often any of k equal candidates is called different (at most 0.05)")
    for metric, classes, n in (("accuracy", 2, 300), ("f1_macro", 3, 300), ("f1_macro", 77, 1500)):
        for k in (2, 5, 10):
            wrong = 0
            for at in range(simulations):
                found, _ = decided([2, k, at], n, {f"c{i}": 0.8 for i in range(k)}, metric=metric, classes=classes)
                wrong += any(each.low > 0 or each.high < 0 or each.p_holm < 0.05 for each in found.comparisons)
            print(f"{metric}, {classes} classes, n = {n}, k = {k}: {wrong / simulations:.3f}", flush=True)


def wrong(simulations):
    print(
        "wrong: one candidate is truly better by a gap, the others cost half (margin 0.02); how often one of these wins"
    )
    print("for its price, though another measured better | how often it wins at all, measuring best by chance included")
    for gap in (0.05, 0.03, 0.0):
        for k in (2, 6):
            for n in (100, 300, 1000):
                by_price = in_all = 0
                for at in range(simulations):
                    accuracies = {"best": 0.85} | {f"cheap{i}": 0.85 - gap for i in range(k - 1)}
                    costs = {name: 1.0 if name == "best" else 0.5 for name in accuracies}
                    found, _ = decided([3, k, n, at], n, accuracies, costs=costs, margin=0.02)
                    in_all += found.winner != "best"
                    by_price += found.winner not in {"best", found.best}
                print(
                    f"gap {gap:g}, k = {k}, n = {n}: {by_price / simulations:.3f} | {in_all / simulations:.3f}",
                    flush=True,
                )


def winner(simulations):
    print("winner: bias of the value as measured | as told | coverage of its interval")
    for k, step in ((1, 0.0), (5, 0.0), (10, 0.0), (10, 0.01), (10, 0.03)):
        for n in (200, 500, 2500):
            measured, told, covered = [], [], 0
            for at in range(simulations):
                accuracies = {f"c{i}": 0.8 - step * i for i in range(k)}
                found, cards = decided([4, k, n, at], n, accuracies)
                true = accuracies[found.winner]
                measured.append(cards[found.winner].metrics["accuracy"].value - true)
                told.append(found.value.value - true)
                covered += found.value.low <= true <= found.value.high
            print(
                f"k = {k}, apart by {step:g}, n = {n}: {np.mean(measured):+.4f} | {np.mean(told):+.4f} | "
                f"{covered / simulations:.3f}",
                flush=True,
            )


def gates(simulations):
    print("gates: all are truly 0.78, the gate asks for 0.80; how often one passes, plainly | with confidence 0.9")
    for k in (1, 5, 10):
        for n in (500, 2500):
            passed = {None: 0, 0.9: 0}
            for confidence in passed:
                for at in range(simulations):
                    gate = {"accuracy": Gate(min=0.8, confidence=confidence)}
                    found, _ = decided([5, k, n, at], n, {f"c{i}": 0.78 for i in range(k)}, gates=gate)
                    passed[confidence] += found.winner is not None
            print(
                f"k = {k}, n = {n}: " + " | ".join(f"{hits / simulations:.3f}" for hits in passed.values()), flush=True
            )


def power(simulations):
    print(
        "power: one candidate is better by the difference that is said to be shown four times in five; how often it is"
    )
    for k in (2, 5, 10):
        plain, _ = decided([6, 0], 1000, {f"c{i}": 0.8 for i in range(k)})
        shown = 0
        for at in range(simulations):
            accuracies = {"best": 0.8 + plain.mdd} | {f"c{i}": 0.8 for i in range(k - 1)}
            found, _ = decided([6, k, at], 1000, accuracies)
            other = next((each for each in found.comparisons if "c0" in {each.candidate, each.versus}), None)
            shown += found.best == "best" and other is not None and other.high < 0
        print(f"k = {k}: {shown / simulations:.3f}", flush=True)


PARTS = {each.__name__: each for each in (intervals, verdicts, wrong, winner, gates, power)}


def main():
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for name in sys.argv[2:] or PARTS:
        part, _, only = name.partition(":")
        started = time.process_time()
        PARTS[part](simulations, *([only] if only else []))
        print(
            f"({time.process_time() - started:.0f} s of processor time, {simulations} simulations a cell)", flush=True
        )


if __name__ == "__main__":
    main()
