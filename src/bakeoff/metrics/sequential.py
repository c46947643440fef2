"""Comparisons of two rates that may be looked at after every observation, and ended whenever one likes.

A rate is what share of calls failed, was slow, or was wrong; two streams are compared while both go on. The evidence
against a hypothesis is an **e-process**: at any time, whatever made one look then, it is over 1/α with a probability of
at most α if the hypothesis holds (Ville's inequality).

It is made by universal inference: the likelihood of all that was seen under a mixture of rates (fixed beforehand), over
its greatest likelihood under the hypothesis. The denominator is at least the likelihood under the true rates, so the
ratio is at most a likelihood ratio of a mixture, a test martingale. It holds for any way in which the two streams come
interleaved, as long as the observations of each are independent with one rate.

Source: L. Wasserman, A. Ramdas, S. Balakrishnan, "Universal inference", PNAS 117 (2020), section 8; A. Ramdas,
P. Grünwald, V. Vovk, G. Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical Science 38
(2023). Intervals: H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of
Mathematical Statistics 41 (1970).
"""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["log_evidence_better", "log_evidence_worse", "rate_interval", "times_needed"]

Floats: TypeAlias = NDArray[np.float64]

PRIORS = ((0.5, 0.5), (0.5, 20.0), (0.5, 500.0))
"""Beta distributions whose even mixture is what rates are expected to be: anything, rare, very rare."""
STEPS = 40
FARTHEST, CLOSE = 2.0**20, 1.01
LEAST = 1e-12


def log_evidence_worse(
    failures: ArrayLike, trials: ArrayLike, failures_beside: ArrayLike, trials_beside: ArrayLike, margin: float
) -> Floats:
    """The logarithm of the evidence that a rate is greater than the one beside it by more than `margin`.

    Args:
        failures: of the one; arrays are taken element by element, and counts may be fractions.
        trials: of the one.
        failures_beside: of the other.
        trials_beside: of the other.
        margin: from 0 to below 1.

    Returns:
        ln E of the hypothesis that the rate is at most `margin` greater: over ln(1/α) with a probability of at most α,
        ever.

    >>> [bool(log_evidence_worse(failures, 50, 2, 450, 0.01) > math.log(300)) for failures in (0, 1, 15)]
    [False, False, True]
    """
    return _log_evidence(failures, trials, failures_beside, trials_beside, margin, worse=True)


def log_evidence_better(
    failures: ArrayLike, trials: ArrayLike, failures_beside: ArrayLike, trials_beside: ArrayLike, margin: float
) -> Floats:
    """The logarithm of the evidence that a rate is greater than the one beside it by less than `margin`, if at all.

    Arguments are as for `log_evidence_worse`; the hypothesis is that it is greater by `margin` or more.

    >>> [bool(log_evidence_better(0, trials, 0, 9 * trials, 0.01) > math.log(20)) for trials in (0, 100, 1000)]
    [False, False, True]
    """
    return _log_evidence(failures, trials, failures_beside, trials_beside, margin, worse=False)


def _log_evidence(
    failures: ArrayLike,
    trials: ArrayLike,
    failures_beside: ArrayLike,
    trials_beside: ArrayLike,
    margin: float,
    *,
    worse: bool,
) -> Floats:
    counts = (np.asarray(each, dtype=np.float64) for each in (failures, trials, failures_beside, trials_beside))
    s, n, t, m = (np.atleast_1d(each) for each in np.broadcast_arrays(*counts))
    shape = np.broadcast_shapes(*(np.shape(each) for each in (failures, trials, failures_beside, trials_beside)))
    # Where nothing was seen of one side, its rate is whatever suits the hypothesis.
    first = np.divide(s, n, out=np.full_like(s, 0.0 if worse else 1.0), where=n > 0)
    second = np.divide(t, m, out=np.full_like(t, 1.0 if worse else 0.0), where=m > 0)
    against = first - second > margin if worse else first - second < margin
    greatest = _log_likelihood(s, n, first) + _log_likelihood(t, m, second)
    at = np.flatnonzero(against)
    if len(at):
        s_at, n_at, t_at, m_at = s[at], n[at], t[at], m[at]
        beside = _on_the_border(s_at, n_at, t_at, m_at, margin, between=(second[at], first[at] - margin))
        greatest[at] = _log_likelihood(s_at, n_at, beside + margin) + _log_likelihood(t_at, m_at, beside)
    return (_log_mixture(s, n) + _log_mixture(t, m) - greatest).reshape(shape)


def _on_the_border(
    s: Floats, n: Floats, t: Floats, m: Floats, margin: float, *, between: tuple[Floats, Floats]
) -> Floats:
    """The likeliest rate beside, where the other is greater by exactly the margin: found by halving.

    The likelihood is concave there, with its peak between what each side alone would have.
    """
    low, high = np.minimum(*between), np.maximum(*between)
    low, high = np.clip(low, LEAST, 1 - margin - LEAST), np.clip(high, LEAST, 1 - margin - LEAST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        rate = middle + margin
        rising = s / rate - (n - s) / (1 - rate) + t / middle - (m - t) / (1 - middle) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return (low + high) / 2


def _log_likelihood(s: Floats, n: Floats, rate: Floats) -> Floats:
    from scipy.special import xlog1py, xlogy

    return xlogy(s, rate) + xlog1py(n - s, -rate)


def _log_mixture(s: Floats, n: Floats) -> Floats:
    """The logarithm of the mixture's likelihood."""
    from scipy.special import betaln

    parts = [betaln(a + s, b + n - s) - betaln(a, b) for a, b in PRIORS]
    return np.logaddexp.reduce(np.stack(parts)) - math.log(len(PRIORS))


def rate_interval(failures: float, trials: float, alpha: float = 0.05) -> tuple[float, float]:
    """A confidence sequence of a rate: it holds the rate at all times at once, with a probability of 1 - `alpha`.

    >>> low, high = rate_interval(0, 0)
    >>> (low, high), rate_interval(30, 100)[0] < 0.3 < rate_interval(30, 100)[1]
    ((0.0, 1.0), True)
    """
    if trials <= 0:
        return 0.0, 1.0
    s, n = np.array([failures]), np.array([trials])
    least = float(_log_mixture(s, n)[0]) - math.log(1 / alpha)
    peak = failures / trials

    def edge(outside: float) -> float:
        inside = peak
        for _ in range(STEPS):
            middle = (outside + inside) / 2
            if float(_log_likelihood(s, n, np.array([middle]))[0]) >= least:
                inside = middle
            else:
                outside = middle
        return inside

    low = 0.0 if float(_log_likelihood(s, n, np.array([0.0]))[0]) >= least else edge(0.0)
    return low, 1.0 if float(_log_likelihood(s, n, np.array([1.0]))[0]) >= least else edge(1.0)


def times_needed(
    failures: float, trials: float, failures_beside: float, trials_beside: float, margin: float, *, log_limit: float
) -> float | None:
    """How many times as much must be seen, at the rates so far, until the rate is shown to be no worse.

    Returns:
        1 or more, to a hundredth; None where these rates never show it (or nothing was seen yet).
    """

    def shown(times: float) -> bool:
        s, n, t, m = (each * times for each in (failures, trials, failures_beside, trials_beside))
        return float(log_evidence_better(s, n, t, m, margin)) >= log_limit

    hopeless = trials <= 0 or failures / trials - (failures_beside / trials_beside if trials_beside else 0.0) >= margin
    if hopeless:
        return None
    high = 1.0
    while not shown(high):
        high *= 2
        if high > FARTHEST:
            return None
    low = high / 2
    while high > 1.0 and high / low > CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high
