"""10,000 bootstrap resamples of f1_macro on 100,000 rows of 77 classes, against a scikit-learn loop; and a verdict."""

import os
from time import perf_counter

import numpy as np
from sklearn.metrics import f1_score

from bakeoff.config.sections import DecideConfig
from bakeoff.core.types import Predictions
from bakeoff.evaluate.decide.verdict import decide
from bakeoff.evaluate.score.scoring import score
from bakeoff.metrics.bootstrap import replicate
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.registry import bind, find
from bakeoff.results.scorecard import Scorecard

ROWS, CLASSES, RESAMPLES, LOOPS = 100_000, 77, 10_000, 40
CANDIDATES, TEST_ROWS = 8, 5000


def main() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, ROWS)
    said = np.where(rng.random(ROWS) < 0.8, truth, rng.integers(0, CLASSES, ROWS))
    names = tuple(f"class {i:02}" for i in range(CLASSES))

    start = perf_counter()
    statistics = bind([find("f1_macro", "classification")], Outcome(truth_n=truth, predicted_n=said, classes=names))
    threads = min(2, os.cpu_count() or 1)
    (found,) = replicate(list(statistics.values()), ROWS, resamples=RESAMPLES, seed=0, threads=threads)
    ours_s = perf_counter() - start

    start = perf_counter()
    draws = (rng.integers(0, ROWS, ROWS) for _ in range(LOOPS))
    plain = [f1_score(truth[rows], said[rows], average="macro") for rows in draws]
    loop_s = (perf_counter() - start) / LOOPS * RESAMPLES

    low, high = np.quantile(found.draws_rm[:, 0], [0.025, 0.975])
    print(f"f1_macro {found.value_m[0]:.4f} [{low:.4f}, {high:.4f}], {ROWS:,} rows × {CLASSES} classes")
    print(f"spread of resamples: {found.draws_rm.std():.5f} (scikit-learn loop of {LOOPS}: {np.std(plain):.5f})")
    print(f"{RESAMPLES:,} resamples: {ours_s:.2f} s on {threads} threads (goal: under 5 s)")
    print(f"scikit-learn loop: {loop_s:.0f} s (from {LOOPS} resamples), ratio {loop_s / ours_s:.0f} (goal: 20)")
    verdict(rng, names)


def verdict(rng: np.random.Generator, names: tuple[str, ...]) -> None:
    """All metrics of eight candidates with their intervals, and the decision between them by f1_macro."""
    truth = rng.integers(0, CLASSES, TEST_ROWS)
    labels, outcomes = np.asarray(names), {}
    for at in range(CANDIDATES):
        said = np.where(rng.random(TEST_ROWS) < 0.8 - 0.01 * at, truth, rng.integers(0, CLASSES, TEST_ROWS))
        outcomes[f"c{at}"] = labels[truth], Predictions(values_n=labels[said], classes=names)
    start = perf_counter()
    cards = {
        name: Scorecard.of_metrics(
            dict(score(*each, "classification", resamples=RESAMPLES, seed=0).metrics),
            n_test=TEST_ROWS,
            cost_usd_per_1k=1.0,
        )
        for name, each in outcomes.items()
    }
    scored_s = perf_counter() - start
    start = perf_counter()
    found = decide(cards, outcomes, DecideConfig(metric="f1_macro"), "classification", 0)
    decided_s = perf_counter() - start
    print(f"{CANDIDATES} candidates on {TEST_ROWS:,} rows: scored in {scored_s:.2f} s, decided in {decided_s:.2f} s")
    print(f"{found.winner} wins; the verdict: {scored_s + decided_s:.2f} s (goal: under 3 s)")


if __name__ == "__main__":
    main()
