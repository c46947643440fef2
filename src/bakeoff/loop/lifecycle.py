"""One pass: gather → fit → evaluate → decide → register → release, tracked as runs, resumable anywhere."""

from dataclasses import replace

import msgspec

from bakeoff.chat.cache import ReplyCache
from bakeoff.core.types import Json
from bakeoff.environment.capture import capture
from bakeoff.loop.approval import propose, release
from bakeoff.loop.bake_off import compete
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import challenge, guarded, precedent
from bakeoff.loop.classes import with_classes
from bakeoff.loop.code import recorded_code
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, gather
from bakeoff.loop.explain import explanations
from bakeoff.loop.fidelity import verified
from bakeoff.loop.outcome import outcome
from bakeoff.loop.release import RunOrigin, make_ready, register_dataset, register_models
from bakeoff.loop.search import as_given, tune
from bakeoff.loop.sources import files_digest, ingested
from bakeoff.loop.stored_outcome import LAST, PASSES, keep, keep_baselines
from bakeoff.loop.track import Tracker
from bakeoff.registry.lineage import label
from bakeoff.results.outcome import Paid, RunOutcome
from bakeoff.security.audit import AuditLog, current_user

__all__ = ["tracked"]


def tracked(stage: Stage, *, plan: str, trigger: str, unasked: bool) -> RunOutcome:
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


def _note(stage: Stage, results: RunOutcome, trigger: str) -> None:
    """Write what was decided into the audit log."""
    verdict, release = results.verdict, results.release
    after: dict[str, Json] = {"trigger": trigger, "winner": verdict.winner, "blocked": results.blocked}
    after["release"] = None if release is None else f"{release.model_version} {release.status}"
    AuditLog(stage.records.documents, stage.clock).add(
        "run decided", f"run {results.run_id}", who=current_user(), after=after
    )


def _run(stage: Stage, tracker: Tracker, run_id: str, *, unasked: bool) -> tuple[RunOutcome, Gathered]:
    steps, started_ms = Steps.of(stage), stage.clock()
    stage.progress(stage.time.sentence)
    if unasked and not stage.config.loop.accept_changed_inputs:
        stage = replace(stage, precedent=precedent(stage))
    gathered = gather(stage, steps)
    stage = with_classes(stage, gathered)
    origin = RunOrigin(run_id=run_id, gathered=gathered, environment=capture(), code=recorded_code(stage))
    register_dataset(stage, origin)
    tracker.dataset(gathered, origin)

    stage = as_given(stage) if gathered.folds and stage.found else stage
    tuned = tune(stage, gathered) if stage.time.wanted_s is not None else None
    if tuned is not None:
        stage, gathered = tuned.stage, replace(gathered, summary=replace(gathered.summary, repeats=1))
    competition = compete(stage, steps, gathered)
    judged, combined, decision = competition.judged, competition.combined, competition.decision
    if competition.baselines is not None:
        keep_baselines(stage, run_id, competition.baselines)
    versions = register_models(stage, origin, judged)
    tracker.candidates(judged, versions)

    winner = competition.entry(decision.winner)
    contest = verified(stage, steps, winner, challenge(stage, steps, gathered, winner, judged)) if winner else None
    live, shipped = None, None
    if winner is not None and contest is not None:
        contest = guarded(stage, winner, contest, unasked=unasked)
    if winner is not None and contest is not None and (contest.promoted or contest.blocked):
        raises = contest.raises
        ready = make_ready(stage, steps, origin, winner, versions, value=decision.value, raises=raises)
        if contest.promoted:
            live, shipped = release(stage, ready), ready.shipped
        else:
            propose(stage, ready, contest)
    tracker.verdict(decision, contest)
    reasons = explanations(stage, steps, gathered, judged, decision)
    whole = "fit" not in steps.reused and tuned is None
    paid_usd, budget_usd = ReplyCache(stage.cache).run_paid()
    ended = outcome(
        stage,
        run_id=run_id,
        gathered=gathered,
        judged=judged,
        combined=combined,
        versions={name: label(version) for name, version in versions.items()},
        decision=decision,
        contest=contest,
        released=live,
        shipped=shipped,
        budget=tuned.budget if tuned else None,
        judge=competition.judge,
        paid=Paid(usd=paid_usd, budget_usd=budget_usd),
        explanations=reasons,
        seconds=(stage.clock() - started_ms) / 1000 if whole else None,
        from_step_cache=steps.from_cache,
        baselines=competition.baselines,
    )
    return ended, gathered
