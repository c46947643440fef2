"""What more test rows would show: the least true difference that is found, by the number of rows."""

import math
from collections.abc import Sequence

from bakeoff.results.verdict import Detectable

__all__ = ["power_curve"]

MULTIPLES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)


def power_curve(mdd: float, rows: int, multiples: Sequence[float] = MULTIPLES) -> tuple[Detectable, ...]:
    """Detectable differences for other numbers of test rows, from the one (`mdd`) that `rows` rows find.

    A standard error falls with the square root of the rows (or of the groups, if they grow alike).

    >>> [(point.rows, round(point.detectable, 3)) for point in power_curve(0.02, 1000, (0.25, 1, 4))]
    [(250, 0.04), (1000, 0.02), (4000, 0.01)]
    """
    counts = sorted({max(1, round(rows * each)) for each in multiples})
    return tuple(Detectable(rows=count, detectable=mdd * math.sqrt(rows / count)) for count in counts)
