"""The history of metrics, whole, by pages, and thinned out for plots."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.records import Metric, MetricCurve
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.models import metric_shown
from bakeoff.web.tracking.wire import SEE, invalid, number, paged, unknown

__all__ = ["bulk", "history", "interval"]

MOST_RUNS, MOST_VALUES, MOST_SAMPLES = 100, 25_000, 2500


def history(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The values of one metric of a run, all of them or a page."""
    limit = _limit(given["max_results"])
    try:
        page = tracking.records.runs.history(
            given["run_id"], given["metric_key"], limit=limit, page=given["page_token"] or None
        )
    except NotFoundError:
        raise unknown(f"Run with id={given['run_id']} not found") from None
    except UsageError as error:
        raise invalid(str(error)) from None
    return paged({"metrics": [metric_shown(each) for each in page.items]}, page.following)


def _limit(most: int | None) -> int | None:
    if most is not None and most < 1:
        raise invalid(f"Invalid value {most} for parameter 'max_results' supplied. It must be a positive integer")
    return most


def bulk(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The values of one metric of several runs."""
    runs: Sequence[str] = given["run_id"]
    if not runs:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(runs) > MOST_RUNS:
        raise invalid(
            f"GetMetricHistoryBulk request cannot specify more than {MOST_RUNS} run_ids. Received {len(runs)} run_ids."
        )
    if not given["metric_key"]:
        raise invalid("GetMetricHistoryBulk request must specify a metric_key.")
    most = min(MOST_VALUES, _limit(given["max_results"]) or MOST_VALUES)
    values: list[Json] = []
    for run_id in sorted(runs):
        known = _values(tracking, run_id, given["metric_key"])
        known.sort(key=lambda each: (each.time_ms, each.step, each.value))
        values += [{**metric_shown(each), "run_id": run_id} for each in known]
    return {"metrics": values[:most]}


def interval(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The values of one metric of several runs, at no more steps than a plot can show."""
    runs: Sequence[str] = given["run_ids"]
    if len(runs) > MOST_RUNS:
        raise invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {MOST_RUNS} run_ids. "
            f"Received {len(runs)} run_ids.{SEE}"
        )
    most = 320 if given["max_results"] is None else given["max_results"]
    if not 1 <= most <= MOST_SAMPLES:
        raise invalid(f"max_results must be between 1 and {MOST_SAMPLES}.{SEE}")
    first, last = given["start_step"], given["end_step"]
    if (first is None) != (last is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    if first is not None and first > last:
        raise invalid(f"end_step must be greater than start_step. Found start_step={first} and end_step={last}.")
    key = given["metric_key"]
    curves = {run_id: curve for run_id in runs if (curve := _curve(tracking, run_id, key)) is not None}
    steps = {
        step for curve in curves.values() for step in curve.step_n.tolist() if first is None or first <= step <= last
    }
    ends = {int(curve.step_n[at]) for curve in curves.values() for at in (0, -1)}
    wanted = {*_sampled(sorted(steps), most), *(ends if first is None else ())}
    return {
        "metrics": [
            {"key": key, "value": number(value), "timestamp": time_ms, "step": step, "run_id": run_id}
            for run_id, curve in curves.items()
            for step, time_ms, value in _at(curve, sorted(wanted))
        ]
    }


def _curve(tracking: Tracking, run_id: str, key: str) -> MetricCurve | None:
    try:
        return tracking.records.runs.curves([run_id], key).get(run_id)
    except NotFoundError:
        return None


def _at(curve: MetricCurve, steps: Sequence[int]) -> Iterable[tuple[int, int, float]]:
    """Step, time and value at some steps; of very many values, which share a step, some."""
    import numpy as np

    known = np.flatnonzero(np.isin(curve.step_n, np.array(steps, np.int64)))
    known = known[np.fromiter(_sampled(range(len(known)), MOST_VALUES), np.int64)]
    columns = (curve.step_n, curve.time_ms_n, curve.value_n)
    return zip(*(each[known].tolist() for each in columns), strict=True)


def _values(tracking: Tracking, run_id: str, key: str) -> list[Metric]:
    try:
        return list(tracking.records.runs.history(run_id, key).items)
    except NotFoundError:
        return []


def _sampled(steps: Sequence[int], most: int) -> Iterable[int]:
    """At most `most` of sorted steps, evenly, and the last one.

    >>> list(_sampled(range(10), 5))
    [0, 2, 4, 6, 8, 9]
    """
    if len(steps) <= most:
        return steps
    apart = len(steps) / most
    return [*(steps[int(at * apart)] for at in range(most)), steps[bisect_left(steps, steps[-1])]]
