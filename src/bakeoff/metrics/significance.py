"""Tests of paired differences, and the correction for making several of them."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

__all__ = ["detectable", "holm", "mcnemar_exact", "t_interval", "t_p_value"]


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p-value that a and b are right equally often.

    `only_a` rows are right by a alone, `only_b` by b alone; the others say nothing.
    Source: McNemar, Psychometrika 12 (1947), with the exact binomial distribution.

    >>> round(mcnemar_exact(1, 9), 4)
    0.0215
    """
    n = only_a + only_b
    if not n:
        return 1.0
    steps = np.arange(1, min(only_a, only_b) + 1)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((n - steps + 1) / steps))])
    return min(1.0, 2 * float(np.exp(log_choose - n * math.log(2)).sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted so that the chance of any false rejection stays below the level.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def t_p_value(difference: float, se: float, freedom: float, *, margin: float = 0.0) -> float:
    """Two-sided p-value that a difference with this standard error is really at most `margin` in size.

    `freedom`, the degrees of freedom, is one less than the independent rows (or groups) on which the
    difference rests: with few of them a resampled standard error is itself uncertain.
    """
    over = abs(difference) - margin
    if over <= 0:
        return 1.0
    if se == 0:  # every resample gives the same difference: all rows agree, as coins might
        return 2.0**-freedom
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -over / se))


def t_interval(difference: float, se: float, freedom: float, level: float = 0.95) -> tuple[float, float]:
    """The interval of a difference that goes with `t_p_value`."""
    if se == 0:
        return difference, difference
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, 0.5 + level / 2)) * se
    return difference - half, difference + half


def detectable(se: float, *, power: float = 0.8, level: float = 0.95, freedom: float = math.inf) -> float:
    """The least true difference that a two-sided test with this standard error finds with that power.

    Source: Bloom, "Minimum Detectable Effects", Evaluation Review 19 (1995).

    >>> round(detectable(0.01), 4), round(detectable(0.01, freedom=9), 4)
    (0.028, 0.0315)
    """
    from scipy.special import stdtrit

    if math.isinf(freedom):
        normal = NormalDist()
        return (normal.inv_cdf(0.5 + level / 2) + normal.inv_cdf(power)) * se
    return float(stdtrit(freedom, 0.5 + level / 2) + stdtrit(freedom, power)) * se
