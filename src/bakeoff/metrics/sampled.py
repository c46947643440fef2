"""The value of a metric on a population, from rows that were drawn out of it with known probabilities."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core.errors import UsageError
from bakeoff.metrics.intervals import LEVEL, Interval, mid_p, student
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.scales import Scale
from bakeoff.metrics.spread import Spread, spread

__all__ = ["WEIGHABLE", "sampled_estimate"]

Floats = NDArray[np.float64]

WEIGHABLE = frozenset({"labels", "values"})
"""What a metric may need of predictions so that rows can be weighed by any number."""
STEP = 1e-4
FEWEST = 10
"""Rows drawn at random, for an interval of what is no share."""


def sampled_estimate(measure: Measure, rows: Outcome, probabilities_n: ArrayLike, *, level: float = LEVEL) -> Interval:
    """A metric's value on the population that rows were drawn from, each weighed by one over its probability.

    Rows with the probability 1 stand for themselves, the others for those that were not drawn, too. The interval is of
    the traffic that the population is a part of: so that of a population which was drawn as a whole is the ordinary
    one. Where rows leave no spread to go by, there is none, and `reason` says so.

    Args:
        measure: one of predicted classes or numbers (`WEIGHABLE`).
        rows: those that were drawn and whose truth is known.
        probabilities_n: of each to be drawn, over 0 and at most 1.
        level: of the interval.

    Raises:
        UsageError: another kind of metric, or other probabilities.

    Source: J. Hájek, "Asymptotic Theory of Rejective Sampling with Varying Probabilities", Annals of Mathematical
    Statistics 35 (1964), for the variance of a sum over rows drawn without putting back (exact for simple random
    sampling); J.-C. Deville, "Variance Estimation for Complex Statistics and Estimators: Linearization and Residual
    Techniques", Survey Methodology 25 (1999), for that of other measures; L. Kish, "Survey Sampling" (1965), for how
    many rows weighted ones are worth; G. Y. Zou and A. Donner, "Construction of Confidence Limits about Effect
    Measures", Statistics in Medicine 27 (2008), for the interval of a sum of shares.

    >>> from bakeoff.core.types import Predictions
    >>> from bakeoff.metrics.outcome import outcome
    >>> from bakeoff.metrics.registry import find
    >>> rows = outcome(["a", "b", "b"], Predictions(values_n=np.array(["a", "b", "a"]), classes=("a", "b")),
    ...                "classification")
    >>> sampled_estimate(find("accuracy", "classification"), rows, [1.0, 0.5, 0.25]).value.__round__(3)
    0.429
    """
    pi_n = np.asarray(probabilities_n, dtype=np.float64)
    if measure.needs not in WEIGHABLE or measure.task == "generation":
        raise UsageError(f"expected a metric of predicted classes or numbers, received {measure.name!r}")
    if pi_n.shape != (len(rows),) or not ((pi_n > 0) & (pi_n <= 1)).all():
        raise UsageError(f"expected a probability over 0 and at most 1 for each of {len(rows)} rows, received {pi_n}")
    value, slope_n = _linear(measure, rows, 1 / pi_n)
    if not math.isfinite(value):
        return Interval(value=value, reason=f"{measure.name} is undefined on these {len(rows)} rows")
    drawn = int((pi_n < 1).sum())
    if measure.share:
        low, high = _of_share(measure, rows, pi_n, level)
        return Interval(value=value, low=low, high=high, method="inverse probability")
    if (drawn or len(rows)) < FEWEST:
        return Interval(value=value, reason=f"{drawn or len(rows)} rows drawn at random, {FEWEST} needed")
    variance = _variance(slope_n, pi_n)
    scale = Scale(*measure.bounds)
    if variance <= 0 or not scale.inside(value):
        return Interval(value=value, reason=f"all {len(rows)} rows are alike")
    carrying_m = (slope_n / pi_n)[pi_n < 1] if drawn else slope_n
    known = spread(carrying_m)
    low, high = student(value, Spread(se=math.sqrt(variance), freedom=known.freedom, units=known.units), scale, level)
    return Interval(value=value, low=low, high=high, method="inverse probability")


def _of_share(measure: Measure, rows: Outcome, pi_n: Floats, level: float) -> tuple[float, float]:
    """The interval of a share: those of the rows that stand for themselves and of the drawn ones, put together."""
    whole = float((1 / pi_n).sum())
    ends: list[tuple[float, float, float, float]] = []
    for part_n in (pi_n == 1, pi_n < 1):
        if part_n.any():
            weight_n = 1 / pi_n[part_n]
            share, _ = _linear(measure, rows.take(np.flatnonzero(part_n)), weight_n)
            effective = float(weight_n.sum() ** 2 / (weight_n**2).sum())
            ends.append((float(weight_n.sum()) / whole, share, *mid_p(share * effective, effective, level)))
    value = sum(part * share for part, share, _, _ in ends)
    below = math.sqrt(sum((part * (share - low)) ** 2 for part, share, low, _ in ends))
    above = math.sqrt(sum((part * (high - share)) ** 2 for part, share, _, high in ends))
    return max(0.0, value - below), min(1.0, value + above)


def _linear(measure: Measure, rows: Outcome, weight_n: Floats) -> tuple[float, Floats]:
    """The weighted value, and how it changes with the weight of each row (n,)."""
    sums = measure.gather(rows)
    key_n = sums.key_n
    first_u, unit_n = (
        (np.arange(len(rows)), np.arange(len(rows)))
        if key_n is None
        else np.unique(key_n, return_index=True, return_inverse=True)[1:]
    )
    weight_u = np.bincount(unit_n, weights=weight_n, minlength=len(first_u))
    step_u = weight_u * STEP
    moved_ru = np.vstack([weight_u, weight_u + np.diag(step_u), weight_u - np.diag(step_u)])
    values_r = measure.finish(sums.take(first_u)(moved_ru))
    units = len(first_u)
    slope_u = (values_r[1 : units + 1] - values_r[units + 1 :]) / (2 * step_u)
    return float(values_r[0]), slope_u[unit_n]


def _variance(slope_n: Floats, pi_n: Floats) -> float:
    """Of the value: for the rows that were not drawn, and for a population that might have been another."""
    part_n, rest_n = slope_n / pi_n, 1 - pi_n
    drawn = int((pi_n < 1).sum())
    design = 0.0
    if drawn > 1:
        centre = float((rest_n * part_n).sum() / rest_n.sum())
        design = drawn / (drawn - 1) * float((rest_n * (part_n - centre) ** 2).sum())
    return design + float((slope_n * part_n).sum())
