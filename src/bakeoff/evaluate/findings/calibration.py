"""Whether stated probabilities are kept, and what rescaling them on validation rows would gain."""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.moments import ECE_BINS
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.scaling import EPS, Calibrator, Isotonic, Temperature
from bakeoff.results.candidate import Bin, Calibration

__all__ = [
    "Bin",
    "Calibration",
    "calibration",
    "calibrator",
    "ece",
    "isotonic",
    "reliability",
    "rescaled",
    "temperature",
]

Floats = NDArray[np.float64]

TEMPERATURES = (0.05, 20.0)
"""Between these the temperature is searched for."""
MIN_ROWS = 30
MIN_ISOTONIC_ROWS = 200
"""Steps fitted on fewer rows follow chance (Niculescu-Mizil and Caruana, ICML 2005)."""


def reliability(outcome: Outcome) -> list[Bin]:
    """The reliability curve: up to 15 equal bins of confidence, the empty ones left out.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2.
    """
    confidence, right = _confidence(outcome)
    at_n = np.clip(np.ceil(confidence * ECE_BINS).astype(np.intp) - 1, 0, ECE_BINS - 1)
    counts, sure, fine = (
        np.bincount(at_n, weights, minlength=ECE_BINS) for weights in (None, confidence, right.astype(np.float64))
    )
    return [
        Bin(rows=int(counts[at]), confidence=float(sure[at] / counts[at]), right=float(fine[at] / counts[at]))
        for at in np.flatnonzero(counts).tolist()
    ]


def ece(outcome: Outcome) -> float:
    """Expected calibration error: the mean distance of confidence and share of right rows over the bins."""
    bins = reliability(outcome)
    return sum(each.rows * abs(each.right - each.confidence) for each in bins) / len(outcome)


def temperature(outcome: Outcome) -> Temperature:
    """The temperature with the least log loss on these rows.

    Source: Guo et al. (2017), section 4.2; on log probabilities in place of logits, from which they differ by
    a constant of the row.
    """
    from scipy.optimize import minimize_scalar

    p_nk = _probabilities(outcome)
    rows = np.arange(len(outcome))

    def loss(log_value: float) -> float:
        p_true = Temperature(value=math.exp(log_value))(p_nk)[rows, outcome.truth_n]
        return float(-np.log(np.clip(p_true, EPS, 1.0)).mean())

    low, high = (math.log(end) for end in TEMPERATURES)
    found: Any = minimize_scalar(loss, bounds=(low, high), method="bounded")
    return Temperature(value=math.exp(found.x))


def isotonic(outcome: Outcome) -> Isotonic:
    """Rising step functions, one for each class against the rest.

    Source: Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates", KDD 2002.
    """
    from sklearn.isotonic import IsotonicRegression

    p_nk = _probabilities(outcome)
    floor = 1 / (len(outcome) + 2)  # no class is impossible because these few rows lack it
    x: list[tuple[float, ...]] = []
    y: list[tuple[float, ...]] = []
    for at in range(p_nk.shape[1]):
        fitted = IsotonicRegression(y_min=floor, y_max=1 - floor).fit(p_nk[:, at], outcome.truth_n == at)
        x.append(tuple(fitted.X_thresholds_.tolist()))
        y.append(tuple(fitted.y_thresholds_.tolist()))
    return Isotonic(x=tuple(x), y=tuple(y))


def calibration(test: Outcome, validation: Outcome | None = None) -> Calibration:
    """What is to know of the probabilities of `test`; rescaling is fitted on `validation` (same classes) alone."""
    bins, before = tuple(reliability(test)), ece(test)
    if validation is None or len(validation) < MIN_ROWS:
        return Calibration(bins=bins, ece=before)
    assert validation.classes == test.classes
    scale = temperature(validation)
    enough = len(validation) >= MIN_ISOTONIC_ROWS
    return Calibration(
        bins=bins,
        ece=before,
        validation_rows=len(validation),
        temperature=scale.value,
        ece_temperature=ece(rescaled(test, scale)),
        ece_isotonic=ece(rescaled(test, isotonic(validation))) if enough else None,
    )


def calibrator(validation: Outcome, how: Literal["temperature", "isotonic"]) -> Calibrator | str:
    """How to rescale probabilities, fitted on these rows; or in words why not."""
    least = MIN_ROWS if how == "temperature" else MIN_ISOTONIC_ROWS
    if len(validation) < least:
        return f"{how} needs {least} validation rows, and there are {len(validation)}"
    return temperature(validation) if how == "temperature" else isotonic(validation)


def rescaled(outcome: Outcome, by: Calibrator) -> Outcome:
    """The outcome with other probabilities; its answers are the most probable classes."""
    p_nk = by(_probabilities(outcome))
    return Outcome(
        truth_n=outcome.truth_n, predicted_n=p_nk.argmax(axis=1), classes=outcome.classes, probabilities_nk=p_nk
    )


def _probabilities(outcome: Outcome) -> Floats:
    assert outcome.probabilities_nk is not None
    return outcome.probabilities_nk


def _confidence(outcome: Outcome) -> tuple[Floats, NDArray[np.bool_]]:
    p_nk = _probabilities(outcome)
    return p_nk.max(axis=1), outcome.truth_n == p_nk.argmax(axis=1)
