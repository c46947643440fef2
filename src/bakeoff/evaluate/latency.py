"""Times a model through its public `predict`: one row at a time, then in batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter, process_time
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
LEAST_BATCH_ROWS = 100
MIN_BATCHES = 2
MAX_BATCHES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Latency in milliseconds (`p50`, `p95`, `p99`) of single rows and of batches, and rows per second in batches.

    Batches have `batch_rows` rows. `throughput_rows_s_per_core` is per second of processor time, over all
    threads: what one busy core gets done.
    """

    latency_ms: Mapping[str, float]
    throughput_rows_s: float
    throughput_rows_s_per_core: float
    batch_latency_ms: Mapping[str, float]
    batch_rows: int


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
    affordable = int(budget_s / 3 / float(np.median(timings)))  # by single calls, so that slow models get small batches
    size = min(BATCH_ROWS, max(LEAST_BATCH_ROWS, affordable), table.height)
    wall_s, busy_s = _batches(model, table, size, rng, budget_s / 3)
    return Speed(
        latency_ms=percentiles([timing * 1000 for timing in timings]),
        throughput_rows_s=size / min(wall_s),
        throughput_rows_s_per_core=size / min(busy_s),
        batch_latency_ms=percentiles([timing * 1000 for timing in wall_s]),
        batch_rows=size,
    )


def _batches(
    model: Model, table: "pl.DataFrame", size: int, rng: np.random.Generator, budget_s: float
) -> tuple[list[float], list[float]]:
    """Seconds that each batch took, by the clock and of processor time."""
    wall_s: list[float] = []
    busy_s: list[float] = []
    start = perf_counter()
    while len(wall_s) < MIN_BATCHES or (len(wall_s) < MAX_BATCHES and perf_counter() - start < budget_s):
        batch = table[rng.choice(table.height, size=size, replace=False)]
        before, busy_before = perf_counter(), process_time()
        model.predict(batch)
        wall_s.append(max(perf_counter() - before, 1e-9))
        # No more precise than the processor's clock; a model that sleeps is not a fast one.
        busy_s.append(max(process_time() - busy_before, 1e-6))
    return wall_s, busy_s
