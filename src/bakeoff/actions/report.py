"""Gather what the report of a run is made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from bakeoff.evaluate.score.worker import OUTCOMES, read_again, read_outcomes
from bakeoff.loop.dataset import load_table
from bakeoff.loop.stored_outcome import rows_of
from bakeoff.loop.track import SCORECARD
from bakeoff.report.build import Evidence, build
from bakeoff.report.error_analysis import Outcomes
from bakeoff.results.candidate import Candidate
from bakeoff.results.scorecard import Scorecard

if TYPE_CHECKING:
    from bakeoff.core.types import Predictions
    from bakeoff.project.project import Project
    from bakeoff.report.model import Report

__all__ = ["again_of", "outcomes_of", "report"]


def report(project: "Project", run_id: str | None = None) -> "Report":
    """The report of a finished bake-off run, the last one unless another is named.

    Raises:
        NotFoundError: there is none.
    """
    outcome = project.outcome(run_id)
    run = project.records.runs.get(outcome.run_id)
    leader = outcome.candidate(outcome.verdict.winner or outcome.verdict.best)
    version = leader.model_version if leader else None
    return build(
        outcome,
        {each.name: _evidence(project, each) for each in outcome.fine},
        rows_of(project.records, project.blobs, outcome.run_id, "test"),
        project.config.data.target,
        made_ms=run.end_ms or run.start_ms,
        lineage=project.lineage(version).to_json() if version else None,
    )


def _evidence(project: "Project", candidate: Candidate) -> Evidence:
    run = project.records.runs.get(candidate.run_id)
    return Evidence(
        scorecard=_scorecard(project, candidate, run.artifacts),
        outcomes=outcomes_of(project, candidate),
        params=run.params,
    )


def outcomes_of(project: "Project", candidate: Candidate) -> Outcomes:
    """Truth and a candidate's predictions of the test rows of its run."""
    run = project.records.runs.get(candidate.run_id)
    return read_outcomes(load_table(project.blobs, run.artifacts[OUTCOMES]))


def again_of(project: "Project", candidate: Candidate) -> "tuple[Predictions, ...]":
    """What a candidate's models of folds that were dealt anew said of these rows, in turn."""
    run = project.records.runs.get(candidate.run_id)
    return read_again(load_table(project.blobs, run.artifacts[OUTCOMES]))


def _scorecard(project: "Project", candidate: Candidate, artifacts: Mapping[str, str]) -> Scorecard:
    """That of this run; runs of before it was kept with them have the one that the model was registered with."""
    if SCORECARD in artifacts:
        return Scorecard.from_json(msgspec.json.decode(project.blobs.get(artifacts[SCORECARD])))
    return Scorecard.from_json(project.lineage(candidate.model_version).model.model_origin.scorecard or {})
