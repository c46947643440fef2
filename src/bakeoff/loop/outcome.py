"""The outcome of a bake-off run, put together at its end; see `bakeoff.loop.stored_outcome` for where it stays."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core.errors import OutOfBudget
from bakeoff.core.ledger import Ledger
from bakeoff.core.releases import Release
from bakeoff.core.types import Json
from bakeoff.loop import advice
from bakeoff.loop.baselines import compared
from bakeoff.loop.candidate_losses import of_candidate
from bakeoff.loop.champion import Contest
from bakeoff.loop.combine import Combined
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.evaluate import Judged
from bakeoff.loop.expect import dear
from bakeoff.loop.track import child_id
from bakeoff.loop.unnamed_dependence import unnamed_dependence
from bakeoff.results.candidate import Candidate
from bakeoff.results.combination import CombinationOutcome
from bakeoff.results.data import Warned
from bakeoff.results.explanation import Explanation
from bakeoff.results.judge import JudgeOutcome
from bakeoff.results.outcome import NextStep, Paid, RunOutcome
from bakeoff.results.search import OutOfTime, SearchBudget
from bakeoff.results.shipped import Shipped
from bakeoff.results.verdict import Verdict

if TYPE_CHECKING:
    from bakeoff.evaluate.combine.combinations import Combination
    from bakeoff.evaluate.decide.yardstick import Baselines

__all__ = ["outcome"]


def outcome(
    stage: Stage,
    *,
    run_id: str,
    gathered: Gathered,
    judged: Sequence[Judged],
    combined: Combined,
    versions: Mapping[str, str],
    decision: Verdict,
    contest: Contest | None,
    released: Release | None,
    shipped: Shipped | None = None,
    budget: SearchBudget | None = None,
    judge: JudgeOutcome | None = None,
    paid: Paid | None = None,
    explanations: tuple[Explanation, ...] = (),
    seconds: float | None = None,
    baselines: "Baselines | None" = None,
    from_step_cache: Mapping[str, int] | None = None,
) -> RunOutcome:
    """Everything that a run found and did."""
    candidates = tuple(_candidate(stage, run_id, entry, versions.get(entry.name)) for entry in judged)
    dataset = gathered.summary
    unnamed = unnamed_dependence(stage, gathered, judged, decision)
    if baselines is not None and baselines.error is not None:
        why = f"no baseline could be worked out, so that nothing shows whether a model is needed: {baselines.error}"
        unnamed = (*unnamed, Warned(kind="baselines", told=why))
    return RunOutcome(
        run_id=run_id,
        project=stage.config.project.name,
        task=stage.config.project.task,
        dataset=replace(dataset, warnings=(*dataset.warnings, *unnamed)),
        candidates=candidates,
        baselines=compared(baselines.listed, decision) if baselines else (),
        combinations=tuple(_combination(each, stage.metric) for each in combined.tried),
        not_combined=dict(combined.left_out),
        verdict=_verdict(decision, contest, gathered.test_rows),
        positive=stage.positive,
        endpoint=stage.endpoint if released else None,
        release=released,
        shipped=shipped,
        ledger=_ledger(stage, gathered, judged),
        advice=advice.compared(advice.last_advice(stage), candidates, dataset, seconds=seconds),
        budget=budget,
        judge=judge,
        paid=paid or Paid(),
        next_step=_next_step(stage, gathered, judged, decision),
        explanations=explanations,
        seconds=seconds,
        from_step_cache=dict(from_step_cache or {}),
    )


def _next_step(stage: Stage, gathered: Gathered, judged: Sequence[Judged], decision: Verdict) -> NextStep | None:
    """What would narrow the winner's interval, if there is one."""
    from bakeoff.evaluate.decide.power import next_step

    if decision.value is None or decision.value.low == decision.value.high:
        return None
    config = stage.config
    by_time, generates = gathered.summary.split == "time", config.project.task == "generation"
    may_fold = not (
        by_time or generates or config.decide.calibrate != "none" or "test" in config.split.model_fields_set
    )
    fits_s = sum(each.fitted.train_s for each in judged if not each.fitted.members)
    may_repeat = stage.nested is None and not dear(stage)
    return next_step(gathered.summary, fits_s=fits_s, may_fold=may_fold, may_repeat=may_repeat)


