"""The scorecard: what evaluation found of one candidate, and its JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.errors import CorruptError
from bakeoff.core.types import Json, Predictions, Task
from bakeoff.metrics import labels
from bakeoff.metrics.bootstrap import Replicates, replicate
from bakeoff.metrics.intervals import Interval, IntervalMethod, bca, percentile, wilson
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.ranks import Curves
from bakeoff.metrics.registry import Statistic, bind, measures

__all__ = ["MEASUREMENTS", "ClassScore", "Scorecard", "Scores", "score"]

WILSON_BELOW = 500
"""Rows below which an ungrouped accuracy gets Wilson's interval instead of resamples."""
MEASUREMENTS = (
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "throughput_rows_s",
    "train_s",
    "size_bytes",
    "cost_usd_per_1k",
)
"""What a scorecard holds beside metrics, by the names that gates use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How one class fares; `support` is how many test rows are truly of it."""

    precision: Interval
    recall: Interval
    f1: Interval
    support: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The statistical part of a scorecard.

    `metrics` leaves out what is undefined on these rows (for instance roc_auc when one class is all there
    is). `confusion` counts rows, true class by predicted class, in the order of `classes`.
    """

    metrics: Mapping[str, Interval]
    n_test: int
    intervals: str
    classes: tuple[str, ...] = ()
    per_class: Mapping[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard(Scores):
    """What evaluation found of one candidate.

    `latency_ms` is of single predictions (`p50`, `p95`, `p99`); `throughput_rows_s` of batches;
    `cost_usd_per_1k` the price of 1,000 batched predictions.
    """

    latency_ms: Mapping[str, float]
    throughput_rows_s: float
    train_s: float
    size_bytes: int
    cost_usd_per_1k: float

    def number(self, name: str) -> float | None:
        """The value of a metric or of a gated measurement (`latency_p95_ms`, `train_s`, …); None if unknown."""
        if name in self.metrics:
            return self.metrics[name].value
        match name:
            case "latency_p50_ms" | "latency_p95_ms" | "latency_p99_ms":
                return self.latency_ms[name.removeprefix("latency_").removesuffix("_ms")]
            case _:
                return float(getattr(self, name)) if name in MEASUREMENTS else None

    def to_json(self) -> dict[str, Json]:
        """As a JSON document."""
        return msgspec.json.decode(msgspec.json.encode(self), type=dict[str, Any])

    @classmethod
    def from_json(cls, body: Mapping[str, Json]) -> "Scorecard":
        """Read what `to_json` gave.

        Raises:
            CorruptError: something is missing or of another form.
        """
        try:
            return msgspec.convert(dict(body), cls)
        except msgspec.ValidationError as error:
            raise CorruptError(f"expected a scorecard as JSON; received one where: {error}") from error


def score(
    truth_n: ArrayLike,
    predictions: Predictions,
    task: Task,
    *,
    resamples: int,
    seed: int,
    groups_n: ArrayLike | None = None,
    method: IntervalMethod = "bca",
    threads: int = 1,
) -> Scores:
    """All measures of the task with 95% intervals, from the same resamples of the test rows.

    `groups_n` names for each row the group (user, document) it belongs to; then whole groups are drawn.
    Areas under curves are resampled less often when rows × classes are many (`bootstrap.CURVE_WORK`), and the
    accuracy of fewer than 500 ungrouped rows gets Wilson's interval.
    """
    result = outcome(truth_n, predictions, task)
    wanted = [m for m in measures(task).values() if m.needs != "probabilities" or _has_probabilities(result)]
    statistics: dict[str, Statistic] = bind(wanted, result)
    if task == "classification":
        confusion = statistics["accuracy"].sums
        of_class = {"precision": labels.class_precision, "recall": labels.class_recall, "f1": labels.class_f1}
        statistics |= {f"class {name}": Statistic(sums=confusion, finish=finish) for name, finish in of_class.items()}
    found = _replicates(statistics, len(result), resamples=resamples, seed=seed, groups_n=groups_n, threads=threads)
    intervals = {name: _intervals(each, method) for name, each in found.items()}
    small = groups_n is None and len(result) < WILSON_BELOW
    metrics = {m.name: intervals[m.name][0] for m in wanted}
    if small and "accuracy" in metrics:
        value = metrics["accuracy"].value
        low, high = wilson(value * len(result), len(result))
        for name in ("accuracy", "f1_micro", "precision_micro", "recall_micro"):
            metrics[name] = Interval(value=value, low=low, high=high)
    return Scores(
        metrics={name: each for name, each in metrics.items() if math.isfinite(each.value + each.low + each.high)},
        n_test=len(result),
        intervals=_described(method, resamples, grouped=groups_n is not None, small=small),
        classes=result.classes,
        per_class=_per_class(result, intervals),
        confusion=_confusion(result),
    )


def _has_probabilities(result: Outcome) -> bool:
    return result.probabilities_nk is not None


def _replicates(
    statistics: Mapping[str, Statistic],
    n: int,
    *,
    resamples: int,
    seed: int,
    groups_n: ArrayLike | None,
    threads: int,
) -> dict[str, Replicates]:
    """Replicates by name; statistics that collapse rows are drawn apart from those that cannot."""
    found: dict[str, Replicates] = {}
    parts: dict[str, list[str]] = {}
    for name, statistic in statistics.items():
        kind = "curves" if isinstance(statistic.sums, Curves) else "rows"
        parts.setdefault("cells" if statistic.sums.key_n is not None else kind, []).append(name)
    for names in parts.values():
        replicates = replicate(
            [statistics[name] for name in names],
            n,
            resamples=resamples,
            seed=seed,
            groups_n=groups_n,
            jackknife=True,
            threads=threads,
        )
        found |= dict(zip(names, replicates, strict=True))
    return found


def _intervals(replicates: Replicates, method: IntervalMethod) -> list[Interval]:
    return [
        _interval(float(value), draws, left, method)
        for value, draws, left in zip(replicates.value_m, replicates.draws_rm.T, replicates.jackknife_bm.T, strict=True)
    ]


def _interval(
    value: float, draws_r: NDArray[np.float64], jackknife_b: NDArray[np.float64], method: IntervalMethod
) -> Interval:
    low, high = bca(value, draws_r, jackknife_b) if method == "bca" else percentile(draws_r)
    return Interval(value=value, low=low, high=high)


def _per_class(result: Outcome, intervals: Mapping[str, Sequence[Interval]]) -> dict[str, ClassScore]:
    support = np.bincount(result.truth_n, minlength=len(result.classes)).tolist() if result.classes else []
    return {
        name: ClassScore(
            precision=intervals["class precision"][at],
            recall=intervals["class recall"][at],
            f1=intervals["class f1"][at],
            support=support[at],
        )
        for at, name in enumerate(result.classes)
    }


def _confusion(result: Outcome) -> tuple[tuple[int, ...], ...]:
    k = len(result.classes)
    if not k:
        return ()
    cells = np.bincount(result.truth_n * k + result.predicted_n, minlength=k * k).reshape(k, k)
    return tuple(tuple(row) for row in cells.tolist())


def _described(method: IntervalMethod, resamples: int, *, grouped: bool, small: bool) -> str:
    name = "BCa" if method == "bca" else "percentile"
    what = "groups" if grouped else "rows"
    accuracy = "; Wilson for accuracy" if small else ""
    return f"95% {name} bootstrap over {resamples} resamples of {what}{accuracy}"
