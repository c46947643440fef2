"""Percentiles of timings."""

import numpy as np
from numpy.typing import ArrayLike

from bakeoff.core.errors import DataError

__all__ = ["percentiles"]


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
