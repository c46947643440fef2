"""One pass: gather → fit → evaluate → decide → register → release, tracked as runs, resumable anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import bakeoff
from bakeoff.chat.cache import ReplyCache
from bakeoff.core import narrow
from bakeoff.core.errors import UsageError
from bakeoff.core.hashing import digest_file, digest_json, digest_sources
from bakeoff.core.queries import Query, attribute, every
from bakeoff.core.refs import blobs_of
from bakeoff.core.types import Json
from bakeoff.data.sources import fingerprint
from bakeoff.environment.capture import capture, code_state, versions_of
from bakeoff.loop.bake_off import compete
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import Contest, anchor_of, challenge, champion_of, guarded, mark_anchor, precedent
from bakeoff.loop.classes import with_classes
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, gather, ingested, resolve_all
from bakeoff.loop.fidelity import verified
from bakeoff.loop.outcome import LAST, keep, last_outcome, outcome
from bakeoff.loop.release import RunOrigin, make_live, register_dataset, register_models
from bakeoff.loop.search import tune
from bakeoff.loop.track import PASSES, Tracker
from bakeoff.metrics.custom import digest_own
from bakeoff.registry.lineage import label
from bakeoff.results.outcome import Paid, RunOutcome

if TYPE_CHECKING:
    from bakeoff.core.records import Version

__all__ = ["FinishedRun", "data_changed", "run_pass"]

MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """What `run` ended with: everything that was found, and whether anything was done (`unchanged`: nothing)."""

    results: RunOutcome
    unchanged: bool

    @property
    def document(self) -> Mapping[str, Json]:
        """What `bakeoff run --json` prints."""
        return self.results.to_json()

    @property
    def won(self) -> bool:
        """Whether some candidate passed the gates and won."""
        return self.results.verdict.winner is not None

    @property
    def blocked(self) -> str | None:
        """Why the winner waits for a person's word, if it does."""
        return self.results.verdict.contest if self.results.verdict.blocked else None


def run_pass(stage: Stage, *, trigger: str = MANUAL) -> FinishedRun:
    """Run the whole sequence once; a killed pass is taken up where it was, an unchanged one does nothing.

    Args:
        stage: what to work with.
        trigger: what started it, for the record; a model with other inputs is released only when a person did.
    """
    if stage.budget_s is not None and stage.config.split.folds:
        raise UsageError(
            f"expected no budget beside [split] folds = {stage.config.split.folds}, received one of {stage.budget_s:g} "
            "s: what is tried on rows must not be tested on them. Leave out one of the two."
        )
    plan = _plan(stage)
    if plan is None:
        resolve_all(stage)  # fetches and hashes what is new
        plan = _plan(stage)
    assert plan is not None
    last = stage.records.documents.get(PASSES, LAST)
    whole = last and last.body["plan"] == plan and _whole(stage, last.body, unasked=trigger != MANUAL)
    if whole:
        return FinishedRun(results=whole, unchanged=True)
    tracker = Tracker(stage, plan=plan, trigger=trigger)
    with tracker.running() as run_id:
        ReplyCache(stage.cache).begin_run(run_id, stage.config.cost.budget_usd)
        outcome, gathered = _run(stage, tracker, run_id, unasked=trigger != MANUAL)
        body: dict[str, Json] = {"plan": plan, "files": _files(stage), "run_id": run_id}
        body |= {"outcome_blob": keep(stage, outcome, gathered), "gathered": msgspec.to_builtins(gathered)}
        stage.records.documents.put(PASSES, LAST, body)
    return FinishedRun(results=outcome, unchanged=False)


