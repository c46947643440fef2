"""Intervals: the Interval itself, Wilson's for a share, Student's on a scale, and those from resamples."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.scales import Scale
from bakeoff.metrics.spread import Spread

__all__ = [
    "LEVEL",
    "Interval",
    "IntervalMethod",
    "bca",
    "inverted",
    "mid_p",
    "percentile",
    "skewed",
    "student",
    "wilson",
]

LEVEL = 0.95
"""The level of every interval that bakeoff reports."""

BISECTIONS, HALVINGS = 20, 40

IntervalMethod: TypeAlias = Literal[
    "mid-p",
    "wilson",
    "posterior",
    "t",
    "cluster t",
    "serial t",
    "score",
    "bca",
    "percentile",
    "inverted",
    "jackknife",
    "inverse probability",
]
"""How an interval was made: from the binomial distribution, Wilson's, the posterior of confusion cells, Student's t
over rows, groups or stretches of time, the variance that an area would have at the ends, resamples (BCa or
percentiles), an inverted test, blocks left out, or weights of one over the probability to be drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value and its interval (95% unless it was asked for otherwise), and how that was made, where it is known.

    Without `low` and `high` too little is known for an interval, and `reason` says what is missing.
    """

    value: float
    low: float | None = None
    high: float | None = None
    method: IntervalMethod | None = None
    reason: str | None = None

    @property
    def least(self) -> float:
        """The lower end; minus infinity when too little is known."""
        return -math.inf if self.low is None else self.low

    @property
    def most(self) -> float:
        """The upper end; infinity when too little is known."""
        return math.inf if self.high is None else self.high

    def ends(self, form: str = ".4f") -> str:
        """Both ends as people read them, or why there are none.

        >>> Interval(value=0.5, low=0.4, high=0.6).ends(), Interval(value=1.0, reason="3 rows of 'b'").ends()
        ('[0.4000, 0.6000]', "(no interval: 3 rows of 'b')")
        """
        if self.low is None or self.high is None:
            return f"(no interval: {self.reason})" if self.reason else "(no interval)"
        return f"[{self.low:{form}}, {self.high:{form}}]"

    def hull(self, other: "Interval") -> "Interval":
        """This interval, widened to hold the other's ends too; none when either is unknown."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return other if self.low is not None else self
        return replace(self, low=min(self.low, other.low), high=max(self.high, other.high))


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


def mid_p(successes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a share of `n` independent rows, by the binomial test whose p-value counts the share seen by half.

    It covers near 0% and 100%, too, where Wilson's can fall to 84%. `n` need not be whole.
    Source: Lancaster, JASA 56 (1961); Agresti and Gottard, Computational Statistics and Data Analysis 51 (2007).

    >>> [round(end, 3) for end in mid_p(10, 10)], [round(end, 3) for end in mid_p(48, 50)]
    ([0.741, 1.0], [0.874, 0.993])
    """
    from scipy.special import betainc

    tail = (1 - level) / 2

    def lower(seen: float) -> float:
        """The share under which `seen` or more are as rare as the tail."""
        if seen <= 0:
            return 0.0
        low, high = 0.0, seen / n
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            beyond = float(betainc(seen + 1, n - seen, middle)) if seen < n else 0.0
            above = (float(betainc(seen, n - seen + 1, middle)) + beyond) / 2 > tail
            low, high = (low, middle) if above else (middle, high)
        return low

    return lower(successes), 1 - lower(n - successes)


def student(value: float, spread: Spread, scale: Scale, level: float = LEVEL) -> tuple[float, float]:
    """Student's t about a value inside its scale, made there and carried back; it never leaves the bounds."""
    from scipy.special import stdtrit

    half = float(stdtrit(spread.freedom, 0.5 + level / 2)) * spread.se * scale.slope(value)
    centre = scale.forward(value)
    return scale.back(centre - half), scale.back(centre + half)


def skewed(value: float, spread: Spread, scale: Scale, level: float = LEVEL) -> tuple[float, float]:
    """Student's t about a value inside its scale, with the skewness of the estimate taken out by a cubic.

    Only on the side of the long tail are degrees of freedom those of the few units that carry the estimate: on the
    other one it varies by the many. An end outside the bounds is that of `student`.
    Source: Hall, "On the Removal of Skewness by Transformation", JRSS B 54 (1992), section 2.
    """
    from scipy.special import stdtrit

    skew = spread.skew if abs(spread.skew) > 1e-6 else 1e-6  # noqa: PLR2004 - the limit is the plain t
    many, few = (float(stdtrit(freedom, 0.5 + level / 2)) for freedom in (max(1.0, spread.units - 1), spread.freedom))

    def from_value(t: float) -> float:
        return 3 / skew * (float(np.cbrt(1 + skew * (t - skew / 6))) - 1) * spread.se

    down, up = (many, few) if skew > 0 else (few, many)
    ends = value - from_value(down), value - from_value(-up)
    plain = student(value, spread, scale, level)
    low, high = (end if scale.inside(end) else other for end, other in zip(ends, plain, strict=True))
    return low, high


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
