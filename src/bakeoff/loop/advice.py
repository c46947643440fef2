"""The advice that was given last, and what a run measured beside it."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from bakeoff.core.types import Json
from bakeoff.loop.context import Stage

__all__ = ["ADVICE", "compared", "last_advice"]

ADVICE = ("advice", "last")
QUANTITIES = ("train_s", "latency_p50_ms", "latency_p95_ms", "cost_usd_per_1k", "size_bytes", "memory_bytes")


def last_advice(stage: Stage) -> Mapping[str, Json] | None:
    """The advice that was given last."""
    kept = stage.records.documents.get(*ADVICE)
    return kept.body if kept else None


def compared(advice: Mapping[str, Json] | None, candidates: Sequence[Mapping[str, Any]], dataset: str) -> list[Json]:
    """What was predicted beside what a run measured, for each candidate and quantity of both.

    `factor` is by how much the two differ, as a ratio; None for what is not positive. Nothing is compared with
    advice on other data.
    """
    if advice is None or advice["dataset"] != dataset:
        return []
    told = cast("Mapping[str, Any]", advice)
    fine = {each["name"]: each for each in candidates if each["status"] == "ok"}
    rows: list[Json] = []
    for option in told["options"]:
        candidate = fine.get(option["name"])
        if candidate is None or candidate["family"] != option["family"]:
            continue
        for name in (told["metric"], *QUANTITIES):
            expected, measured = option["expected"].get(name), _measured(candidate, name, told["metric"])
            if expected is not None and measured is not None:
                rows.append({"name": option["name"], "quantity": name, **_beside(expected, measured)})
    return rows


def _measured(candidate: Mapping[str, Any], name: str, metric: str) -> float | None:
    if name == metric:
        found = candidate["metrics"].get(metric)
        return None if found is None else found["value"]
    if name.startswith("latency_"):
        return candidate["latency_ms"].get(name.removeprefix("latency_").removesuffix("_ms"))
    return candidate.get("peak_memory_bytes" if name == "memory_bytes" else name)


def _beside(expected: Mapping[str, float], measured: float) -> dict[str, Json]:
    value = expected["value"]
    factor = max(measured / value, value / measured) if measured > 0 and value > 0 else None
    inside = expected["low"] <= measured <= expected["high"]
    return {
        "expected": value,
        "low": expected["low"],
        "high": expected["high"],
        "measured": measured,
        "factor": factor,
        "inside": inside,
    }
