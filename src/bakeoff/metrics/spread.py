"""How far an estimate may be off, from its values with single units (rows, groups, stretches of time) left out."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spread", "as_one", "by_waves", "in_order", "long_run", "pseudo_values", "spread", "spreads", "wider"]

Floats = NDArray[np.float64]

LAGS = 5
"""So many autocorrelations in a row must be small for the rest to count as nothing."""
MOST_CORRELATED = 0.98
FEWEST_FREEDOM = 1.5
UNITS_A_WAVE, FEWEST_WAVES = 10, 3
"""Independent stretches for each slow wave by which the variance over time is estimated, and the fewest waves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Standard error, the degrees of freedom of its t distribution, and how many `units` are worth independent ones.

    `skew` is the skewness of the estimate, `bias` how much lower than the truth it is expected to be.
    """

    se: float
    freedom: float
    units: float
    skew: float = 0.0
    bias: float = 0.0


def pseudo_values(value: float, left_b: Floats) -> Floats:
    """What each unit says of the estimate, (b,); their mean is the estimate without its bias.

    Source: Tukey, "Bias and Confidence in Not-quite Large Samples", Annals of Mathematical Statistics 29 (1958).
    """
    units = len(left_b)
    return units * value - (units - 1) * left_b


def as_one(turns_tb: Floats) -> Floats:
    """What each unit says, (b,), as the mean over several turns, but spread as widely as it is in one of them.

    The variance of repeated folds goes by that of a single one (see `bakeoff.metrics.dependence.Dependence.factor`).
    What differs from turn to turn is no chance of the rows alone: by the spread of the mean, learners that hardly
    settle (nearest neighbours, 300 rows) are called different in .07 of samples in which they are equal; so in .04.
    """
    mean_b = turns_tb.mean(axis=0)
    spread_of_mean = float(mean_b.var())
    if len(turns_tb) == 1 or not spread_of_mean:
        return mean_b
    return mean_b.mean() + (mean_b - mean_b.mean()) * math.sqrt(float(turns_tb.var(axis=1).mean()) / spread_of_mean)


def spread(pseudo_b: Floats, *, serial: bool = False, factor: float = 1.0) -> Spread:
    """The spread of the mean of pseudo-values; `serial`: they are in the order of time, and may go together.

    Degrees of freedom come from their kurtosis: a standard error that rests on a few of them is itself unsure. Those
    that go together count as one: errors in a row in time are a single event.
    `factor` multiplies the variance.
    Source: the variance of a variance, Cramér, "Mathematical Methods of Statistics" (1946), 27.4.
    """
    return spreads(pseudo_b[:, None], serial=serial, factor=factor)[0]


def spreads(pseudo_bp: Floats, *, serial: bool = False, factor: float = 1.0) -> list[Spread]:
    """The same for each column of pseudo-values (b, p)."""
    units = len(pseudo_bp)
    centred_bp = pseudo_bp - pseudo_bp.mean(axis=0)
    power_bp = centred_bp**2
    squares_p, fourth_p = power_bp.sum(axis=0).tolist(), (power_bp**2).sum(axis=0).tolist()
    whole_p = (pseudo_bp**2).sum(axis=0).tolist()
    return [
        _spread(centred_bp[:, at], *sums, serial=serial, factor=factor)
        if units > 1 and sums[0] > 1e-24 * max(1.0, whole_p[at])
        else Spread(se=0.0, freedom=float(max(units - 1, 1)), units=float(units))
        for at, sums in enumerate(zip(squares_p, fourth_p, strict=True))
    ]


def _spread(centred_b: Floats, squares: float, fourth: float, *, serial: bool, factor: float) -> Spread:
    units = len(centred_b)
    kurtosis = units * fourth / squares**2
    times = long_run(centred_b) if serial else 1.0
    effective = units / times
    freedom = min(units - 1.0, 2 * effective / max(kurtosis - 1, 1e-9))
    variance = squares / (units * (units - 1)) * times * factor
    return Spread(
        se=math.sqrt(variance),
        freedom=max(FEWEST_FREEDOM, min(freedom, effective - 1)),
        units=effective,
        skew=float((centred_b**3).sum()) / squares**1.5,
    )


def in_order(pseudo_b: Floats, *, factor: float = 1.0) -> Spread:
    """The spread of the mean of pseudo-values in the order of time, by slow waves."""
    return by_waves(pseudo_b, spread(pseudo_b, serial=True, factor=factor), factor=factor)


def by_waves(pseudo_b: Floats, known: Spread, *, factor: float = 1.0) -> Spread:
    """A serial spread that is `known`, with the standard error by as few slow waves as the dependence leaves.

    The more rows go together, the slower the waves that show how far their mean may be off, and the fewer there are:
    with a correlation of 0.9 and 200 rows, three. The t distribution of so few degrees of freedom pays for that.
    Source: Lazarus, Lewis, Stock and Watson, "HAR Inference: Recommendations for Practice", Journal of Business and
    Economic Statistics 36 (2018), section 3 (equally weighted cosines).
    """
    if known.se == 0:
        return known
    from scipy.fft import dct

    waves = min(max(FEWEST_WAVES, round(known.units / UNITS_A_WAVE)), len(pseudo_b) - 1)
    heights = np.asarray(dct(pseudo_b - pseudo_b.mean(), type=2, norm="ortho"))[1 : waves + 1]
    se = math.sqrt(float((heights**2).mean()) / len(pseudo_b) * factor)
    return replace(known, se=se, freedom=min(float(waves), known.freedom))


def wider(one: Spread, other: Spread, level: float) -> Spread:
    """The spread of the wider interval at this level.

    Of a difference in time either may be too small by luck: the sum of autocorrelations (equals are called different
    in .08 to .10 of 300 to 1,000 rows with a correlation of .9), and a few slow waves; both seldom are.

    >>> wider(Spread(se=1.0, freedom=100.0, units=9.0), Spread(se=0.9, freedom=3.0, units=9.0), 0.95).freedom
    3.0
    """
    from scipy.special import stdtrit

    widths = [each.se * float(stdtrit(each.freedom, 0.5 + level / 2)) for each in (one, other)]
    return one if widths[0] >= widths[1] else other


def long_run(centred_t: Floats) -> float:
    """How many times the variance of a mean is that of independent values, for values in the order of time; ≥ 1.

    The larger of two estimates: by a flat-top window as wide as the autocorrelations reach, and by a first-order
    autoregression with its bias corrected, which sees slow dependence in short series.
    Source: Politis and White, "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric Reviews
    23 (2004), section 3; Kendall, "Note on Bias in the Estimation of Autocorrelation", Biometrika 41 (1954).
    """
    length = len(centred_t)
    if length < 2 * LAGS:
        return 1.0
    lags = min(math.ceil(math.sqrt(length)) + 2 * LAGS, length - 2)
    whole = float((centred_t**2).sum())
    if whole <= 0:
        return 1.0
    rho = np.asarray([float((centred_t[lag:] * centred_t[: length - lag]).sum()) for lag in range(lags + 1)]) / whole
    limit = 2 * math.sqrt(math.log10(length) / length)
    quiet = (m for m in range(lags - LAGS) if (np.abs(rho[m + 1 : m + 1 + LAGS]) < limit).all())
    width = 2 * next(quiet, lags - LAGS)
    at = np.arange(1, min(width, lags) + 1)
    flat_top = 1.0 + 2 * float((np.clip(2 * (1 - at / max(width, 1)), 0, 1) * rho[at]).sum())
    first = min(float(rho[1]) + (1 + 3 * float(rho[1])) / length, MOST_CORRELATED)
    return max(1.0, flat_top, (1 + first) / (1 - first) if first > 0 else 1.0)
