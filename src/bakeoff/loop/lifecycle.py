"""One pass: gather → fit → evaluate → decide → register → release, tracked as runs, resumable anywhere."""

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from bakeoff.chat.cache import ReplyCache
from bakeoff.core.types import Json
from bakeoff.environment.capture import capture
from bakeoff.loop.bake_off import compete
from bakeoff.loop.cache import Steps
from bakeoff.loop.classes import with_classes
from bakeoff.loop.code import recorded_code
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, gather
from bakeoff.loop.expect import meanwhile
from bakeoff.loop.origin import RunOrigin, register_dataset
from bakeoff.loop.sources import files_digest, ingested
from bakeoff.loop.stored_outcome import LAST, PASSES, keep
from bakeoff.loop.track import Tracker
from bakeoff.security.audit import AuditLog, current_user

if TYPE_CHECKING:
    from bakeoff.results.outcome import RunOutcome

__all__ = ["tracked"]

AFTER_FITS = ("bakeoff.loop.conclude",)
"""Imported while fits run, with all that it imports."""


def tracked(stage: Stage, *, plan: str, trigger: str, unasked: bool) -> "RunOutcome":
    """Run the whole sequence as a tracked run; what it comes to is stored as the last.

    Args:
        stage: what to work with.
        plan: the hash of all that it depends on; a killed pass of the same plan is taken up where it was.
        trigger: what started it, for the record.
        unasked: no person did; then a model with other inputs is not released.
    """
    tracker = Tracker(stage, plan=plan, trigger=trigger)
    with tracker.running() as run_id:
        ReplyCache(stage.cache).begin_run(run_id, stage.config.cost.budget_usd)
        results, gathered = _run(stage, tracker, run_id, unasked=unasked)
        body: dict[str, Json] = {"plan": plan, "files": files_digest(stage), "run_id": run_id}
        body["labelled"] = (ingested(stage) or {}).get("labelled", 0)
        body |= {"outcome_blob": keep(stage, results, gathered), "gathered": msgspec.to_builtins(gathered)}
        stage.records.documents.put(PASSES, LAST, body)
        _note(stage, results, trigger)
    return results


def _note(stage: Stage, results: "RunOutcome", trigger: str) -> None:
    """Write what was decided into the audit log."""
    verdict, release = results.verdict, results.release
    after: dict[str, Json] = {"trigger": trigger, "winner": verdict.winner, "blocked": results.blocked}
    after["release"] = None if release is None else f"{release.model_version} {release.status}"
    AuditLog(stage.records.documents, stage.clock).add(
        "run decided", f"run {results.run_id}", who=current_user(), after=after
    )


def _run(stage: Stage, tracker: Tracker, run_id: str, *, unasked: bool) -> "tuple[RunOutcome, Gathered]":
    steps, started_ms = Steps.of(stage), stage.clock()
    stage.progress(stage.time.sentence)
    if unasked and not stage.config.loop.accept_changed_inputs:
        from bakeoff.loop.champion import precedent

        stage = replace(stage, precedent=precedent(stage))
    gathered = gather(stage, steps)
    stage = with_classes(stage, gathered)
    origin = RunOrigin(run_id=run_id, gathered=gathered, environment=capture(), code=recorded_code(stage))
    register_dataset(stage, origin)
    tracker.dataset(gathered, origin)
    tuned = None
    if stage.time.wanted_s is not None or (gathered.folds and stage.found):
        from bakeoff.loop.search import as_given, tune

        stage = as_given(stage) if gathered.folds and stage.found else stage
        tuned = tune(stage, gathered) if stage.time.wanted_s is not None else None
    if tuned is not None:
        stage, gathered = tuned.stage, replace(gathered, summary=replace(gathered.summary, repeats=1))
    with meanwhile(AFTER_FITS):
        competition = compete(stage, steps, gathered)
    from bakeoff.loop.conclude import conclude

    ended = conclude(
        stage,
        steps,
        origin,
        gathered,
        competition,
        tracker=tracker,
        budget=None if tuned is None else tuned.budget,
        started_ms=started_ms,
        unasked=unasked,
    )
    return ended, gathered
