"""Scores predictions on test rows: every measure of the task with its interval."""

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.score.estimates import ScoredRows, estimates
from bakeoff.metrics import labels
from bakeoff.metrics.bootstrap import left_out
from bakeoff.metrics.dependence import Dependence
from bakeoff.metrics.intervals import Interval, student, wilson
from bakeoff.metrics.measure import Statistic
from bakeoff.metrics.outcome import Outcome, outcome
from bakeoff.metrics.registry import listed
from bakeoff.metrics.scales import Scale
from bakeoff.metrics.spread import pseudo_values, spread
from bakeoff.results.scorecard import ClassScore, Scores

__all__ = ["score"]

OF_CLASS = MappingProxyType(
    {
        "precision": labels.class_precision,
        "recall": labels.class_recall,
        "f1": labels.class_f1,
    }
)
SHARE = Scale(0.0, 1.0)


def score(
    truth_n: ArrayLike,
    predictions: Predictions,
    task: Task,
    *,
    resamples: int,
    seed: int,
    groups_n: ArrayLike | None = None,
    time_n: ArrayLike | None = None,
    folds: int = 0,
    again: Sequence[Predictions] = (),
    threads: int = 1,
    positive: str | None = None,
    named: Sequence[str] = (),
) -> Scores:
    """All measures of the task, and the `named` ones, with 95% intervals by the method that each one names.

    Measures of one class are of the `positive` one; left out, of the rarer of two.
    `groups_n` names for each row the group (user, document) it belongs to, `time_n` when it happened: rows of a group,
    or close in time, are not independent. `folds`: the predictions are by models of so many folds. `again` are those
    of folds that were dealt anew: metrics are means over all deals, what is told of classes is of the first.
    """
    result = outcome(truth_n, predictions, task, positive=positive)
    repeats = 1 + len(again)
    rows = ScoredRows(
        outcome=result,
        again=tuple(outcome(truth_n, each, task, positive=positive) for each in again),
        dependence=Dependence.of(len(result), groups_n=groups_n, time_n=time_n, folds=folds, repeats=repeats),
        draws=resamples,
        seed=seed,
        threads=threads,
    )
    return Scores(
        metrics=estimates(listed(task, result, named), rows),
        n_test=len(result),
        intervals=_described(rows.dependence),
        classes=result.classes,
        per_class=_per_class(rows),
        confusion=_confusion(result),
    )


def _per_class(rows: ScoredRows) -> dict[str, ClassScore]:
    """Precision, recall and F1 of each class: Wilson's for independent rows, else t over groups or stretches of time.

    F1 = 2 J / (1 + J) rises with J, the share of hits among the rows that are or are called of the class.
    """
    result = rows.outcome
    if not result.classes:
        return {}
    k = len(result.classes)
    true_k, predicted_k = (np.bincount(each, minlength=k) for each in (result.truth_n, result.predicted_n))
    hit_k = np.bincount(result.truth_n[result.truth_n == result.predicted_n], minlength=k)
    rows_of = {"precision": predicted_k, "recall": true_k, "f1": true_k + predicted_k - hit_k}
    spreads = {} if rows.dependence.independent else _class_spreads(rows)

    def interval(name: str, at: int) -> Interval:
        hits, n = int(hit_k[at]), int(rows_of[name][at])
        if not n:
            return Interval(value=0.0, reason="no row is " + ("called so" if name == "precision" else "of this class"))
        value = 2 * hits / (n + hits) if name == "f1" else hits / n
        ends = wilson(hits, n)
        plain = Interval(
            value=value,
            low=2 * ends[0] / (1 + ends[0]) if name == "f1" else ends[0],
            high=2 * ends[1] / (1 + ends[1]) if name == "f1" else ends[1],
            method="wilson",
        )
        if name not in spreads:
            return plain
        _, left_bk = spreads[name]
        found = spread(
            pseudo_values(value, left_bk[:, at]),
            serial=rows.dependence.order_n is not None,
            factor=rows.dependence.once.factor,
        )
        if not found.se or not SHARE.inside(value):
            few = wilson(value * found.units, found.units)
            return Interval(value=value, low=few[0], high=few[1], method="wilson").hull(plain)
        low, high = student(value, found, SHARE)
        return Interval(value=value, low=low, high=high, method=rows.method).hull(plain)

    return {
        name: ClassScore(**{of: interval(of, at) for of in OF_CLASS}, support=int(true_k[at]))
        for at, name in enumerate(result.classes)
    }


def _class_spreads(rows: ScoredRows) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Of every class, the values and those with each group or stretch of time left out."""
    confusion = labels.Confusion.of(rows.outcome)
    statistics = [Statistic(sums=confusion, finish=finish) for finish in OF_CLASS.values()]
    found = left_out(statistics, len(rows.outcome), seed=rows.seed, dependence=rows.dependence)
    return dict(zip(OF_CLASS, found, strict=True))


def _confusion(result: Outcome) -> tuple[tuple[int, ...], ...]:
    k = len(result.classes)
    if not k:
        return ()
    cells = np.bincount(result.truth_n * k + result.predicted_n, minlength=k * k).reshape(k, k)
    return tuple(tuple(row) for row in cells.tolist())


def _described(dependence: Dependence) -> str:
    what = "groups of rows" if dependence.group_n is not None else "rows"
    serial = " in the order of time" if dependence.order_n is not None else ""
    times = f"{dependence.repeats} times " if dependence.repeats > 1 else ""
    folds = f", with the variance of {times}{dependence.folds} folds" if dependence.folds else ""
    return f"95%, by the method named beside each, over {what}{serial}{folds}"
