"""The document that a pass ends with: the contract of `bakeoff run --json`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.types import Json
from bakeoff.loop.gathering import Gathered
from bakeoff.loop.judging import Judged
from bakeoff.loop.releasing import Contest
from bakeoff.loop.stage import Stage
from bakeoff.loop.tracking import child_id

if TYPE_CHECKING:
    from bakeoff.serve.releases import Release
    from bakeoff.evaluate.verdict import Verdict

__all__ = ["document"]


def document(
    stage: Stage,
    *,
    run_id: str,
    gathered: Gathered,
    judged: Sequence[Judged],
    versions: Mapping[str, str],
    decision: "Verdict",
    contest: Contest | None,
    released: "Release | None",
) -> Mapping[str, Json]:
    """Everything that a pass found and did, as JSON."""
    told = decision.to_json()
    told["promoted"] = contest is not None and contest.promoted
    told["champion"] = contest.champion if contest else None
    told["contest"] = contest.reason if contest else None
    body: dict[str, Any] = {
        "run_id": run_id,
        "project": stage.config.project.name,
        "task": stage.config.project.task,
        "dataset": dict(gathered.summary),
        "candidates": [_candidate(run_id, entry, versions.get(entry.name)) for entry in judged],
        "verdict": told,
        "endpoint": stage.endpoint if released else None,
        "release": released,
    }
    return msgspec.json.decode(msgspec.json.encode(body))  # as it will be read back: lists, not tuples


def _candidate(run_id: str, entry: Judged, version: str | None) -> dict[str, Any]:
    contender = entry.fitted.contender
    told: dict[str, Any] = {
        "name": contender.name,
        "family": contender.family_name,
        "status": "ok" if entry.scorecard is not None else "failed",
        "run_id": child_id(run_id, contender.name),
        "model_version": version,
    }
    if entry.scorecard is None:
        return told | {"error": entry.error, "traceback": entry.traceback}
    card = entry.scorecard
    metrics = {
        name: {"value": found.value, "low": found.low, "high": found.high} for name, found in card.metrics.items()
    }
    return told | {
        "metrics": cast("Json", metrics),
        "latency_ms": cast("Json", dict(card.latency_ms)),
        "cost_usd_per_1k": card.cost_usd_per_1k,
        "train_s": entry.fitted.train_s,
        "peak_memory_bytes": entry.fitted.peak_memory_bytes,
        "size_bytes": entry.fitted.size_bytes,
        "chosen": dict(entry.fitted.chosen or {}),
    }
