"""How good past advice was, and what that makes of the next: predictions shifted and widened by earlier misses.

Source: the posterior mean and scale of a normal sample with a conjugate prior (A. Gelman et al., "Bayesian Data
Analysis", 3.3); of times, sizes and prices the sample is of logarithms, as misses are ratios.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bakeoff.metrics.intervals import Interval
from bakeoff.results.search import Expected, PastAdvice

__all__ = ["TrackRecord", "past_advice"]

PRIOR_PAIRS = 4.0
"""What is taken to be known before anything is measured: that predictions are right on average, and as sure as told."""
OTHERS = 0.25
"""The weight of what another candidate's prediction missed by."""
NARROWEST, WIDEST = 0.7, 6.0
Z = 1.96
LEAST_HALF = 0.02
"""Of a half width, as a share (of logarithms: 2%), below which no prediction is taken to have been sure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """What earlier runs measured beside what was expected of them; `metric` is the one quantity that is no ratio."""

    pairs: tuple[Expected, ...]
    metric: str

    def calibrated(self, name: str, quantity: str, interval: Interval) -> Interval:
        """A prediction for a candidate, shifted and widened (or narrowed) by what such predictions missed by before.

        Without any it stays as it is. Of few, they count little; those of the candidate itself count most.
        """
        alike = [each for each in self.pairs if each.quantity == quantity]
        ratio = quantity != self.metric
        low, high = interval.low, interval.high
        if not alike or low is None or high is None or (ratio and low <= 0):
            return interval
        misses = [_miss(each, ratio=ratio) for each in alike]
        weights = [1.0 if each.name == name else OTHERS for each in alike]
        total = PRIOR_PAIRS + sum(weights)
        shift = sum(w * miss for w, (miss, _) in zip(weights, misses, strict=True)) / total
        seen = sum(w * ((miss - shift) / (half / Z)) ** 2 for w, (miss, half) in zip(weights, misses, strict=True))
        times = min(WIDEST, max(NARROWEST, math.sqrt((PRIOR_PAIRS + seen) / total)))
        if ratio:
            shift = math.exp(shift)
            value = interval.value * shift
            return Interval(
                value=value,
                low=value * (low / interval.value) ** times,
                high=value * (high / interval.value) ** times,
            )
        value = interval.value + shift
        return Interval(
            value=value, low=value + (low - interval.value) * times, high=value + (high - interval.value) * times
        )


def _miss(each: Expected, *, ratio: bool) -> tuple[float, float]:
    """By how much a prediction missed, and half the width of its interval."""
    if not ratio:
        half = max((each.high - each.low) / 2, LEAST_HALF * abs(each.expected), 1e-12)
        return each.measured - each.expected, half
    if min(each.measured, each.expected, each.low) <= 0:
        return 0.0, 1.0
    return math.log(each.measured / each.expected), max(math.log(each.high / each.low) / 2, LEAST_HALF)


def past_advice(pairs: Iterable[Expected], metric: str) -> tuple[PastAdvice, ...]:
    """For each quantity how many predictions there were, how many held, and by which factor they missed."""
    listed: dict[str, list[Expected]] = {}
    for each in pairs:
        listed.setdefault(each.quantity, []).append(each)
    return tuple(_past(quantity, of, ratio=quantity != metric) for quantity, of in listed.items())


def _past(quantity: str, pairs: Sequence[Expected], *, ratio: bool) -> PastAdvice:
    factors = [each.factor for each in pairs if each.factor is not None]
    return PastAdvice(
        quantity=quantity,
        pairs=len(pairs),
        inside=sum(each.inside for each in pairs),
        factor=median(factors) if ratio and factors else None,
        difference=None if ratio else median(abs(each.measured - each.expected) for each in pairs),
    )
