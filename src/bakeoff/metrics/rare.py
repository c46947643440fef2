"""Classes of few rows: what they leave unknown, and intervals of areas under their curves.

The variance of such an area says little, or is too small by luck.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.intervals import LEVEL
from bakeoff.metrics.labels import EVEN_METRICS, WEIGHTED_METRICS
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.names import MetricName
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.posterior import FEW_CLASSES
from bakeoff.metrics.ranks import OneCurve

__all__ = [
    "ONE_CLASS",
    "ONE_CURVE",
    "class_of",
    "class_rows",
    "few_of_a_class",
    "pr_ends",
    "roc_ends",
    "too_rare",
    "why_undefined",
]

HALVINGS = 50
ONE_CLASS = frozenset({"precision", "recall", "f1", "specificity"})
ONE_CURVE = frozenset({"roc_auc", "pr_auc", "precision_at_recall", "recall_at_precision"})
"""Measures of one class, by its labels and by its probabilities."""
FEWEST_OF_A_CLASS = 4
"""Rows of a class below which nothing that depends on it alone is known."""
RARE_CLASSES = 0.2
"""Of many classes, so many may be rarer than that before an average over classes has no interval."""


def class_rows(outcome: Outcome) -> NDArray[np.int64]:
    """How many rows are truly of each class, (k,)."""
    return np.bincount(outcome.truth_n, minlength=len(outcome.classes))


def class_of(measure: Measure, outcome: Outcome) -> str | None:
    """The class that a measure of one class is of, if it is one and there is such a class."""
    if not outcome.classes or measure.name.partition("[")[0] not in ONE_CLASS | ONE_CURVE:
        return None
    arguments = MetricName.parse(measure.name).arguments
    name = arguments[0] if arguments else outcome.positive
    return name if name in outcome.classes else None


def too_rare(measure: Measure, outcome: Outcome) -> str | None:
    """Why the classes have too few rows for anything to be known of this measure; None where they have enough."""
    if not _by_class(measure, outcome):
        return None
    count_k, names = class_rows(outcome), outcome.classes
    one = class_of(measure, outcome)
    if one is None and len(names) == 1:
        return f"all rows are of one class, {names[0]!r}; at least {FEWEST_OF_A_CLASS} of another are needed"
    rare = [at for at in range(len(names)) if count_k[at] < FEWEST_OF_A_CLASS]
    if one is not None and len(names) > FEW_CLASSES:
        rare = [at for at in rare if names[at] == one]
    if not rare:
        return None
    if len(names) <= FEW_CLASSES or one is not None:
        at = min(rare, key=lambda each: int(count_k[each]))
        return f"{count_k[at]} rows of {names[at]!r}; at least {FEWEST_OF_A_CLASS} are needed"
    even = measure.name in EVEN_METRICS - {"mcc"} or isinstance(measure.gather, OneCurve)
    if even and len(rare) > RARE_CLASSES * len(names):
        return f"{len(rare)} of {len(names)} classes have fewer than {FEWEST_OF_A_CLASS} rows"
    return None


def few_of_a_class(measure: Measure, outcome: Outcome) -> str | None:
    """Why the truth has too few rows of a class for this measure to tell candidates apart; None where it has enough.

    By the truth alone, so that it is the same for all candidates, whatever else they answer. Only where all depends on
    that class: of many classes the others say enough.
    """
    if not _by_class(measure, outcome):
        return None
    count_k = class_rows(outcome)
    true_k = count_k[count_k > 0]
    if len(true_k) == 1:
        return "all test rows are of one class"
    one = class_of(measure, outcome)
    if one is None and len(true_k) > FEW_CLASSES:
        return None
    rows = int(true_k.min()) if one is None else int(count_k[outcome.classes.index(one)])
    return f"only {rows} test rows are of a class" if rows < FEWEST_OF_A_CLASS else None


def _by_class(measure: Measure, outcome: Outcome) -> bool:
    """Whether a measure depends on single classes, and not on all rows alike."""
    return bool(outcome.classes) and not measure.share and measure.name not in WEIGHTED_METRICS


def why_undefined(metric: str) -> str:
    """What most probably makes a metric undefined.

    >>> why_undefined("mape"), why_undefined("roc_auc")
    ('is a true value 0?', 'is there only one class?')
    """
    return "is a true value 0?" if metric == "mape" else "is there only one class?"


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
