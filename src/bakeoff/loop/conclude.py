"""The second half of a pass: what was decided is registered, contested, released, explained and told."""

from bakeoff.chat.cache import ReplyCache
from bakeoff.loop.approval import propose, release
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import challenge, guarded
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.decide import Competition
from bakeoff.loop.explain import explanations
from bakeoff.loop.fidelity import verified
from bakeoff.loop.origin import RunOrigin
from bakeoff.loop.outcome import outcome
from bakeoff.loop.release import make_ready, register_models
from bakeoff.loop.stored_outcome import keep_baselines
from bakeoff.loop.track import Tracker
from bakeoff.registry.lineage import label
from bakeoff.results.outcome import Paid, RunOutcome
from bakeoff.results.search import SearchBudget

__all__ = ["conclude"]


def conclude(
    stage: Stage,
    steps: Steps,
    origin: RunOrigin,
    gathered: Gathered,
    competition: Competition,
    *,
    tracker: Tracker,
    budget: SearchBudget | None,
    started_ms: int,
    unasked: bool,
) -> RunOutcome:
    """Register all candidates, hold the winner against the champion, release it if it was promoted, and say why.

    Args:
        stage: what to work with.
        steps: of the run.
        origin: what surrounds the run's models.
        gathered: the rows.
        competition: the candidates, and the decision between them.
        tracker: writes into the records of the run.
        budget: how a search for parameters went, if there was one.
        started_ms: when the run began.
        unasked: no person began it; then a model with other inputs is not released.
    """
    run_id = origin.run_id
    judged, decision = competition.judged, competition.decision
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
    whole = "fit" not in steps.reused and budget is None
    paid_usd, budget_usd = ReplyCache(stage.cache).run_paid()
    return outcome(
        stage,
        run_id=run_id,
        gathered=gathered,
        judged=judged,
        combined=competition.combined,
        versions={name: label(version) for name, version in versions.items()},
        decision=decision,
        contest=contest,
        released=live,
        shipped=shipped,
        budget=budget,
        judge=competition.judge,
        paid=Paid(usd=paid_usd, budget_usd=budget_usd),
        explanations=reasons,
        seconds=(stage.clock() - started_ms) / 1000 if whole else None,
        from_step_cache=steps.from_cache,
        baselines=competition.baselines,
    )
