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
from bakeoff.metrics.custom import using
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.positive import positive_class
from bakeoff.metrics.registry import find

__all__ = ["MANY", "WORLDS", "Coverage", "Sample", "World", "candidates", "coverage", "true_values"]

GROUP_ROWS = 20
MANY = 1_000_000
TEXT_COST = 25
"""So many fewer texts are drawn for their true values: each takes far longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows that were drawn, what a model says of them, and their groups or times, if they go together.

    `true` are the true values of metrics where they are the sample's own: those of the model that was fitted on it,
    by so many `folds`; `again` is what folds that were dealt anew say of the same rows.
    """

    outcome: Outcome
    groups_n: NDArray[Any] | None = None
    time_n: NDArray[Any] | None = None
    folds: int = 0
    again: tuple[Outcome, ...] = ()
    true: Mapping[str, float] | None = None

    @property
    def dependence(self) -> Dependence:
        """How the rows go together."""
        repeats = 1 + len(self.again)
        return Dependence.of(
            len(self.outcome), groups_n=self.groups_n, time_n=self.time_n, folds=self.folds, repeats=repeats
        )

    @property
    def truth_n(self) -> NDArray[Any]:
        """What is true, by name."""
        return self._named(self.outcome.truth_n)

    @property
    def predictions(self) -> Predictions:
        """What the model says."""
        seen = self.outcome
        return Predictions(
            values_n=self._named(seen.predicted_n),
            classes=seen.classes,
            probabilities_nk=seen.probabilities_nk,
            log_likelihood_n=seen.log_likelihood_n,
            tokens_n=seen.tokens_n,
            scores=seen.scores,
        )

    def _named(self, values_n: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.outcome.classes)[values_n] if self.outcome.classes else values_n


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What rows are like: `draw` makes n of them. `costs` are those of errors, if they have some."""

    task: Task
    draw: Callable[[np.random.Generator, int], Sample]
    costs: Mapping[str, Mapping[str, float]] | None = None


def _labels(truth: NDArray[Any], predicted: NDArray[Any], k: int, **more: Any) -> Outcome:
    """The outcome of classes by their codes."""
    classes = _all(k)
    counts = dict(zip(classes, np.bincount(truth, minlength=k).tolist(), strict=True))
    return Outcome(
        truth_n=truth.astype(np.int64),
        predicted_n=predicted.astype(np.int64),
        classes=classes,
        positive=positive_class(counts),
        **more,
    )


def _shares(truth: NDArray[Any], shares_nk: NDArray[np.float64]) -> Outcome:
    """The outcome of stated probabilities."""
    return _labels(truth, shares_nk.argmax(axis=1), shares_nk.shape[1], probabilities_nk=shares_nk)


def _probable(positives: float, strength: float = 1.4, **more: Any) -> World:
    """Two classes, of which the model states honest probabilities."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        positive = rng.random(n) < positives
        logit = strength * (rng.normal(size=n) + strength * positive) - strength**2 / 2
        chance = 1 / (1 + np.exp(-(logit + math.log(positives / (1 - positives)))))
        return Sample(outcome=_shares(positive.astype(np.int64), np.column_stack([1 - chance, chance])))

    return World(task="classification", draw=draw, **more)


