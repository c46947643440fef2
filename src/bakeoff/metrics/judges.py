"""Shares of good answers as a judge sees them, corrected by answers that people judged, too.

A judge errs; many of its votes are still worth something once a few human labels say how it errs. A vote that could
not be read is no opinion: leave such answers out, and tell how many they are.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from bakeoff.core.errors import DataError
from bakeoff.metrics.intervals import LEVEL, Interval

__all__ = ["prediction_powered", "rogan_gladen"]

FEWEST = 2


def prediction_powered(
    human_m: ArrayLike, judged_m: ArrayLike, judged_n: ArrayLike, *, level: float = LEVEL
) -> Interval:
    """The mean score that people would give, from m answers scored by both and n further ones by the judge.

    The judge's votes enter as far as they help (the weight that gives the least variance), so the interval
    is about as short as that of the m human scores alone, or shorter.
    Source: Angelopoulos et al., "Prediction-powered inference", Science 382 (2023), algorithm 1; the weight:
    Angelopoulos, Duchi and Zrnic, "PPI++", arXiv 2311.01453 (2023), section 6.

    Raises:
        DataError: fewer than two answers of a kind, or unpaired scores.

    >>> found = prediction_powered([1, 0, 1, 1], [1, 0, 1, 1], [1] * 70 + [0] * 30)  # the judge agrees with people
    >>> round(found.value, 3)
    0.7
    """
    human, both, more = (np.asarray(scores, dtype=np.float64) for scores in (human_m, judged_m, judged_n))
    m, n = len(human), len(more)
    if m < FEWEST or n < FEWEST or len(both) != m:
        raise DataError(
            "expected at least two answers scored by people and judge, in pairs, and two by the judge alone; "
            f"received {m} and {len(both)}, and {n}"
        )
    spread = float(np.concatenate([both, more]).var(ddof=1))
    together = float(np.cov(human, both, ddof=1)[0, 1])
    weight = min(1.0, max(0.0, together / ((1 + m / n) * spread))) if spread > 0 else 0.0
    value = weight * more.mean() + (human - weight * both).mean()
    variance = weight**2 * more.var(ddof=1) / n + (human - weight * both).var(ddof=1) / m
    return _normal(float(value), math.sqrt(float(variance)), level)


def rogan_gladen(
    accepted: int, judged: int, *, true_positives: int, positives: int, true_negatives: int, negatives: int
) -> Interval:
    """The share of truly good answers when a judge accepted some of the `judged` ones.

    Of answers that people labelled, the judge accepted `true_positives` of the `positives` (its sensitivity)
    and refused `true_negatives` of the `negatives` (its specificity).
    Source: Rogan and Gladen, American Journal of Epidemiology 107 (1978); the interval: Lang and Reiczigel,
    Preventive Veterinary Medicine 113 (2014), section 2.3.

    Raises:
        DataError: nothing was counted, or the judge is no better than chance, so that its votes tell nothing.

    >>> found = rogan_gladen(600, 1000, true_positives=90, positives=100, true_negatives=80, negatives=100)
    >>> round(found.value, 3)
    0.571
    """
    if min(judged, positives, negatives) < 1:
        raise DataError(
            f"expected at least one answer of a kind; received {judged} judged, {positives} good, {negatives} bad"
        )
    sensitivity, specificity = true_positives / positives, true_negatives / negatives
    if sensitivity + specificity <= 1:
        raise DataError(
            "expected a judge better than chance (sensitivity + specificity > 1); "
            f"received {sensitivity:.3f} + {specificity:.3f}"
        )
    value = (accepted / judged + specificity - 1) / (sensitivity + specificity - 1)
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    # Shares with added counts: half of z² for the votes, one success and one failure for the judge's errors.
    share = (accepted + z * z / 2) / (judged + z * z)
    hit, refused = (true_positives + 1) / (positives + 2), (true_negatives + 1) / (negatives + 2)
    youden = hit + refused - 1
    if youden <= 0:
        return Interval(value=_share(value), low=0.0, high=1.0)
    centre = (share + refused - 1) / youden
    of_hit, of_refused = hit * (1 - hit) / (positives + 2), refused * (1 - refused) / (negatives + 2)
    of_share = share * (1 - share) / (judged + z * z)
    half = z / youden * math.sqrt(of_share + centre**2 * of_hit + (1 - centre) ** 2 * of_refused)
    shift = 2 * z * z * (centre * of_hit - (1 - centre) * of_refused)
    return Interval(value=_share(value), low=_share(centre + shift - half), high=_share(centre + shift + half))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _normal(value: float, se: float, level: float) -> Interval:
    half = NormalDist().inv_cdf(0.5 + level / 2) * se
    return Interval(value=value, low=value - half, high=value + half)
