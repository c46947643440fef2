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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.core.config import DecideConfig, Gate
from bakeoff.evaluate.estimates import Rows, estimates
from bakeoff.evaluate.looks import look_level
from bakeoff.evaluate.scorecard import Scorecard
from bakeoff.evaluate.verdict import Field, Verdict, compare, decide, takes_over
from bakeoff.metrics.judges import prediction_powered
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.own import using
from bakeoff.metrics.registry import find
from bakeoff.testing.worlds import WORLDS, Sample, candidates, coverage, true_values

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
ROUNDS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of a table: `run` gives its numbers from so many simulations."""

    part: str
    name: str
    run: Callable[[int], dict[str, float]]

    @property
    def key(self) -> str:
        """What names it in the file of results."""
        return f"{self.part}: {self.name}"


def intervals() -> Iterator[Cell]:
    """How many of the intervals given hold the true value, and how many samples were given one."""

    def of(name: str, n: int, metrics: tuple[str, ...]) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            world = WORLDS[name]
            with using(None, world.costs):
                measures = [find(metric, world.task) for metric in metrics]

            def given(sample: Sample, seed: int):
                return estimates(
                    measures, Rows(outcome=sample.outcome, dependence=sample.dependence, draws=400, seed=seed)
                )

            found = coverage(world, n, true_values(world, metrics), given, simulations=simulations)
            shares = {metric: each.share for metric, each in found.items()}
            return shares | {f"{m} given": each.given / simulations for m, each in found.items() if each.refused}

        return run

    for name, sizes, metrics in INTERVALS:
        for n in sizes:
            yield Cell(part="intervals", name=f"{name}, n = {n}", run=of(name, n, metrics))


def decided(
    seed: list[int],
    n: int,
    accuracies: dict[str, float],
    *,
    metric: str = "accuracy",
    classes: int = 2,
    costs: dict[str, float] | None = None,
    **config: Any,
) -> tuple[Verdict, dict[str, Scorecard]]:
    """A verdict between candidates of known strength, and what they seem to be."""
    truth, predictions = candidates(np.random.default_rng(seed), n, accuracies, classes=classes)
    measure = find(metric, "classification")
    cards = {name: _card(measure, truth, each, (costs or {}).get(name, 1.0)) for name, each in predictions.items()}
    outcomes = {name: (truth, each) for name, each in predictions.items()}
    return decide(cards, outcomes, DecideConfig(metric=metric, **config), "classification", seed[-1]), cards


def _card(measure: Any, truth: Any, predictions: Any, cost: float) -> Scorecard:
    metrics = estimates([measure], Rows(outcome=outcome(truth, predictions, "classification")))
    return Scorecard.of_metrics(metrics, n_test=len(truth), cost_usd_per_1k=cost)


def verdicts() -> Iterator[Cell]:
    """How often any of k equal candidates is called different by p or interval (at most 0.05)."""

    def of(metric: str, classes: int, n: int, k: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            wrong = 0
            for at in range(simulations):
                found, _ = decided([2, k, at], n, {f"c{i}": 0.8 for i in range(k)}, metric=metric, classes=classes)
                wrong += any(each.low > 0 or each.high < 0 or each.p_holm < 0.05 for each in found.comparisons)
            return {"called different": wrong / simulations}

        return run

    for metric, classes, n in (("accuracy", 2, 300), ("f1_macro", 3, 300), ("f1_macro", 77, 1500)):
        for k in (2, 5, 10):
            yield Cell(
                part="verdicts", name=f"{metric}, {classes} classes, n = {n}, k = {k}", run=of(metric, classes, n, k)
            )


def together() -> Iterator[Cell]:
    """The same with rows that go together, named: by groups of 20, and in time."""

    def of(name: str, n: int, k: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            wrong = 0
            for at in range(simulations):
                rng = np.random.default_rng([7, k, n, at])
                samples = [WORLDS[name].draw(rng, n) for _ in range(k)]
                right = {f"c{i}": each.truth_n == each.predictions.values_n for i, each in enumerate(samples)}
                first = samples[0]
                other = np.where(first.truth_n == "0", "1", "0")
                field = Field(
                    first.truth_n,
                    {
                        c: replace(first.predictions, values_n=np.where(r, first.truth_n, other))
                        for c, r in right.items()
                    },
                    find("accuracy", "classification"),
                    seed=at,
                    resamples=400,
                    groups_n=first.groups_n,
                    time_n=first.time_n,
                )
                pairs = [(a, b) for a in right for b in right if a < b]
                wrong += any(each.low > 0 or each.high < 0 for each in field.together(pairs))
            return {"called different": wrong / simulations}

        return run

    for name, n in (("groups", 200), ("groups", 600), ("time, AR .9", 1000)):
        for k in (2, 5):
            yield Cell(part="together", name=f"{name}, n = {n}, k = {k}", run=of(name, n, k))


def wrong() -> Iterator[Cell]:
    """One candidate is better by a gap, the others cost half (margin 0.02): how often one of these wins.

    For its price, though another measured better; and at all, measuring best by chance included.
    """

    def of(gap: float, k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            by_price = in_all = 0
            accuracies = {"best": 0.85} | {f"cheap{i}": 0.85 - gap for i in range(k - 1)}
            costs = {name: 1.0 if name == "best" else 0.5 for name in accuracies}
            for at in range(simulations):
                found, _ = decided([3, k, n, at], n, accuracies, costs=costs, margin=0.02)
                in_all += found.winner != "best"
                by_price += found.winner not in {"best", found.best}
            return {"for its price": by_price / simulations, "at all": in_all / simulations}

        return run

    for gap in (0.05, 0.03, 0.0):
        for k in (2, 6):
            for n in (100, 300, 1000):
                yield Cell(part="wrong", name=f"gap {gap:g}, k = {k}, n = {n}", run=of(gap, k, n))


def winner() -> Iterator[Cell]:
    """Bias of the winner's value as measured, and as told; coverage of its interval."""

    def of(k: int, step: float, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            measured, told, covered = 0.0, 0.0, 0
            accuracies = {f"c{i}": 0.8 - step * i for i in range(k)}
            for at in range(simulations):
                found, cards = decided([4, k, n, at], n, accuracies)
                assert found.winner is not None
                assert found.value is not None
                true = accuracies[found.winner]
                measured += cards[found.winner].metrics["accuracy"].value - true
                told += found.value.value - true
                covered += found.value.low <= true <= found.value.high
            return {"measured": measured / simulations, "told": told / simulations, "coverage": covered / simulations}

        return run

    for k, step in ((1, 0.0), (5, 0.0), (10, 0.0), (10, 0.01), (10, 0.03)):
        for n in (200, 500, 2500):
            yield Cell(part="winner", name=f"k = {k}, apart by {step:g}, n = {n}", run=of(k, step, n))


def gates() -> Iterator[Cell]:
    """All are truly 0.78 and the gate asks for 0.80: how often one passes, plainly and with confidence 0.9."""

    def of(k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            passed: dict[float | None, int] = {None: 0, 0.9: 0}
            for confidence in passed:
                gate = {"accuracy": Gate(min=0.8, confidence=confidence)}
                for at in range(simulations):
                    found, _ = decided([5, k, n, at], n, {f"c{i}": 0.78 for i in range(k)}, gates=gate)
                    passed[confidence] += found.winner is not None
            return {"plainly": passed[None] / simulations, "confidence 0.9": passed[0.9] / simulations}

        return run

    for k in (1, 5, 10):
        for n in (500, 2500):
            yield Cell(part="gates", name=f"k = {k}, n = {n}", run=of(k, n))


def power() -> Iterator[Cell]:
    """One candidate is better by what is said to be shown four times in five: how often it is."""

    def of(k: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            plain = np.median([decided([6, at], 1000, {f"c{i}": 0.8 for i in range(k)})[0].mdd for at in range(5)])
            accuracies = {"best": 0.8 + float(plain)} | {f"c{i}": 0.8 for i in range(k - 1)}
            shown = 0
            for at in range(simulations):
                found, _ = decided([6, k, at], 1000, accuracies)
                other = next((each for each in found.comparisons if "c0" in {each.candidate, each.versus}), None)
                shown += found.best == "best" and other is not None and other.high < 0
            return {"shown": shown / simulations}

        return run

    for k in (2, 5, 10):
        yield Cell(part="power", name=f"k = {k}, n = 1000", run=of(k))


def rounds() -> Iterator[Cell]:
    """Fifty challengers in a row, each truly worse than the champion it meets by a step: what the champion loses.

    By the default rule, with an anchor; on fresh test rows each time, or on the same ones.
    """

    def of(step: float, n: int, rule: str, *, fresh: bool) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            losses = [_rounds(step, n, rule, at, fresh=fresh) for at in range(simulations)]
            return {"mean loss": float(np.mean(losses)), "largest loss": max(losses)}

        return run

    for rule in ("non_inferior", "unless_worse"):
        for step in (0.002, 0.005, 0.0):
            for n in (500, 2500):
                for fresh in (True, False):
                    where = "fresh rows" if fresh else "the same rows"
                    name = f"{rule}, step {step:g}, n = {n}, {where}"
                    yield Cell(part="rounds", name=name, run=of(step, n, rule, fresh=fresh))


def _rounds(
    step: float, n: int, rule: str, seed: int, *, fresh: bool, start: float = 0.85, margin: float = 0.01
) -> float:
    """How much worse the champion is after all rounds; models are alike on 80% of rows."""
    rng = np.random.default_rng([8, n, seed])
    config = DecideConfig(champion=rule, margin=margin)
    truth, tied, shared, own = _luck(rng, n)
    champion, anchor, spent = (start, own), (start, own), 0
    for _ in range(ROUNDS):
        if fresh:
            truth, tied, shared, _ = _luck(rng, n)
            champion, anchor, spent = (champion[0], rng.random(n)), (anchor[0], rng.random(n)), 0
        challenger = champion[0] - step, rng.random(n)

        def said(model, truth=truth, tied=tied, shared=shared):
            return _said(truth, np.where(tied, shared, model[1]) < model[0])

        level = look_level(spent + 1) if rule != "unless_worse" else 0.95
        met = compare(truth, said(challenger), said(champion), "accuracy", seed=seed, level=level)
        beside = compare(truth, said(challenger), said(anchor), "accuracy", seed=seed, level=level)
        if takes_over(met, config, margin) and takes_over(beside, config, margin):
            champion, anchor = challenger, challenger if beside.superior else anchor
        else:
            spent += 1
    return start - champion[0]


def _luck(rng, n):
    return rng.integers(0, 2, n), rng.random(n) < 0.8, rng.random(n), rng.random(n)


def _said(truth, right):
    from bakeoff.core.types import Predictions

    return Predictions(values_n=np.where(right, truth, 1 - truth).astype(np.str_), classes=("0", "1"))


def champions() -> Iterator[Cell]:
    """The best of k, none better than the champion, meets it on the rows by which it was chosen: called superior."""

    def of(k: int, n: int) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            plain = paid = 0
            measure = find("accuracy", "classification")
            for at in range(simulations):
                rng = np.random.default_rng([9, k, n, at])
                truth, said = candidates(rng, n, {f"c{i}": 0.8 for i in range(k + 1)})
                field = Field(truth, said, measure, seed=at, resamples=400)
                best = max((f"c{i}" for i in range(k)), key=lambda name: field.values[name])
                rivals = [(f"c{i}", f"c{k}") for i in range(k)]
                plain += field.compare(best, f"c{k}").superior
                paid += field.compare(best, f"c{k}", among=rivals).superior
            return {"without room for the choice": plain / simulations, "with": paid / simulations}

        return run

    for k in (1, 2, 5, 10):
        yield Cell(part="champions", name=f"best of {k}, n = 1000", run=of(k, 1000))


def looks() -> Iterator[Cell]:
    """200 checks on one test set without any gain: how often any passes `superior`, with the ledger and without."""

    def of(n: int, tie: float) -> Callable[[int], dict[str, float]]:
        def run(simulations: int) -> dict[str, float]:
            plain = paid = 0
            for at in range(simulations):
                truth, said = candidates(
                    np.random.default_rng([10, n, at]), n, {f"c{i}": 0.8 for i in range(201)}, tie=tie
                )
                right = {name: truth == each.values_n for name, each in said.items()}
                gain = {name: (right[name].mean() - right["c200"].mean()) for name in right if name != "c200"}
                number, passed_plain, passed = 1, False, False
                for name, size in gain.items():
                    if size <= 0:  # cannot pass: costs a look all the same
                        number += 1
                        continue
                    found = compare(truth, said[name], said["c200"], "accuracy", seed=at, level=look_level(number))
                    passed |= found.superior
                    number += not found.superior
                    passed_plain |= compare(truth, said[name], said["c200"], "accuracy", seed=at).superior
                plain += passed_plain
                paid += passed
            return {"without a ledger": plain / simulations, "with": paid / simulations}

        return run

    for n in (200, 1000):
        for tie in (0.5, 0.9):
            yield Cell(part="looks", name=f"n = {n}, {tie:.0%} of rows alike", run=of(n, tie))


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


PARTS = (intervals, verdicts, together, wrong, winner, gates, power, champions, looks, rounds, judges)


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
    asked = parser.parse_args()
    done = _done(asked.out)
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
