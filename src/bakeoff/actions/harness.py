"""Run tasks of the LM Evaluation Harness on a candidate of the last run, and keep what was found with its run."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import CandidateError, NotFoundError
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import Progress
from bakeoff.core.records import Metric, RunChange
from bakeoff.core.types import Json
from bakeoff.families.language.harness import HarnessTasks, harness, need_harness
from bakeoff.results.candidate import Candidate

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["HarnessTasks", "run_harness"]


def run_harness(
    project: "Project", candidate: str, asked: HarnessTasks, *, progress: Progress, now_ms: int
) -> dict[str, Json]:
    """Results of the tasks, as JSON; metrics and an artifact `harness/TASK.json` of each go to the candidate's run.

    Raises:
        NotFoundError: there is no such candidate or task. CandidateError: it has no weights of a language model.
    """
    need_harness()
    found = _candidate(project, candidate)
    if found.status != "ok":
        raise CandidateError(f"expected a candidate that was fitted, {candidate!r} failed: {found.error}")
    try:
        told = harness(project.model(found.model_version).model, asked, progress=progress)
    except CandidateError as error:
        raise CandidateError(f"candidate {candidate!r} (family {found.family}): {error}") from error
    about = {"family": found.family, "run_id": found.run_id, "model_version": found.model_version}
    told = {"candidate": candidate, **about, **told}
    _keep(project, found.run_id, told, now_ms)
    return told


def _candidate(project: "Project", name: str) -> Candidate:
    outcome = project.outcome()
    candidate = outcome.candidate(name)
    if candidate is None:
        known = [each.name for each in outcome.candidates]
        message = (
            f"expected a candidate of the last run ({', '.join(known)}), received {name!r}. {suggestion(name, known)}"
        )
        raise NotFoundError(message.rstrip())
    return candidate


def _keep(project: "Project", run_id: str, told: Mapping[str, Any], now_ms: int) -> None:
    """What was found, as metrics and artifacts of a run that is over."""
    metrics: list[Metric] = []
    artifacts: dict[str, str] = {}
    for task in told["tasks"]:
        name = f"harness/{task['name']}"
        artifacts[f"{name}.json"] = project.blobs.put(json.dumps({**told, "tasks": [task]}).encode())
        for each in task["metrics"]:
            if each["value"] is None:
                continue
            key = "/".join([name, each["name"], *([each["filter"]] if each["filter"] != "none" else [])])
            metrics.append(Metric(key=key, value=each["value"], time_ms=now_ms))
    project.records.runs.apply([RunChange(run_id=run_id, metrics=metrics, artifacts=artifacts)])