def _ranked(k: int) -> World:
    """Classes of falling frequency, of which the model states how probable they are, too boldly."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        share_k = 1 / np.arange(1, k + 1)
        truth = rng.choice(k, n, p=share_k / share_k.sum())
        height_nk = 1.3 * (rng.normal(size=(n, k)) + 1.5 * (truth[:, None] == np.arange(k))) + np.log(share_k)
        shares = np.exp(height_nk - height_nk.max(axis=1, keepdims=True))
        return Sample(outcome=_shares(truth, shares / shares.sum(axis=1, keepdims=True)))

    return World(task="classification", draw=draw)


def _labelled(shares: NDArray[np.float64], right: NDArray[np.float64]) -> World:
    """Classes with these shares, each answered rightly with its own chance."""
    k = len(shares)

    def draw(rng: np.random.Generator, n: int) -> Sample:
        truth = rng.choice(k, n, p=shares)
        other = (truth + rng.integers(1, k, n)) % k
        return Sample(outcome=_labels(truth, np.where(rng.random(n) < right[truth], truth, other), k))

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
            outcome=_labels(truth, predicted, 2), groups_n=groups, time_n=np.arange(n) if by == "time" else None
        )

    return World(task="classification", draw=draw)


def _numbers(noise: Callable[[np.random.Generator, int], NDArray[np.float64]]) -> World:
    """A number that the model knows but for some noise."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        known = rng.normal(size=n)
        return Sample(outcome=Outcome(truth_n=known + noise(rng, n), predicted_n=known))

    return World(task="regression", draw=draw)


def _prices() -> World:
    """Log-normal numbers with multiplicative errors, as prices and durations have."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        truth = np.exp(rng.normal(size=n))
        return Sample(outcome=Outcome(truth_n=truth, predicted_n=truth * np.exp(0.3 * rng.normal(size=n))))

    return World(task="regression", draw=draw)


def _quantiles() -> World:
    """A skewed number, and quantiles of it that are a little too close to each other."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        known = rng.normal(size=n)
        level = {name: NormalDist().inv_cdf(float(name)) for name in ("0.1", "0.5", "0.9")}
        return Sample(
            outcome=Outcome(
                truth_n=np.exp(known + 0.5 * rng.normal(size=n)),
                predicted_n=np.exp(known),
                scores={name: np.exp(known + 0.4 * height) for name, height in level.items()},
            )
        )

    return World(task="regression", draw=draw)


def _texts() -> World:
    """Short answers, of which words are lost and swapped; likelihoods and scores of them."""
    words = np.asarray([f"w{a}{b}" for a in "aeiou" for b in "klmnprst"], dtype=object)

    def draw(rng: np.random.Generator, n: int) -> Sample:
        truth, said = np.empty(n, dtype=object), np.empty(n, dtype=object)
        skill = rng.beta(4, 1, n)
        for at in range(n):
            right = rng.choice(words, rng.integers(2, 9))
            other = rng.choice(words, len(right))
            truth[at] = " ".join(right)
            said[at] = " ".join(np.where(rng.random(len(right)) < skill[at], right, other))
        tokens = rng.integers(2, 9, n)
        return Sample(
            outcome=Outcome(
                truth_n=truth,
                predicted_n=said,
                log_likelihood_n=-tokens * rng.gamma(2.0, 0.4, n),
                tokens_n=tokens,
                scores={
                    "embedding_similarity": np.tanh(1 + 0.5 * rng.normal(size=n)),
                    "judge": rng.choice([0.0, 0.5, 1.0, np.nan], n, p=[0.16, 0.08, 0.56, 0.2]),
                },
            )
        )

    return World(task="generation", draw=draw)


