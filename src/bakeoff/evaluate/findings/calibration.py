"""Whether stated probabilities are kept, and what rescaling them on validation rows would gain."""

import math
from typing import Literal

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
POWER_TOLERANCE = 1e-7
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
    log_nk = np.log(np.clip(_probabilities(outcome), EPS, 1.0))
    true_n = log_nk[np.arange(len(outcome)), outcome.truth_n]
    low, high = (1 / end for end in reversed(TEMPERATURES))
    power, before = 1.0, 0.0
    # The loss is convex in the power, 1 / temperature: Newton's method, within where the slope changes its sign.
    while abs(power - before) > POWER_TOLERANCE * power:
        share_nk = np.exp(power * log_nk - (power * log_nk).max(axis=1, keepdims=True))
        share_nk /= share_nk.sum(axis=1, keepdims=True)
        mean_n = (share_nk * log_nk).sum(axis=1)
        slope = float((mean_n - true_n).mean())
        curve = float(((share_nk * log_nk**2).sum(axis=1) - mean_n**2).mean())
        low, high = (low, power) if slope > 0 else (power, high)
        following = power - slope / curve if curve > 0 else math.nan
        before, power = power, following if low < following < high else math.sqrt(low * high)
    return Temperature(value=1 / power)


def isotonic(outcome: Outcome) -> Isotonic:
    """Rising step functions, one for each class against the rest.

    Source: Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates", KDD 2002.
    """
    p_nk = _probabilities(outcome)
    floor = 1 / (len(outcome) + 2)  # no class is impossible because these few rows lack it
    x: list[tuple[float, ...]] = []
    y: list[tuple[float, ...]] = []
    for at in range(p_nk.shape[1]):
        step_x, step_y = _rising(p_nk[:, at], outcome.truth_n == at)
        x.append(tuple(step_x.tolist()))
        y.append(tuple(np.clip(step_y, floor, 1 - floor).tolist()))
    return Isotonic(x=tuple(x), y=tuple(y))


def _rising(value_n: Floats, hit_n: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The ends of the steps of the rising function of the values that is nearest to the hits.

    Source: Ayer et al., "An Empirical Distribution Function for Sampling with Incomplete Information", Annals of
    Mathematical Statistics 26 (1955): neighbours that fall are pooled until none does.
    """
    value_u, place_n, rows_u = np.unique(value_n, return_inverse=True, return_counts=True)
    sums: list[float] = []
    rows: list[int] = []
    firsts: list[int] = []
    for first, (hits, count) in enumerate(zip(np.bincount(place_n, hit_n).tolist(), rows_u.tolist(), strict=True)):
        start = first
        while sums and sums[-1] * count >= hits * rows[-1]:
            hits, count, start = hits + sums.pop(), count + rows.pop(), firsts.pop()  # noqa: PLW2901 - they are pooled
        sums.append(hits)
        rows.append(count)
        firsts.append(start)
    lasts = [*(first - 1 for first in firsts[1:]), len(value_u) - 1]
    ends, step_e = np.ravel(np.column_stack([firsts, lasts])), np.repeat(np.asarray(sums) / np.asarray(rows), 2)
    single = np.flatnonzero(np.asarray(firsts) == np.asarray(lasts)) * 2
    return np.delete(value_u[ends], single), np.delete(step_e, single)


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
