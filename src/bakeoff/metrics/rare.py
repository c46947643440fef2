"""Intervals of areas under curves of a class with few rows, whose variance says little or is too small by luck."""

import math
from statistics import NormalDist

from bakeoff.metrics.intervals import LEVEL

__all__ = ["pr_ends", "roc_ends"]

HALVINGS = 50


def roc_ends(value: float, positives: int, negatives: int, se: float, level: float = LEVEL) -> tuple[float, float]:
    """Ends of the area under the ROC curve: those areas from which the value is no further than chance takes it.

    The variance is that which such an area would have, multiplied as far as the rows show more (`se`): an area that is
    large by luck has a small variance, too. It needs at least one row of either side.
    Source: Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic", Statistics
    in Medicine 25 (2006), method 5; the variance: Hanley and McNeil, Radiology 143 (1982).

    >>> [round(end, 2) for end in roc_ends(1.0, 5, 95, 0.0)], [round(end, 2) for end in roc_ends(0.5, 50, 50, 0.0)]
    ([0.75, 1.0], [0.39, 0.61])
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)

    def variance(area: float) -> float:
        of_positives = (positives - 1) * (area / (2 - area) - area**2)
        of_negatives = (negatives - 1) * (2 * area**2 / (1 + area) - area**2)
        return (area * (1 - area) + of_positives + of_negatives) / (positives * negatives)

    here = variance(value)
    times = max(1.0, se**2 / here) if here > 0 else 1.0

    def end(limit: float) -> float:
        """The farthest area towards the limit that chance takes to the value."""
        near, far = value, limit
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            reached = (value - middle) ** 2 <= z**2 * times * variance(middle)
            near, far = (middle, far) if reached else (near, middle)
        return near

    return end(0.0), end(1.0)


def pr_ends(value: float, positives: int, level: float = LEVEL) -> tuple[float, float]:
    """Ends of the average precision as if it were a share of the class's rows, on the logit scale.

    Source: Boyd, Eng and Page, "Area under the Precision-Recall Curve: Point Estimates and Confidence Intervals",
    ECML PKDD 2013, section 3.2.

    >>> [round(end, 2) for end in pr_ends(0.5, 20)]
    [0.29, 0.71]
    """
    edge = 0.25 / (positives + 0.5)
    share = min(max(value, edge), 1 - edge)
    half = NormalDist().inv_cdf(0.5 + level / 2) / math.sqrt(positives * share * (1 - share))
    place = math.log(share / (1 - share))
    return 1 / (1 + math.exp(half - place)), 1 / (1 + math.exp(-half - place))
