"""How often bakeoff's statistics hold in worlds where the truth is known; `make bench-statistics`.

    python benchmarks/statistics.py [SIMULATIONS] [PART ...]

Parts: intervals, verdicts, wrong, winner, gates, champion, power. Each line is a cell: what was simulated and how often it held.
"""

import sys

sys.path = [
    folder for folder in sys.path if not folder.endswith("benchmarks")
]  # this file's name is a standard module's

import time  # noqa: E402

import numpy as np

from bakeoff.evaluate.estimates import Rows, estimates
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.testing.worlds import WORLDS

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


if __name__ == "__main__":
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    started = time.process_time()
    intervals(runs, *sys.argv[2:])
    print(f"{time.process_time() - started:.0f} s")
