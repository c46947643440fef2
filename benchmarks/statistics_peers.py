"""How often intervals hold and p-values mislead: bakeoff beside evalstats, MLflow and scipy, on the same samples.

    python benchmarks/statistics_peers.py --simulations 1000

Peers live in an environment of their own in the cache. MLflow's `compare_evaluations` reads runs from a tracking
server; what it does with a scorer's paired values is called here directly. scipy is `bootstrap(method="BCa")` for means
and `ttest_rel` for differences. A cell is better the nearer to 95% its coverage is, and the nearer to 5% (or below) the
share of equal candidates that are called different (p < 0.05).
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist

import numpy as np

import bakeoff
import data

HERE = Path(__file__).parent
PEERS = ["mlflow==3.18.0", "evalstats==0.3.3", "scipy==1.17.1"]
GROUP_ROWS = 20
OURS = "bakeoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """`draw` gives two columns of a sample; `true` is the value that intervals are to hold."""

    name: str
    kind: str
    true: float
    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    groups_n: np.ndarray | None = None


def share(p: float, n: int) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    return lambda rng: ((rng.random(n) < p).astype(float), np.zeros(n))


def prices(n: int) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Absolute errors of two models of log-normal prices, which are equally good."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        truth = np.exp(rng.normal(size=n))
        a, b = (np.abs(truth * np.expm1(0.3 * rng.normal(size=n))) for _ in range(2))
        return a, b

    return draw


def grouped(n: int, *, both: bool = True) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Answers that are right in .85 of rows, alike (correlation .5) within groups of 20 rows."""
    limit = NormalDist().inv_cdf(0.85)

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        columns = [
            math.sqrt(0.5) * np.repeat(rng.normal(size=n // GROUP_ROWS), GROUP_ROWS)
            + math.sqrt(0.5) * rng.normal(size=n)
            < limit
            for _ in range(2)
        ]
        return columns[0].astype(float), columns[1].astype(float) if both else np.zeros(n)

    return draw


def equals(p: float, n: int) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Two candidates that are right as often; on half of the rows luck is shared."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        tied, luck = rng.random(n) < 0.5, rng.random(n)
        a, b = (np.where(tied, luck, rng.random(n)) < p for _ in range(2))
        return a.astype(float), b.astype(float)

    return draw


def judged(m: int, p: float, votes: int = 1000) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        good = (rng.random(m + votes) < p).astype(float)
        vote = np.where(rng.random(m + votes) < 0.85, good, 1 - good)
        return good[:m], vote

    return draw


def groups(n: int) -> np.ndarray:
    return np.repeat(np.arange(n // GROUP_ROWS), GROUP_ROWS)


MEANS = [
    *(
        Cell(name=f"a share of {p:g}, n = {n}", kind="mean", true=p, draw=share(p, n))
        for p, n in ((0.9, 20), (0.98, 50), (0.98, 200), (0.995, 1000))
    ),
    *(
        Cell(name=f"mean absolute error of prices, n = {n}", kind="mean", true=math.nan, draw=prices(n))
        for n in (50, 200, 1000)
    ),
    *(
        Cell(
            name=f"a share of .85, {n // 20} groups",
            kind="mean",
            true=0.85,
            draw=grouped(n, both=False),
            groups_n=groups(n),
        )
        for n in (100, 200, 600)
    ),
]
DIFFERENCES = [
    *(
        Cell(name=f"shares of {p:g}, n = {n}", kind="difference", true=0.0, draw=equals(p, n))
        for p, n in ((0.8, 20), (0.8, 100), (0.8, 300), (0.98, 100), (0.98, 300))
    ),
    *(
        Cell(name=f"absolute errors of prices, n = {n}", kind="difference", true=0.0, draw=prices(n))
        for n in (20, 100, 300)
    ),
    *(
        Cell(name=f"shares of .85, {n // 20} groups", kind="difference", true=0.0, draw=grouped(n), groups_n=groups(n))
        for n in (200, 600)
    ),
]
JUDGES = [
    Cell(name=f"{m} labels of {p:g}, 1,000 votes", kind="judge", true=p, draw=judged(m, p))
    for m, p in ((20, 0.5), (20, 0.97), (50, 0.9), (200, 0.9))
]
KINDS = {
    "mean": ("evalstats_mean", "scipy_mean"),
    "difference": ("mlflow_difference", "evalstats_difference", "scipy_difference"),
    "judge": ("evalstats_judge",),
}


def ours(cell: Cell, a: np.ndarray, b: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Low, high and p-value by bakeoff's own functions."""
    if cell.kind == "judge":
        found = bakeoff.prediction_powered(a, b[: len(a)], b[len(a) :])
        return found.low, found.high, None
    binary = set(np.unique(a)) <= {0.0, 1.0}
    truth = np.ones(len(a)) if binary else np.zeros(len(a))
    metric = "accuracy" if binary else "mae"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if cell.kind == "mean":
            found = bakeoff.interval(truth, a, metric=metric, groups=cell.groups_n)
            return found.low, found.high, None
        decision = bakeoff.compare(truth, {"a": a, "b": b}, metric=metric, groups=cell.groups_n)
    pair = decision.differences[0]
    sign = 1 if (pair.candidate, pair.versus) == ("a", "b") else -1
    ends = sorted((sign * pair.low, sign * pair.high))
    return ends[0], ends[1], pair.p_value


def theirs(peer: str, samples: list[tuple[np.ndarray, np.ndarray]]) -> list[list[float | None]]:
    python = data.environment("statistics", PEERS) / "bin" / "python"
    job = json.dumps({"peer": peer, "samples": [[a.tolist(), b.tolist()] for a, b in samples]})
    script = str(HERE / "peers" / "statistics_peers.py")
    done = subprocess.run([str(python), script], input=job, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{peer} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def shown(cell: Cell, true: float, answers: list) -> str:
    """Coverage, and the share of p-values under 0.05."""
    given = [each for each in answers if each[0] is not None and math.isfinite(each[0])]
    coverage = np.mean([low <= true <= high for low, high, _ in given]) if given else math.nan
    refused = f" (given {len(given) / len(answers):.2f})" if len(given) < len(answers) else ""
    if cell.kind != "difference":
        return f"{coverage:.3f}{refused}"
    wrong = np.mean([p is not None and p < 0.05 for *_, p in answers])
    return f"{coverage:.3f}{refused}, {wrong:.3f}"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--simulations", type=int, default=1000)
    asked.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    asked.add_argument("--cells", default="", help="only cells whose name holds this")
    given = asked.parse_args()
    versions = ", ".join(each.replace("==", " ") for each in PEERS)
    print(f"{datetime.now(UTC).date()}, {os.cpu_count()} cores, Python {platform.python_version()}; {versions}")
    print(f"{given.simulations} samples a cell: coverage; of differences also the share called different (p < 0.05)\n")
    for kind in given.kinds:
        peers = KINDS[kind]
        print(f"| {kind} | {' | '.join((OURS, *(each.partition('_')[0] for each in peers)))} |")
        print("|---" * (2 + len(peers)) + "|")
        for cell in (
            each for each in (*MEANS, *DIFFERENCES, *JUDGES) if each.kind == kind and given.cells in each.name
        ):
            samples = [cell.draw(np.random.default_rng([12, at])) for at in range(given.simulations)]
            true = cell.true
            if math.isnan(true):
                true = float(np.mean([cell.draw(np.random.default_rng([13, at]))[0].mean() for at in range(20_000)]))
            started = time.process_time()
            rows = [[ours(cell, *each) for each in samples]]
            seconds = time.process_time() - started
            rows += [theirs(peer, samples) for peer in peers]
            print(f"| {cell.name} | {' | '.join(shown(cell, true, each) for each in rows)} |", flush=True)
            print(f"  ({seconds / given.simulations * 1000:.0f} ms a sample)", file=sys.stderr)


if __name__ == "__main__":
    main()
