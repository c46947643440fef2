"""The advice that was given last, and what a run measured beside it."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from bakeoff.core.queries import AllOf, Query, attribute, every
from bakeoff.core.types import Json
from bakeoff.loop.context import Stage
from bakeoff.loop.stored_outcome import outcome_of
from bakeoff.results.candidate import Candidate
from bakeoff.results.data import Dataset
from bakeoff.results.outcome import ARTIFACT
from bakeoff.results.search import Expected

__all__ = ["ADVICE", "RUN", "SECONDS", "compared", "last_advice", "past_pairs"]

ADVICE = ("advice", "last")
RUN, SECONDS = "run", "seconds"
"""The name of the whole run among what was predicted, and its quantity."""
PAST_RUNS = 30
QUANTITIES = ("train_s", "latency_p50_ms", "latency_p95_ms", "cost_usd_per_1k", "size_bytes", "memory_bytes")


def last_advice(stage: Stage) -> Mapping[str, Json] | None:
    """The advice that was given last."""
    kept = stage.records.documents.get(*ADVICE)
    return kept.body if kept else None


def past_pairs(stage: Stage) -> tuple[Expected, ...]:
    """What runs of this project (the latest `PAST_RUNS`) measured beside what was expected of them."""
    experiment = stage.records.experiments.open(stage.config.project.name)
    query = Query(
        where=AllOf(
            parts=(attribute("experiment_id", "=", experiment.experiment_id), attribute("status", "=", "FINISHED"))
        )
    )
    pairs: list[Expected] = []
    finished = (run for run in every(stage.records.runs.search, query) if ARTIFACT in run.artifacts)
    for run in islice(finished, PAST_RUNS):
        pairs += outcome_of(stage.records, stage.blobs, run.run_id).advice
    return tuple(pairs)


def compared(
    advice: Mapping[str, Json] | None,
    candidates: Sequence[Candidate],
    dataset: Dataset,
    *,
    seconds: float | None = None,
) -> tuple[Expected, ...]:
    """What was predicted beside what a run measured, for each candidate and quantity of both.

    `factor` is by how much the two differ, as a ratio; None for what is not positive. Nothing is compared with
    advice on other data. Advice is on one fit, and so with folds is what is compared with it. `seconds` are those of
    the run, where it made its fits itself.
    """
    if advice is None or advice["dataset"] != dataset.version:
        return ()
    given: Mapping[str, Any] = advice
    fine = {each.name: each for each in candidates if each.status == "ok"}
    rows: list[Expected] = []
    for option in given["options"]:
        candidate = fine.get(option["name"])
        if candidate is None or candidate.family != option["family"]:
            continue
        for name in (given["metric"], *QUANTITIES):
            expected, measured = option["expected"].get(name), _measured(candidate, name, given["metric"])
            if measured is not None and name == "train_s" and dataset.folds:
                measured /= dataset.folds * dataset.repeats
            if expected is not None and measured is not None:
                rows.append(_beside(candidate.name, name, expected, measured))
    whole = given.get("run")
    if whole is not None and seconds is not None:
        rows.append(_beside(RUN, SECONDS, whole[SECONDS], seconds))
    return tuple(rows)


def _measured(candidate: Candidate, name: str, metric: str) -> float | None:
    if name == metric:
        score = candidate.metrics.get(metric)
        return None if score is None else score.value
    if name.startswith("latency_"):
        return candidate.latency_ms.get(name.removeprefix("latency_").removesuffix("_ms"))
    return getattr(candidate, "peak_memory_bytes" if name == "memory_bytes" else name)


def _beside(name: str, quantity: str, expected: Mapping[str, float], measured: float) -> Expected:
    value = expected["value"]
    factor = max(measured / value, value / measured) if measured > 0 and value > 0 else None
    return Expected(
        name=name,
        quantity=quantity,
        expected=value,
        low=expected["low"],
        high=expected["high"],
        measured=measured,
        factor=factor,
        inside=expected["low"] <= measured <= expected["high"],
    )
