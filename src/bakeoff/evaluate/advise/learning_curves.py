"""From small samples to all rows: what grows with the number of rows, and what quality tends to.

Source: Hestness et al. 2017, "Deep Learning Scaling Is Predictable, Empirically" (error falls by a power of the
rows towards a floor); Viering and Loog 2022, "The Shape of Learning Curves: a Review" (how unsure that is).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.metrics.intervals import Interval

__all__ = ["doubling", "growth", "learning"]

EXPONENTS = ((0.5, 0.1), (0.75, 0.3), (1.0, 1.0), (1.25, 0.5), (1.5, 0.2), (2.0, 0.1))
"""Exponents of growth with the weight that each has before anything is measured: most work is linear in rows."""
STEADY = ((0.0, 3.0), (0.5, 0.25), (1.0, 1.0))
"""The same for the time of an answer: most likely it does not grow, and not faster than the rows."""
FAR = 1.0
"""A residual beyond which a moment's value is taken for a mishap: it weighs no more."""
RATES = (0.25, 0.5, 0.75, 1.0)
"""Exponents by which the distance from the floor is taken to fall."""
NOISE = 0.1
"""How far timings of the same work lie apart, as a share."""
MOMENT_NOISE, MOMENT_S = 0.3, 1.0
"""The same for what takes less than a second."""
LIKELY = 0.25
"""An exponent with so small a part of the weight of the best one is left out of the interval."""
Z = 1.96
MOST_LOG = 50.0


def growth(rows: Sequence[int], values: Sequence[float], at: int, *, steady: bool = False) -> Interval:
    """A time or a size at `at` rows, by a constant and a power of the rows fitted to what was measured.

    The interval spans the powers that fit about as well, the noise of timings, and the scatter around the curve.
    `steady` is for what need not grow at all and is timed in moments: the time of an answer.

    >>> found = growth([100, 200, 400, 800], [1.1, 1.2, 1.4, 1.8], 8000)
    >>> 8 < found.value < 11, found.low < 9 < found.high
    (True, True)
    """
    n, value = np.asarray(rows, dtype=np.float64), np.maximum(np.asarray(values, dtype=np.float64), 1e-12)
    exponents = EXPONENTS
    if steady:
        exponents = STEADY if len(n) > 1 else STEADY[:1]
    noise = MOMENT_NOISE if steady or value.max() < MOMENT_S else NOISE
    unit = np.full_like(value, np.median(value)) if steady else value  # a moment's luck must not weigh most
    fits = [(math.log(prior), *_power(n, value, exponent, at, unit)) for exponent, prior in exponents]
    weights = _weights([prior - rss / (2 * noise**2) for prior, rss, _ in fits])
    likely = [(weight, found) for weight, (_, _, found) in zip(weights, fits, strict=True)]
    centre = sum(weight * math.log(found) for weight, found in likely)
    kept = [found for weight, found in likely if weight >= LIKELY * max(weights)]
    apart = math.sqrt(min(rss for _, rss, _ in fits) / max(1, len(n) - 2)) if len(n) > 2 else 0.0  # noqa: PLR2004
    room = math.exp(Z * max(noise, min(apart, FAR)))
    found = math.exp(centre)
    if len(n) == 1:  # nothing tells a constant from the rest: it may all be one
        kept.append(float(value[0]))
    return Interval(value=found, low=min(*kept, found) / room, high=max(*kept, found) * room)


def _power(
    n: NDArray[np.float64], value: NDArray[np.float64], exponent: float, at: int, unit: NDArray[np.float64]
) -> tuple[float, float]:
    """Squared residuals (in units) of the best a + b nᵉ with a, b ≥ 0, and its value at `at`."""
    from scipy.optimize import nnls

    scale = n.max()
    design = np.column_stack([np.ones_like(n), (n / scale) ** exponent]) / unit[:, None]
    if len(n) == 1 or not exponent:  # all of it grows, or nothing does
        design[:, 0] = 0
    (constant, factor), _ = nnls(design, value / unit)
    left = design @ np.asarray([constant, factor]) - value / unit
    rss = float(np.minimum(left**2, FAR).sum())
    return rss, max(float(constant + factor * (at / scale) ** exponent), 1e-12)


