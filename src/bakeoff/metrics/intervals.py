"""Intervals: the Interval itself, Wilson's for a share, and those from resamples."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVEL", "Interval", "IntervalMethod", "bca", "inverted", "jackknifed", "percentile", "wilson"]

LEVEL = 0.95
"""The level of every interval that bakeoff reports."""

BISECTIONS = 20

IntervalMethod: TypeAlias = Literal["percentile", "bca"]
"""What resamples can be made to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value and its 95% interval, and how that was made, where it is known."""

    value: float
    low: float
    high: float
    method: Literal["percentile", "bca", "wilson", "inverted", "jackknife"] | None = None


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


def inverted(
    value: float, parts_k: NDArray[np.float64], draws_rk: NDArray[np.float64], rows: int, level: float = LEVEL
) -> tuple[float, float]:
    """Interval of a sum of sizes, |p1| + |p2| + …, which chance makes too large: noise in a part adds to its size.

    The true parts are taken to be the ones found, all shrunk or stretched alike. Each such truth, with the parts'
    noise as resamples show it, tells which sums would be found; the interval holds those truths under which the
    value is none of the most extreme 5%. `rows` are those (or the groups) that the parts were estimated from.
    Source: inverting a test, Davison and Hinkley (1997), section 5.4; why resampling the sum itself fails at 0:
    Andrews, "Inconsistency of the Bootstrap When a Parameter Is on the Boundary", Econometrica 68 (2000).
    """
    kept_rk = draws_rk[~np.isnan(draws_rk).any(axis=1)]
    if value <= 0 or not len(kept_rk):
        return (0.0, 0.0) if value <= 0 else (math.nan, math.nan)
    estimated = min(int((parts_k != 0).sum()), rows - 1)
    noise_rk = (kept_rk - parts_k) * math.sqrt(rows / (rows - estimated))  # each part's mean was estimated, too
    tail = (1 - level) / 2

    def sums(scale: float) -> NDArray[np.float64]:
        return np.abs(scale * parts_k + noise_rk).sum(axis=1)

    def where(holds: Callable[[float], bool]) -> float:
        """The scale from which on it holds."""
        low, high = 0.0, 1.0
        while not holds(high):
            low, high = high, 2 * high
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        return high

    low = where(lambda scale: float((sums(scale) >= value).mean()) >= tail)
    high = where(lambda scale: float((sums(scale) <= value).mean()) < tail)
    nothing = float((sums(0.0) >= value).mean()) >= tail
    return (0.0 if nothing else low * value), high * value


def jackknifed(value: float, left_b: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """Interval of a smooth statistic from its values with each of a few blocks of many rows left out.

    Student's t with one degree of freedom less than there are blocks.
    Source: Kott, "The Delete-a-Group Jackknife", Journal of Official Statistics 17 (2001).
    """
    from scipy.special import stdtrit

    kept = left_b[~np.isnan(left_b)]
    blocks = len(kept)
    if blocks < 2:  # noqa: PLR2004
        return math.nan, math.nan
    se = math.sqrt((blocks - 1) / blocks * float(((kept - kept.mean()) ** 2).sum()))
    half = float(stdtrit(blocks - 1, 0.5 + level / 2)) * se
    return value - half, value + half


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
