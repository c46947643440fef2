"""Statistics that a jackknife does not follow, because leaving out a row moves them by a jump or not at all."""

from bakeoff.metrics.custom import Called
from bakeoff.metrics.measure import Statistic
from bakeoff.metrics.points import Thresholds
from bakeoff.metrics.ranks import Sorted

__all__ = ["is_rough"]


def is_rough(statistic: Statistic) -> bool:
    """Whether it is a median, a best threshold, or one's own metric, which may be anything.

    Source: Efron, "The Jackknife, the Bootstrap and Other Resampling Plans" (1982), section 3.4.
    """
    return isinstance(statistic.sums, Sorted | Thresholds | Called)
