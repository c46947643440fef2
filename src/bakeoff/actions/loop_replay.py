"""Replay of the loop's policy over past data: read it, walk over it, and the chart of quality over time."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.config.file import load
from bakeoff.config.sections import Config
from bakeoff.loop.context import Stage
from bakeoff.loop.replay import PolicyReplay, ReplayResult, replay_beside, replayed, tuned
from bakeoff.loop.replay_data import PastRows
from bakeoff.loop.replay_world import Past
from bakeoff.loop.sources import resolved
from bakeoff.report.drawing import Chart
from bakeoff.report.loop_chart import PolicyPoint, quality_over_time

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NAMES", "chart", "replay"]

NAMES = {
    "loop": "the policy",
    "beside": "the other policy",
    "never": "never retrain",
    "always": "retrain always",
    "oracle": "best in hindsight",
}
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
    beside: Path | None = None,
) -> ReplayResult:
    """Run the project's policy over the past; see `ProjectCycles.replay`."""
    config, other = stage.config, None if beside is None else load(beside).config
    table = _read(stage, data) if data is None or isinstance(data, str) else data
    rows = PastRows.of(table, config.data, config.project.task, by=by, every=every, start=start, truth=truth)
    past = Past(stage, rows)
    policies = replayed(past, config.loop, config.monitor)
    if other is not None:
        policies = (policies[0], _beside(past, stage, rows, other), *policies[1:])
    return ReplayResult(
        project=config.project.name,
        metric=past.metric,
        by=by,
        periods=past.periods,
        policies=policies,
        tuned=tuned(past, config.loop, config.monitor) if tune else None,
    )


def _beside(past: Past, stage: Stage, rows: PastRows, other: Config) -> PolicyReplay:
    """Another policy, over the same models unless it fits them in another way."""
    loop, mine = other.loop, stage.config.loop
    if (loop.refit, loop.refit_max_s) != (mine.refit, mine.refit_max_s):
        past = Past(replace(stage, config=stage.config.model_copy(update={"loop": loop})), rows)
    return replay_beside(past, loop, other.monitor)


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
