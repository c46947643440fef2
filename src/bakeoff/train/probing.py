"""A family on small samples of the project's training rows: how long it takes, how good it gets, how fast it answers.

Samples double in size and share no row, so that nothing remembered of one makes the next one cheaper, as long as there
are rows; the last are taken from the beginning again, up to all rows, with nothing remembered. What is
predicted for all rows is extrapolated from them (`bakeoff.evaluate.advise.learning_curves`). Test rows are not read.
"""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import msgspec

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.errors import BakeoffError
from bakeoff.core.families import load_family
from bakeoff.core.jobs import METRICS, ROWS, JobContext
from bakeoff.core.memory import peak_memory_bytes
from bakeoff.core.protocols import Family, FitJob
from bakeoff.core.types import Predictions
from bakeoff.results.search import ProbePoint
from bakeoff.train.params import check_params
from bakeoff.train.worker import FitArgument, size_of, table_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["HELD", "POOL", "PROBE", "ProbeArgument", "ProbeValue", "probe"]

PROBE = "bakeoff.train.probing:probe"
POOL = "pool"
HELD = "held"
"""Arrays of row numbers: those to draw samples from, in order, and those to score on."""
WARM_ROWS = 30
FIRST_ROWS = 50
GROWTH = 2.2
"""How many times longer the fit of the next, doubled sample is taken to need."""
SINGLE_CALLS = 30
FEWEST_CALLS = 5
TIMING_SHARE = 0.075
"""Of the time given; two thirds of it go to single rows, as in a run."""
HELD_SHARE = 0.1
LEAST_HELD = 100
RESAMPLES = 200


class ProbeArgument(FitArgument, frozen=True, kw_only=True):
    """What `probe` takes: a `FitArgument` whose rows have the arrays `pool` and `held`.

    Of each sample, `validation_share` is for choosing on. A first fit of few rows, which fetches and loads what
    the family needs, is not measured and may take `warm_limit_s`; `probe_limit_s` after it, what was measured is given.
    `first_rows` are in the first sample that is.
    """

    probe_limit_s: float
    warm_limit_s: float
    validation_share: float
    first_rows: int = FIRST_ROWS
    costs: dict[str, dict[str, float]] = msgspec.field(default_factory=dict[str, dict[str, float]])
    by_cost: bool = False


class ProbeValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `probe` gives: what was measured, what ended it, and whether that was the clock before anything was."""

    points: list[ProbePoint]
    error: str | None
    late: bool


def probe(argument: ProbeArgument, context: JobContext) -> ProbeValue:
    """Fit and measure on samples that double for as long as the limit allows."""
    points: list[ProbePoint] = []
    errors: list[str] = []
    warm = threading.Event()
    heard = ["nothing"]

    def tell(line: str) -> None:
        heard[:] = [line]
        context.progress(line)

    quiet = replace(context, progress=tell)

    def work() -> None:
        try:
            with remote_calls(allowed=argument.remote):
                points.extend(_measured(argument, quiet, warm))  # one by one, as they come
        except BakeoffError as error:
            errors.append(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a family does becomes its error
            errors.append(f"{type(error).__name__}: {str(error) or 'no message'}".splitlines()[0])

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    if warm.wait(argument.warm_limit_s):
        worker.join(argument.probe_limit_s)  # a fit that takes longer is left behind; the process ends with this job
    late = worker.is_alive() and not points
    if late:
        given = (
            f"{argument.probe_limit_s:.1f} s given"
            if warm.is_set()
            else f"{argument.warm_limit_s:.1f} s given to get ready"
        )
        errors.append(f"nothing was measured in the {given}; last heard: {heard[0]}")
    return ProbeValue(points=points, error=errors[0] if errors else None, late=late)


def _measured(argument: ProbeArgument, context: JobContext, warm: threading.Event) -> Iterator[ProbePoint]:
    import numpy as np
    from threadpoolctl import threadpool_limits

    from bakeoff.metrics.custom import using

    family = load_family(argument.family)
    table = table_of(argument, context)
    with np.load(context.inputs[ROWS], allow_pickle=False) as rows:
        pool, held_out = table[rows[POOL]], table[rows[HELD]]
    start = min(WARM_ROWS, len(pool) // 2)
    size = min(argument.first_rows, max(2, len(pool) - start))
    with (
        threadpool_limits(context.threads),
        using(context.inputs.get(METRICS), argument.costs),
    ):
        busy = time.process_time()
        try:
            family.fit(_fit_job(argument, context, family, pool[:start]))
        finally:
            warm.set()
        first_s = time.process_time() - busy  # not by the clock, which downloads would count in
        imports_s: float | None = None
        deadline = time.monotonic() + argument.probe_limit_s
        while True:
            before, fresh = time.monotonic(), start + size <= len(pool)
            context.progress(f"fitting {size} rows")
            sample = pool[start : start + size] if fresh else pool[:size]
            # What fits keep for each other (vectors of texts) would make rows that are read again cheaper.
            cache = context.cache if fresh else context.scratch / f"cache-{size}"
            point, used = _point(argument, replace(context, cache=cache), family, sample, held_out)
            held_out = held_out[:used]
            if imports_s is None:  # what the first fit took beyond one of more rows, a run's fit takes too
                imports_s = max(0.0, first_s - point.train_s)
            yield replace(point, train_s=point.train_s + imports_s)
            rest_s = time.monotonic() - before - point.train_s
            start, following = start + size if fresh else len(pool), min(2 * size, len(pool))
            growth = GROWTH ** math.log2(following / size)
            if following == size or time.monotonic() + growth * point.train_s + rest_s > deadline:
                break
            size = following


def _point(
    argument: ProbeArgument, context: JobContext, family: Family, sample: "pl.DataFrame", held_out: "pl.DataFrame"
) -> tuple[ProbePoint, int]:
    """Measure one sample; also the number of held-out rows that there was time for."""
    from bakeoff.metrics.timing import measure

    job = _fit_job(argument, context, family, sample)
    started = time.perf_counter()
    model = family.fit(job)
    train_s = time.perf_counter() - started
    memory_bytes = peak_memory_bytes()
    folder = context.scratch / f"{len(sample)}-rows"
    folder.mkdir()
    model.save(folder)
    timed = family.load(folder, context.threads)  # nothing remembered
    inputs = held_out.drop(argument.schema.target)
    speed = measure(
        timed,
        inputs,
        seed=argument.seed,
        budget_s=argument.probe_limit_s * TIMING_SHARE,
        calls=SINGLE_CALLS,
        least_calls=FEWEST_CALLS,
    )
    used = min(len(held_out), max(LEAST_HELD, int(argument.probe_limit_s * HELD_SHARE * speed.throughput_rows_s)))
    predictions = timed.predict(inputs[:used])
    value, se = _scored(argument, held_out[:used], predictions)
    point = ProbePoint(
        rows=len(sample),
        train_s=train_s,
        memory_bytes=memory_bytes,
        size_bytes=size_of(folder),
        value=value,
        se=se,
        latency_p50_ms=speed.latency_ms["p50"],
        latency_p95_ms=speed.latency_ms["p95"],
        row_s=1 / speed.throughput_rows_s,
        scored=used,
    )
    return point, used


def _fit_job(argument: ProbeArgument, context: JobContext, family: Family, sample: "pl.DataFrame") -> FitJob:
    chosen_on = max(1, ceil(len(sample) * argument.validation_share))
    context.cache.mkdir(parents=True, exist_ok=True)
    return FitJob(
        task=argument.task,
        schema=argument.schema,
        train=sample[chosen_on:],
        validation=sample[:chosen_on],
        params=check_params(family, argument.params),
        metric=argument.metric,
        seed=argument.seed,
        threads=context.threads,
        cache=context.cache,
        progress=context.progress,
    )


def _scored(argument: ProbeArgument, held_out: "pl.DataFrame", predictions: Predictions) -> tuple[float | None, float]:
    """The metric on held-out rows and its bootstrap standard error; None where it is undefined."""
    import numpy as np

    from bakeoff.metrics.bootstrap import replicate
    from bakeoff.metrics.costs import Costs, answered_by_cost
    from bakeoff.metrics.outcome import outcome
    from bakeoff.metrics.registry import bind, find

    if argument.by_cost:
        predictions = answered_by_cost(predictions, Costs(by_class=argument.costs).matrix(predictions.classes))
    known = outcome(held_out[argument.schema.target].to_numpy(), predictions, argument.task)
    statistic = bind([find(argument.metric, argument.task)], known)[argument.metric]
    (replicates,) = replicate([statistic], len(held_out), resamples=RESAMPLES, seed=argument.seed)
    value, draws = float(replicates.value_m[0]), replicates.draws_rm[np.isfinite(replicates.draws_rm[:, 0]), 0]
    if not np.isfinite(value) or len(draws) < 2:  # noqa: PLR2004
        return None, 0.0
    return value, float(draws.std(ddof=1))
