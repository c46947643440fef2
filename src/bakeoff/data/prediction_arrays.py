"""Predictions as arrays by name, for files of `numpy.savez`: written by jobs, read by who asked for them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Predictions

__all__ = ["arrays_of", "predictions_in"]

VALUES, PROBABILITIES, CLASSES, SCORE = "values_n", "probabilities_nk", "classes", "score:"


def arrays_of(predictions: Predictions) -> dict[str, NDArray[Any]]:
    """The arrays of predictions; what evaluation alone adds, likelihoods of texts, is left out."""
    values_n = predictions.values_n
    arrays: dict[str, NDArray[Any]] = {VALUES: values_n.astype(np.str_) if values_n.dtype.kind == "O" else values_n}
    if predictions.probabilities_nk is not None:
        arrays |= {PROBABILITIES: predictions.probabilities_nk}
        arrays |= {CLASSES: np.asarray(predictions.classes, dtype=np.str_)}
    return arrays | {SCORE + name: score_n for name, score_n in predictions.scores.items()}


def predictions_in(arrays: Mapping[str, NDArray[Any]]) -> Predictions:
    """The predictions that `arrays_of` made arrays of.

    >>> predictions_in(arrays_of(Predictions(values_n=np.ones(2), scores={"0.9": np.zeros(2)}))).scores
    {'0.9': array([0., 0.])}
    """
    return Predictions(
        values_n=arrays[VALUES],
        probabilities_nk=arrays.get(PROBABILITIES),
        classes=tuple(np.asarray(arrays.get(CLASSES, ())).tolist()),
        scores={name.removeprefix(SCORE): arrays[name] for name in arrays if name.startswith(SCORE)},
    )
