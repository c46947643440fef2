"""Errors by the size of the prediction and over time, and the curves of each class at every threshold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions
from bakeoff.metrics.intervals import wilson
from bakeoff.results.explanation import Curve, ErrorBar

if TYPE_CHECKING:
    import polars as pl

__all__ = ["by_size", "curves", "over_time"]

SIZES = 10
STRETCHES = 24
FEWEST = 5
"""Rows of a part."""
POINTS = 60
Z = 1.959964
SPREAD = (0.1, 0.9)


def by_size(truth_n: NDArray[Any], predictions: Predictions) -> tuple[ErrorBar, ...]:
    """Errors of numbers by tenths of the rows, the least predictions first; none of classes."""
    if predictions.probabilities_nk is not None or not np.issubdtype(predictions.values_n.dtype, np.number):
        return ()
    predicted_n = predictions.values_n.astype(np.float64)
    order_n = np.argsort(predicted_n, kind="stable")
    error_n = truth_n.astype(np.float64) - predicted_n
    return tuple(
        _bar(float(predicted_n[part].min()), float(predicted_n[part].max()), error_n[part], numbers=True)
        for part in np.array_split(order_n, max(1, min(SIZES, len(order_n) // FEWEST)))
    )


def over_time(truth_n: NDArray[Any], predictions: Predictions, times: "pl.Series") -> tuple[ErrorBar, ...]:
    """Errors by stretches of time with as many rows each, in their order; rows without a time are left out."""
    known_n = np.flatnonzero(times.is_not_null().to_numpy())
    if len(known_n) < 2 * FEWEST:
        return ()
    numbers = np.issubdtype(predictions.values_n.dtype, np.number)
    if numbers:
        error_n = truth_n.astype(np.float64) - predictions.values_n.astype(np.float64)
    else:
        error_n = (truth_n.astype(np.str_) != predictions.values_n.astype(np.str_)).astype(np.float64)
    order_n = known_n[np.argsort(times.to_physical().to_numpy()[known_n], kind="stable")]
    return tuple(
        _bar(str(times[int(part[0])]), str(times[int(part[-1])]), error_n[part], numbers=numbers)
        for part in np.array_split(order_n, max(2, min(STRETCHES, len(order_n) // FEWEST)))
    )


def _bar(start: float | str, end: float | str, error_m: NDArray[np.float64], *, numbers: bool) -> ErrorBar:
    mean, rows = float(error_m.mean()), len(error_m)
    if not numbers:
        low, high = wilson(float(error_m.sum()), rows)
        return ErrorBar(start=start, end=end, rows=rows, mean=mean, low=float(low), high=float(high))
    half = Z * float(error_m.std(ddof=1)) / rows**0.5 if rows > 1 else 0.0
    least, most = np.quantile(error_m, SPREAD).tolist()
    return ErrorBar(
        start=start, end=end, rows=rows, mean=mean, low=mean - half, high=mean + half, least=least, most=most
    )


def curves(truth_n: NDArray[Any], predictions: Predictions, outputs: Sequence[str]) -> tuple[Curve, ...]:
    """The curves of these classes, each against all others; those that rows lack, or all rows have, are left out.

    Precision and recall are joined by steps, whose area is the average precision; the ROC by straight lines.
    Source: T. Fawcett (2006), "An introduction to ROC analysis"; J. Davis, M. Goadrich (2006), "The Relationship
    Between Precision-Recall and ROC Curves".
    """
    if predictions.probabilities_nk is None:
        return ()
    made: list[Curve] = []
    for output in outputs:
        positive_n = truth_n.astype(np.str_) == output
        if 0 < positive_n.sum() < len(positive_n):
            made.append(_curve(output, positive_n, predictions.probabilities_nk[:, predictions.classes.index(output)]))
    return tuple(made)


def _curve(output: str, positive_n: NDArray[np.bool_], score_n: NDArray[np.float64]) -> Curve:
    order_n = np.argsort(-score_n, kind="stable")
    score_n, positive_n = score_n[order_n], positive_n[order_n]
    last_t = np.append(np.flatnonzero(np.diff(score_n)), len(score_n) - 1)  # of equal scores all or none
    true_t, all_t = np.cumsum(positive_n)[last_t], last_t + 1
    recall_t, precision_t = true_t / true_t[-1], true_t / all_t
    false_t = (all_t - true_t) / max(1, len(positive_n) - true_t[-1])
    tpr, fpr = np.append(0.0, recall_t), np.append(0.0, false_t)
    return Curve(
        output=output,
        rows=int(positive_n.sum()),
        roc=_thinned(fpr, tpr),
        precision_recall=_thinned(np.append(0.0, recall_t), np.append(precision_t[0], precision_t)),
        roc_auc=float(np.trapezoid(tpr, fpr)),
        pr_auc=float((np.diff(recall_t, prepend=0.0) * precision_t).sum()),
    )


def _thinned(x_t: NDArray[np.float64], y_t: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """About `POINTS` points of a curve, evenly along it, the first and the last among them."""
    along_t = np.append(0.0, np.cumsum(np.abs(np.diff(x_t)) + np.abs(np.diff(y_t))))
    places = np.searchsorted(along_t, np.linspace(0.0, along_t[-1], POINTS))
    kept = np.unique(np.append(places.clip(0, len(x_t) - 1), [0, len(x_t) - 1]))
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in zip(x_t[kept], y_t[kept], strict=True))
