"""Bring a cycle on: each state names the next step, which can be done again when the loop was killed within it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from bakeoff.core.errors import BakeoffError
from bakeoff.core.types import Json
from bakeoff.loop.approval import Proposal, proposal_of, release_proposal
from bakeoff.loop.challenger import settle
from bakeoff.loop.champion import champion_of
from bakeoff.loop.context import Stage
from bakeoff.loop.cycle import Cycle, Cycles
from bakeoff.loop.policy import Hold, frozen_until, holding, past_runs
from bakeoff.loop.run import FinishedRun, run_pass
from bakeoff.loop.search import as_found
from bakeoff.loop.stored_outcome import LAST, PASSES
from bakeoff.monitor.triggers import Trigger
from bakeoff.serve.releases import current, release_of
from bakeoff.serve.routes import changes_of, endpoint_of

__all__ = ["Advanced", "LoopLook", "advance", "cycles_of"]

HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLook:
    """What a turn of the loop saw: the triggers that fire, labels that no run has had, and how to take them in."""

    triggers: tuple[Trigger, ...] = ()
    new_labels: int = 0
    data_changed: bool = False
    take_in: Callable[[], int] = lambda: 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """The cycle where it is now, the labelled rows that joined on the way, and the run, if there was one."""

    cycle: Cycle
    taken_in: int = 0
    outcome: FinishedRun | None = field(default=None)


def cycles_of(stage: Stage) -> Cycles:
    """The project's cycles."""
    return Cycles(stage.records.documents, stage.clock, stage.config.project.name)


def advance(stage: Stage, cycle: Cycle, look: LoopLook) -> Advanced:
    """Bring the cycle on as far as it goes now.

    Raises:
        BakeoffError: its run failed, which is written down.
    """
    cycles, taken_in, outcome = cycles_of(stage), 0, None
    while cycle.is_open:
        before = cycle.revision
        match cycle.state:
            case "waiting":
                cycle = _let_begin(stage, cycles, cycle, look)
            case "collecting":
                taken_in = look.take_in()
                cycle = cycles.move(cycle, "running", f"{taken_in:,} new labelled rows join", {"taken_in": taken_in})
            case "running":
                cycle, outcome = _run(stage, cycles, cycle)
            case "approval":
                cycle = _wait_for_person(stage, cycles, cycle)
            case "approved":
                cycle = _release(stage, cycles, cycle)
            case _:
                cycle = _follow_rollout(stage, cycles, cycle)
        if cycle.revision == before:
            break
    return Advanced(cycle=cycle, taken_in=taken_in, outcome=outcome)


def _let_begin(stage: Stage, cycles: Cycles, cycle: Cycle, look: LoopLook) -> Cycle:
    """Let the run begin, unless the policy holds it back or its reasons are gone."""
    if not look.triggers:
        return cycles.move(cycle, "withdrawn", "no trigger fires any more")
    hold: Hold | None = holding(
        stage.config.loop,
        past_runs(cycles.all()),
        now_ms=stage.clock(),
        new_labels=look.new_labels,
        data_changed=look.data_changed,
    )
    if hold is None:
        evidence: dict[str, Json] = {"new_labels": look.new_labels, "data_changed": look.data_changed}
        return cycles.move(cycle, "collecting", "the policy allows a run", evidence)
    if cycle.last.evidence.get("hold") == hold.kind:
        return cycle  # which is written down; a look a minute would fill the records
    return cycles.move(cycle, "waiting", hold.reason, {"hold": hold.kind, "until_ms": hold.until_ms})


def _run(stage: Stage, cycles: Cycles, cycle: Cycle) -> tuple[Cycle, FinishedRun]:
    """Run, and say what comes of it; a run that a killed loop began goes on, one that it ended is not made again."""
    started_ms, paid_usd = stage.clock(), _paid_usd(stage)
    try:
        outcome = run_pass(as_found(stage, champion_of(stage)), trigger=cycle.triggers[0].kind)
    except BakeoffError as error:
        run_s, more_usd = (stage.clock() - started_ms) / 1000, max(0.0, _paid_usd(stage) - paid_usd)
        evidence: dict[str, Json] = {"error": type(error).__name__, **_spent(stage, run_s, more_usd)}
        cycles.move(cycle, "failed", str(error), evidence)
        raise
    results, verdict = outcome.results, outcome.results.verdict
    last, since_ms = stage.records.documents.get(PASSES, LAST), cycle.entered_ms("running") or 0
    if outcome.unchanged and last is not None and last.updated_ms < since_ms:
        why = f"nothing has changed since run {results.run_id}: there is nothing new to learn from"
        return cycles.move(cycle, "kept", why, {"run_id": results.run_id}), outcome
    evidence = _facts(stage, outcome)
    if verdict.blocked:
        proposal = proposal_of(stage, results.run_id)
        evidence |= {"release_id": proposal.release_id, "needs": list(proposal.needs)}
        return cycles.move(cycle, "approval", str(verdict.contest), evidence), outcome
    if results.release is None or not verdict.promoted:
        why = verdict.contest if verdict.winner is not None and verdict.contest else f"no winner: {verdict.reason}"
        return cycles.move(cycle, "kept", why, evidence), outcome
    evidence |= {"release_id": results.release.release_id, "model_version": results.release.model_version}
    return _routed(cycles, cycle, results.release.status, str(verdict.contest), evidence), outcome


