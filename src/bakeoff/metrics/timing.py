"""Times a model through its public `predict`: one row at a time, then in batches."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.errors import DataError
from bakeoff.core.protocols import Model
from bakeoff.metrics.latency import Ends, percentile_ends, percentiles

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Speed", "measure"]

WARM_UP = 5
CALLS = 400
"""Enough for an upper end of the 99th percentile."""
MIN_CALLS, MIN_CALLS_S = 20, 10.0
"""So many single calls are made even by slow models, unless they take longer than that; five in any case."""
FEWEST_CALLS = 5
BATCH_ROWS = 1000
LEAST_BATCH_ROWS = 100
MIN_BATCHES = 2
MAX_BATCHES = 10
STEADY_S = 0.1
"""Batches of fast models go on for so long, so that a moment's work elsewhere does not slow all of them down."""
SLOW = 0.9
SCHEDULE = "/proc/thread-self/schedstat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Latency in milliseconds (`p50`, `p95`, `p99`) of single rows and of batches, and rows per second in batches.

    `latency_ms` is without the time for which calls waited for a processor (`wall_latency_ms` is with it): what other
    work on the machine does to a model is not the model's. `latency_ends_ms` are intervals of it, from `calls` calls.
    `row_s` is what the middle one of single calls takes. Batches have `batch_rows` rows. `throughput_rows_s_per_core`
    is per second of processor time, over all threads: what one busy core gets done. `spread` is how many times longer
    the slow batches (the ninth of ten) took than the fastest one.
    """

    latency_ms: Mapping[str, float]
    throughput_rows_s: float
    throughput_rows_s_per_core: float
    batch_latency_ms: Mapping[str, float]
    batch_rows: int
    spread: float
    wall_latency_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    latency_ends_ms: Mapping[str, Ends] = field(default_factory=dict[str, Ends])
    calls: int = 0
    row_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timing:
    """Seconds that a call took: by the clock, without waiting for a processor, and of processor time."""

    wall_s: float
    ran_s: float
    busy_s: float

    @classmethod
    def of(cls, model: Model, table: "pl.DataFrame", *, busy: bool = True) -> "_Timing":
        """Of one call; without processor time, which takes as long to read as a fast model to answer, if not `busy`."""
        busy_before = process_time() if busy else 0.0
        outside, waited_before = perf_counter(), _waited_s()
        before = perf_counter()
        model.predict(table)
        wall_s = max(perf_counter() - before, 1e-9)
        waited_s = _waited_s() - waited_before
        # Waiting is taken off the time around both of its readings: it may lie between them and the call. Processor
        # time is no more precise than the processor's clock; a model that sleeps is not a fast one.
        ran_s = min(wall_s, max(perf_counter() - outside - waited_s, 1e-9))
        return cls(wall_s=wall_s, ran_s=ran_s, busy_s=max(process_time() - busy_before, 1e-6) if busy else wall_s)


def measure(
    model: Model,
    table: "pl.DataFrame",
    *,
    seed: int,
    calls: int = CALLS,
    budget_s: float = 3.0,
    least_calls: int = MIN_CALLS,
) -> Speed:
    """Time predictions of randomly chosen rows of `table`, after a warm-up.

    Single calls take at most two thirds of the budget, batches the rest; but `least_calls` are made within 10 s.
    The throughput is that of the fastest batch, less the time for which it waited for a processor (where the
    system tells): what slows a batch down is other work on the machine, and prices should not depend on that.
    """
    if not table.height:
        raise DataError("expected at least one row to time predictions; received none")
    rng = np.random.default_rng(seed)
    picks: list[int] = rng.integers(0, table.height, size=calls + WARM_UP).tolist()
    for row in picks[:WARM_UP]:
        model.predict(table.slice(row, 1))
    singles: list[_Timing] = []
    start = perf_counter()
    for row in picks[WARM_UP:]:
        spent_s = perf_counter() - start
        enough = len(singles) >= least_calls or (len(singles) >= FEWEST_CALLS and spent_s > MIN_CALLS_S)
        if enough and spent_s > budget_s * 2 / 3:
            break
        singles.append(_Timing.of(model, table.slice(row, 1), busy=False))
    ran_ms = [each.ran_s * 1000 for each in singles]
    row_s = float(np.median(ran_ms)) / 1000
    affordable = int(budget_s / 3 / row_s)  # by single calls, so that slow models get small batches
    size = min(BATCH_ROWS, max(LEAST_BATCH_ROWS, affordable), table.height)
    batches = _batches(model, table, size, rng, budget_s / 3)
    fastest_s = min(each.ran_s for each in batches)
    return Speed(
        latency_ms=percentiles(ran_ms),
        wall_latency_ms=percentiles([each.wall_s * 1000 for each in singles]),
        latency_ends_ms=percentile_ends(ran_ms),
        calls=len(singles),
        row_s=row_s,
        throughput_rows_s=size / fastest_s,
        throughput_rows_s_per_core=size / min(each.busy_s for each in batches),
        batch_latency_ms=percentiles([each.wall_s * 1000 for each in batches]),
        batch_rows=size,
        spread=float(np.quantile([each.ran_s for each in batches], SLOW)) / fastest_s,
    )


def _batches(
    model: Model, table: "pl.DataFrame", size: int, rng: np.random.Generator, budget_s: float
) -> list[_Timing]:
    """Timings of batches of so many rows."""
    timings: list[_Timing] = []
    start = perf_counter()
    while len(timings) < MIN_BATCHES or (
        perf_counter() - start < budget_s and (len(timings) < MAX_BATCHES or perf_counter() - start < STEADY_S)
    ):
        timings.append(_Timing.of(model, table[rng.choice(table.height, size=size, replace=False)]))
    return timings


def _waited_s() -> float:
    """Seconds for which this thread was ready to run and had no processor; 0 where the system does not tell.

    Source: Linux, Documentation/scheduler/sched-stats.rst (the second field, in nanoseconds).
    """
    try:
        return int(os.pread(_schedule(threading.get_native_id()), 128, 0).split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


@cache
def _schedule(thread: int) -> int:
    """The open file of this thread: each call is timed by two readings, and opening it takes longer than both."""
    del thread
    return os.open(SCHEDULE, os.O_RDONLY | os.O_CLOEXEC)
