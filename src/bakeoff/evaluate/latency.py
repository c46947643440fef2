"""Times a model through its public `predict`: one row at a time, then in batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.errors import DataError
from bakeoff.core.protocols import Model
from bakeoff.metrics.latency import percentiles

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Speed", "measure"]

WARM_UP = 5
MIN_CALLS = 5
BATCH_ROWS = 1000
MIN_BATCHES = 2
MAX_BATCHES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Latency of single predictions in milliseconds (`p50`, `p95`, `p99`), and rows per second in batches of 1,000."""

    latency_ms: Mapping[str, float]
    throughput_rows_s: float


def measure(model: Model, table: "pl.DataFrame", *, seed: int, calls: int = 200, budget_s: float = 3.0) -> Speed:
    """Time predictions of randomly chosen rows of `table`, after a warm-up.

    Single calls take at most two thirds of the budget (but at least five are made), batches the rest.
    The throughput is that of the fastest batch: what slows a batch down is other work on the machine,
    and prices should not depend on that.
    """
    if not table.height:
        raise DataError("expected at least one row to time predictions; received none")
    rng = np.random.default_rng(seed)
    picks: list[int] = rng.integers(0, table.height, size=calls + WARM_UP).tolist()
    for row in picks[:WARM_UP]:
        model.predict(table.slice(row, 1))
    timings: list[float] = []
    start = perf_counter()
    for row in picks[WARM_UP:]:
        if len(timings) >= MIN_CALLS and perf_counter() - start > budget_s * 2 / 3:
            break
        one = table.slice(row, 1)
        before = perf_counter()
        model.predict(one)
        timings.append(perf_counter() - before)
    return Speed(
        latency_ms=percentiles([timing * 1000 for timing in timings]),
        throughput_rows_s=_throughput(model, table, rng, budget_s / 3),
    )


def _throughput(model: Model, table: "pl.DataFrame", rng: np.random.Generator, budget_s: float) -> float:
    size = min(BATCH_ROWS, table.height)
    rates: list[float] = []
    start = perf_counter()
    while len(rates) < MIN_BATCHES or (len(rates) < MAX_BATCHES and perf_counter() - start < budget_s):
        batch = table[rng.choice(table.height, size=size, replace=False)]
        before = perf_counter()
        model.predict(batch)
        rates.append(size / max(perf_counter() - before, 1e-9))
    return max(rates)
