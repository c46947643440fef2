"""Measures of predicted classes: functions of how often each class is true, predicted, and both.

They take weights (r, u): r resamples of u units (rows, or groups of rows that are alike), so that one
code gives the value and ten thousand resamples of it. A class that is neither true nor predicted in a
resample does not enter its averages; an undefined precision or recall counts as zero (as scikit-learn).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.names import MetricName
from bakeoff.metrics.outcome import Outcome

__all__ = [
    "EVEN_METRICS",
    "WEIGHTED_METRICS",
    "Confusion",
    "Grouped",
    "Margins",
    "accuracy",
    "balanced_accuracy",
    "class_f1",
    "class_precision",
    "class_recall",
    "class_specificity",
    "f1_of",
    "macro",
    "mcc",
    "precision_of",
    "recall_of",
    "specificity_of",
    "weighs_evenly",
    "weighs_false_alarms",
    "weighted",
]

Floats = NDArray[np.float64]

EVEN_METRICS = frozenset({"f1_macro", "balanced_accuracy", "precision_macro", "recall_macro", "mcc"})
"""Metrics in which every class counts the same; they are served by fits that weigh them so."""
WEIGHTED_METRICS = frozenset({"f1_weighted", "precision_weighted", "recall_weighted"})
"""Metrics in which rare classes hardly count."""
EVEN_BASES = frozenset({"f1", "recall"})
"""Metrics of one class that are, too: a rare class is hardly ever predicted by fits that weigh every row the same."""


FALSE_ALARMS = frozenset({"f1_macro", "mcc"})
"""Those of them that also fall with each row that is called a rare class and is none."""


def weighs_false_alarms(metric: str) -> bool:
    """Whether a metric that `weighs_evenly` falls with false alarms, too, so that even weights may be too much.

    >>> weighs_false_alarms("f1[fraud]"), weighs_false_alarms("recall[fraud]"), weighs_false_alarms("balanced_accuracy")
    (True, False, False)
    """
    return metric in FALSE_ALARMS or ("[" in metric and MetricName.parse(metric).base == "f1")


def weighs_evenly(metric: str) -> bool:
    """Whether the metric is served by a fit in which every class weighs the same.

    >>> weighs_evenly("f1_macro"), weighs_evenly("recall[fraud]"), weighs_evenly("pr_auc[fraud]")
    (True, True, False)
    """
    return metric in EVEN_METRICS or ("[" in metric and MetricName.parse(metric).base in EVEN_BASES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """Weights (r, k) of rows by class: rightly predicted, true, predicted; the classes, and the positive one."""

    hit_rk: Floats
    true_rk: Floats
    predicted_rk: Floats
    classes: tuple[str, ...] = ()
    positive: str | None = None


class Confusion:
    """Sums weights into margins. Units with the same `key_n` (the confusion cell) are alike."""

    def __init__(
        self,
        truth_n: NDArray[np.int64],
        predicted_n: NDArray[np.int64],
        k: int,
        classes: tuple[str, ...] = (),
        positive: str | None = None,
    ) -> None:
        self._truth_n, self._predicted_n, self._k = truth_n, predicted_n, k
        self._classes, self._positive = classes, positive
        hits = np.flatnonzero(truth_n == predicted_n)
        self._hit = Grouped(truth_n[hits], k, hits)
        self._true = Grouped(truth_n, k)
        self._predicted = Grouped(predicted_n, k)

    @classmethod
    def of(cls, outcome: Outcome) -> "Confusion":
        """The sums of an outcome."""
        return cls(outcome.truth_n, outcome.predicted_n, len(outcome.classes), outcome.classes, outcome.positive)

    @property
    def key_n(self) -> NDArray[np.int64]:
        """The confusion cell of each unit."""
        return self._truth_n * self._k + self._predicted_n

    def take(self, units: NDArray[np.intp]) -> "Confusion":
        """The same sums over some of the units."""
        return Confusion(self._truth_n[units], self._predicted_n[units], self._k, self._classes, self._positive)

    def __call__(self, weights_ru: NDArray[Any]) -> Margins:
        """Margins for weights (r, u)."""
        return Margins(
            hit_rk=self._hit(weights_ru),
            true_rk=self._true(weights_ru),
            predicted_rk=self._predicted(weights_ru),
            classes=self._classes,
            positive=self._positive,
        )


class Grouped:
    """Sums columns of weights by code: (r, u) → (r, k)."""

    def __init__(self, code_u: NDArray[np.int64], k: int, units: NDArray[np.intp] | None = None) -> None:
        order = np.argsort(code_u, kind="stable")
        self._present, self._starts = np.unique(code_u[order], return_index=True)
        self._k = k
        columns = order if units is None else units[order]
        # Compressed units come sorted by their true class: then no copy of the weights is needed.
        self._columns = None if units is None and (order == np.arange(len(order))).all() else columns

    def __call__(self, weights_ru: NDArray[Any]) -> Floats:
        """Sums for weights (r, u)."""
        out = np.zeros((len(weights_ru), self._k))
        if len(self._present):
            ordered = weights_ru if self._columns is None else weights_ru[:, self._columns]
            out[:, self._present] = np.add.reduceat(ordered, self._starts, axis=1)
        return out


def _share(part: Floats, whole: Floats) -> Floats:
    """Part / whole, zero where the whole is zero."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def class_precision(margins: Margins) -> Floats:
    """Right among the rows predicted as the class, (r, k)."""
    return _share(margins.hit_rk, margins.predicted_rk)


