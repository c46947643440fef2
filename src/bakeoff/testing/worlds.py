"""Made-up worlds in which the truth is known: rare classes, groups, time, heavy tails.

They show how often statistics hold, by one loop: the suite simulates a few of them, `benchmarks/simulate.py` all.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions, Task
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find

__all__ = ["WORLDS", "Coverage", "Sample", "World", "candidates", "coverage", "true_values"]

GROUP_ROWS = 20
MANY = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows that were drawn, what a model says of them, and their groups or times, if they go together."""

    truth_n: NDArray[Any]
    predictions: Predictions
    groups_n: NDArray[Any] | None = None
    time_n: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What rows are like: `draw` makes n of them."""

    task: Task
    draw: Callable[[np.random.Generator, int], Sample]


def _probable(positives: float, strength: float = 1.4) -> World:
    """Two classes, of which the model states honest probabilities."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        positive = rng.random(n) < positives
        logit = strength * (rng.normal(size=n) + strength * positive) - strength**2 / 2
        chance = 1 / (1 + np.exp(-(logit + math.log(positives / (1 - positives)))))
        shares = np.column_stack([1 - chance, chance])
        return Sample(
            truth_n=_names(positive.astype(int)), predictions=Predictions.of_probabilities(shares, ("0", "1"))
        )

    return World(task="classification", draw=draw)


def _labelled(shares: NDArray[np.float64], right: NDArray[np.float64]) -> World:
    """Classes with these shares, each answered rightly with its own chance."""
    k = len(shares)

    def draw(rng: np.random.Generator, n: int) -> Sample:
        truth = rng.choice(k, n, p=shares)
        other = (truth + rng.integers(1, k, n)) % k
        predicted = np.where(rng.random(n) < right[truth], truth, other)
        return Sample(truth_n=_names(truth), predictions=Predictions(values_n=_names(predicted), classes=_all(k)))

    return World(task="classification", draw=draw)


def _even(k: int, right: float) -> World:
    return _labelled(np.full(k, 1 / k), np.full(k, right))


def _zipf(k: int) -> World:
    shares = 1 / np.arange(1, k + 1)
    return _labelled(shares / shares.sum(), np.random.default_rng(3).beta(8, 2.5, k))


def _together(accuracy: float, *, correlation: float, by: str) -> World:
    """Two classes; whether an answer is right goes with its group, or with the row before."""
    limit = NormalDist().inv_cdf(accuracy)

    def draw(rng: np.random.Generator, n: int) -> Sample:
        truth = rng.integers(0, 2, n)
        if by == "group":
            groups = np.arange(n) * max(1, n // GROUP_ROWS) // n if n >= GROUP_ROWS else np.arange(n)
            shared = rng.normal(size=int(groups.max()) + 1)[groups]
            luck = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * rng.normal(size=n)
        else:
            groups, luck = None, _series(rng, n, correlation)
        predicted = np.where(luck < limit, truth, 1 - truth)
        return Sample(
            truth_n=_names(truth),
            predictions=Predictions(values_n=_names(predicted)),
            groups_n=groups,
            time_n=np.arange(n) if by == "time" else None,
        )

    return World(task="classification", draw=draw)


def _numbers(noise: Callable[[np.random.Generator, int], NDArray[np.float64]]) -> World:
    """A number that the model knows but for some noise."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        known = rng.normal(size=n)
        return Sample(truth_n=known + noise(rng, n), predictions=Predictions(values_n=known))

    return World(task="regression", draw=draw)


def _prices() -> World:
    """Log-normal numbers with multiplicative errors, as prices and durations have."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        truth = np.exp(rng.normal(size=n))
        return Sample(truth_n=truth, predictions=Predictions(values_n=truth * np.exp(0.3 * rng.normal(size=n))))

    return World(task="regression", draw=draw)


WORLDS: Mapping[str, World] = MappingProxyType(
    {
        "50% positive": _probable(0.5),
        "10% positive": _probable(0.1),
        "2% positive": _probable(0.02),
        "0.5% positive": _probable(0.005),
        "2% positive, 1% errors": _labelled(np.asarray([0.98, 0.02]), np.asarray([0.99, 0.99])),
        "0.5% errors": _even(2, 0.995),
        "3 classes": _labelled(np.asarray([0.5, 0.3, 0.2]), np.asarray([0.85, 0.75, 0.7])),
        "77 classes, even": _even(77, 0.8),
        "77 classes, Zipf": _zipf(77),
        "groups": _together(0.85, correlation=0.5, by="group"),
        "time, AR .9": _together(0.85, correlation=0.9, by="time"),
        "time, AR .99": _together(0.85, correlation=0.99, by="time"),
        "normal errors": _numbers(lambda rng, n: 0.5 * rng.normal(size=n)),
        "t3 errors": _numbers(lambda rng, n: 0.5 * rng.standard_t(3, size=n)),
        "prices": _prices(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of `samples`, how many were given an interval, and how many of these held the true value."""

    samples: int
    given: int
    covered: int

    @property
    def share(self) -> float:
        """Of the intervals given, those that held; NaN where none was."""
        return self.covered / self.given if self.given else math.nan

    @property
    def refused(self) -> int:
        """Samples without an interval."""
        return self.samples - self.given


def true_values(world: World, metrics: Sequence[str], *, rows: int = MANY) -> dict[str, float]:
    """What the metrics are in a world: on very many rows of it."""
    whole = world.draw(np.random.default_rng(99), rows)
    seen = outcome(whole.truth_n, whole.predictions, world.task)
    return {name: find(name, world.task)(seen) for name in metrics}


def coverage(
    world: World,
    n: int,
    true: Mapping[str, float],
    intervals: Callable[[Sample, int], Mapping[str, Interval]],
    *,
    simulations: int,
) -> dict[str, Coverage]:
    """How often `intervals` of samples of n rows (and a seed) hold the true values."""
    given, covered = (dict.fromkeys(true, 0) for _ in range(2))
    for at in range(simulations):
        found = intervals(world.draw(np.random.default_rng([1, n, at]), n), at)
        for name, each in found.items():
            if each.low is not None and each.high is not None:
                given[name] += 1
                covered[name] += each.low <= true[name] <= each.high
    return {name: Coverage(samples=simulations, given=given[name], covered=covered[name]) for name in true}


def candidates(
    rng: np.random.Generator, n: int, accuracies: Mapping[str, float], *, classes: int = 2, tie: float = 0.5
) -> tuple[NDArray[Any], dict[str, Predictions]]:
    """Even classes, and candidates that are right as often as they should; on a share `tie` of rows luck is shared."""
    truth = rng.integers(0, classes, n)
    shared, tied = rng.random(n), rng.random(n) < tie
    other = (truth + rng.integers(1, classes, n)) % classes
    said = {
        name: Predictions(
            values_n=_names(np.where(np.where(tied, shared, rng.random(n)) < accuracy, truth, other)),
            classes=_all(classes),
        )
        for name, accuracy in accuracies.items()
    }
    return _names(truth), said


def _series(rng: np.random.Generator, n: int, correlation: float) -> NDArray[np.float64]:
    from scipy.signal import lfilter

    steps = rng.normal(size=n) * math.sqrt(1 - correlation**2)
    steps[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -correlation], steps))


def _all(k: int) -> tuple[str, ...]:
    return tuple(sorted(str(at) for at in range(k)))


def _names(codes: NDArray[Any]) -> NDArray[np.str_]:
    return codes.astype("U2")
