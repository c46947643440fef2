"""From what a run kept to the report: the pass document, scorecards, outcomes, test rows and lineage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.ledger import Ledger
from bakeoff.core.types import Json, Task
from bakeoff.metrics.positive import Positive
from bakeoff.metrics.registry import is_higher_better
from bakeoff.report import error_analysis as reading
from bakeoff.report.model import Asked, Budget, Candidate, Card, Combination, Data, Judge, Origin, Report, Verdict

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Kept", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays of one candidate beside its part of the pass document."""

    scorecard: Mapping[str, Json]
    outcomes: reading.Outcomes
    params: Mapping[str, str] = field(default_factory=dict[str, str])


def build(
    document: Mapping[str, Json],
    kept: Mapping[str, Kept],
    rows: "pl.DataFrame",
    target: str,
    *,
    made_ms: int,
    lineage: Mapping[str, Json] | None = None,
) -> Report:
    """Put a report together.

    Args:
        document: what the pass ended with, as `bakeoff run --json` prints it.
        kept: by candidate; those that failed have none.
        rows: the test rows as they were read, in the order of the outcomes.
        target: the column of truth.
        made_ms: when the run ended.
        lineage: of the model that the report is about, as `bakeoff lineage --json` prints it.
    """
    told = cast("Mapping[str, Any]", document)
    task, verdict = told["task"], msgspec.convert(told["verdict"], Verdict)
    outcomes = {name: each.outcomes for name, each in kept.items()}
    release = told.get("release")
    return Report(
        project=told["project"],
        task=task,
        run_id=told["run_id"],
        made_ms=made_ms,
        higher_is_better=is_higher_better(verdict.metric, task) is not False,
        dataset=msgspec.convert(told["dataset"], Data),
        verdict=verdict,
        positive=msgspec.convert(told.get("positive"), Positive | None),
        candidates=tuple(_candidate(each, kept.get(each["name"]), task) for each in told["candidates"]),
        live=f"{release['model']}/{release['number']}" if release else None,
        endpoint=told.get("endpoint"),
        agreement=reading.agreement(outcomes, task),
        rows=reading.worth_reading(outcomes, task, rows, target),
        judge=msgspec.convert(told.get("judge"), Judge | None),
        combinations=msgspec.convert(told.get("combinations", ()), tuple[Combination, ...]),
        not_combined=told.get("not_combined", {}),
        advice=msgspec.convert(told.get("advice", ()), tuple[Asked, ...]),
        budget=msgspec.convert(told.get("budget"), Budget | None),
        ledger=Ledger.from_json(told["ledger"]) if told.get("ledger") else None,
        origin=_origin(cast("Mapping[str, Any]", lineage), target) if lineage else None,
    )


def _candidate(told: Mapping[str, Json], kept: Kept | None, task: Task) -> Candidate:
    candidate = msgspec.convert(told, Candidate)
    if kept is None:
        return candidate
    return replace(
        candidate,
        params=kept.params,
        card=msgspec.convert(kept.scorecard, Card),
        reliability=reading.reliability(kept.outcomes, task),
    )


def _origin(lineage: Mapping[str, Any], target: str) -> Origin:
    made, data, around = lineage["made_from"], lineage["dataset"] or {}, lineage["environment"] or {}
    sources = cast("Mapping[str, Sequence[str]]", data.get("sources") or {})
    return msgspec.convert(
        {
            **{key: made.get(key) for key in ("columns", "seed", "code_commit", "code_dirty", "environment")},
            "model_version": lineage["model_version"],
            "content": lineage["content"],
            "sources": [location for listed in sources.values() for location in listed],
            "target": target,
            "python": around.get("python", ""),
            "platform": around.get("platform", ""),
            "packages": len(around.get("packages", {})),
        },
        Origin,
    )
