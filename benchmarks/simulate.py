"""How often intervals, verdicts, gates and champions hold where the truth is known: the tables of docs/statistics.md.

    python benchmarks/simulate.py --jobs 2               # all parts, 1,000 simulations a cell: hours
    python benchmarks/simulate.py intervals winner --simulations 200 --cells "2% positive"
    python benchmarks/simulate.py --list                 # the cells, with no simulation

Each cell that is done goes to `--out` (JSON lines) at once; what is there is not simulated again. The suite simulates
a few cells with few draws (tests/evaluate/test_coverage.py).
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import decisions
import numpy as np
from cells import Cell

from bakeoff.evaluate.score.estimates import ScoredRows, estimates
from bakeoff.metrics.custom import using
from bakeoff.metrics.judges import prediction_powered
from bakeoff.metrics.registry import find
from bakeoff.testing.worlds import MANY, WORLDS, Sample, coverage, true_values

AVERAGES = ("f1_macro", "mcc", "balanced_accuracy", "precision_macro", "recall_macro", "f1_weighted")
LABELS = ("accuracy", *AVERAGES)
OF_ONE = ("recall[1]", "precision[1]", "f1[1]", "specificity[1]")
CHANCES = ("log_loss", "brier", "roc_auc", "pr_auc")
POINTS = ("precision_at_recall[1, 0.8]", "recall_at_precision[1, 0.5]")
NUMBERS = ("rmse", "mae", "median_ae", "mape", "r2")
UNSCALED = tuple(name for name in NUMBERS if name != "mape")
INTERVALS = [
    ("50% positive", (50, 200, 1000), LABELS + OF_ONE + CHANCES),
    ("50% positive", (100, 500), ("ece", *POINTS)),
    ("10% positive", (50, 200, 1000), LABELS + OF_ONE + CHANCES),
    ("10% positive", (100, 500), ("ece", *POINTS)),
    ("2% positive", (50, 200, 1000), LABELS + OF_ONE + CHANCES),
    ("2% positive", (100_000,), ("accuracy", "f1_macro", "log_loss", "roc_auc")),
    ("0.5% positive", (1000, 5000), LABELS + CHANCES),
    ("2% positive, 1% errors", (50, 200, 1000), LABELS + OF_ONE),
    ("0.5% errors", (50, 200, 1000), LABELS),
    ("3 classes", (50, 200), LABELS),
    ("77 classes, even", (200, 1000), LABELS),
    ("77 classes, Zipf", (200, 1000, 5000), LABELS),
    ("77 classes, Zipf", (100_000,), ("accuracy", "f1_macro")),
    ("10 ranked classes", (200, 1000), ("f1_macro", *CHANCES, "top_k[3]", "ndcg", "map")),
    ("costly errors", (50, 200, 1000), ("expected_cost",)),
    ("groups", (100, 200, 600, 2000, 20_000), ("accuracy", "f1_macro", "mcc")),
    ("time, AR .9", (200, 1000, 5000), ("accuracy", "f1_macro")),
    ("time, AR .99", (1000, 5000, 100_000), ("accuracy", "f1_macro")),
    ("5 folds", (50, 200, 1000), ("accuracy", "f1_macro", "log_loss", "roc_auc")),
    ("3 times 5 folds", (50, 200, 1000), ("accuracy", "f1_macro", "log_loss", "roc_auc")),
    ("normal errors", (50, 200, 1000), UNSCALED),
    ("t3 errors", (50, 200, 1000), UNSCALED),
    ("t3 errors", (100_000,), ("rmse", "mae")),
    ("prices", (50, 200, 1000), NUMBERS),
    ("quantiles", (50, 200, 1000), ("pinball[0.9]", "mean_pinball", "interval_score[0.8]", "interval_coverage[0.8]")),
    (
        "texts",
        (50, 200),
        ("token_f1", "exact_match", "rouge2", "rouge_l", "bleu", "chrf", "perplexity", "embedding_similarity", "judge"),
    ),
]


TIMES = 100
"""Rows of the truth for each row of a sample, at least: so its own chance moves a coverage of .95 by less than .001."""
REFUSED = 0.05
"""A cell in which so few samples are given an interval is one that is refused."""


def intervals() -> Iterator[Cell]:
    """How many of the intervals given hold the true value, and how many samples were given one."""

    def of(name: str, n: int, metrics: tuple[str, ...]) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            world = WORLDS[name]
            with using(None, world.costs):
                measures = [find(metric, world.task) for metric in metrics]

            def given(sample: Sample, seed: int):
                return estimates(
                    measures,
                    ScoredRows(
                        outcome=sample.outcome, again=sample.again, dependence=sample.dependence, draws=400, seed=seed
                    ),
                )

            # Of as many rows that their own chance is small beside that of n.
            true = true_values(world, metrics, rows=max(MANY, TIMES * n))
            found = coverage(world, n, true, given, simulations=simulations)
            shares = {metric: each.share for metric, each in found.items()}
            return shares | {f"{m} given": each.given / simulations for m, each in found.items() if each.refused}

        return run

    for name, sizes, metrics in INTERVALS:
        for n in sizes:
            yield Cell(part="intervals", name=f"{name}, n = {n}", run=of(name, n, metrics))


def judges() -> Iterator[Cell]:
    """Prediction-powered shares of good answers: coverage with m human labels and 1,000 votes of a judge."""

    def of(m: int, share: float, agreement: float) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            covered = given = 0
            for at in range(simulations):
                rng = np.random.default_rng([11, m, at])
                good = (rng.random(m + 1000) < share).astype(float)
                vote = np.where(rng.random(m + 1000) < agreement, good, 1 - good)
                found = prediction_powered(good[:m], vote[:m], vote[m:])
                if found.low is not None and found.high is not None:
                    given += 1
                    covered += found.low <= share <= found.high
            return {"coverage": covered / max(1, given), "given": given / simulations}

        return run

    for m in (20, 50, 200):
        for share in (0.5, 0.9, 0.97):
            yield Cell(part="judges", name=f"m = {m}, share {share:g}, agreement 0.85", run=of(m, share, 0.85))


PARTS = (intervals, *decisions.PARTS, judges)


def main() -> None:
    names = [part.__name__ for part in PARTS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*names, []], help="all of them by default")
    parser.add_argument("--simulations", type=int, default=1000, help="a cell")
    parser.add_argument("--cells", default="", help="only cells whose name holds this")
    parser.add_argument(
        "--out", type=Path, default=Path("build/statistics.jsonl"), help="results that were found so far"
    )
    parser.add_argument("--list", action="store_true", help="name the cells and simulate nothing")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with a cell at a time")
    parser.add_argument("--tables", action="store_true", help="intervals in --out as tables of Markdown; no simulation")
    asked = parser.parse_args()
    done = _done(asked.out)
    if asked.tables:
        print(_tables(done, asked.simulations))
        return
    for part in (each for each in PARTS if not asked.parts or each.__name__ in asked.parts):
        print(f"\n{part.__name__}: {' '.join((part.__doc__ or '').split())}", flush=True)
        cells = [each for each in part() if asked.cells in each.name]
        if asked.list:
            print("\n".join(f"  {each.name}" for each in cells))
            continue

        def result(cell: Cell) -> dict[str, Any]:
            return done.get((cell.key, asked.simulations)) or _run(cell, asked.simulations, asked.out)

        for cell, found in zip(cells, _in_processes(result, cells, asked.jobs), strict=True):
            numbers = "; ".join(f"{name} {number:.3f}" for name, number in found["numbers"].items())
            print(f"  {cell.name}: {numbers}  ({found['seconds']:.0f} s)", flush=True)


def _tables(done: Mapping[tuple[str, int], Mapping[str, Any]], simulations: int) -> str:
    """Tables of the intervals, one for each set of metrics; what is not there yet is a dash."""
    lines: list[str] = []
    of_metrics: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for name, sizes, metrics in INTERVALS:
        of_metrics.setdefault(metrics, []).extend((name, n) for n in sizes)
    for metrics, rows in of_metrics.items():
        lines += ["", f"| rows | n | {' | '.join(metrics)} |", "|---" * (2 + len(metrics)) + "|"]
        for name, n in rows:
            numbers = done.get((f"intervals: {name}, n = {n}", simulations), {}).get("numbers", {})
            lines.append(f"| {name} | {n:,} | {' | '.join(_shown(numbers, metric) for metric in metrics)} |")
    return "\n".join(lines)


def _shown(numbers: Mapping[str, float], metric: str) -> str:
    """Coverage, and the share of samples that were given an interval, where it is not all."""
    if metric not in numbers:
        return "–"
    given = numbers.get(f"{metric} given", 1.0)
    if given < REFUSED:
        return "refused"
    share = f"{numbers[metric]:.3f}".lstrip("0")
    return share if given == 1 else f"{share} ({given:.2f})"


def _in_processes(run: Callable[[Cell], dict[str, Any]], cells: Sequence[Cell], jobs: int) -> Iterator[dict[str, Any]]:
    """The results in order. What runs is taken over by fork: cells are closures, which cannot be sent."""
    if jobs == 1:
        yield from map(run, cells)
        return
    _FORKED[:] = [run, cells]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(_forked, range(len(cells)))


_FORKED: list[Any] = []


def _forked(at: int) -> dict[str, Any]:
    run, cells = _FORKED
    return run(cells[at])


def _done(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    known = [json.loads(line) for line in lines]
    return {(each["cell"], each["simulations"]): each for each in known}


def _run(cell: Cell, simulations: int, out: Path) -> dict[str, Any]:
    started = time.process_time()
    numbers = cell.run(simulations)
    seconds = time.process_time() - started
    result = {"cell": cell.key, "simulations": simulations, "numbers": numbers, "seconds": seconds}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as lines:
        lines.write(json.dumps(result) + "\n")
    return result


if __name__ == "__main__":
    main()
