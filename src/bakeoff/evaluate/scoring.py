"""Scores predictions on test rows: every measure of the task with its interval."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.scorecard import ClassScore, Scores
from bakeoff.metrics import labels
from bakeoff.metrics.bootstrap import Replicates, replicate
from bakeoff.metrics.intervals import Interval, IntervalMethod, bca, percentile, reflected, wilson
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.ranks import Curves
from bakeoff.metrics.registry import Measure, Statistic, bind, measures

__all__ = ["score"]

WILSON_BELOW = 500
"""Rows below which an ungrouped accuracy gets Wilson's interval instead of resamples."""
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
) -> Scores:
    """All measures of the task with 95% intervals, from the same resamples of the test rows.

    `groups_n` names for each row the group (user, document) it belongs to; then whole groups are drawn.
    BCa is the default method: in simulations (`tests/evaluate/test_coverage.py`) it covers at least as well
    as percentiles. The calibration error gets reflected quantiles, and accuracies of fewer than 500
    ungrouped rows Wilson's interval.
    """
    result = outcome(truth_n, predictions, task)
    wanted = [m for m in measures(task).values() if m.needs != "probabilities" or result.probabilities_nk is not None]
    statistics = bind(wanted, result)
    if task == "classification":
        confusion = statistics["accuracy"].sums
        statistics |= {name: Statistic(sums=confusion, finish=finish) for name, finish in OF_CLASS.items()}
    found = _replicates(statistics, len(result), resamples=resamples, seed=seed, groups_n=groups_n, threads=threads)
    small = groups_n is None and len(result) < WILSON_BELOW
    metrics = {m.name: _interval(m, found[m.name], method, len(result) if small else None) for m in wanted}
    return Scores(
        metrics={name: each for name, each in metrics.items() if math.isfinite(each.value + each.low + each.high)},
        n_test=len(result),
        intervals=_described(method, resamples, grouped=groups_n is not None, small=small),
        classes=result.classes,
        per_class=_per_class(result, found, method),
        confusion=_confusion(result),
    )


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
        parts.setdefault(rows if statistic.sums.key_n is None else "cells", []).append(name)
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


def _interval(measure: Measure, replicates: Replicates, method: IntervalMethod, small_n: int | None) -> Interval:
    value, draws_r = float(replicates.value_m[0]), replicates.draws_rm[:, 0]
    if measure.biased:
        low, high = reflected(value, draws_r)
    elif measure.finish is labels.accuracy and small_n is not None:
        low, high = wilson(value * small_n, small_n)
    else:
        return _resampled(value, draws_r, replicates.jackknife_bm[:, 0], method)
    return Interval(value=value, low=low, high=high)


def _resampled(
    value: float, draws_r: NDArray[np.float64], jackknife_b: NDArray[np.float64], method: IntervalMethod
) -> Interval:
    low, high = bca(value, draws_r, jackknife_b) if method == "bca" else percentile(draws_r)
    return Interval(value=value, low=low, high=high)


def _per_class(result: Outcome, found: Mapping[str, Replicates], method: IntervalMethod) -> dict[str, ClassScore]:
    if not result.classes:
        return {}
    support = np.bincount(result.truth_n, minlength=len(result.classes)).tolist()
    precision, recall, f1 = (
        [
            _resampled(float(value), draws, left, method)
            for value, draws, left in zip(each.value_m, each.draws_rm.T, each.jackknife_bm.T, strict=True)
        ]
        for each in (found[name] for name in OF_CLASS)
    )
    return {
        name: ClassScore(precision=precision[at], recall=recall[at], f1=f1[at], support=support[at])
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
