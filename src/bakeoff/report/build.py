"""From what a run kept to the report: its outcome, scorecards, per-row outcomes, test rows and lineage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core.addresses import without_password
from bakeoff.core.types import Json, Task
from bakeoff.metrics.registry import is_higher_better
from bakeoff.report import error_analysis
from bakeoff.report.model import Origin, Report, ReportedCandidate
from bakeoff.results.candidate import Candidate
from bakeoff.results.outcome import RunOutcome
from bakeoff.results.scorecard import Scorecard

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Evidence", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What stays of one candidate beside its part of the outcome."""

    scorecard: Scorecard
    outcomes: error_analysis.Outcomes
    params: Mapping[str, str] = field(default_factory=dict[str, str])


def build(
    outcome: RunOutcome,
    evidence: Mapping[str, Evidence],
    rows: "pl.DataFrame",
    target: str,
    *,
    made_ms: int,
    lineage: Mapping[str, Json] | None = None,
) -> Report:
    """Put a report together.

    Args:
        outcome: what the run found.
        evidence: by candidate; those that failed have none.
        rows: the test rows as they were read, in the order of the per-row outcomes.
        target: the column of truth.
        made_ms: when the run ended.
        lineage: of the model that the report is about, as `bakeoff lineage --json` prints it.
    """
    task, metric = outcome.task, outcome.verdict.metric
    outcomes = {name: each.outcomes for name, each in evidence.items()}
    parts = _fields(outcome)
    del parts["candidates"]
    return Report(
        **parts,
        candidates=tuple(_candidate(each, evidence.get(each.name), task) for each in outcome.candidates),
        made_ms=made_ms,
        higher_is_better=is_higher_better(metric, task) is not False,
        agreement=error_analysis.agreement(outcomes, task),
        rows=error_analysis.worth_reading(outcomes, task, rows, target),
        origin=_origin(lineage, target) if lineage else None,
    )


def _fields(each: RunOutcome | Candidate) -> dict[str, Any]:
    return {field.name: getattr(each, field.name) for field in fields(each)}


def _candidate(candidate: Candidate, evidence: Evidence | None, task: Task) -> ReportedCandidate:
    if evidence is None:
        return ReportedCandidate(**_fields(candidate))
    return ReportedCandidate(
        **_fields(candidate),
        params=evidence.params,
        card=evidence.scorecard,
        reliability=error_analysis.reliability(evidence.outcomes, task),
    )


def _origin(lineage: Mapping[str, Any], target: str) -> Origin:
    made, data, around = lineage["made_from"], lineage["dataset"] or {}, lineage["environment"] or {}
    sources: Mapping[str, Sequence[str]] = data.get("sources") or {}
    return msgspec.convert(
        {
            **{key: made.get(key) for key in ("columns", "seed", "code_commit", "code_dirty", "environment")},
            "model_version": lineage["model_version"],
            "content": lineage["content"],
            "sources": [without_password(location) for listed in sources.values() for location in listed],
            "target": target,
            "python": around.get("python", ""),
            "platform": around.get("platform", ""),
            "packages": len(around.get("packages", {})),
        },
        Origin,
    )