def learning(
    rows: Sequence[int],
    values: Sequence[float],
    se: float,
    at: int,
    *,
    higher_is_better: bool,
    se_there: float = 0.0,
) -> tuple[Interval, float]:
    """A metric at `at` rows, and what doubling the rows from there would add to it.

    Fitted is v∞ ∓ k n⁻ʳ with k ≥ 0 for several rates r; the interval holds the standard error `se` of a measured
    value, the scatter around the curve and how far the rates lie apart. What is then measured there has an error of its
    own, `se_there`, since it is measured on other rows.

    >>> n = [100, 200, 400, 800, 1600]
    >>> found, more = learning(n, [0.8 - 2 * r**-0.5 for r in n], 0.005, 10_000, higher_is_better=True)
    >>> round(found.value, 2), found.low < 0.78 < found.high, more > 0
    (0.78, True, True)
    """
    sign = 1.0 if higher_is_better else -1.0
    n, value = np.asarray(rows, dtype=np.float64), sign * np.asarray(values, dtype=np.float64)
    fits = [_curve(n, value, se, rate, at) for rate in RATES]
    weights = _weights([fit for fit, *_ in fits])
    centre = float(sum(weight * found for weight, (_, found, _, _) in zip(weights, fits, strict=True)))
    spread = sum(
        weight * (var + (found - centre) ** 2) for weight, (_, found, var, _) in zip(weights, fits, strict=True)
    )
    more = sum(weight * gain for weight, (*_, gain) in zip(weights, fits, strict=True))
    half = Z * math.sqrt(spread + se**2 + se_there**2)
    ends = sorted((sign * (centre - half), sign * (centre + half)))
    return Interval(value=sign * centre, low=ends[0], high=ends[1]), sign * float(more)


def _curve(
    n: NDArray[np.float64], value: NDArray[np.float64], se: float, rate: float, at: int
) -> tuple[float, float, float, float]:
    """Log-likelihood (but for a constant), the value at `at`, its variance, and the gain of twice the rows."""
    falling = (n / n.max()) ** -rate
    weight = n / n.sum()  # large samples say more about what comes after them
    mean_x, mean_y = float(weight @ falling), float(weight @ value)
    spread = float(weight @ (falling - mean_x) ** 2)
    steep = min(0.0, float(weight @ ((falling - mean_x) * (value - mean_y))) / spread) if spread else 0.0
    left = value - mean_y - steep * (falling - mean_x)
    noise = float(weight @ left**2) + se**2 / 4  # samples are scored on the same rows, so less apart than `se`
    far, further = ((at * times / n.max()) ** -rate for times in (1, 2))
    effective = 1 / float(weight @ weight)
    variance = noise * (1 / effective + ((far - mean_x) ** 2 / (spread * effective) if spread else 1.0))
    likelihood = -0.5 * effective * float(weight @ left**2) / (se**2 / 4 + 1e-12)
    return likelihood, mean_y + steep * (far - mean_x), variance, steep * (further - far)


def doubling(rows: Sequence[int], behind: Sequence[float], ses: Sequence[float], at: int) -> Interval:
    """What twice the `at` rows would gain, from how far fits on fewer rows lie behind one on all `at` of them.

    Of v∞ - k n⁻ʳ with k ≥ 0 a fit on n rows lies k (n⁻ʳ - at⁻ʳ) behind, so that k is found for each rate r by least
    squares, weighted by the standard errors `ses`; the rates weigh as well as they fit. A scatter that is wider than
    the standard errors widens the interval.

    >>> n = [200, 400, 800]
    >>> found = doubling(n, [2 * (r**-0.5 - 1600**-0.5) for r in n], [0.001] * 3, 1600)
    >>> round(found.value, 3), round(2 * (1600**-0.5 - 3200**-0.5), 3)
    (0.015, 0.015)
    """
    n, gap = np.asarray(rows, dtype=np.float64) / at, np.asarray(behind, dtype=np.float64)
    weight = 1 / np.maximum(np.asarray(ses, dtype=np.float64), 1e-12) ** 2
    logs: list[float] = []
    gains: list[float] = []
    variances: list[float] = []
    for rate in RATES:
        slope = n**-rate - 1.0
        precision = float(weight @ slope**2)
        factor = max(0.0, float(weight @ (slope * gap)) / precision)
        chi = float(weight @ (gap - factor * slope) ** 2)
        step = 1.0 - 2.0**-rate
        logs.append(-0.5 * chi)
        gains.append(factor * step)
        variances.append(step**2 / precision * max(1.0, chi / max(1, len(n) - 1)))
    share = _weights(logs)
    value = sum(w * gain for w, gain in zip(share, gains, strict=True))
    spread = sum(w * (v + (gain - value) ** 2) for w, gain, v in zip(share, gains, variances, strict=True))
    half = Z * math.sqrt(spread)
    return Interval(value=value, low=value - half, high=value + half)


def _weights(logs: ArrayLike) -> list[float]:
    found = np.asarray(logs, dtype=np.float64)
    raised = np.exp(np.maximum(found - found.max(), -MOST_LOG))
    return (raised / raised.sum()).tolist()
