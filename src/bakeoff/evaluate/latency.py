"""Times a model through its public `predict`: one row at a time, then in batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
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
STEADY_S = 0.2
"""Batches of fast models go on for so long, so that a moment's work elsewhere does not slow all of them down."""
SLOW = 0.9
SCHEDULE = "/proc/thread-self/schedstat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Latency in milliseconds (`p50`, `p95`, `p99`) of single rows and of batches, and rows per second in batches.

    Batches have `batch_rows` rows. `throughput_rows_s_per_core` is per second of processor time, over all
    threads: what one busy core gets done. `spread` is how many times longer the slow batches (the ninth of ten)
    took than the fastest one.
    """

    latency_ms: Mapping[str, float]
    throughput_rows_s: float
    throughput_rows_s_per_core: float
    batch_latency_ms: Mapping[str, float]
    batch_rows: int
    spread: float


def measure(model: Model, table: "pl.DataFrame", *, seed: int, calls: int = 200, budget_s: float = 3.0) -> Speed:
    """Time predictions of randomly chosen rows of `table`, after a warm-up.

    Single calls take at most two thirds of the budget (but at least five are made), batches the rest.
    The throughput is that of the fastest batch, less the time for which it waited for a processor (where the
    system tells): what slows a batch down is other work on the machine, and prices should not depend on that.
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
    wall_s, ran_s, busy_s = _batches(model, table, size, rng, budget_s / 3)
    return Speed(
        latency_ms=percentiles([timing * 1000 for timing in timings]),
        throughput_rows_s=size / min(ran_s),
        throughput_rows_s_per_core=size / min(busy_s),
        batch_latency_ms=percentiles([timing * 1000 for timing in wall_s]),
        batch_rows=size,
        spread=float(np.quantile(ran_s, SLOW)) / min(ran_s),
    )


def _batches(
    model: Model, table: "pl.DataFrame", size: int, rng: np.random.Generator, budget_s: float
) -> tuple[list[float], list[float], list[float]]:
    """Seconds that each batch took: by the clock, without waiting for a processor, and of processor time."""
    wall_s: list[float] = []
    ran_s: list[float] = []
    busy_s: list[float] = []
    start = perf_counter()
    while len(wall_s) < MIN_BATCHES or (
        perf_counter() - start < budget_s and (len(wall_s) < MAX_BATCHES or perf_counter() - start < STEADY_S)
    ):
        batch = table[rng.choice(table.height, size=size, replace=False)]
        outside, waited_before = perf_counter(), _waited_s()
        before, busy_before = perf_counter(), process_time()
        model.predict(batch)
        wall_s.append(max(perf_counter() - before, 1e-9))
        waited_s = _waited_s() - waited_before
        # Waiting is taken off the time around both of its readings: it may lie between them and the call.
        ran_s.append(min(wall_s[-1], max(perf_counter() - outside - waited_s, 1e-9)))
        # No more precise than the processor's clock; a model that sleeps is not a fast one.
        busy_s.append(max(process_time() - busy_before, 1e-6))
    return wall_s, ran_s, busy_s


def _waited_s() -> float:
    """Seconds for which this thread was ready to run and had no processor; 0 where the system does not tell.

    Source: Linux, Documentation/scheduler/sched-stats.rst (the second field, in nanoseconds).
    """
    try:
        return int(Path(SCHEDULE).read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
