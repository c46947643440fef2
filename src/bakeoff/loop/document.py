"""The document that a pass ends with: the contract of `bakeoff run --json`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.types import Json
from bakeoff.loop.advice import compared, last_advice
from bakeoff.loop.candidate_losses import of_candidate
from bakeoff.loop.champion import Contest
from bakeoff.loop.combine import Combined
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.evaluate import Judged
from bakeoff.loop.track import child_id
from bakeoff.loop.unnamed_dependence import unnamed_dependence

if TYPE_CHECKING:
    from bakeoff.evaluate.combine.combinations import Combination
    from bakeoff.evaluate.decide.verdict import Verdict
    from bakeoff.serve.releases import Release

__all__ = ["document"]


def document(
    stage: Stage,
    *,
    run_id: str,
    gathered: Gathered,
    judged: Sequence[Judged],
    combined: Combined,
    versions: Mapping[str, str],
    decision: "Verdict",
    contest: Contest | None,
    released: "Release | None",
) -> Mapping[str, Json]:
    """Everything that a pass found and did, as JSON."""
    from bakeoff.evaluate.decide.power import power_curve

    told = decision.to_json()
    told["promoted"] = contest is not None and contest.promoted
    told["champion"] = contest.champion if contest else None
    told["contest"] = contest.reason if contest else None
    told["look"] = contest.look.to_json() if contest and contest.look else None
    told["blocked"] = contest is not None and contest.blocked
    told["inputs"] = contest.inputs.to_json() if contest and contest.inputs else None
    if contest and contest.promoted and contest.inputs:
        told["contest"] = f"{contest.reason}. The inputs changed: {contest.inputs.told()}; callers must send these now"
    curve = power_curve(decision.mdd, gathered.test_rows) if decision.mdd else ()
    told["power_curve"] = msgspec.to_builtins(curve)
    warnings = cast("Sequence[Json]", gathered.summary.get("warnings", ()))
    body: dict[str, Any] = {
        "run_id": run_id,
        "project": stage.config.project.name,
        "task": stage.config.project.task,
        "dataset": {
            **gathered.summary,
            "warnings": [*warnings, *unnamed_dependence(stage, gathered, judged, decision)],
        },
        "split": {"by": gathered.summary["split"], "folds": gathered.folds},
        "candidates": [
            _candidate(run_id, entry, versions.get(entry.name)) | _monthly(stage, entry) for entry in judged
        ],
        "combinations": [_combination(each, stage.metric) for each in combined.tried],
        "not_combined": dict(combined.left_out),
        "verdict": told,
        "positive": msgspec.to_builtins(stage.positive),
        "endpoint": stage.endpoint if released else None,
        "release": released,
    }
    if gathered.ledger is not None:
        task = stage.config.project.task
        losses = [loss for entry in judged for loss in of_candidate(entry, gathered.schema, task)]
        body["ledger"] = gathered.ledger.with_losses(losses).to_json()
    body["advice"] = compared(last_advice(stage), body["candidates"], gathered.version)
    return msgspec.json.decode(msgspec.json.encode(body))  # as it will be read back: lists, not tuples


def _combination(each: "Combination", metric: str) -> dict[str, Any]:
    """A combination that was tried: of what it is made, what it would be worth and cost, and what became of it."""
    told: dict[str, Any] = {
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
    if each.card is None:
        return told | {"quality": None, "cost_usd_per_1k": None}
    return told | {
        "quality": each.card.metrics.get(metric),
        "metrics": each.card.metrics,
        "latency_ms": each.card.latency_ms,
        "cost_usd_per_1k": each.card.cost_usd_per_1k,
        "size_bytes": each.card.size_bytes,
    }


def _monthly(stage: Stage, entry: Judged) -> dict[str, Any]:
    """What it would cost at the team's own traffic, if that is stated."""
    from bakeoff.evaluate.score.prices import monthly

    found = None if entry.scorecard is None else monthly(entry.scorecard, stage.config.cost)
    return {} if found is None else {"monthly": found}


def _candidate(run_id: str, entry: Judged, version: str | None) -> dict[str, Any]:
    contender = entry.fitted.contender
    told: dict[str, Any] = {
        "name": contender.name,
        "family": contender.shown.family_name,
        "status": "ok" if entry.scorecard is not None else "failed",
        "run_id": child_id(run_id, contender.name),
        "model_version": version,
    }
    if entry.scorecard is None:
        return told | {"error": entry.error, "traceback": entry.traceback}
    card = entry.scorecard
    metrics = {
        name: {
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "method": found.method,
            "reason": found.reason,
        }
        for name, found in card.metrics.items()
    }
    return told | {
        "metrics": cast("Json", metrics),
        "latency_ms": cast("Json", dict(card.latency_ms)),
        "latency_ends_ms": cast("Json", dict(card.latency_ends_ms)),
        "latency_calls": card.latency_calls,
        "wall_latency_ms": cast("Json", dict(card.wall_latency_ms)),
        "cost_usd_per_1k": card.cost_usd_per_1k,
        "single_cost_usd_per_1k": card.single_cost_usd_per_1k,
        "train_s": entry.fitted.train_s,
        "peak_memory_bytes": entry.fitted.peak_memory_bytes,
        "size_bytes": card.size_bytes,
        "predict_memory_bytes": card.predict_memory_bytes,
        "throughput_rows_s": card.throughput_rows_s,
        "throughput_rows_s_per_core": card.throughput_rows_s_per_core,
        "batch_latency_ms": dict(card.batch_latency_ms),
        "chosen": dict(entry.fitted.chosen or {}),
        "fold_metrics": entry.fold_metrics,
        **entry.findings,
    }