def _fitted(folds: int = 5, inputs: int = 10, apart: float = 1.05, repeats: int = 1) -> World:
    """Two normal classes, and linear discriminants fitted on folds: the truth is that of the one fitted on all rows."""
    centre = np.full(inputs, apart / math.sqrt(inputs))

    def fit(x: NDArray[np.float64], y: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
        means = [x[y == each].mean(axis=0) for each in (0, 1)]
        centred = x - np.where(y[:, None] == 1, means[1], means[0])
        weights = np.linalg.solve(centred.T @ centred / len(x) + 0.2 * np.eye(inputs), means[1] - means[0])
        return weights, -float(weights @ (means[0] + means[1])) / 2

    def dealt(x: NDArray[np.float64], y: NDArray[np.int64], fold: NDArray[np.int64]) -> Outcome:
        height = np.empty(len(x))
        for each in range(folds):
            weights, shift = fit(x[fold != each], y[fold != each])
            height[fold == each] = x[fold == each] @ weights + shift
        chance = 1 / (1 + np.exp(-height))
        return _shares(y, np.column_stack([1 - chance, chance]))

    def draw(rng: np.random.Generator, n: int) -> Sample:
        y = np.arange(n) % 2
        x = rng.normal(size=(n, inputs)) + np.where(y[:, None] == 1, centre, -centre)
        first, *again = (dealt(x, y, rng.permutation(n) % folds) for _ in range(repeats))
        return Sample(outcome=first, folds=folds, again=tuple(again), true=_of_linear(*fit(x, y), centre))

    return World(task="classification", draw=draw)


def _of_linear(weights: NDArray[np.float64], shift: float, centre: NDArray[np.float64]) -> dict[str, float]:
    """What a linear classifier is truly worth between two even normal classes."""
    normal, size = NormalDist(), float(np.linalg.norm(weights))
    mean = float(weights @ centre)
    right = np.asarray([normal.cdf((mean - shift) / size), normal.cdf((mean + shift) / size)])
    f1 = 2 * right / (1 + right + 1 - right[::-1])
    nodes, share = np.polynomial.hermite_e.hermegauss(60)
    share = share / share.sum()
    losses = [float(share @ np.logaddexp(0, -sign * (sign * mean + shift + size * nodes))) for sign in (-1, 1)]
    return {
        "accuracy": float(right.mean()),
        "f1_macro": float(f1.mean()),
        "log_loss": sum(losses) / 2,
        "roc_auc": normal.cdf(math.sqrt(2) * mean / size),
    }


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
        "costly errors": _probable(0.1, costs={"0": {"1": 2.5}, "1": {"0": 100.0}}),
        "10 ranked classes": _ranked(10),
        "quantiles": _quantiles(),
        "texts": _texts(),
        "5 folds": _fitted(),
        "3 times 5 folds": _fitted(repeats=3),
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
    """What the metrics are in a world: on very many rows of it; NaN where each sample has its own truth."""
    whole = world.draw(np.random.default_rng(99), rows if world.task != "generation" else rows // TEXT_COST)
    if whole.true is not None:
        return dict.fromkeys(metrics, math.nan)
    with using(None, world.costs):
        return {name: find(name, world.task)(whole.outcome) for name in metrics}


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
        sample = world.draw(np.random.default_rng([1, n, at]), n)
        here = true if sample.true is None else sample.true
        for name, each in intervals(sample, at).items():
            if each.low is not None and each.high is not None:
                given[name] += 1
                covered[name] += each.low <= here[name] <= each.high
    return {name: Coverage(samples=simulations, given=given[name], covered=covered[name]) for name in true}


def candidates(
    rng: np.random.Generator, n: int, accuracies: Mapping[str, float], *, classes: int = 2, tie: float = 0.5
) -> tuple[NDArray[Any], dict[str, Predictions]]:
    """Even classes, and candidates that are right as often as they should; on a share `tie` of rows luck is shared."""
    truth = rng.integers(0, classes, n)
    shared, tied = rng.random(n), rng.random(n) < tie
    other = (truth + rng.integers(1, classes, n)) % classes
    names = np.asarray(_all(classes))
    said = {
        name: Predictions(
            values_n=names[np.where(np.where(tied, shared, rng.random(n)) < accuracy, truth, other)],
            classes=_all(classes),
        )
        for name, accuracy in accuracies.items()
    }
    return names[truth], said


def _series(rng: np.random.Generator, n: int, correlation: float) -> NDArray[np.float64]:
    from scipy.signal import lfilter

    steps = rng.normal(size=n) * math.sqrt(1 - correlation**2)
    steps[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -correlation], steps))


def _all(k: int) -> tuple[str, ...]:
    """Names that sort as their codes."""
    digits = len(str(k - 1))
    return tuple(f"{at:0{digits}}" for at in range(k))
