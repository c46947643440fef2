"""Intervals: the Interval itself, Wilson's for a share, and those from resamples."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVEL", "Interval", "IntervalMethod", "bca", "percentile", "reflected", "wilson"]

LEVEL = 0.95
"""The level of every interval that bakeoff reports."""

IntervalMethod: TypeAlias = Literal["percentile", "bca"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value and its 95% interval."""

    value: float
    low: float
    high: float


def wilson(successes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a share of `n` ≥ 1 independent rows; sound for small n and for 0% and 100%.

    Source: Wilson, JASA 22 (1927); recommended by Brown, Cai and DasGupta, Statistical Science 16 (2001).

    >>> [round(end, 3) for end in wilson(10, 10)]
    [0.722, 1.0]
    """
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def percentile(draws_r: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of resampled values; undefined ones (NaN) are left out."""
    kept = draws_r[~np.isnan(draws_r)]
    if not len(kept):
        return math.nan, math.nan
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def reflected(value: float, draws_r: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """Interval of a value ≥ 0 that small samples bias upward, as they do again in every resample.

    The resamples' quantiles are reflected at the value (the basic bootstrap), which takes the bias off
    once; then the interval is stretched to hold the value.
    Source: Davison and Hinkley, "Bootstrap Methods and their Application" (1997), section 5.2.
    """
    low, high = percentile(draws_r, level)
    return max(0.0, min(value, 2 * value - high)), max(value, 2 * value - low)


def bca(
    value: float, draws_r: NDArray[np.float64], jackknife_b: NDArray[np.float64], level: float = LEVEL
) -> tuple[float, float]:
    """Bias-corrected and accelerated interval of resampled values.

    `jackknife_b` holds the value with each block of rows left out. Cumulants of independent rows add, so
    blocks estimate the same acceleration as single rows.
    Source: Efron, "Better Bootstrap Confidence Intervals", JASA 82 (1987), sections 3 and 7.
    """
    kept = draws_r[~np.isnan(draws_r)]
    left = jackknife_b[~np.isnan(jackknife_b)]
    if not len(kept) or not len(left):
        return percentile(draws_r, level)
    normal = NormalDist()
    # Ties count half, so that a discrete statistic is not taken for a biased one.
    below = float((kept < value).mean() + 0.5 * (kept == value).mean())
    edge = 0.5 / len(kept)
    bias = normal.inv_cdf(min(max(below, edge), 1 - edge))
    influence = left.mean() - left
    spread = float((influence**2).sum()) ** 1.5
    acceleration = float((influence**3).sum()) / (6 * spread) if spread > 0 else 0.0

    def adjusted(share: float) -> float:
        z = bias + normal.inv_cdf(share)
        return normal.cdf(bias + z / (1 - acceleration * z))

    low, high = np.quantile(kept, [adjusted((1 - level) / 2), adjusted((1 + level) / 2)])
    return float(low), float(high)
