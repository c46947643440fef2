"""Compare two finished runs: what went in, and what came out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from bakeoff.core.errors import DataError, NotFoundError
from bakeoff.core.types import Json
from bakeoff.evaluate.score.worker import OUTCOMES, read_outcomes
from bakeoff.loop.dataset import load_table
from bakeoff.loop.stored_outcome import dependence_of
from bakeoff.metrics.intervals import Interval
from bakeoff.results.candidate import Candidate
from bakeoff.results.outcome import RunOutcome
from bakeoff.results.verdict import Comparison

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["ComparedCandidate", "RunComparison", "compare_runs"]

Changed: TypeAlias = tuple[str | None, str | None]
"""A parameter in the first and in the second run; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedCandidate:
    """A candidate in two runs; None where it is in one of them only, or failed there.

    `params` are those that differ (first, second). `difference` is of the second from the first, paired on the same
    test rows; else `reason` says why the two values cannot be compared so.
    """

    name: str
    first: Interval | None
    second: Interval | None
    params: Mapping[str, Changed] = field(default_factory=dict[str, Changed])
    difference: Comparison | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """Two runs side by side; `metric` is the first one's."""

    first: RunOutcome
    second: RunOutcome
    metric: str
    candidates: tuple[ComparedCandidate, ...]

    @property
    def same_data(self) -> bool:
        """Whether both worked on the same dataset version."""
        return self.first.dataset.version == self.second.dataset.version

    def to_json(self) -> dict[str, Json]:
        """As JSON: ids, dataset versions, winners, and the candidates."""
        sides: dict[str, Json] = {
            name: {"run_id": run.run_id, "dataset": run.dataset.version, "winner": run.verdict.winner}
            for name, run in (("first", self.first), ("second", self.second))
        }
        candidates = msgspec.json.decode(msgspec.json.encode(self.candidates))
        return {**sides, "metric": self.metric, "same_data": self.same_data, "candidates": candidates}


def compare_runs(project: "Project", first_id: str, second_id: str) -> RunComparison:
    """Put two runs, by their ids or how these start, side by side.

    Raises:
        NotFoundError: one of them is not there, or it has no outcome.
    """
    first, second = project.outcome(first_id), project.outcome(second_id)
    names = dict.fromkeys(each.name for run in (first, second) for each in run.candidates)
    return RunComparison(
        first=first,
        second=second,
        metric=first.verdict.metric,
        candidates=tuple(_candidate(project, first, second, name) for name in names),
    )


def _candidate(project: "Project", first: RunOutcome, second: RunOutcome, name: str) -> ComparedCandidate:
    metric = first.verdict.metric
    sides = [run.candidate(name) for run in (first, second)]
    values = [each.metrics.get(metric) if each else None for each in sides]
    a, b = sides
    if a is None or b is None or None in values:
        lacking = "first" if a is None or values[0] is None else "second"
        return ComparedCandidate(
            name=name, first=values[0], second=values[1], reason=f"no {metric} in the {lacking} run"
        )
    params = [project.records.runs.get(each.run_id).params for each in (a, b)]
    changed = {
        key: (params[0].get(key), params[1].get(key))
        for key in sorted({*params[0], *params[1]})
        if params[0].get(key) != params[1].get(key)
    }
    difference = _difference(project, first, a, b)
    return ComparedCandidate(
        name=name,
        first=values[0],
        second=values[1],
        params=changed,
        difference=difference if isinstance(difference, Comparison) else None,
        reason=difference if isinstance(difference, str) else None,
    )


def _difference(project: "Project", run: RunOutcome, first: Candidate, second: Candidate) -> Comparison | str:
    """How far the second is from the first on the same rows, as dependent as they are; or why that cannot be said."""
    from bakeoff.evaluate.decide.paired import compare

    records, blobs = project.records, project.blobs
    tables = [load_table(blobs, records.runs.get(each.run_id).artifacts[OUTCOMES]) for each in (first, second)]
    (truth_n, before), (other_n, after) = map(read_outcomes, tables)
    if not (np.array_equal(truth_n, other_n) and tables[0]["row"].equals(tables[1]["row"])):
        return "not the same test rows"
    groups_n, time_n = dependence_of(records, blobs, run.run_id, project.config.data)
    try:
        with project.own_metrics():
            return compare(
                truth_n,
                after,
                before,
                run.verdict.metric,
                seed=project.config.project.seed,
                groups_n=groups_n,
                time_n=time_n,
                folds=run.dataset.folds,
                task=run.task,
                names=("second", "first"),
            )
    except (DataError, NotFoundError) as error:
        return str(error)