def _routed(cycles: Cycles, cycle: Cycle, status: str, why: str, evidence: Mapping[str, Json]) -> Cycle:
    if status == "live":
        return cycles.move(cycle, "promoted", why, evidence)
    return cycles.move(cycle, "rollout", f"a {status} first; {why}", evidence)


def _facts(stage: Stage, outcome: FinishedRun) -> dict[str, Json]:
    """What the run came to, in numbers."""
    results, verdict = outcome.results, outcome.results.verdict
    run = stage.records.runs.get(results.run_id)
    run_s = ((run.end_ms or stage.clock()) - run.start_ms) / 1000
    value = None if verdict.value is None else [verdict.value.value, verdict.value.low, verdict.value.high]
    return {
        "run_id": results.run_id,
        "dataset": results.dataset.version,
        "rows": results.dataset.rows,
        "from_feedback": results.dataset.from_feedback,
        "set_aside": dict(results.dataset.set_aside),
        "winner": verdict.winner,
        "metric": verdict.metric,
        "value": value,
        "champion": verdict.champion,
        **_spent(stage, run_s, results.paid.usd),
    }


def _spent(stage: Stage, run_s: float, paid_usd: float) -> dict[str, Json]:
    """What a run took, also one that failed: its time, and dollars for that and for services."""
    usd = paid_usd + run_s / HOUR_S * stage.config.cost.price_per_hour_usd
    return {"seconds": round(run_s, 3), "usd": round(usd, 6)}


def _paid_usd(stage: Stage) -> float:
    """What services were paid so far in all; 0 where that cannot be read, which the run itself says."""
    from bakeoff.chat.cache import ReplyCache

    with suppress(BakeoffError):
        return ReplyCache(stage.cache).spent_usd()
    return 0.0


def _wait_for_person(stage: Stage, cycles: Cycles, cycle: Cycle) -> Cycle:
    """Wait for a person's word, unless it was said otherwise: by a release, or in the settings."""
    proposal = _proposal(stage, cycle)
    live = current(stage.records.documents, stage.endpoint)
    if live is not None and live.release_id == proposal.release_id:
        return cycles.move(cycle, "promoted", "somebody released it", {"model_version": live.model_version})
    loop = stage.config.loop
    allowed = {"changed_inputs": loop.accept_changed_inputs, "approval": not loop.approval}
    if all(allowed[need] for need in proposal.needs) and frozen_until(loop, stage.clock()) is None:
        return cycles.move(cycle, "approved", "the settings under [loop] allow it by now")
    return cycle


def _release(stage: Stage, cycles: Cycles, cycle: Cycle) -> Cycle:
    """Release what was approved."""
    try:
        routed = release_proposal(stage, _proposal(stage, cycle), who=cycle.last.who, why=cycle.last.why)
    except BakeoffError as error:
        cycles.move(cycle, "failed", str(error), {"error": type(error).__name__})
        raise
    return _routed(cycles, cycle, routed.status, "released", {"model_version": routed.model_version})


def _proposal(stage: Stage, cycle: Cycle) -> Proposal:
    return proposal_of(stage, str(cycle.fact("run_id")))


def _follow_rollout(stage: Stage, cycles: Cycles, cycle: Cycle) -> Cycle:
    """See whether the release beside the live one has proved itself; the steerer decides that (`loop.rollout`)."""
    documents, release_id = stage.records.documents, str(cycle.fact("release_id"))
    endpoint = endpoint_of(documents, stage.endpoint)
    if endpoint is None or any(route.release_id == release_id for route in endpoint.others):
        return cycle
    settle(stage.records, stage.config.project.name, stage.endpoint)
    changes = changes_of(documents, stage.endpoint)
    came = next((each for each in changes if each.after.live == release_id), None)
    if came is not None:  # also when something else is live by now: that is another story
        evidence: dict[str, Json] = {"by": came.who, "moved": came.what}
        version = release_of(documents, stage.endpoint, release_id).model_version
        return cycles.move(cycle, "promoted", came.why or came.what, {**evidence, "model_version": version})
    gone = next((each for each in changes if any(r.release_id == release_id for r in each.before.others)), None)
    why = "it takes no part any more" if gone is None else gone.why or gone.what
    return cycles.move(cycle, "rolled_back", why, {"by": None if gone is None else gone.who})