def _verdict(decision: Verdict, contest: Contest | None, test_rows: int) -> Verdict:
    """The decision, with what became of the winner beside the champion."""
    from bakeoff.evaluate.decide.power import power_curve

    verdict = replace(decision, power_curve=power_curve(decision.mdd, test_rows) if decision.mdd else ())
    if contest is None:
        return verdict
    reason = contest.reason
    if contest.promoted and contest.inputs:
        reason = f"{reason}. The inputs changed: {contest.inputs.sentence}; callers must send these now"
    return replace(
        verdict,
        promoted=contest.promoted,
        champion=contest.champion,
        contest=reason,
        look=contest.look.count if contest.look else None,
        blocked=contest.blocked,
        inputs=contest.inputs,
    )


def _ledger(stage: Stage, gathered: Gathered, judged: Sequence[Judged]) -> Ledger | None:
    if gathered.ledger is None:
        return None
    task = stage.config.project.task
    return gathered.ledger.with_losses(
        [loss for entry in judged for loss in of_candidate(entry, gathered.schema, task)]
    )


def _combination(each: "Combination", metric: str) -> CombinationOutcome:
    """A combination that was tried: of what it is made, what it would be worth and cost, and what became of it."""
    card = each.card
    tried: dict[str, Any] = {
        "name": each.name,
        "kind": each.kind,
        "members": each.members,
        **each.params,
        "validation": each.validation,
        "shares": each.shares,
        "right": each.right,
        "curve": each.curve,
        "entered": each.entered,
        "reason": each.reason,
    }
    if card is not None:
        tried |= {
            "quality": card.metrics.get(metric),
            "metrics": card.metrics,
            "latency_ms": card.latency_ms,
            "cost_usd_per_1k": card.cost_usd_per_1k,
            "size_bytes": card.size_bytes,
        }
    return msgspec.convert(msgspec.to_builtins(tried), CombinationOutcome)


def _candidate(stage: Stage, run_id: str, entry: Judged, version: str | None) -> Candidate:
    from bakeoff.evaluate.score.prices import monthly

    contender, card, why = entry.fitted.contender, entry.scorecard, entry.left_out
    late = why if isinstance(why, OutOfTime) else None
    paid = why if isinstance(why, OutOfBudget) else None
    candidate = Candidate(
        name=contender.name,
        family=contender.shown.family_name,
        status="ok" if card is not None else "out_of_time" if late else "out_of_budget" if paid else "failed",
        run_id=child_id(run_id, contender.name),
        model_version=version,
        error=entry.error if card is None else None,
        traceback=entry.traceback if card is None else None,
        out_of_time=late,
        out_of_budget=paid,
    )
    if card is None:
        return candidate
    measured = replace(
        candidate,
        metrics=card.metrics,
        latency_ms=card.latency_ms,
        latency_ends_ms=card.latency_ends_ms,
        latency_calls=card.latency_calls,
        wall_latency_ms=card.wall_latency_ms,
        cost_usd_per_1k=card.cost_usd_per_1k,
        single_cost_usd_per_1k=card.single_cost_usd_per_1k,
        train_s=entry.fitted.train_s,
        peak_memory_bytes=entry.fitted.peak_memory_bytes,
        size_bytes=card.size_bytes,
        predict_memory_bytes=card.predict_memory_bytes,
        throughput_rows_s=card.throughput_rows_s,
        throughput_rows_s_per_core=card.throughput_rows_s_per_core,
        batch_latency_ms=card.batch_latency_ms,
        chosen=dict(entry.fitted.chosen or {}),
        monthly=monthly(card, stage.config.cost),
        cut=entry.fitted.cut,
    )
    beside = {**entry.findings, "fold_metrics": msgspec.to_builtins(entry.fold_metrics)}
    return replace(measured, **_typed(beside))


def _typed(findings: Mapping[str, Json]) -> dict[str, Any]:
    """What a job told of a candidate beside its scorecard, in the types of `Candidate`."""
    types = Candidate.__annotations__  # what is not declared there is an error, and never left out
    return {name: msgspec.convert(finding, types[name]) for name, finding in findings.items()}
