"""Gather what the report of the last run is made of."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.types import Json
from bakeoff.report.build import Kept, build

if TYPE_CHECKING:
    from bakeoff.project.project import Project
    from bakeoff.report.model import Report

__all__ = ["report"]


def report(project: "Project") -> "Report":
    """The report of the last finished run.

    Raises:
        NotFoundError: there is none.
    """
    document = cast("Mapping[str, Any]", project.last().document)
    run = project.records.runs.get(document["run_id"])
    versions = {each["name"]: each["model_version"] for each in document["candidates"] if each["status"] == "ok"}
    verdict = document["verdict"]
    about = versions.get(verdict["winner"] or verdict["best"])
    return build(
        document,
        {each["name"]: _kept(project, each) for each in document["candidates"] if each["status"] == "ok"},
        project.rows("test"),
        project.config.data.target,
        made_ms=run.end_ms or run.start_ms,
        lineage=project.lineage(about).to_json() if about else None,
    )


def _kept(project: "Project", candidate: Mapping[str, Any]) -> Kept:
    import polars as pl

    from bakeoff.evaluate.score.worker import read_outcomes

    run = project.records.runs.get(candidate["run_id"])
    table = pl.read_parquet(io.BytesIO(project.blobs.get(run.artifacts["outcomes.parquet"])))
    return Kept(
        scorecard=_scorecard(project, candidate, run.artifacts), outcomes=read_outcomes(table), params=run.params
    )


def _scorecard(project: "Project", candidate: Mapping[str, Any], artifacts: Mapping[str, str]) -> Mapping[str, Json]:
    """That of this run; runs of before it was kept with them have the one that the model was registered with."""
    if "scorecard.json" in artifacts:
        return msgspec.json.decode(project.blobs.get(artifacts["scorecard.json"]))
    return project.lineage(candidate["model_version"]).model.model_origin.scorecard
