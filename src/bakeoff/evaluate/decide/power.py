"""What more test rows would show: the least true difference that is found, by the number of rows."""

import math
from collections.abc import Sequence

from bakeoff.metrics.dependence import Dependence
from bakeoff.results.data import Dataset
from bakeoff.results.outcome import NextStep
from bakeoff.results.verdict import Detectable

__all__ = ["next_step", "power_curve"]

FOLDS, REPEATS = 5, 3
WORTH = 0.9
"""A step that leaves more of the interval's width than this is not worth its price."""

MULTIPLES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)


def next_step(dataset: Dataset, *, fits_s: float, may_fold: bool, may_repeat: bool = False) -> NextStep:
    """What narrows intervals next, and its price.

    The width of an interval goes with the root of the variance, which is that of the test rows times the factor of
    folds (see `bakeoff.metrics.dependence.Dependence.factor`).

    Args:
        dataset: of the run.
        fits_s: the seconds that the fits of this run took.
        may_fold: whether the rows could be tested by folds.
        may_repeat: whether folds could be dealt anew.
    """
    rows = dataset.train + dataset.validation + dataset.test
    if may_fold and not dataset.folds and rows:
        width = math.sqrt(Dependence(folds=FOLDS).factor * dataset.test / rows)
        if width < WORTH:
            return NextStep(step=f"[split] folds = {FOLDS}", width=width, fits_s=FOLDS * fits_s)
    if may_repeat and dataset.folds:
        now = Dependence(folds=dataset.folds, repeats=dataset.repeats).factor
        width = math.sqrt(Dependence(folds=dataset.folds, repeats=REPEATS).factor / now)
        if width < WORTH:
            fit_s = fits_s / (1 + dataset.folds * dataset.repeats)
            more = dataset.folds * (REPEATS - dataset.repeats)
            return NextStep(step=f"[split] repeats = {REPEATS}", width=width, fits_s=more * fit_s)
    return NextStep(step="twice the rows", width=math.sqrt(0.5))


def power_curve(mdd: float, rows: int, multiples: Sequence[float] = MULTIPLES) -> tuple[Detectable, ...]:
    """Detectable differences for other numbers of test rows, from the one (`mdd`) that `rows` rows find.

    A standard error falls with the square root of the rows (or of the groups, if they grow alike).

    >>> [(point.rows, round(point.detectable, 3)) for point in power_curve(0.02, 1000, (0.25, 1, 4))]
    [(250, 0.04), (1000, 0.02), (4000, 0.01)]
    """
    counts = sorted({max(1, round(rows * each)) for each in multiples})
    return tuple(Detectable(rows=count, detectable=mdd * math.sqrt(rows / count)) for count in counts)