def _whole(stage: Stage, last: Mapping[str, Json], *, unasked: bool) -> RunOutcome | None:
    """The outcome of a finished pass that leaves nothing to do: what it made is still stored, and no candidate failed.

    A candidate may have failed for want of memory, or of a package that is there now: it is tried again. A winner
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
    children = list(every(stage.records.runs.search, Query(where=attribute("parent_id", "=", finished.run_id))))
    # What is served and what all of it rests on is read; of the others it is enough here that they are there.
    served = finished.release.refs() if finished.release else ()
    there = all(map(stage.blobs.intact, served)) and all(stage.blobs.contains(b) for c in children for b in c.refs())
    return finished if there else None


def _run(stage: Stage, tracker: Tracker, run_id: str, *, unasked: bool) -> tuple[RunOutcome, Gathered]:
    steps = Steps(stage.records.documents, stage.blobs)
    if unasked and not stage.config.loop.accept_changed_inputs:
        stage = replace(stage, precedent=precedent(stage))
    gathered = gather(stage, steps)
    stage = with_classes(stage, gathered)
    origin = RunOrigin(run_id=run_id, gathered=gathered, environment=capture(), code=code_state(stage.folder))
    register_dataset(stage, origin)
    tracker.dataset(gathered, origin)

    tuned = tune(stage, gathered) if stage.budget_s is not None else None
    if tuned is not None:
        stage = tuned.stage
    competition = compete(stage, steps, gathered)
    judged, combined, decision = competition.judged, competition.combined, competition.decision
    versions = register_models(stage, origin, judged)
    tracker.candidates(judged, versions)

    winner = competition.entry(decision.winner)
    contest = verified(stage, steps, winner, challenge(stage, steps, gathered, winner, judged)) if winner else None
    live = None
    if winner is not None and contest is not None:
        contest = guarded(stage, winner, contest, unasked=unasked)
    if winner is not None and contest is not None and contest.promoted:
        before = anchor_of(stage)
        live = make_live(stage, steps, origin, winner, versions, value=decision.value)
        _hold_to(stage, before, contest)
    tracker.verdict(decision, contest)
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
        budget=tuned.budget if tuned else None,
        judge=competition.judge,
        paid=Paid(usd=paid_usd, budget_usd=budget_usd),
    )
    return ended, gathered


def _hold_to(stage: Stage, before: "Version | None", contest: Contest) -> None:
    """Mark what later champions are held to: the new one if it was shown to be better, else the one before."""
    champion = champion_of(stage)
    assert champion is not None, "it was just made live"
    mark_anchor(stage, champion if contest.raises or before is None else before)


def _budget(stage: Stage) -> Json:
    """What a search for parameters depends on; nothing without a budget."""
    if stage.budget_s is None:
        return None
    return [stage.budget_s, {each.name: msgspec.to_builtins(dict(each.search)) for each in stage.contenders}]


def data_changed(stage: Stage) -> bool:
    """Whether the sources hold something else than at the last finished pass."""
    last = stage.records.documents.get(PASSES, LAST)
    if last is None:
        return False
    files = _files(stage)
    if files is None:  # not looked at yet, as after the cache was deleted: that alone is no change
        resolve_all(stage)
        files = _files(stage)
    return last.body["files"] != files


def _files(stage: Stage) -> str | None:
    data = stage.config.data
    listed = data.sources or {"source": data.source}
    locations = [location for _, locations in sorted(listed.items()) for location in locations]
    return fingerprint(locations, folder=stage.folder, cache=stage.cache)


def _plan(stage: Stage) -> str | None:
    """The hash of all that a pass depends on, found in milliseconds; None when a source is not known yet."""
    config = stage.config
    files = _files(stage)
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
            "judge": [] if config.judge is None else [config.judge.model_dump(mode="json")],
            "settings_files": [None if file is None else digest_file(file) for file in stage.settings_files],
            "candidates": [[c.name, c.family_name, msgspec.to_builtins(c.params), c.code] for c in stage.contenders],
            "feedback": feedback["rows_blob"] if feedback else None,
            "contract": stage.contract.version if stage.contract else None,
            "metrics": digest_own(),
            "refit": config.loop.refit,
            "budget": _budget(stage),
            "code": digest_sources(Path(bakeoff.__file__).parent),
            "environment": versions_of(needed | {"polars", "duckdb", "numpy"}),
        }
    )
