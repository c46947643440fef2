"""Quality that is expected before labels come: calibrated probabilities, taken for how often each class is true.

What it needs of rows are sums, of which those of parts add up: with two classes, rows by their label and their
probability; with more, the calibrated probabilities by label. It is right as long as what is seen has changed, and not
what it means: a model does not know what it has not learned.

Source: confidence-based performance estimation, as in J. Białek and others, "Estimating Model Performance Under
Covariate Shift Without Labels" (2024); C. Guo and others, "On Calibration of Modern Neural Networks", ICML 2017;
J. Platt, "Probabilistic outputs for support vector machines" (1999).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import Outcome

__all__ = ["Beliefs", "ConfidenceScale", "added", "beliefs_of", "evidence", "expected_value", "prior_of"]

Floats: TypeAlias = NDArray[np.float64]
Beliefs: TypeAlias = dict[str, list[float]]
"""By label: rows by bins of the second class's log-odds, or sums of calibrated probabilities by class."""

BINS, ODDS = 160, 10.0
"""Bins of the log-odds of two classes, which are taken to lie between so much and its opposite."""
BINARY = 2
MOST_CLASSES = 200
LEAST_ROWS = 50
STEPS, NEAR = 50, 1e-6
"""Of Newton's method for a scale, and a step that is short enough to be the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceScale:
    """What makes probabilities of them: their log-odds times `slope`, plus `intercept` (of two classes)."""

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def of(cls, truth_n: NDArray[np.int64], probabilities_nk: Floats) -> "ConfidenceScale":
        """The likeliest one, held to 1 and 0 as by one row of doubt; as it is with few rows."""
        if len(truth_n) < LEAST_ROWS:
            return cls()
        rows, logs_nk = np.arange(len(truth_n)), _logs(probabilities_nk)
        binary, second_nk = logs_nk.shape[1] == BINARY, np.zeros_like(logs_nk)
        second_nk[:, 1] = 1.0

        def made(at: Floats) -> "ConfidenceScale":
            return cls(slope=float(np.exp(at[0])), intercept=float(at[1]) if binary else 0.0)

        def loss(at: Floats) -> float:
            likely_n = made(at)(probabilities_nk)[rows, truth_n]
            return float((at**2).sum() - np.log(np.maximum(likely_n, 1e-12)).sum())

        at = np.zeros(2 if binary else 1)
        value = loss(at)
        for _ in range(STEPS):
            known_nk, slope = made(at)(probabilities_nk), float(np.exp(at[0]))
            # How each class's score moves with the two, less the mean over what is believed: what curves the loss.
            moves = [slope * logs_nk, second_nk][: len(at)]
            means = [(known_nk * each).sum(axis=1) for each in moves]
            uphill = (
                np.asarray([(m - each[rows, truth_n]).sum() for m, each in zip(means, moves, strict=True)]) + 2 * at
            )
            apart = [each - m[:, None] for m, each in zip(means, moves, strict=True)]
            curve = np.asarray([[(known_nk * a * b).sum() for a in apart] for b in apart]) + 2 * np.eye(len(at))
            step = np.linalg.solve(curve, uphill)
            while (lower := loss(at - step)) > value and np.abs(step).max() > NEAR:
                step = step / 2
            if lower > value:
                break
            at, value = at - step, lower
            if np.abs(step).max() <= NEAR:
                break
        return made(at)

    def __call__(self, probabilities_nk: Floats) -> Floats:
        """Calibrated probabilities (n, k)."""
        logs = self.slope * _logs(probabilities_nk)
        if logs.shape[1] == BINARY:
            logs[:, 1] += self.intercept
        shares = np.exp(logs - logs.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)


def _logs(probabilities_nk: Floats) -> Floats:
    return np.log(np.clip(probabilities_nk, 1e-9, 1.0))


def beliefs_of(labels: Sequence[str], probabilities_nk: Floats, calibration: ConfidenceScale) -> Beliefs:
    """Sums of n rows of what is believed of them; nothing with more than `MOST_CLASSES` classes.

    >>> beliefs_of(["a", "b"], np.array([[0.5, 0.2, 0.3]] * 2), ConfidenceScale())["a"]
    [0.5, 0.2, 0.3]
    """
    if probabilities_nk.shape[1] > MOST_CLASSES:
        return {}
    label_n, beliefs = np.asarray(labels, dtype=object), Beliefs()
    known_nk = calibration(probabilities_nk) if probabilities_nk.shape[1] != BINARY else probabilities_nk
    for label in dict.fromkeys(labels):
        of_label_mk = known_nk[label_n == label]
        if of_label_mk.shape[1] == BINARY:
            second = np.clip(of_label_mk[:, 1], 1e-9, 1 - 1e-9)
            at = np.clip((np.log(second / (1 - second)) / ODDS + 1) / 2 * BINS, 0, BINS - 1).astype(np.int64)
            beliefs[label] = np.bincount(at, minlength=BINS).astype(np.float64).tolist()
        else:
            beliefs[label] = of_label_mk.sum(axis=0).round(9).tolist()
    return beliefs


def added(parts: Iterable[Mapping[str, Sequence[float]]]) -> Beliefs:
    """The sums of all of them.

    >>> added([{"a": [1.0, 2.0]}, {"a": [3.0, 4.0], "b": [5.0, 6.0]}])
    {'a': [4.0, 6.0], 'b': [5.0, 6.0]}
    """
    by_label: dict[str, list[Sequence[float]]] = {}
    for part in parts:
        for label, sums in part.items():
            by_label.setdefault(label, []).append(sums)
    return {label: [sum(each, 0.0) for each in zip(*sums, strict=True)] for label, sums in by_label.items()}


def prior_of(
    beliefs: Mapping[str, Sequence[float]], classes: Sequence[str], calibration: ConfidenceScale
) -> Floats | None:
    """How often rows are of each class (k,), by what is believed of them; None without rows."""
    total = sum((np.asarray(each) for each in beliefs.values()), np.zeros(1))
    if total.sum() <= 0:
        return None
    if len(classes) == BINARY:
        centre_b = 1 / (1 + np.exp(-ODDS * (2 * (np.arange(BINS) + 0.5) / BINS - 1)))
        total = total @ calibration(np.column_stack([1 - centre_b, centre_b]))
    return np.asarray(total / total.sum(), dtype=np.float64)


def evidence(confidence_g: Floats, rows_b: Floats, classes: int) -> float | None:
    """How much the model has to say of rows: the mean of the log-odds of its answers, above those of guessing.

    Args:
        confidence_g: points between bins of the probability of the predicted class.
        rows_b: rows in each bin, one more than there are points.
        classes: how many there are.

    >>> round(evidence(np.array([0.6, 0.8]), np.array([0.0, 1.0, 0.0]), 2), 3)
    0.847
    """
    if not len(confidence_g) or rows_b.sum() <= 0:
        return None
    centre_b = np.concatenate([confidence_g[:1], (confidence_g[1:] + confidence_g[:-1]) / 2, confidence_g[-1:]])
    centre_b = np.clip(centre_b, 1e-6, 1 - 1e-6)
    odds_b = np.maximum(np.log(centre_b / (1 - centre_b) * max(classes - 1, 1)), 0.0)
    return float(odds_b @ rows_b / rows_b.sum())


def expected_value(
    measure: Measure,
    beliefs: Mapping[str, Sequence[float]],
    classes: Sequence[str],
    calibration: ConfidenceScale,
    *,
    worth: float = 1.0,
    prior_k: Floats | None = None,
) -> float | None:
    """What a measure is expected to be; None where beliefs do not tell it.

    Args:
        measure: of labels; with two classes also of probabilities.
        beliefs: what rows add up to.
        classes: in the order of the probabilities.
        calibration: of the two classes' probabilities.
        worth: how much of what the model says of a row is true of it, from 0 to 1; the rest says nothing.
        prior_k: how often rows of which nothing is said are of each class.
    """
    two = len(classes) == BINARY
    known = {label: np.asarray(each) for label, each in beliefs.items() if label in classes}
    if not known or measure.needs not in ({"labels", "probabilities"} if two else {"labels"}):
        return None
    centre_b1 = 1 / (1 + np.exp(-ODDS * (2 * (np.arange(BINS) + 0.5) / BINS - 1)))
    shown_bk = np.column_stack([1 - centre_b1, centre_b1])
    true_bk = calibration(shown_bk)
    if prior_k is not None and two:
        true_bk = worth * true_bk + (1 - worth) * prior_k
    elif prior_k is not None:
        known = {label: worth * sums + (1 - worth) * sums.sum() * prior_k for label, sums in known.items()}
    weights: list[Floats] = []
    truth: list[NDArray[np.int64]] = []
    predicted: list[NDArray[np.int64]] = []
    for label, sums in known.items():
        cells_bk = sums[:, None] * true_bk if two else sums[None, :]
        weights.append(cells_bk.ravel())
        truth.append(np.tile(np.arange(len(classes)), len(cells_bk)))
        predicted.append(np.full(cells_bk.size, list(classes).index(label)))
    order = np.argsort(np.asarray(classes))
    place = np.argsort(order)  # outcomes have their classes sorted
    units = Outcome(
        truth_n=place[np.concatenate(truth)].astype(np.int64),
        predicted_n=place[np.concatenate(predicted)].astype(np.int64),
        classes=tuple(np.asarray(classes)[order].tolist()),
        probabilities_nk=np.tile(np.repeat(shown_bk, BINARY, axis=0), (len(known), 1))[:, order] if two else None,
        positive=classes[1] if two else None,
    )
    try:
        value = float(measure.finish(measure.gather(units)(np.concatenate(weights)[None, :]))[0])
    except (ValueError, TypeError, IndexError):  # a measure of one's own that needs whole rows
        return None
    return value if np.isfinite(value) else None
