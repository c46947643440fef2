"""Scores predictions on test rows: every measure of the task with its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.scorecard import ClassScore, Scores
from bakeoff.metrics import labels
from bakeoff.metrics.bootstrap import Replicates, replicate
from bakeoff.metrics.intervals import Interval, IntervalMethod, bca, inverted, percentile, wilson
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.ranks import Curves
from bakeoff.metrics.registry import Measure, Statistic, bind, listed

__all__ = ["estimate", "score"]

WILSON_BELOW = 500
"""Rows below which an ungrouped accuracy gets Wilson's interval instead of resamples."""
PARTS = "parts of "
OF_CLASS = MappingProxyType(
    {
        "class precision": labels.class_precision,
        "class recall": labels.class_recall,
        "class f1": labels.class_f1,
    }
)


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
    positive: str | None = None,
    named: Sequence[str] = (),
) -> Scores:
    """All measures of the task and the `named` ones, with 95% intervals, from the same resamples of the rows.

    Measures of one class are of the `positive` one; left out, of the rarer of two.
    `groups_n` names for each row the group (user, document) it belongs to; then whole groups are drawn.
    BCa is the default method: in simulations (`tests/evaluate/test_coverage.py`) it covers at least as well
    as percentiles. The calibration error gets an inverted test. Where resamples of few rows say too little
    (ten of ten right is no certainty), shares of fewer than 500 ungrouped rows get Wilson's interval: accuracy,
    exact match and valid JSON, and of each class precision, recall and F1. Every interval tells its method.
    """
    result = outcome(truth_n, predictions, task, positive=positive)
    wanted = listed(task, result, named)
    statistics = bind(wanted, result)
    if task == "classification":
        confusion = statistics["accuracy"].sums
        statistics |= {name: Statistic(sums=confusion, finish=finish) for name, finish in OF_CLASS.items()}
    statistics |= {PARTS + name: each for name, each in _parts(wanted, statistics).items()}
    found = _replicates(statistics, len(result), resamples=resamples, seed=seed, groups_n=groups_n, threads=threads)
    rows = _Rows.of(len(result), groups_n)
    metrics = {m.name: _interval(m, found[m.name], method, rows, found.get(PARTS + m.name)) for m in wanted}
    return Scores(
        metrics={name: each for name, each in metrics.items() if math.isfinite(each.value + each.low + each.high)},
        n_test=len(result),
        intervals=_described(method, resamples, rows),
        classes=result.classes,
        per_class=_per_class(result, found, method, grouped=rows.grouped),
        confusion=_confusion(result),
    )


def estimate(
    measure: Measure,
    result: Outcome,
    *,
    resamples: int,
    seed: int,
    groups_n: ArrayLike | None = None,
    method: IntervalMethod = "bca",
) -> Interval | None:
    """One measure with its 95% interval, as `score` gives it; None where it is undefined."""
    bound = bind([measure], result)
    found, *parts = replicate(
        [bound[measure.name], *_parts([measure], bound).values()],
        len(result),
        resamples=resamples,
        seed=seed,
        groups_n=groups_n,
        jackknife=True,
    )
    rows = _Rows.of(len(result), groups_n)
    interval = _interval(measure, found, method, rows, parts[0] if parts else None)
    return interval if math.isfinite(interval.value + interval.low + interval.high) else None


def _replicates(
    statistics: Mapping[str, Statistic],
    n: int,
    *,
    resamples: int,
    seed: int,
    groups_n: ArrayLike | None,
    threads: int,
) -> dict[str, Replicates]:
    """Replicates by name. What collapses rows is drawn apart from what cannot, and curves apart, being slow."""
    parts: dict[str, list[str]] = {}
    for name, statistic in statistics.items():
        rows = "curves" if isinstance(statistic.sums, Curves) else "rows"
        alike = f"alike by {id(statistic.sums)}"  # together, keys of two kinds would tell nearly all rows apart
        parts.setdefault(rows if statistic.sums.key_n is None else alike, []).append(name)
    found: dict[str, Replicates] = {}
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