def class_recall(margins: Margins) -> Floats:
    """Found among the rows truly of the class, (r, k)."""
    return _share(margins.hit_rk, margins.true_rk)


def class_f1(margins: Margins) -> Floats:
    """Harmonic mean of precision and recall, (r, k)."""
    return _share(2 * margins.hit_rk, margins.true_rk + margins.predicted_rk)


def class_specificity(margins: Margins) -> Floats:
    """Not predicted as the class among the rows that are truly of others, (r, k)."""
    others_rk = margins.true_rk.sum(axis=1, keepdims=True) - margins.true_rk
    return _share(others_rk - margins.predicted_rk + margins.hit_rk, others_rk)


def precision_of(name: str | None) -> Callable[[Margins], Floats]:
    """Precision of one class (None: the positive one), (r,).

    Zero when it is never predicted, as for scikit-learn: a model that never names a class is not precise about it.
    Undefined (NaN) when the class is neither true nor predicted anywhere.
    """
    return _of(name, class_precision, lambda margins: margins.true_rk + margins.predicted_rk)


def recall_of(name: str | None) -> Callable[[Margins], Floats]:
    """Recall (sensitivity) of one class, (r,); undefined when it is nowhere true."""
    return _of(name, class_recall, lambda margins: margins.true_rk)


def f1_of(name: str | None) -> Callable[[Margins], Floats]:
    """F1 of one class, (r,); undefined when it is neither true nor predicted anywhere."""
    return _of(name, class_f1, lambda margins: margins.true_rk + margins.predicted_rk)


def specificity_of(name: str | None) -> Callable[[Margins], Floats]:
    """Specificity (the true negative rate) of one class, (r,); undefined when no row is of another class."""
    return _of(name, class_specificity, lambda margins: margins.true_rk.sum(axis=1, keepdims=True) - margins.true_rk)


def _of(
    name: str | None, by_class: Callable[[Margins], Floats], rows_rk: Callable[[Margins], Floats]
) -> Callable[[Margins], Floats]:
    """One class's value, NaN where there are no rows to know it by."""

    def one(margins: Margins) -> Floats:
        named = margins.positive if name is None else name
        if named not in margins.classes:
            return np.full(len(margins.hit_rk), np.nan)
        at = margins.classes.index(named)
        return np.where(rows_rk(margins)[:, at] > 0, by_class(margins)[:, at], np.nan)

    return one


def macro(of_class: Callable[[Margins], Floats]) -> Callable[[Margins], Floats]:
    """The plain mean over the classes that are true or predicted somewhere, (r,)."""

    def mean(margins: Margins) -> Floats:
        present = (margins.true_rk + margins.predicted_rk) > 0
        return of_class(margins).sum(axis=1) / present.sum(axis=1)

    return mean


def weighted(of_class: Callable[[Margins], Floats]) -> Callable[[Margins], Floats]:
    """The mean over classes weighted by how often each is true, (r,)."""

    def mean(margins: Margins) -> Floats:
        return (of_class(margins) * margins.true_rk).sum(axis=1) / margins.true_rk.sum(axis=1)

    return mean


def accuracy(margins: Margins) -> Floats:
    """Share of right rows, (r,).

    With one class to a row, micro-averaged precision, recall and F1 all equal it.
    """
    return margins.hit_rk.sum(axis=1) / margins.true_rk.sum(axis=1)


def balanced_accuracy(margins: Margins) -> Floats:
    """Mean recall over the classes that are true somewhere, (r,)."""
    return class_recall(margins).sum(axis=1) / (margins.true_rk > 0).sum(axis=1)


def mcc(margins: Margins) -> Floats:
    """Matthews correlation for any number of classes, zero when undefined, (r,).

    Source: Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient",
    Computational Biology and Chemistry 28 (2004), eq. 8.
    """
    n = margins.true_rk.sum(axis=1)
    covariance = margins.hit_rk.sum(axis=1) * n - (margins.true_rk * margins.predicted_rk).sum(axis=1)
    of_truth = n * n - (margins.true_rk**2).sum(axis=1)
    of_prediction = n * n - (margins.predicted_rk**2).sum(axis=1)
    return _share(covariance, np.sqrt(of_truth * of_prediction))
