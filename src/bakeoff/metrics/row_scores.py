"""Measures of scores that stand beside each row: what a scorer, a judge or a person gave it."""

import math
from collections.abc import Callable

from bakeoff.metrics.measure import Measure
from bakeoff.metrics.moments import Moments, first_mean
from bakeoff.metrics.outcome import Outcome

__all__ = ["mean_of"]


def mean_of(name: str, *, higher_is_better: bool = True, share: bool = False) -> Measure:
    """The mean of the scores called `name`, which every row has.

    Args:
        name: of the scores.
        higher_is_better: which way is better.
        share: each score is 0 or 1, so that the mean is the share of rows for which something holds.
    """
    return Measure(
        name=name,
        task="generation",
        higher_is_better=higher_is_better,
        needs="scores",
        gather=_column(name),
        finish=first_mean,
        share=share,
        bounds=(0.0, 1.0) if share else (-math.inf, math.inf),
    )


def _column(name: str) -> Callable[[Outcome], Moments]:
    return lambda outcome: Moments(outcome.scores[name][:, None])
