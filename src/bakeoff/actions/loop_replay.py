"""Replay of the loop's policy over past data: read it, walk over it, and the chart of quality over time."""

from typing import TYPE_CHECKING

from bakeoff.loop.context import Stage
from bakeoff.loop.replay import ReplayResult, replayed, tuned
from bakeoff.loop.replay_data import PastRows
from bakeoff.loop.replay_world import Past
from bakeoff.loop.sources import resolved
from bakeoff.report.drawing import Chart
from bakeoff.report.loop_chart import PolicyPoint, quality_over_time

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NAMES", "chart", "replay"]

NAMES = {"loop": "the policy", "never": "never retrain", "always": "retrain always", "oracle": "best in hindsight"}
"""Policies as people read them."""


def replay(
    stage: Stage,
    data: "str | pl.DataFrame | None",
    *,
    by: str,
    every: str = "1mo",
    start: str | None = None,
    truth: str | None = None,
    tune: bool = False,
) -> ReplayResult:
    """Run the project's policy over the past; see `ProjectCycles.replay`."""
    config = stage.config
    table = _read(stage, data) if data is None or isinstance(data, str) else data
    rows = PastRows.of(table, config.data, config.project.task, by=by, every=every, start=start, truth=truth)
    past = Past(stage, rows)
    return ReplayResult(
        project=config.project.name,
        metric=past.metric,
        by=by,
        periods=past.periods,
        policies=replayed(past, config.loop, config.monitor),
        tuned=tuned(past, config.loop, config.monitor) if tune else None,
    )


def _read(stage: Stage, location: str | None) -> "pl.DataFrame":
    """The rows of a file, or of the project's own source."""
    from bakeoff.data.reading import read

    data = stage.config.data
    if location is not None:
        data = data.model_copy(update={"source": (location,), "sources": {}, "query": None})
    files = resolved(data, folder=stage.folder, cache=stage.cache, progress=stage.progress)
    return read(data, files).table


def chart(result: ReplayResult) -> Chart:
    """Quality over time by policy, with intervals."""
    points = [
        PolicyPoint(
            policy=NAMES[each.policy],
            period=step.period,
            value=step.quality.value,
            low=step.quality.low,
            high=step.quality.high,
        )
        for each in result.policies
        for step in each.steps
    ]
    return quality_over_time(points, metric=result.metric)
