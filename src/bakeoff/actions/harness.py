"""Run tasks of the LM Evaluation Harness on a candidate of the last run, and keep the results with its run."""

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.errors import CandidateError, NotFoundError
from bakeoff.core.markup import notebook, paragraph, table
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import Progress
from bakeoff.core.records import Metric, RunChange
from bakeoff.core.types import Json
from bakeoff.families.language.harness import HarnessResult, HarnessTasks, harness, need_harness
from bakeoff.results.candidate import Candidate

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["HarnessReport", "HarnessTasks", "run_harness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessReport(HarnessResult):
    """What tasks came to on a candidate of a run, kept with that run."""

    candidate: str
    family: str
    run_id: str
    model_version: str | None

    def __repr__(self) -> str:
        names = ", ".join(each.name for each in self.tasks)
        return f"HarnessReport({self.candidate!r}, {self.model_version}: {names})"

    def _repr_html_(self) -> str:
        head = "task", "version", "shots", "documents", "metric", "value", "standard error"
        rows = [
            (task.name, task.version, task.shots, task.rows, each.name, each.value, each.stderr)
            for task in self.tasks
            for each in task.metrics
        ]
        note = paragraph(f"LM Evaluation Harness {self.harness}; kept with run {self.run_id[:8]}", "muted")
        return notebook(f"{self.candidate} ({self.family}, {self.model_version})", table(head, rows), note)

    def to_json(self) -> dict[str, Json]:
        """What `bakeoff models harness --json` prints."""
        own = ("candidate", "family", "run_id", "model_version")
        body = msgspec.to_builtins(self)
        return {name: body[name] for name in (*own, *(each.name for each in fields(HarnessResult)))}


def run_harness(
    project: "Project", name: str, selection: HarnessTasks, *, progress: Progress, now_ms: int
) -> HarnessReport:
    """Results of the tasks; metrics and an artifact `harness/TASK.json` of each go to the candidate's run.

    Raises:
        NotFoundError: there is no such candidate or task. CandidateError: it has no weights of a language model.
    """
    need_harness()
    candidate = _candidate(project, name)
    if candidate.status != "ok":
        raise CandidateError(f"expected a candidate that was fitted, {name!r} has no model: {candidate.error}")
    try:
        result = harness(project.model(candidate.model_version).model, selection, progress=progress)
    except CandidateError as error:
        raise CandidateError(f"candidate {name!r} (family {candidate.family}): {error}") from error
    report = HarnessReport(
        candidate=name,
        family=candidate.family,
        run_id=candidate.run_id,
        model_version=candidate.model_version,
        **{each.name: getattr(result, each.name) for each in fields(HarnessResult)},
    )
    _keep(project, report, now_ms)
    return report


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


def _keep(project: "Project", report: HarnessReport, now_ms: int) -> None:
    """The results, as metrics and artifacts of a run that is over."""
    metrics: list[Metric] = []
    artifacts: dict[str, str] = {}
    for task in report.tasks:
        name = f"harness/{task.name}"
        document = report.to_json() | {"tasks": [msgspec.to_builtins(task)]}
        artifacts[f"{name}.json"] = project.blobs.put(json.dumps(document).encode())
        for each in task.metrics:
            if each.value is None:
                continue
            key = "/".join([name, each.name, *([each.filter] if each.filter != "none" else [])])
            metrics.append(Metric(key=key, value=each.value, time_ms=now_ms))
    project.records.runs.apply([RunChange(run_id=report.run_id, metrics=metrics, artifacts=artifacts)])
