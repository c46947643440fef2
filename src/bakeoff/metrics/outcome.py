"""What happened on n rows: truth and prediction, in the arrays that every measure reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.errors import CandidateError, DataError
from bakeoff.core.types import Predictions, Task
from bakeoff.metrics.positive import positive_class

__all__ = ["Outcome", "outcome"]

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may sum from one (float32 models are that inexact)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Truth and prediction of n rows.

    Classification: `truth_n` and `predicted_n` are int64 positions in `classes`, the sorted union of the
    model's classes and those seen in truth and prediction; `probabilities_nk` has their columns (zero where
    the model does not know a class); measures of one class ask about `positive` where no other is named.
    Regression: both are float64, and `scores` are quantiles by their level ("0.9"). Generation: both are texts
    (objects), with `log_likelihood_n`, `tokens_n` and `scores` as the predictions have them.
    """

    truth_n: NDArray[Any]
    predicted_n: NDArray[Any]
    classes: tuple[str, ...] = ()
    probabilities_nk: NDArray[np.float64] | None = None
    positive: str | None = None
    log_likelihood_n: NDArray[np.float64] | None = None
    tokens_n: NDArray[np.int64] | None = None
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict[str, Any])

    def __len__(self) -> int:
        return len(self.truth_n)

    def take(self, rows: NDArray[Any]) -> "Outcome":
        """The same of some rows (positions or a mask); the classes stay."""

        def some(array: NDArray[Any] | None) -> Any:
            return None if array is None else array[rows]

        return replace(
            self,
            truth_n=some(self.truth_n),
            predicted_n=some(self.predicted_n),
            probabilities_nk=some(self.probabilities_nk),
            log_likelihood_n=some(self.log_likelihood_n),
            tokens_n=some(self.tokens_n),
            scores={name: some(score_n) for name, score_n in self.scores.items()},
        )


def outcome(truth_n: ArrayLike, predictions: Predictions, task: Task, *, positive: str | None = None) -> Outcome:
    """Put truth and predictions on common codes, checked.

    Without a `positive` class, that of two is the one that `positive_class` takes from the truth; a project names
    the one of its training rows, so that it is the same for all rows.

    Raises:
        DataError: no rows.
        CandidateError: other rows than the truth, values that are not finite, or no probabilities.
    """
    truth = np.asarray(truth_n)
    if not len(truth):
        raise DataError("expected at least one row to score; received none. Enlarge [split] test.")
    if len(predictions) != len(truth):
        raise CandidateError(
            f"expected {len(truth)} predictions, one for each row; received {len(predictions)}. "
            "Model.predict must keep every row."
        )
    match task:
        case "classification":
            return _labelled(truth.astype(np.str_), predictions, positive)
        case "regression":
            return Outcome(
                truth_n=_finite("the truth", truth),
                predicted_n=_finite("predictions", predictions.values_n),
                scores={name: _finite(f"quantiles {name}", each) for name, each in predictions.scores.items()},
            )
        case "generation":
            return Outcome(
                truth_n=_texts(truth),
                predicted_n=_texts(predictions.values_n),
                log_likelihood_n=predictions.log_likelihood_n,
                tokens_n=predictions.tokens_n,
                scores=predictions.scores,
            )


def _texts(values: ArrayLike) -> NDArray[np.object_]:
    """Texts as objects (a fixed width would take the longest text's room for each); missing ones are empty."""
    return np.asarray(["" if value is None else str(value) for value in np.asarray(values).tolist()], dtype=object)


def _finite(what: str, values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        raise CandidateError(f"expected finite numbers in {what}; received {bad} NaN or infinite of {numbers.size}")
    return numbers


def _labelled(truth: NDArray[np.str_], predictions: Predictions, positive: str | None) -> Outcome:
    predicted = np.asarray(predictions.values_n).astype(np.str_)
    seen: set[str] = {*predictions.classes, *np.unique(truth).tolist(), *np.unique(predicted).tolist()}
    classes = tuple(sorted(seen))
    order = np.asarray(classes)
    truth_n = np.searchsorted(order, truth).astype(np.int64)
    rows_k = np.bincount(truth_n, minlength=len(classes)).tolist()
    return Outcome(
        truth_n=truth_n,
        predicted_n=np.searchsorted(order, predicted).astype(np.int64),
        classes=classes,
        probabilities_nk=_aligned(predictions, classes),
        positive=positive_class(dict(zip(classes, rows_k, strict=True))) if positive is None else positive,
    )


def _aligned(predictions: Predictions, classes: Sequence[str]) -> NDArray[np.float64] | None:
    if predictions.probabilities_nk is None:
        return None
    given = _finite("probabilities", predictions.probabilities_nk)
    expected = (len(predictions), len(predictions.classes))
    if given.shape != expected:
        raise CandidateError(f"expected probabilities of shape {expected} (rows, classes); received {given.shape}")
    off = np.abs(given.sum(axis=1) - 1.0)
    if (given < 0).any() or (off > SUM_TOLERANCE).any():
        received = f"{given.min():.3g}" if (given < 0).any() else f"sums off by up to {off.max():.3g}"
        raise CandidateError(f"expected probabilities ≥ 0 that sum to 1 in each row; received {received}")
    if tuple(classes) == predictions.classes:
        return given
    aligned = np.zeros((len(predictions), len(classes)))
    aligned[:, [classes.index(name) for name in predictions.classes]] = given
    return aligned
