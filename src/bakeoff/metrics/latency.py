"""Percentiles of timings, and how sure they are."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from bakeoff.core.errors import DataError
from bakeoff.metrics.intervals import LEVEL
from bakeoff.metrics.spread import long_run

__all__ = ["PERCENTILES", "Ends", "percentile_ends", "percentiles"]

PERCENTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
Ends = tuple[float, float | None]
"""The ends of an interval; None where no timing is large enough to be the upper one."""


def percentiles(timings_n: ArrayLike) -> dict[str, float]:
    """The 50th, 95th and 99th percentile (linear interpolation) as `p50`, `p95`, `p99`, in the timings' unit.

    >>> percentiles(range(1, 102))
    {'p50': 51.0, 'p95': 96.0, 'p99': 100.0}
    """
    timings = np.asarray(timings_n, dtype=np.float64)
    if not timings.size:
        raise DataError("expected at least one timing; received none")
    p50, p95, p99 = np.percentile(timings, [50, 95, 99]).tolist()
    return {"p50": p50, "p95": p95, "p99": p99}


def percentile_ends(timings_n: ArrayLike, level: float = LEVEL, *, again: bool = False) -> dict[str, Ends]:
    """Intervals of the percentiles by the timings that stand around them, in the order in which they were taken.

    With `again`, of the percentiles that as many other timings would show: both samples are off, and the variance of
    their difference is twice that of one.

    Slow moments come in stretches: as many calls count as are worth independent ones. With too few, a percentile has no
    upper end: the slowest of 50 calls does not bound what one in a hundred takes.
    Source: David and Nagaraja, "Order Statistics" (2003), section 7.1.

    >>> ends = percentile_ends(np.random.default_rng(0).exponential(size=200))
    >>> ends["p50"][1] is not None, ends["p99"][1]
    (True, None)
    """
    from scipy.special import bdtrik

    timings = np.asarray(timings_n, dtype=np.float64)
    ordered, n = np.sort(timings), len(timings)
    ends: dict[str, Ends] = {}
    for name, share in PERCENTILES.items():
        over = (timings > np.quantile(timings, share)).astype(np.float64)
        units = max(1, int(n / long_run(over - over.mean()) / (2 if again else 1)))
        low, high = np.ceil(np.nan_to_num(bdtrik([(1 - level) / 2, (1 + level) / 2], units, share)))
        # Of `units` independent calls; the same places among all that were made.
        first, last = int(low / units * n), int(np.ceil((high + 1) / units * n)) - 1
        ends[name] = float(ordered[min(first, n - 1)]), float(ordered[last]) if high < units and last < n else None
    return ends
