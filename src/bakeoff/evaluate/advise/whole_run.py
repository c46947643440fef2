"""What a whole run takes, from what is expected of its candidates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.metrics.intervals import Interval

__all__ = ["RunPlan", "WholeRun", "whole_run"]

START_S, EACH_S = 1.0, 0.6
"""What a run takes by itself (reading, splitting, the verdict), and each candidate beside its fit (loading, timing)."""
HELD_OUT, REFIT = 0.5, 0.5
"""Of a first fit, which chooses among settings, what another one takes that does not."""
FINDING_ROWS = 8000
"""Rows that are predicted again to look for weaknesses and to explain, at most."""
EXPLAINING = 0.6
"""Of the time of the fits, what explanations and the learning curve may take."""
MOST_TIMING_S, CALLS = 3.0, 500
"""For single predictions, to tell their latency."""
SPREAD = 1.5
"""By which factor the sum may be off though its parts are right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What of a run decides its time beside the fits: see the sections of the project file that are named alike.

    `folds` are those of all times that rows are dealt into them.
    """

    folds: int
    test_rows: int
    at_once: int
    combines: bool
    refits: bool
    findings: bool
    price_per_hour_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRun:
    """The seconds and the memory that a run is expected to take."""

    seconds: Interval
    memory_bytes: Interval


def whole_run(figures: Mapping[str, Mapping[str, Interval]], plan: RunPlan) -> WholeRun:
    """What it takes to run with these candidates (what is expected of each, by quantity).

    Fits run `at_once`; each candidate is then evaluated alone. With folds there is a fit for each and one of all rows;
    combinations need another on training rows alone, and what wins is fitted once more on all rows.
    """
    fits = [each["train_s"] for each in figures.values()]
    times = (1 + plan.folds) + (HELD_OUT if plan.combines else 0.0) + (EXPLAINING if plan.findings else 0.0)
    per_row_s = {
        name: each["cost_usd_per_1k"].value / 1000 / plan.price_per_hour_usd * 3600 for name, each in figures.items()
    }
    rows = plan.test_rows + (FINDING_ROWS if plan.findings else 0)
    evaluating_s = sum(
        EACH_S + min(MOST_TIMING_S, CALLS * each["latency_p50_ms"].value / 1000) + rows * per_row_s[name]
        for name, each in figures.items()
    )
    at_once = min(plan.at_once, len(fits))

    def total(parts: list[float]) -> float:
        refit_s = REFIT * max(parts) if plan.refits else 0.0
        return START_S + evaluating_s + max(*parts, sum(parts) / at_once) * times + refit_s

    value, low, high = (
        total([pick(each) for each in fits])
        for pick in (lambda each: each.value, lambda each: each.least, lambda each: each.most)
    )
    seconds = Interval(value=value, low=min(low, value) / SPREAD, high=max(high, value) * SPREAD)
    largest = sorted((each["memory_bytes"] for each in figures.values()), key=lambda each: -each.value)[:at_once]
    memory = Interval(
        value=math.fsum(each.value for each in largest),
        low=math.fsum(each.least for each in largest),
        high=math.fsum(each.most for each in largest),
    )
    return WholeRun(seconds=seconds, memory_bytes=memory)