@dataclass(frozen=True, slots=True)
class _Rows:
    """How many rows there are, and how many of them (or groups of them) are independent."""

    count: int
    independent: int
    grouped: bool

    @classmethod
    def of(cls, count: int, groups_n: ArrayLike | None) -> "_Rows":
        return cls(count, count if groups_n is None else len(np.unique(np.asarray(groups_n))), groups_n is not None)

    @property
    def few(self) -> bool:
        """Whether a share of them gets Wilson's interval."""
        return not self.grouped and self.count < WILSON_BELOW


def _parts(wanted: Sequence[Measure], bound: Mapping[str, Statistic]) -> dict[str, Statistic]:
    """The parts of measures that are sums of sizes."""
    return {m.name: Statistic(sums=bound[m.name].sums, finish=m.parts) for m in wanted if m.parts is not None}


def _interval(
    measure: Measure, replicates: Replicates, method: IntervalMethod, rows: _Rows, parts: Replicates | None
) -> Interval:
    value = float(replicates.value_m[0])
    if parts is not None:
        low, high = inverted(value, parts.value_m, parts.draws_rm, rows.independent)
        return Interval(value=value, low=low, high=high, method="inverted")
    if measure.share and rows.few:
        low, high = wilson(value * rows.count, rows.count)
        return Interval(value=value, low=low, high=high, method="wilson")
    return _resampled(value, replicates.draws_rm[:, 0], replicates.jackknife_bm[:, 0], method)


def _resampled(
    value: float, draws_r: NDArray[np.float64], jackknife_b: NDArray[np.float64], method: IntervalMethod
) -> Interval:
    low, high = bca(value, draws_r, jackknife_b) if method == "bca" else percentile(draws_r)
    return Interval(value=value, low=low, high=high, method=method)


def _per_class(
    result: Outcome, found: Mapping[str, Replicates], method: IntervalMethod, *, grouped: bool
) -> dict[str, ClassScore]:
    if not result.classes:
        return {}
    k = len(result.classes)
    true_k, predicted_k = (np.bincount(each, minlength=k) for each in (result.truth_n, result.predicted_n))
    hit_k = np.bincount(result.truth_n[result.truth_n == result.predicted_n], minlength=k)
    # F1 = 2 J / (1 + J) rises with J, the share of hits among the rows that are or are called of the class.
    rows = {
        "class precision": (predicted_k, _as_it_is),
        "class recall": (true_k, _as_it_is),
        "class f1": (true_k + predicted_k - hit_k, lambda share: 2 * share / (1 + share)),
    }

    def interval(name: str, at: int) -> Interval:
        replicates, (n_k, made) = found[name], rows[name]
        value, n = float(replicates.value_m[at]), int(n_k[at])
        if grouped or not 0 < n < WILSON_BELOW:
            return _resampled(value, replicates.draws_rm[:, at], replicates.jackknife_bm[:, at], method)
        low, high = (made(end) for end in wilson(int(hit_k[at]), n))
        return Interval(value=value, low=low, high=high, method="wilson")

    return {
        name: ClassScore(
            precision=interval("class precision", at),
            recall=interval("class recall", at),
            f1=interval("class f1", at),
            support=int(true_k[at]),
        )
        for at, name in enumerate(result.classes)
    }


def _as_it_is(share: float) -> float:
    return share


def _confusion(result: Outcome) -> tuple[tuple[int, ...], ...]:
    k = len(result.classes)
    if not k:
        return ()
    cells = np.bincount(result.truth_n * k + result.predicted_n, minlength=k * k).reshape(k, k)
    return tuple(tuple(row) for row in cells.tolist())


def _described(method: IntervalMethod, resamples: int, rows: _Rows) -> str:
    name = "BCa" if method == "bca" else "percentile"
    what = "groups" if rows.grouped else "rows"
    shares = "; Wilson for shares of rows" if rows.few else ""
    return f"95% {name} bootstrap over {resamples} resamples of {what}{shares}"
