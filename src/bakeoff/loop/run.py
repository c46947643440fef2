"""The door of a pass: one whose plan is that of the last, and whose results are whole, has nothing to do.

What is imported here, every unchanged `bakeoff run` pays; what a pass needs more stands in `bakeoff.loop.lifecycle`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from bakeoff.config.sections import LIVE_JUDGE
from bakeoff.core import narrow
from bakeoff.core.closure import own_code
from bakeoff.core.hashing import digest_file, digest_json
from bakeoff.core.queries import Query, attribute, every
from bakeoff.core.refs import blobs_of
from bakeoff.core.types import Json
from bakeoff.environment.capture import versions_of
from bakeoff.loop.context import Stage
from bakeoff.loop.expect import expect
from bakeoff.loop.sources import files_digest, ingested, resolve_all
from bakeoff.loop.stored_outcome import LAST, PASSES, last_outcome
from bakeoff.metrics.custom import digest_own

if TYPE_CHECKING:
    from bakeoff.results.outcome import RunOutcome

__all__ = ["FinishedRun", "data_changed", "run_pass"]

MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """What `run` ended with: everything that was found, and whether anything was done (`unchanged`: nothing)."""

    results: "RunOutcome"
    unchanged: bool

    @property
    def document(self) -> Mapping[str, Json]:
        """What `bakeoff run --json` prints."""
        return self.results.to_json()


def run_pass(stage: Stage, *, trigger: str = MANUAL, before: Callable[[], None] | None = None) -> FinishedRun:
    """Run the whole sequence once; a killed pass is taken up where it was, an unchanged one does nothing.

    Args:
        stage: what to work with.
        trigger: what started it, for the record; a model with other inputs is released only when a person did.
        before: called when there is something to do, before any of it is done; it may refuse by raising.
    """
    plan = _plan(stage)
    if plan is None:
        resolve_all(stage)  # fetches and hashes what is new
        plan = _plan(stage)
    assert plan is not None
    last = stage.records.documents.get(PASSES, LAST)
    whole = last and last.body["plan"] == plan and _whole(stage, last.body, unasked=trigger != MANUAL)
    if whole:
        return FinishedRun(results=whole, unchanged=True)
    if before is not None:
        before()
    expect(stage.compute, stage.contenders)
    from bakeoff.loop.lifecycle import tracked

    return FinishedRun(results=tracked(stage, plan=plan, trigger=trigger, unasked=trigger != MANUAL), unchanged=False)


def _whole(stage: Stage, last: Mapping[str, Json], *, unasked: bool) -> "RunOutcome | None":
    """The outcome of a finished pass that leaves nothing to do: what it made is still stored, and no candidate failed.

    A candidate may have failed for want of memory, or of a package that is there now: it is tried again, and so is one
    that was cut short or left out for want of time, where there is more now, or for want of money. A winner
    that waited for a person's word is released by the next pass that has it, and so are inputs that were held back.
    """
    blobs = {*blobs_of({key: value for key, value in last.items() if key != "document"})}
    if not all(map(stage.blobs.intact, blobs)):
        return None
    finished = last_outcome(stage.records, stage.blobs)
    assert finished is not None, "it was just read"
    held_back = finished.verdict.blocked or narrow.json_object(last.get("gathered") or {}).get("inherited")
    if (held_back and (not unasked or stage.config.loop.accept_changed_inputs)) or finished.failed:
        return None
    if any(each.out_of_budget for each in finished.candidates):  # the budget of a run begins anew
        return None
    short = (each.cut or each.out_of_time for each in finished.candidates)
    if any(each and stage.time.allows_more_than(each.budget_s) for each in short):
        return None
    children = list(every(stage.records.runs.search, Query(where=attribute("parent_id", "=", finished.run_id))))
    # What is served and what all of it rests on is read; of the others it is enough here that they are there.
    served = finished.release.refs() if finished.release else ()
    there = all(map(stage.blobs.intact, served)) and all(stage.blobs.contains(b) for c in children for b in c.refs())
    return finished if there else None


def _budget(stage: Stage) -> Json:
    """What a search for parameters depends on; nothing without a budget."""
    if stage.time.wanted_s is None:
        return None
    return [stage.time.wanted_s, {each.name: msgspec.to_builtins(dict(each.search)) for each in stage.contenders}]


def data_changed(stage: Stage) -> bool:
    """Whether the sources hold something else than at the last finished pass."""
    last = stage.records.documents.get(PASSES, LAST)
    if last is None:
        return False
    files = files_digest(stage)
    if files is None:  # not looked at yet, as after the cache was deleted: that alone is no change
        resolve_all(stage)
        files = files_digest(stage)
    return last.body["files"] != files


def _plan(stage: Stage) -> str | None:
    """The hash of all that a pass depends on, found in milliseconds; None when a source is not known yet."""
    config = stage.config
    files = files_digest(stage)
    if files is None:
        return None
    feedback = ingested(stage)
    needed = {requirement for contender in stage.contenders for requirement in contender.requires}
    return digest_json(
        {
            "files": files,
            "config": config.model_dump(
                mode="json", include={"project", "data", "split", "prepare", "combine", "decide", "cost", "endpoint"}
            ),
            "judge": [] if config.judge is None else [config.judge.model_dump(mode="json", exclude={*LIVE_JUDGE})],
            "settings_files": [None if file is None else digest_file(file) for file in stage.settings_files],
            "candidates": [[c.name, c.family_name, msgspec.to_builtins(c.params), c.code] for c in stage.contenders],
            "feedback": [feedback["rows_blob"], config.loop.screen_labels] if feedback else None,
            "contract": stage.contract.version if stage.contract else None,
            "metrics": digest_own(),
            "refit": [config.loop.refit, config.loop.refit_max_s],
            "budget": _budget(stage),
            "code": own_code(),
            "environment": versions_of(needed | {"polars", "duckdb", "numpy"}),
        }
    )
