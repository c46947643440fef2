"""Blends, stacks, cascades, routes and routers that a run tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bakeoff.metrics.intervals import Interval

__all__ = ["CombinationOutcome", "CurvePoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A cascade that passes on this `share` of test rows: what it would cost and its value of the metric."""

    share: float
    cost_usd_per_1k: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinationOutcome:
    """A combination that was tried; without `quality` when validation rows spoke against it.

    `weights` (with `biases`, over logarithms if `log`) are those of a blend's or stack's members; `thresholds`
    (`pooled`, and with the classes that are `doubted`) those of a cascade or route, whose `shares` of rows reach each
    member, and `right` how often each was right on those that it answered. A router asks one of two members about each
    row, so its `shares` add up to one. `entered`: it became a candidate.
    """

    name: str
    kind: Literal["blend", "stack", "cascade", "route", "router"]
    members: tuple[str, ...] = ()
    weights: tuple[float, ...] | None = None
    biases: Mapping[str, float] | None = None
    log: bool | None = None
    thresholds: tuple[float, ...] | None = None
    pooled: bool | None = None
    doubted: tuple[str, ...] | None = None
    validation: float | None = None
    shares: tuple[float, ...] = ()
    right: tuple[float | None, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    entered: bool = False
    reason: str = ""
    quality: Interval | None = None
    metrics: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    latency_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    cost_usd_per_1k: float | None = None
    size_bytes: int | None = None
